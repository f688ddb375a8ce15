/* What a program's own calls cost: memory, threads, locks, formatting. The same file is the Ringlet appliance and the
 * Linux guest's only process (static, glibc). Operations stand in the arguments: NAME=COUNT ... */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/mount.h>
#include <sys/reboot.h>
#endif

#include "../measure.h"

static uint32_t random_state;
static uint32_t next_random(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* ---- memory */

static long pairs(long count, size_t bytes) {
    long bad = 0;
    free(malloc(bytes));
    begin();
    for (long i = 0; i < count; ++i) {
        volatile char* p = malloc(bytes);
        if (p == NULL) ++bad;
        else p[0] = 1;
        free((void*)p);
    }
    return done(bad);
}

/* A thousand blocks of 16 bytes to 2 KiB; one of them is given back and another one taken. */
static long mixed(long count) {
    enum { BLOCKS = 1000 };
    static char* blocks[BLOCKS];
    long bad = 0;
    random_state = 1;
    for (int i = 0; i < BLOCKS; ++i) blocks[i] = malloc(16 + next_random() % 2032);
    begin();
    for (long i = 0; i < count; ++i) {
        char** at = &blocks[next_random() % BLOCKS];
        free(*at);
        *at = malloc(16 + next_random() % 2032);
        bad += *at == NULL;
    }
    done(bad);
    for (int i = 0; i < BLOCKS; ++i) free(blocks[i]);
    return bad;
}

/* A buffer that grows by 64 bytes, up to 64 KiB, like a string that is put together. */
static long grow(long count) {
    long bad = 0;
    char* p = NULL;
    size_t size = 0;
    begin();
    for (long i = 0; i < count; ++i) {
        size = size >= 65536 ? 64 : size + 64;
        char* more = realloc(p, size);
        if (more == NULL) ++bad;
        else p = more;
    }
    done(bad);
    free(p);
    return bad;
}

/* ---- threads */

static void* nothing(void* p) {
    return p;
}
static long threads(long count) {
    long bad = 0;
    begin();
    for (long i = 0; i < count; ++i) {
        pthread_t thread;
        bad += pthread_create(&thread, NULL, nothing, NULL) != 0 || pthread_join(thread, NULL) != 0;
    }
    return done(bad);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long turns;
static long locks(long count) {
    begin();
    for (long i = 0; i < count; ++i) {
        pthread_mutex_lock(&mutex);
        ++turns;
        pthread_mutex_unlock(&mutex);
    }
    return done(0);
}

/* Two threads by turns: each waits for the other. */
static long limit;
static void take_turns(long mine) {
    pthread_mutex_lock(&mutex);
    while (turns < limit) {
        if (turns % 2 == mine) {
            ++turns;
            pthread_cond_signal(&changed);
        } else {
            pthread_cond_wait(&changed, &mutex);
        }
    }
    pthread_mutex_unlock(&mutex);
}
static void* other(void* p) {
    take_turns(1);
    return p;
}
static long handover(long count) {
    pthread_t thread;
    turns = 0;
    limit = count;
    if (pthread_create(&thread, NULL, other, NULL)) return -1;
    begin();
    take_turns(0);
    done(0);
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    pthread_join(thread, NULL);
    return 0;
}

/* ---- the rest */

static long clocks(long count) {
    struct timespec now;
    begin();
    for (long i = 0; i < count; ++i) clock_gettime(CLOCK_MONOTONIC, &now);
    return done(0);
}

static long format(long count) {
    char text[128];
    long bad = 0;
    begin();
    for (long i = 0; i < count; ++i) bad += snprintf(text, sizeof text, "%s: %ld of %d, %x", "line", i, 100, 0xbeefu) <= 0;
    return done(bad);
}

static long copy(long count) {
    static char a[65536], b[65536];
    begin();
    for (long i = 0; i < count; ++i) {
        memcpy(a, b, sizeof a);
        __asm__ volatile("" ::"r"(a), "r"(b) : "memory");
    }
    return done(0);
}

static long operation(const char* name, long count) {
    if (!strcmp(name, "malloc")) return pairs(count, 64);
    if (!strcmp(name, "malloc-large")) return pairs(count, 65536);
    if (!strcmp(name, "malloc-mixed")) return mixed(count);
    if (!strcmp(name, "realloc")) return grow(count);
    if (!strcmp(name, "thread")) return threads(count);
    if (!strcmp(name, "mutex")) return locks(count);
    if (!strcmp(name, "handover")) return handover(count);
    if (!strcmp(name, "clock")) return clocks(count);
    if (!strcmp(name, "snprintf")) return format(count);
    if (!strcmp(name, "memcpy")) return copy(count);
    return -1;
}

int main(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        char* equals = strchr(argv[i], '=');
        if (equals == NULL) continue;
        *equals = 0;
        const long count = atol(equals + 1), bad = operation(argv[i], count);
        printf("BENCH %s %ld %ld %lld\n", argv[i], count, bad, (long long)ns);
        fflush(stdout);
    }
    puts("BENCH end");
    fflush(stdout);
#ifdef __linux__
    reboot(RB_POWER_OFF);
#endif
    return 0;
}
