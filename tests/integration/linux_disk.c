/* The only process of a Linux guest that shares a disk with Ringlet (test_linux_disk.py). Arguments: "age SEED" or "read".
 *   age   works on the filesystem as a year of use would, makes it durable without leaving it in order, and waits to be
 *         killed;
 *   read  only reads, and leaves it in order.
 * Both print a line for each file: "F kind mode links size hash path". */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "../../bench/linux.h"

static uint64_t state;
static uint32_t pick(uint32_t n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % n;
}
static char buffer[1 << 16];

static uint64_t hash(uint64_t h, const char* bytes, size_t n) {
    for (size_t i = 0; i < n; ++i) h = (h ^ (unsigned char)bytes[i]) * 1099511628211u;
    return h;
}

static void show(const char* path) {
    struct stat st;
    uint64_t h = 14695981039346656037u;
    if (lstat(path, &st)) return (void)printf("ERROR stat %s: %s\n", path, strerror(errno));
    if (S_ISREG(st.st_mode)) {
        const int fd = open(path, O_RDONLY);
        ssize_t n;
        while ((n = read(fd, buffer, sizeof buffer)) > 0) h = hash(h, buffer, (size_t)n);
        if (n < 0) printf("ERROR read %s: %s\n", path, strerror(errno));
        close(fd);
    } else if (S_ISLNK(st.st_mode)) {
        const ssize_t n = readlink(path, buffer, sizeof buffer);
        if (n > 0) h = hash(h, buffer, (size_t)n);
    }
    printf("F %c %x %u %llu %llx %s\n", S_ISDIR(st.st_mode) ? 'd' : S_ISLNK(st.st_mode) ? 'l' : 'f', st.st_mode & 07777,
           (unsigned)st.st_nlink, S_ISDIR(st.st_mode) ? 0ull : (unsigned long long)st.st_size, (unsigned long long)h,
           path + strlen("/mnt"));
    if (!S_ISDIR(st.st_mode)) return;
    DIR* const dir = opendir(path);
    for (struct dirent* e; dir && (e = readdir(dir));) {
        char below[4096];
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, "lost+found")) continue;
        snprintf(below, sizeof below, "%s/%s", path, e->d_name);
        show(below);
    }
    if (dir) closedir(dir);
}

static void fill(const char* path, uint32_t size, off_t at) {
    const int fd = open(path, O_WRONLY | O_CREAT, 0600 + pick(0177));
    for (uint32_t i = 0; i < size && i < sizeof buffer; ++i) buffer[i] = (char)pick(256);
    if (fd < 0 || pwrite(fd, buffer, size, at) != (ssize_t)size) printf("ERROR write %s: %s\n", path, strerror(errno));
    close(fd);
}

static void age_round(int round) {
    char path[256], other[256];
    for (int d = 0; d < 4; ++d) {
        snprintf(path, sizeof path, "/mnt/d%d", d);
        mkdir(path, 0755);
        for (int i = 0; i < 120; ++i) {
            snprintf(path, sizeof path, "/mnt/d%d/f%u", d, pick(200));
            snprintf(other, sizeof other, "/mnt/d%u/r%u", pick((uint32_t)d + 1), pick(200));
            switch (pick(8)) {
            case 0: unlink(path); break;
            case 1: rename(path, other); break;
            case 2: link(path, other); break;
            case 3: truncate(path, pick(50000)); break;
            case 4: if (symlink(path, other) && errno != EEXIST) printf("ERROR symlink: %s\n", strerror(errno)); break;
            default: fill(path, pick(pick(4) ? 6000 : 60000), pick(3) ? 0 : pick(200000));
            }
        }
    }
    /* A directory with an index, full of holes after the first round. */
    mkdir("/mnt/many", 0711);
    for (int i = 0; i < 1500; ++i) {
        snprintf(path, sizeof path, "/mnt/many/%d-%d-with-a-name-of-some-length", round, i);
        if (mknod(path, S_IFREG | 0640, 0)) printf("ERROR mknod: %s\n", strerror(errno));
    }
    for (int i = 0; i < 1500; i += 3) {
        snprintf(path, sizeof path, "/mnt/many/%d-%d-with-a-name-of-some-length", pick(2) ? round : 0, i);
        unlink(path);
    }
    /* Holes, unwritten extents, and a map of more than one level. */
    const int fd = open("/mnt/sparse", O_RDWR | O_CREAT, 0644);
    for (int i = 0; i < 400; ++i)
        if (pwrite(fd, &i, sizeof i, (off_t)(pick(4000)) * 16384) != sizeof i) printf("ERROR sparse\n");
    fallocate(fd, 0, 1 << 20, 1 << 20);
    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 18, 1 << 18);
    close(fd);
    sync();
}

int main(int argc, char** argv) {
    load_modules();
    mkdir("/mnt", 0755);
    mknod("/dev/vda", S_IFBLK | 0600, makedev(254, 0));
    mount("none", "/dev", "devtmpfs", 0, 0);
    const int reading = argc > 1 && !strcmp(argv[1], "read");
    for (int tries = 0; access("/dev/vda", F_OK) && tries < 200; ++tries) usleep(50000);
    if (mount("/dev/vda", "/mnt", "ext4", 0, 0)) printf("ERROR mount: %s\n", strerror(errno));
    state = argc > 2 ? strtoull(argv[2], 0, 10) : 1;
    for (int round = 0; round < 3 && !reading; ++round) age_round(round);
    if (!reading) {
        for (int i = 0; i < 50; ++i) {
            char path[64];
            snprintf(path, sizeof path, "/mnt/d1/last%d", i);
            fill(path, 1000 + pick(9000), 0);
        }
        sync();
    }
    show("/mnt");
    if (reading && umount("/mnt")) printf("ERROR umount: %s\n", strerror(errno));
    printf("DONE\n");
    fflush(stdout);
    if (!reading) pause();
    reboot(RB_POWER_OFF);
    return 0;
}
