/* The Linux guest's only process: loads the modules, mounts the disk and does the same operations as the Ringlet
 * appliance (main.cpp beside this file), named on the kernel command line after "--": NAME=COUNT ... Static, no shell.
 */
#define _GNU_SOURCE
#include "../linux.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>

#define BLOCK 4096
#define CHUNK (64 << 10)
#define MIB (1L << 20)
#define SMALL 1000
#define THREADS 32

static char chunk[CHUNK] __attribute__((aligned(BLOCK)));

/* ---- streams */

static long read_stream(const char* path, long mebibytes) {
    const int fd = open(path, O_RDONLY);
    if (fd < 0) return -1;
    begin();
    for (long left = mebibytes * MIB, at = 0; left > 0;) {
        const long n = read(fd, chunk, CHUNK);
        if (n < 0 || (n == 0 && at == 0)) return done(1);
        if (n == 0) lseek(fd, 0, SEEK_SET);
        at += n;
        left -= n;
    }
    done(0);
    close(fd);
    return 0;
}

/* A file of 8 MiB, all of which is in memory now. */
static int open_cached(void) {
    const int fd = open("/mnt/cached", O_RDONLY);
    while (fd >= 0 && read(fd, chunk, CHUNK) > 0) {
    }
    return fd;
}

static long read_cached(long mebibytes) {
    const int fd = open_cached();
    if (fd < 0) return -1;
    close(fd);
    return read_stream("/mnt/cached", mebibytes);
}

static long write_stream(long mebibytes) {
    const int fd = open("/mnt/new", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return -1;
    begin();
    for (long left = mebibytes * MIB; left > 0; left -= CHUNK)
        if (write(fd, chunk, CHUNK) != CHUNK) return done(1);
    done(fsync(fd) != 0);
    close(fd);
    return 0;
}

/* ---- 4 KiB anywhere */

#define BLOCKS 16384
static atomic_uint read_places, write_places, cached_places;
/* Where the blocks of a file of 64 MiB are, in no order, none twice. */
static off_t next_place(atomic_uint* count) {
    unsigned x = atomic_fetch_add(count, 1) * 0x2c1b % BLOCKS;
    x = (x ^ x >> 7) * 0x1b87 % BLOCKS;
    return (off_t)(x ^ x >> 5) * BLOCK;
}

static long read_random(int fd, long count) {
    char block[BLOCK] __attribute__((aligned(BLOCK)));
    long bad = 0;
    for (long i = 0; i < count; i++) bad += pread(fd, block, BLOCK, next_place(&read_places)) != BLOCK;
    return bad;
}

static long write_random(int fd, long count) {
    long bad = 0;
    for (long i = 0; i < count; i++) bad += pwrite(fd, chunk, BLOCK, next_place(&write_places)) != BLOCK;
    return bad;
}

struct work {
    int fd;
    long (*operation)(int fd, long count);
    long count;
    pthread_barrier_t begun;
    atomic_long bad;
};
static void* worker(void* argument) {
    struct work* w = argument;
    pthread_barrier_wait(&w->begun);
    w->bad += w->operation(w->fd, w->count);
    return NULL;
}

/* `count` operations by as many threads, which begin together. */
static long in_threads(int fd, long (*operation)(int, long), long count) {
    struct work w = {.fd = fd, .operation = operation, .count = count / THREADS};
    pthread_t threads[THREADS];
    if (fd < 0) return -1;
    pthread_barrier_init(&w.begun, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, worker, &w)) abort();
    usleep(100000);
    begin();
    pthread_barrier_wait(&w.begun);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    done(0);
    close(fd);
    return w.bad;
}

static long read_one(long count) {
    const int fd = open("/mnt/random", O_RDONLY);
    if (fd < 0) return -1;
    begin();
    const long bad = done(read_random(fd, count));
    close(fd);
    return bad;
}

static long read_one_cached(long count) {
    const int fd = open_cached();
    long bad = 0;
    if (fd < 0) return -1;
    begin();
    for (long i = 0; i < count; i++) bad += pread(fd, chunk, BLOCK, next_place(&cached_places) % (8 * MIB)) != BLOCK;
    done(bad);
    close(fd);
    return bad;
}

static long write_later(long count) {
    const int fd = open("/mnt/rewritten", O_RDWR);
    if (fd < 0) return -1;
    begin();
    long bad = write_random(fd, count);
    bad = done(bad + (fsync(fd) != 0));
    close(fd);
    return bad;
}

static long write_one(long count) {
    const int fd = open("/mnt/rewritten", O_RDWR | O_DSYNC);
    if (fd < 0) return -1;
    begin();
    const long bad = done(write_random(fd, count));
    close(fd);
    return bad;
}

/* ---- small files */

static int create_file(const char* path) {
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644);
    const int good = fd >= 0 && write(fd, chunk, SMALL) == SMALL;
    return close(fd) == 0 && good;
}

static int stat_file(const char* path) {
    struct stat about;
    return stat(path, &about) == 0 && about.st_size == SMALL;
}

static int read_file(const char* path) {
    const int fd = open(path, O_RDONLY);
    const int good = fd >= 0 && read(fd, chunk, CHUNK) == SMALL;
    return close(fd) == 0 && good;
}

static int delete_file(const char* path) {
    return unlink(path) == 0;
}

static long each_file(long count, int make_durable, int (*operation)(const char*)) {
    long bad = 0;
    begin();
    for (long i = 0; i < count; i++) {
        char path[64];
        snprintf(path, sizeof path, "/mnt/small/file%ld", i);
        bad += !operation(path);
    }
    if (make_durable) sync();
    return done(bad);
}

static long append_durably(long count) {
    const int fd = open("/mnt/log", O_RDWR | O_CREAT | O_APPEND, 0644);
    long bad = 0;
    if (fd < 0) return -1;
    begin();
    for (long i = 0; i < count; i++) bad += write(fd, chunk, BLOCK) != BLOCK || fsync(fd);
    done(bad);
    close(fd);
    return bad;
}

static long operation(const char* name, long count) {
    if (!strcmp(name, "read")) return read_stream("/mnt/large", count);
    if (!strcmp(name, "read-cached")) return read_cached(count);
    if (!strcmp(name, "write")) return write_stream(count);
    if (!strcmp(name, "random-read-cached")) return read_one_cached(count);
    if (!strcmp(name, "random-read-1")) return read_one(count);
    if (!strcmp(name, "random-read-32")) return in_threads(open("/mnt/random", O_RDONLY), read_random, count);
    if (!strcmp(name, "random-write")) return write_later(count);
    if (!strcmp(name, "random-write-1")) return write_one(count);
    if (!strcmp(name, "random-write-32"))
        return in_threads(open("/mnt/rewritten", O_RDWR | O_DSYNC), write_random, count);
    if (!strcmp(name, "create")) return each_file(count, 1, create_file);
    if (!strcmp(name, "stat")) return each_file(count, 0, stat_file);
    if (!strcmp(name, "read-small")) return each_file(count, 0, read_file);
    if (!strcmp(name, "delete")) return each_file(count, 1, delete_file);
    if (!strcmp(name, "fsync")) return append_durably(count);
    return -1;
}

int main(int argc, char** argv) {
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    load_modules();
    for (int tries = 0; tries < 100 && access("/dev/vda", R_OK); tries++) usleep(50000);
    if (mount("/dev/vda", "/mnt", "ext4", MS_NOATIME, NULL)) printf("no disk: %s\n", strerror(errno));
    mkdir("/mnt/small", 0755);
    for (int i = 1; i < argc; i++) {
        char* equals = strchr(argv[i], '=');
        if (!equals) continue;
        *equals = 0;
        const long count = atol(equals + 1), bad = operation(argv[i], count);
        printf("BENCH %s %ld %ld %lld\n", argv[i], count, bad, (long long)ns);
        fflush(stdout);
    }
    umount("/mnt");
    printf("BENCH end\n");
    fflush(stdout);
    reboot(RB_POWER_OFF);
    return 0;
}
