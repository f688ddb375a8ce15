/* The Linux guest's first process: the services of examples/testd in one epoll loop, or nginx, which is asked for by the
 * word "nginx" on the kernel command line; there too this process answers the marker's datagrams. Static, no shell. */
#define _GNU_SOURCE
#include "../linux.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>

enum kind { ECHO, DISCARD, CHARGEN, HTTP, MARK, UDP_ECHO };

struct source {
    int fd, listens;
    enum kind kind;
    size_t have; /* http: bytes of a head */
    char head[4096];
};

static int events;
static char buffer[1 << 17], page[2048], last_page[2048];
static int page_size, last_page_size;

static void watch(struct source* s, uint32_t what) {
    struct epoll_event e = {.events = what, .data.ptr = s};
    epoll_ctl(events, EPOLL_CTL_ADD, s->fd, &e);
}

static void offer(uint16_t port, enum kind kind) {
    struct source* s = calloc(1, sizeof *s);
    const int stream = kind < MARK, on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(port)};
    s->fd = socket(AF_INET, (stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK, 0);
    s->kind = kind;
    s->listens = stream;
    setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s->fd, (struct sockaddr*)&any, sizeof any) || (stream && listen(s->fd, 1024)))
        printf("port %u: %s\n", port, strerror(errno));
    watch(s, EPOLLIN);
}

static void accept_all(struct source* listener) {
    for (int fd; (fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        const int on = 1;
        struct source* s = malloc(sizeof *s);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        s->fd = fd, s->listens = 0, s->kind = listener->kind, s->have = 0;
        watch(s, s->kind == CHARGEN ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

/* 0: the connection is over. */
static int answer_http(struct source* s) {
    const ssize_t n = read(s->fd, s->head + s->have, sizeof s->head - 1 - s->have);
    if (n < 0 && errno == EAGAIN) return 1;
    if (n <= 0) return 0;
    s->have += (size_t)n;
    s->head[s->have] = 0;
    for (char *from = s->head, *end;; from = end + 4) {
        end = strstr(from, "\r\n\r\n");
        if (!end) {
            s->have -= (size_t)(from - s->head);
            memmove(s->head, from, s->have);
            return s->have < sizeof s->head - 1;
        }
        *end = 0;
        const int last = strstr(from, "HTTP/1.0") || strstr(from, "Connection: close");
        (void)!write(s->fd, last ? last_page : page, (size_t)(last ? last_page_size : page_size));
        if (last) return 0;
    }
}

static int serve(struct source* s, uint32_t ready) {
    if (s->kind == HTTP) return answer_http(s);
    if (s->kind == CHARGEN && (ready & EPOLLOUT))
        for (int i = 0; i < 8; i++)
            if (write(s->fd, buffer, 65536) < 0) {
                if (errno != EAGAIN) return 0;
                break;
            }
    if (!(ready & ~EPOLLOUT)) return 1;
    const ssize_t n = read(s->fd, buffer, sizeof buffer);
    if (n < 0 && errno == EAGAIN) return 1;
    if (n <= 0) return 0;
    if (s->kind == ECHO) (void)!write(s->fd, buffer, (size_t)n);
    return 1;
}

static void datagrams(struct source* s) {
    struct sockaddr_in from;
    for (int i = 0; i < 64; i++) {
        socklen_t size = sizeof from;
        const ssize_t n = recvfrom(s->fd, buffer, sizeof buffer, 0, (struct sockaddr*)&from, &size);
        if (n < 0) return;
        if (s->kind == MARK) mark();
        sendto(s->fd, buffer, (size_t)n, 0, (struct sockaddr*)&from, size);
    }
}

int main(int argc, char** argv) {
    const char *mine = "10.9.0.2", *server = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "address=", 8)) mine = argv[i] + 8;
        if (!strcmp(argv[i], "nginx")) server = "/usr/sbin/nginx";
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    usleep(500000);
    raise_interface("lo", NULL);
    if (raise_interface("eth0", mine)) printf("no interface\n");
    static char body[613];
    memset(body, 'x', 611), body[611] = '\n';
    page_size = sprintf(page, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 612\r\n\r\n%s", body);
    last_page_size = sprintf(last_page, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 612\r\n"
                                        "Connection: close\r\n\r\n%s", body);
    memset(buffer, 'c', sizeof buffer);
    events = epoll_create1(0);
    offer(6001, MARK);
    if (server) {
        if (fork() == 0) {
            execl(server, server, "-c", "/etc/nginx.conf", (char*)NULL);
            printf("nginx: %s\n", strerror(errno));
            _exit(1);
        }
        struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        for (int tries = 0, fd, listens = 0; tries < 200 && !listens; tries++) {
            fd = socket(AF_INET, SOCK_STREAM, 0);
            listens = connect(fd, (struct sockaddr*)&here, sizeof here) == 0;
            close(fd);
            usleep(50000);
        }
    } else {
        offer(7, ECHO), offer(9, DISCARD), offer(19, CHARGEN), offer(80, HTTP), offer(7, UDP_ECHO);
    }
    printf("testd: ready\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event ready[256];
        const int n = epoll_wait(events, ready, 256, -1);
        for (int i = 0; i < n; i++) {
            struct source* const s = ready[i].data.ptr;
            if (s->listens) accept_all(s);
            else if (s->kind >= MARK) datagrams(s);
            else if (!serve(s, ready[i].events)) close(s->fd), free(s);
        }
    }
}
