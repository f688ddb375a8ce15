/* The Linux guest's only process: loads the virtio modules, then does the same operations as the Ringlet appliance
 * (main.cpp beside this file), named on the kernel command line after "--": NAME=COUNT ... Static, no shell. */
#define _GNU_SOURCE
#include "../linux.h"

#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <net/route.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>

#define KBLOCK 4096
#define DEPTH 32

static uint64_t seed = 88172645463325252u;
static uint64_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

static int open_disk(const char* path, uint64_t* size) {
    int fd = -1;
    for (int tries = 0; tries < 100 && fd < 0; tries++) {
        fd = open(path, O_RDONLY | O_DIRECT);
        if (fd < 0) usleep(50000);
    }
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, size)) return -1;
    return fd;
}

/* `at_once`: how many requests one io_submit() takes at most. */
static long read_deep(const char* path, long count, int at_once) {
    uint64_t size;
    const int fd = open_disk(path, &size);
    aio_context_t context = 0;
    struct iocb blocks[DEPTH], *one;
    struct io_event events[DEPTH];
    char* memory;
    int idle[DEPTH], idles = DEPTH, flying = 0;
    long sent = 0, bad = 0;
    if (fd < 0 || posix_memalign((void**)&memory, KBLOCK, DEPTH * KBLOCK)) return -1;
    if (syscall(SYS_io_setup, DEPTH, &context)) return -1;
    for (int i = 0; i < DEPTH; i++) idle[i] = i;
    mark();
    while (sent < count || flying) {
        struct iocb* batch[DEPTH];
        int n = 0;
        while (idles && sent < count) {
            const int i = idle[--idles];
            one = &blocks[i];
            memset(one, 0, sizeof *one);
            one->aio_data = i;
            one->aio_fildes = fd;
            one->aio_lio_opcode = IOCB_CMD_PREAD;
            one->aio_buf = (uintptr_t)(memory + i * KBLOCK);
            one->aio_nbytes = KBLOCK;
            one->aio_offset = draw() % (size / KBLOCK) * KBLOCK;
            batch[n++] = one;
            sent++;
            flying++;
        }
        for (int i = 0; i < n; i += at_once) {
            const int part = n - i < at_once ? n - i : at_once;
            if (syscall(SYS_io_submit, context, part, batch + i) != part) return -1;
        }
        const int done = syscall(SYS_io_getevents, context, 1L, (long)DEPTH, events, NULL);
        for (int i = 0; i < done; i++) {
            bad += events[i].res != KBLOCK;
            idle[idles++] = events[i].data;
        }
        flying -= done > 0 ? done : 0;
    }
    mark();
    return bad;
}

static long read_one(const char* path, long count) {
    uint64_t size;
    const int fd = open_disk(path, &size);
    char* memory;
    long bad = 0;
    if (fd < 0 || posix_memalign((void**)&memory, KBLOCK, KBLOCK)) return -1;
    mark();
    for (long i = 0; i < count; i++)
        bad += pread(fd, memory, KBLOCK, draw() % (size / KBLOCK) * KBLOCK) != KBLOCK;
    mark();
    return bad;
}

/* Through ext4, past the page cache: with it, a read of 4 KiB costs 1,500 instructions more. */
static long read_file(long count) {
    struct stat about;
    char* memory;
    long bad = 0;
    mkdir("/mnt", 0755);
    uint64_t size;
    close(open_disk("/dev/vda", &size));
    if (mount("/dev/vda", "/mnt", "ext4", MS_RDONLY, NULL)) return -1;
    const int fd = open("/mnt/large", O_RDONLY | O_DIRECT);
    if (fd < 0 || fstat(fd, &about) || posix_memalign((void**)&memory, KBLOCK, KBLOCK)) return -1;
    mark();
    for (long i = 0; i < count; i++)
        bad += pread(fd, memory, KBLOCK, draw() % (about.st_size / KBLOCK) * KBLOCK) != KBLOCK;
    mark();
    return bad;
}

static uint16_t sum(const void* data, int bytes) {
    uint32_t total = 0;
    for (int i = 0; i < bytes; i += 2) total += *(const uint16_t*)((const char*)data + i);
    total = (total >> 16) + (total & 0xffff);
    return ~(total + (total >> 16));
}

static long ping(long count) {
    const int s = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct sockaddr to = {0};
    struct {
        struct icmphdr head;
        char body[56];
    } echo;
    long bad = 0;
    address(&to, "10.0.2.2");
    for (long i = -3; i < count; i++) {
        char answer[256];
        if (i == 0) mark();
        memset(&echo, 0, sizeof echo);
        echo.head.type = ICMP_ECHO;
        echo.head.un.echo.id = 7;
        echo.head.un.echo.sequence = htons(i + 3);
        echo.head.checksum = sum(&echo, sizeof echo);
        struct pollfd wait = {s, POLLIN, 0};
        if (sendto(s, &echo, sizeof echo, 0, &to, sizeof to) < 0 || poll(&wait, 1, 2000) != 1 ||
            recv(s, answer, sizeof answer, 0) < 0)
            bad += i >= 0;
    }
    mark();
    return bad;
}

static long operation(const char* name, long count) {
    if (!strcmp(name, "blk-deep")) return read_deep("/dev/vda", count, DEPTH);
    if (!strcmp(name, "blk-apart")) return read_deep("/dev/vda", count, 1);
    if (!strcmp(name, "blk-one")) return read_one("/dev/vda", count);
    if (!strcmp(name, "scsi-deep")) return read_deep("/dev/sda", count, DEPTH);
    if (!strcmp(name, "scsi-one")) return read_one("/dev/sda", count);
    if (!strcmp(name, "file-one")) return read_file(count);
    if (!strcmp(name, "ping")) return ping(count);
    if (!strcmp(name, "stay")) return sleep(count), 0;
    return -1;
}

int main(int argc, char** argv) {
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    usleep(500000);
    if (raise_interface("eth0", "10.0.2.15")) printf("no interface\n");
    printf("BENCH ready\n");
    for (int i = 1; i < argc; i++) {
        char* equals = strchr(argv[i], '=');
        if (!equals) continue;
        *equals = 0;
        const long count = atol(equals + 1), bad = operation(argv[i], count);
        printf("BENCH %s %ld %ld\n", argv[i], count, bad);
        fflush(stdout);
    }
    printf("BENCH end\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
