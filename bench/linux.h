/* What the Linux guests' only process needs in every measurement: the marker instruction, the modules of the initramfs,
 * and an address. */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "measure.h"

static void load_modules(void) {
    FILE* list = fopen("/modules/order", "r");
    char name[128], path[160];
    while (list && fgets(name, sizeof name, list)) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof path, "/modules/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || syscall(SYS_finit_module, fd, "", 0)) printf("module %s does not load: %s\n", name, strerror(errno));
        if (fd >= 0) close(fd);
    }
}

static void address(struct sockaddr* to, const char* text) {
    struct sockaddr_in* in = (struct sockaddr_in*)to;
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = inet_addr(text);
}

/* `text` with a netmask of 24 bits. */
static int raise_interface(const char* name, const char* text) {
    struct ifreq request;
    const int s = socket(AF_INET, SOCK_DGRAM, 0);
    memset(&request, 0, sizeof request);
    strncpy(request.ifr_name, name, sizeof request.ifr_name - 1);
    if (text) {
        address(&request.ifr_addr, text);
        if (ioctl(s, SIOCSIFADDR, &request)) return -1;
        address(&request.ifr_netmask, "255.255.255.0");
        if (ioctl(s, SIOCSIFNETMASK, &request)) return -1;
    }
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(s, SIOCSIFFLAGS, &request);
}
