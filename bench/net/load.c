/* The load generator of run.py: does so many operations with a server at ADDRESS, prints one line.
 *
 *   load ADDRESS PORT rr COUNT BYTES           round trips of so many bytes, one after the other
 *   load ADDRESS PORT http COUNT CONNECTIONS   requests on kept-alive connections, one at a time on each
 *   load ADDRESS PORT close COUNT CONNECTIONS  a new connection for each request, so many at once
 *   load ADDRESS PORT connect COUNT CONNECTIONS  connections that are opened, and closed by us with a reset
 *   load ADDRESS PORT send BYTES               a stream to a server that discards, until it is acknowledged
 *   load ADDRESS PORT recv BYTES               a stream from a server that sends for ever
 *   load ADDRESS PORT udp COUNT BYTES          datagrams that come back, up to 32 under way
 *   load ADDRESS PORT mark                     one datagram that makes the guest execute its marker instruction
 *
 * "LOAD operations seconds failures p50_us p99_us". Every wait is bounded: what takes 20 s has failed. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define MOST 4096 /* connections */

static struct sockaddr_in server;
static uint32_t* took; /* microseconds of each operation */
static long operations, failures, samples;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int open_socket(int type) {
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), on = 1;
    const struct timeval patience = {PATIENCE_MS / 1000, 0};
    if (type == SOCK_STREAM) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return fd;
}

static int connected(void) {
    const int fd = open_socket(SOCK_STREAM);
    if (connect(fd, (struct sockaddr*)&server, sizeof server) == 0) return fd;
    perror("connect");
    exit(1);
}

static void done(double since) {
    if (took) took[samples++] = (uint32_t)((now() - since) * 1e6);
    operations++;
}

/* --- one connection */

static void round_trips(long count, size_t bytes) {
    static char buffer[65536];
    const int fd = connected();
    for (long i = 0; i < count; i++) {
        const double since = now();
        if (write(fd, buffer, bytes) != (ssize_t)bytes) failures++;
        for (size_t got = 0; got < bytes;) {
            const ssize_t n = read(fd, buffer, bytes - got);
            if (n <= 0) {
                failures++;
                return;
            }
            got += n;
        }
        done(since);
    }
}

static void stream_out(long bytes) {
    static char buffer[1 << 18];
    const int fd = connected();
    for (long left = bytes; left > 0;) {
        const ssize_t n = write(fd, buffer, left < (long)sizeof buffer ? (size_t)left : sizeof buffer);
        if (n <= 0) {
            failures++;
            return;
        }
        left -= n;
    }
    const double end = now() + PATIENCE_MS / 1000;
    struct tcp_info info;
    do { /* what the kernel still holds has not arrived */
        socklen_t size = sizeof info;
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    } while (info.tcpi_unacked + info.tcpi_notsent_bytes != 0 && now() < end);
    operations = bytes;
}

static void stream_in(long bytes) {
    static char buffer[1 << 18];
    const int fd = connected();
    while (operations < bytes) {
        const ssize_t n = read(fd, buffer, sizeof buffer);
        if (n <= 0) {
            failures++;
            return;
        }
        operations += n;
    }
}

static void datagrams(long count, size_t bytes) {
    static char buffer[65536];
    const int fd = open_socket(SOCK_DGRAM);
    long sent = 0, back = 0;
    connect(fd, (struct sockaddr*)&server, sizeof server);
    while (back + failures < count) {
        for (; sent < count && sent - back - failures < 32; sent++) (void)!write(fd, buffer, bytes);
        struct pollfd one = {.fd = fd, .events = POLLIN};
        if (poll(&one, 1, 200) == 0) {
            failures += sent - back - failures; /* lost */
            continue;
        }
        while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0) back++;
    }
    operations = back;
}

static void mark(void) {
    char byte = 0;
    const int fd = open_socket(SOCK_DGRAM);
    connect(fd, (struct sockaddr*)&server, sizeof server);
    if (write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1) operations = 1;
}

/* --- many connections */

struct client {
    int fd;
    double since;
    size_t have, want; /* of the answer */
    char head[1024];
};

static int events;
static const char kKeep[] = "GET / HTTP/1.1\r\nHost: bench\r\n\r\n";
static const char kClose[] = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

static void watch(struct client* c, int operation, uint32_t what) {
    struct epoll_event e = {.events = what, .data.ptr = c};
    epoll_ctl(events, operation, c->fd, &e);
}

static void start(struct client* c) {
    c->fd = open_socket(SOCK_STREAM | SOCK_NONBLOCK);
    c->since = now();
    c->have = c->want = 0;
    if (connect(c->fd, (struct sockaddr*)&server, sizeof server) && errno != EINPROGRESS) failures++;
    watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void end(struct client* c, int reset) {
    const struct linger hard = {1, 0};
    if (reset) setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(c->fd);
    c->fd = -1;
}

static void ask(struct client* c, const char* request, size_t size) {
    c->have = c->want = 0;
    if (write(c->fd, request, size) != (ssize_t)size) failures++;
}

/* 1: the answer is whole; 0: not yet; -1: the end. */
static int answered(struct client* c) {
    static char rest[65536];
    char* const to = c->have < sizeof c->head - 1 ? c->head + c->have : rest;
    const size_t room = to == rest ? sizeof rest : sizeof c->head - 1 - c->have;
    const ssize_t n = read(c->fd, to, room);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) return -1;
    c->have += n;
    if (c->want == 0) {
        c->head[c->have < sizeof c->head ? c->have : sizeof c->head - 1] = 0;
        const char* const length = strcasestr(c->head, "content-length:");
        const char* const body = strstr(c->head, "\r\n\r\n");
        if (!length || !body) return 0;
        c->want = (size_t)(body + 4 - c->head) + strtoul(length + 15, NULL, 10);
    }
    return c->have >= c->want;
}

static void many(const char* mode, long count, int connections) {
    static struct client clients[MOST];
    const int keep = !strcmp(mode, "http"), only_connect = !strcmp(mode, "connect");
    long begun = 0;
    events = epoll_create1(0);
    for (int i = 0; i < connections && begun < count; i++, begun++) start(&clients[i]);
    while (operations + failures < count) {
        struct epoll_event ready[256];
        const int n = epoll_wait(events, ready, 256, PATIENCE_MS);
        if (n <= 0) {
            failures = count - operations;
            return;
        }
        for (int i = 0; i < n; i++) {
            struct client* const c = ready[i].data.ptr;
            int state = 1;
            if (ready[i].events & EPOLLOUT) {
                int error = 0;
                socklen_t size = sizeof error;
                getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) state = -1;
                else if (!only_connect) {
                    watch(c, EPOLL_CTL_MOD, EPOLLIN);
                    c->since = keep ? now() : c->since;
                    keep ? ask(c, kKeep, sizeof kKeep - 1) : ask(c, kClose, sizeof kClose - 1);
                    continue;
                }
            } else {
                state = answered(c);
                if (state == 0) continue;
            }
            if (state < 0) failures++;
            else done(c->since);
            const int more = begun < count;
            begun += more;
            if (keep && state > 0) {
                if (!more) continue;
                c->since = now();
                ask(c, kKeep, sizeof kKeep - 1);
            } else {
                end(c, only_connect);
                if (more) start(c);
            }
        }
    }
}

static int by_value(const void* a, const void* b) {
    const uint32_t x = *(const uint32_t*)a, y = *(const uint32_t*)b;
    return (x > y) - (x < y);
}

int main(int argc, char** argv) {
    if (argc < 4) return 2;
    const char* const mode = argv[3];
    const long count = argc > 4 ? atol(argv[4]) : 0, size = argc > 5 ? atol(argv[5]) : 0;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    if (inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 || size > 60000) return 2;
    const int stream = !strcmp(mode, "send") || !strcmp(mode, "recv");
    if (!stream && count > 0) took = calloc((size_t)count + MOST, sizeof *took);
    const double began = now();
    if (!strcmp(mode, "rr")) round_trips(count, (size_t)size);
    else if (!strcmp(mode, "send")) stream_out(count);
    else if (!strcmp(mode, "recv")) stream_in(count);
    else if (!strcmp(mode, "udp")) datagrams(count, (size_t)size);
    else if (!strcmp(mode, "mark")) mark();
    else if (size >= 1 && size <= MOST) many(mode, count, (int)size);
    else return 2;
    const double seconds = now() - began;
    if (samples) qsort(took, (size_t)samples, sizeof *took, by_value);
    printf("LOAD %ld %.6f %ld %u %u\n", operations, seconds, failures, samples ? took[samples / 2] : 0,
           samples ? took[samples * 99 / 100] : 0);
    return 0;
}
