/* Floods one guest with forged frames, as fast as the link takes them or at a rate.
 *
 *   flood LINK KIND COUNT SEED RATE MAC IPV4 [IPV6]
 *
 * LINK is a network interface, or the path of QEMU's datagram socket (then a full queue holds us up instead of losing
 * frames). KIND: syn, rst and ack at port 80, fragment, arp, nd (needs IPV6), udp (port 7 open, the others not), icmp.
 * Sources are forged anew for every frame: 198.18.0.0/15 for IPv4, and neighbours of IPV6. RATE: frames per second; 0:
 * no limit. SEED makes a run repeat itself. Ends with "FLOOD frames seconds". For tests/integration and attacks.py. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIN = 1, SYN = 2, RST = 4, ACK = 16 };

static uint64_t state;
static uint8_t guest_mac[6], guest4[4], guest6[16];

static uint64_t any(void) { /* splitmix64 */
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void fail(const char* what) {
    perror(what);
    exit(1);
}

static uint16_t sum(const uint8_t* p, size_t n, uint32_t start) {
    for (size_t i = 0; i + 1 < n; i += 2) start += p[i] << 8 | p[i + 1];
    if (n & 1) start += p[n - 1] << 8;
    while (start >> 16) start = (start & 0xffff) + (start >> 16);
    return ~start;
}

static void put16(uint8_t* p, uint32_t v) {
    p[0] = v >> 8, p[1] = v;
}
static void put32(uint8_t* p, uint32_t v) {
    put16(p, v >> 16), put16(p + 2, v);
}

static uint8_t* ethernet(uint8_t* f, uint16_t type) {
    static const uint8_t from[6] = {2, 0x66};
    memcpy(f, guest_mac, 6);
    memcpy(f + 6, from, 6);
    put32(f + 8, any());
    put16(f + 12, type);
    return f + 14;
}

/* The IPv4 header at `ip`, for a payload of so many bytes; returns the sum of the pseudo header. */
static uint32_t ipv4(uint8_t* ip, uint8_t protocol, size_t payload, uint16_t fragment) {
    memset(ip, 0, 20);
    ip[0] = 0x45, ip[8] = 64, ip[9] = protocol;
    put16(ip + 2, 20 + payload);
    put16(ip + 4, any());
    put16(ip + 6, fragment);
    put32(ip + 12, 0xc6120000u | (any() & 0x1ffff));
    memcpy(ip + 16, guest4, 4);
    put16(ip + 10, sum(ip, 20, 0));
    uint32_t s = protocol + payload;
    for (int i = 12; i < 20; i += 2) s += ip[i] << 8 | ip[i + 1];
    return s;
}

static size_t tcp(uint8_t* f, uint8_t flags) {
    uint8_t *ip = ethernet(f, 0x0800), *t = ip + 20;
    const size_t n = flags == SYN ? 24 : 20;
    const uint32_t pseudo = ipv4(ip, 6, n, 0);
    memset(t, 0, n);
    put16(t, 1024 + any() % 64000);
    put16(t + 2, 80);
    put32(t + 4, any());
    if (flags & ACK) put32(t + 8, any());
    t[12] = n / 4 << 4, t[13] = flags;
    put16(t + 14, 0xffff);
    if (n > 20) put32(t + 20, 0x020405b4);
    put16(t + 16, sum(t, n, pseudo));
    return 14 + 20 + n;
}

static size_t udp(uint8_t* f) {
    uint8_t *ip = ethernet(f, 0x0800), *u = ip + 20;
    const uint32_t pseudo = ipv4(ip, 17, 40, 0);
    memset(u, 'u', 40);
    put16(u, 1024 + any() % 64000);
    put16(u + 2, any() % 2 ? 7 : 10000 + any() % 1000);
    put16(u + 4, 40);
    put16(u + 6, 0);
    put16(u + 6, sum(u, 40, pseudo));
    return 14 + 20 + 40;
}

static size_t icmp(uint8_t* f) {
    uint8_t *ip = ethernet(f, 0x0800), *m = ip + 20;
    ipv4(ip, 1, 64, 0);
    memset(m, 'i', 64);
    m[0] = 8, m[1] = 0;
    put32(m + 4, any());
    put16(m + 2, 0);
    put16(m + 2, sum(m, 64, 0));
    return 14 + 20 + 64;
}

/* First, middle or last pieces of datagrams of which never all arrive. */
static size_t fragment(uint8_t* f) {
    uint8_t* ip = ethernet(f, 0x0800);
    const uint32_t offset = any() % 100;
    memset(ip + 20, 'f', 512);
    ipv4(ip, any() % 2 ? 17 : 6, 512, offset | (any() % 4 ? 0x2000 : 0));
    return 14 + 20 + 512;
}

static size_t arp(uint8_t* f) {
    uint8_t* a = ethernet(f, 0x0806);
    static const uint8_t head[7] = {0, 1, 8, 0, 6, 4, 0};
    memcpy(a, head, 7);
    a[7] = 1 + any() % 2; /* asks us, or answers what nobody asked */
    memcpy(a + 8, f + 6, 6);
    memcpy(a + 14, guest4, 4);
    a[17] = 3 + any() % 250;
    memcpy(a + 18, guest_mac, 6);
    memcpy(a + 24, guest4, 4);
    memset(a + 28, 0, 18);
    return 60;
}

/* Solicitations, advertisements that nobody asked for, and routers with prefixes, all from new neighbours. */
static size_t nd(uint8_t* f) {
    uint8_t *ip = ethernet(f, 0x86dd), *m = ip + 40;
    const int kind = any() % 3;
    const size_t n = kind == 2 ? 56 : 32;
    memset(ip, 0, 40 + n);
    ip[0] = 0x60, ip[6] = 58, ip[7] = 255;
    put16(ip + 4, n);
    ip[8] = 0xfe, ip[9] = 0x80;
    put32(ip + 18, any());
    put32(ip + 20, any());
    memcpy(ip + 24, guest6, 16);
    if (kind == 2) {
        m[0] = 134, m[4] = 64;
        put16(m + 6, 1800);
        m[16] = 3, m[17] = 4, m[18] = 64, m[19] = 0xc0;
        put32(m + 20, 86400);
        put32(m + 24, 14400);
        m[32] = 0x20, m[33] = 1;
        put32(m + 34, any());
        m[48] = 1;
    } else {
        m[0] = 135 + kind;
        if (kind) m[4] = 0x60;
        memcpy(m + 8, kind ? ip + 8 : guest6, 16);
        m[24] = 1 + kind;
    }
    m[n - 7] = 1;
    memcpy(m + n - 6, f + 6, 6);
    uint32_t s = 58 + n;
    for (int i = 8; i < 40; i += 2) s += ip[i] << 8 | ip[i + 1];
    put16(m + 2, sum(m, n, s));
    return 14 + 40 + n;
}

static size_t make(uint8_t* f, const char* kind) {
    if (strcmp(kind, "syn") == 0) return tcp(f, SYN);
    if (strcmp(kind, "rst") == 0) return tcp(f, RST | (any() % 2 ? ACK : 0));
    if (strcmp(kind, "ack") == 0) return tcp(f, ACK);
    if (strcmp(kind, "udp") == 0) return udp(f);
    if (strcmp(kind, "icmp") == 0) return icmp(f);
    if (strcmp(kind, "fragment") == 0) return fragment(f);
    if (strcmp(kind, "arp") == 0) return arp(f);
    if (strcmp(kind, "nd") == 0) return nd(f);
    fprintf(stderr, "flood: unknown kind %s\n", kind);
    exit(2);
}

static int opened(const char* link) {
    const int datagram = strchr(link, '/') != NULL;
    const int fd = socket(datagram ? AF_UNIX : AF_PACKET, datagram ? SOCK_DGRAM : SOCK_RAW, 0);
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_ll interface = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(link)};
    snprintf(path.sun_path, sizeof path.sun_path, "%s", link);
    if (datagram ? connect(fd, (struct sockaddr*)&path, sizeof path)
                 : bind(fd, (struct sockaddr*)&interface, sizeof interface))
        fail(link);
    return fd;
}

int main(int argc, char** argv) {
    static uint8_t frame[2048];
    unsigned m[6];
    if (argc < 8 || sscanf(argv[6], "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != 6 ||
        inet_pton(AF_INET, argv[7], guest4) != 1 || (argc > 8 && inet_pton(AF_INET6, argv[8], guest6) != 1)) {
        fprintf(stderr, "flood LINK KIND COUNT SEED RATE MAC IPV4 [IPV6]\n");
        return 2;
    }
    for (int i = 0; i < 6; i++) guest_mac[i] = m[i];
    const long count = atol(argv[3]);
    const double rate = atof(argv[5]);
    state = strtoull(argv[4], NULL, 0);
    const int fd = opened(argv[1]);
    const double start = now();
    long sent = 0;
    for (; sent < count; sent++) {
        const size_t n = make(frame, argv[2]);
        while (send(fd, frame, n < 60 ? 60 : n, 0) < 0) {
            if (errno == ECONNREFUSED || errno == ENOENT || errno == ENOTCONN) goto gone;
            if (errno != ENOBUFS && errno != EAGAIN && errno != EINTR) fail("send");
            poll(NULL, 0, 1);
        }
        if (rate > 0)
            for (double ahead; (ahead = sent / rate - (now() - start)) > 0;)
                if (ahead > 0.002) poll(NULL, 0, 1);
    }
gone:
    printf("FLOOD %ld %.3f\n", sent, now() - start);
    return 0;
}
