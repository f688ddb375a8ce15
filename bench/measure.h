/* What the measured C programs share, on Linux and in Ringlet: the marker instruction (count.c), and the time between two
 * of them. */
#pragma once
#include <stdint.h>
#include <time.h>

static inline void mark(void) {
#ifdef __x86_64__
    __asm__ volatile(".byte 0x66, 0x87, 0xdb" ::: "memory");
#else
    __asm__ volatile("hint #0x7e" ::: "memory");
#endif
}

static struct timespec from __attribute__((unused));
static int64_t ns __attribute__((unused)); /* of the last operation */
static inline void begin(void) {
    clock_gettime(CLOCK_MONOTONIC, &from);
    mark();
}
/* Gives `bad` back. */
static inline long done(long bad) {
    struct timespec to;
    mark();
    clock_gettime(CLOCK_MONOTONIC, &to);
    ns = (to.tv_sec - from.tv_sec) * 1000000000LL + (to.tv_nsec - from.tv_nsec);
    return bad;
}
