// What a process can ask about itself and the machine, and what needs other processes: there is one, and it cannot
// fork.
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include <ringlet/system.hpp>

#include "kernel/mm/page_allocator.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/thread.hpp"

using namespace ringlet;

namespace {

template <class T> T not_here() {
    errno = ENOSYS;
    return static_cast<T>(-1);
}

template <usize kSize> void put(char (&to)[kSize], std::string_view text) {
    const usize n = std::min(text.size(), kSize - 1);
    std::copy_n(text.data(), n, to);
    to[n] = '\0';
}

constinit char host_name[HOST_NAME_MAX + 1] = "ringlet";

}  // namespace

extern "C" {

pid_t _getpid() {
    return 1;
}
pid_t getppid() {
    return 0;
}
pid_t getpgrp() {
    return 1;
}
pid_t getpgid(pid_t) {
    return 1;
}
pid_t getsid(pid_t) {
    return 1;
}
pid_t setsid() {
    errno = EPERM;  // it leads its session already
    return -1;
}
int issetugid() {
    return 0;
}
int getpagesize() {
    return static_cast<int>(kPageSize);
}
int getdtablesize() {
    return posix::kOpenMax;
}

int gethostname(char* to, size_t size) {
    if (strlen(host_name) >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(to, host_name);
    return 0;
}
int sethostname(const char* name, size_t size) {
    if (size > HOST_NAME_MAX) {
        errno = EINVAL;
        return -1;
    }
    memcpy(host_name, name, size);
    host_name[size] = '\0';
    return 0;
}
int uname(struct utsname* out) {
    put(out->sysname, "Ringlet");
    put(out->nodename, host_name);
    put(out->release, kVersion);
    put(out->version, "unikernel");
    put(out->machine, kernel::architecture());
    return 0;
}

long sysconf(int name) {
    switch (name) {
    case _SC_PAGESIZE:
        return static_cast<long>(kPageSize);
    case _SC_NPROCESSORS_CONF:
    case _SC_NPROCESSORS_ONLN:
        return 1;
    case _SC_PHYS_PAGES:
        return static_cast<long>(kernel::page_stats().total_pages);
    case _SC_AVPHYS_PAGES:
        return static_cast<long>(kernel::page_stats().free_pages);
    case _SC_OPEN_MAX:
        return posix::kOpenMax;
    case _SC_CLK_TCK:
        return CLOCKS_PER_SEC;
    case _SC_IOV_MAX:
        return IOV_MAX;
    case _SC_HOST_NAME_MAX:
        return HOST_NAME_MAX;
    case _SC_THREAD_STACK_MIN:
        return PTHREAD_STACK_MIN;
    case _SC_THREAD_KEYS_MAX:
        return PTHREAD_KEYS_MAX;
    case _SC_GETPW_R_SIZE_MAX:
    case _SC_GETGR_R_SIZE_MAX:
        return 256;
    case _SC_VERSION:
    case _SC_THREADS:
    case _SC_TIMERS:
    case _SC_MONOTONIC_CLOCK:
    case _SC_FSYNC:
    case _SC_MAPPED_FILES:
    case _SC_SEMAPHORES:
    case _SC_BARRIERS:
    case _SC_READER_WRITER_LOCKS:
    case _SC_SPIN_LOCKS:
        return 200809L;
    case _SC_CHILD_MAX:
    case _SC_JOB_CONTROL:
    case _SC_SAVED_IDS:
    case _SC_ATEXIT_MAX:
        return -1;
    default:
        errno = EINVAL;
        return -1;
    }
}
long pathconf(const char*, int name) {
    switch (name) {
    case _PC_NAME_MAX:
        return 255;
    case _PC_PATH_MAX:
        return PATH_MAX;
    case _PC_LINK_MAX:
        return 65000;
    case _PC_PIPE_BUF:
        return PIPE_BUF;
    case _PC_NO_TRUNC:
        return 1;
    default:
        errno = EINVAL;
        return -1;
    }
}
long fpathconf(int, int name) {
    return pathconf("/", name);
}

int getrusage(int, rusage* out) {
    timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    *out = {};
    out->ru_utime = {.tv_sec = t.tv_sec, .tv_usec = static_cast<suseconds_t>(t.tv_nsec / 1000)};
    return 0;
}

int getrlimit(int which, rlimit* out) {
    if (which < 0 || which >= RLIM_NLIMITS) {
        errno = EINVAL;
        return -1;
    }
    const rlim_t limit = which == RLIMIT_NOFILE ? static_cast<rlim_t>(posix::kOpenMax) : RLIM_INFINITY;
    *out = {.rlim_cur = limit, .rlim_max = limit};
    return 0;
}
/// What is there already may be asked for.
int setrlimit(int which, const rlimit* to) {
    rlimit now;
    if (getrlimit(which, &now) != 0) return -1;
    if (to->rlim_cur <= now.rlim_max) return 0;
    errno = EPERM;
    return -1;
}
int getpriority(int, id_t) {
    return 0;
}
int setpriority(int, id_t, int to) {
    if (to == 0) return 0;
    return not_here<int>();
}

pid_t setpgid(pid_t, pid_t) {
    return not_here<pid_t>();
}
int sched_setparam(pid_t, const sched_param*) {
    return not_here<int>();
}
int sched_setscheduler(pid_t, int, const sched_param*) {
    return not_here<int>();
}

pid_t _fork() {
    return not_here<pid_t>();
}
pid_t vfork() {
    return not_here<pid_t>();
}
int _execve(const char*, char* const*, char* const*) {
    return not_here<int>();
}
int execvpe(const char*, char* const*, char* const*) {
    return not_here<int>();
}
pid_t _wait(int*) {
    errno = ECHILD;
    return -1;
}
pid_t waitpid(pid_t, int*, int) {
    errno = ECHILD;
    return -1;
}

}  // extern "C"
