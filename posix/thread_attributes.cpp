// The attribute objects of <pthread.h>, and scheduling: every thread is SCHED_OTHER with priority 0, and what asks for
// something else is told so.
#include <pthread.h>

#include <sched.h>
#include <time.h>

#include "posix/thread.hpp"

extern "C" {

int pthread_attr_init(pthread_attr_t* a) {
    *a = {};
    a->is_initialized = 1;
    a->detachstate = PTHREAD_CREATE_JOINABLE;
    a->contentionscope = PTHREAD_SCOPE_SYSTEM;
    a->inheritsched = PTHREAD_INHERIT_SCHED;
    a->schedpolicy = SCHED_OTHER;
    return 0;
}
int pthread_attr_destroy(pthread_attr_t* a) {
    a->is_initialized = 0;
    return 0;
}
int pthread_attr_setdetachstate(pthread_attr_t* a, int state) {
    if (state != PTHREAD_CREATE_JOINABLE && state != PTHREAD_CREATE_DETACHED) return EINVAL;
    a->detachstate = state;
    return 0;
}
int pthread_attr_getdetachstate(const pthread_attr_t* a, int* state) {
    *state = a->detachstate;
    return 0;
}
int pthread_attr_setstacksize(pthread_attr_t* a, size_t bytes) {
    if (bytes < PTHREAD_STACK_MIN) return EINVAL;
    a->stacksize = bytes;
    return 0;
}
int pthread_attr_getstacksize(const pthread_attr_t* a, size_t* bytes) {
    *bytes = a->stacksize != 0 ? a->stacksize : ringlet::posix::kDefaultStack;
    return 0;
}
/// Stacks lie above an unmapped page in a window of their own: a caller's memory cannot be one.
int pthread_attr_setstack(pthread_attr_t*, void*, size_t) {
    return ENOTSUP;
}
int pthread_attr_setstackaddr(pthread_attr_t*, void*) {
    return ENOTSUP;
}
int pthread_attr_getstack(const pthread_attr_t* a, void** address, size_t* bytes) {
    *address = nullptr;
    return pthread_attr_getstacksize(a, bytes);
}
int pthread_attr_setguardsize(pthread_attr_t*, size_t bytes) {
    return bytes <= 4096 ? 0 : ENOTSUP;  // there is always one page
}
int pthread_attr_getguardsize(const pthread_attr_t*, size_t* bytes) {
    *bytes = 4096;
    return 0;
}
int pthread_attr_setscope(pthread_attr_t*, int scope) {
    return scope == PTHREAD_SCOPE_SYSTEM ? 0 : ENOTSUP;
}
int pthread_attr_getscope(const pthread_attr_t* a, int* scope) {
    *scope = a->contentionscope;
    return 0;
}
int pthread_attr_setinheritsched(pthread_attr_t* a, int inherit) {
    if (inherit != PTHREAD_INHERIT_SCHED && inherit != PTHREAD_EXPLICIT_SCHED) return EINVAL;
    a->inheritsched = inherit;
    return 0;
}
int pthread_attr_getinheritsched(const pthread_attr_t* a, int* inherit) {
    *inherit = a->inheritsched;
    return 0;
}
int pthread_attr_setschedpolicy(pthread_attr_t*, int policy) {
    return policy == SCHED_OTHER ? 0 : ENOTSUP;
}
int pthread_attr_getschedpolicy(const pthread_attr_t* a, int* policy) {
    *policy = a->schedpolicy;
    return 0;
}
int pthread_attr_setschedparam(pthread_attr_t*, const sched_param* p) {
    return p->sched_priority == 0 ? 0 : ENOTSUP;
}
int pthread_attr_getschedparam(const pthread_attr_t* a, sched_param* p) {
    *p = a->schedparam;
    return 0;
}
int pthread_setschedparam(pthread_t, int policy, const sched_param* p) {
    return policy == SCHED_OTHER && p->sched_priority == 0 ? 0 : ENOTSUP;
}
int pthread_getschedparam(pthread_t, int* policy, sched_param* p) {
    *policy = SCHED_OTHER;
    *p = {};
    return 0;
}
int pthread_setschedprio(pthread_t, int priority) {
    return priority == 0 ? 0 : ENOTSUP;
}
int sched_get_priority_min(int policy) {
    if (policy == SCHED_OTHER) return 0;
    errno = EINVAL;
    return -1;
}
int sched_get_priority_max(int policy) {
    return sched_get_priority_min(policy);
}
int pthread_getcpuclockid(pthread_t thread, clockid_t* clock) {
    if (thread != pthread_self()) return ENOTSUP;
    *clock = CLOCK_THREAD_CPUTIME_ID;
    return 0;
}
int pthread_setconcurrency(int level) {
    return level >= 0 ? 0 : EINVAL;
}
int pthread_getconcurrency() {
    return 0;
}
/// There is no fork() to call them.
int pthread_atfork(void (*)(), void (*)(), void (*)()) {
    return 0;
}

int pthread_mutexattr_init(pthread_mutexattr_t* a) {
    *a = {
        .is_initialized = 1, .type = PTHREAD_MUTEX_DEFAULT, .recursive = 0, .process_shared = PTHREAD_PROCESS_PRIVATE};
    return 0;
}
int pthread_mutexattr_destroy(pthread_mutexattr_t*) {
    return 0;
}
int pthread_mutexattr_settype(pthread_mutexattr_t* a, int type) {
    if (type != PTHREAD_MUTEX_NORMAL && type != PTHREAD_MUTEX_RECURSIVE && type != PTHREAD_MUTEX_ERRORCHECK)
        return EINVAL;
    a->type = type;
    return 0;
}
int pthread_mutexattr_gettype(const pthread_mutexattr_t* a, int* type) {
    *type = a->type;
    return 0;
}
/// With one process, "shared" asks for nothing.
int pthread_mutexattr_setpshared(pthread_mutexattr_t* a, int shared) {
    a->process_shared = shared;
    return 0;
}
int pthread_mutexattr_getpshared(const pthread_mutexattr_t* a, int* shared) {
    *shared = a->process_shared;
    return 0;
}

int pthread_condattr_init(pthread_condattr_t* a) {
    *a = {.is_initialized = 1, .clock = CLOCK_REALTIME};
    return 0;
}
int pthread_condattr_destroy(pthread_condattr_t*) {
    return 0;
}
int pthread_condattr_setclock(pthread_condattr_t* a, clockid_t clock) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return EINVAL;
    a->clock = clock;
    return 0;
}
int pthread_condattr_getclock(const pthread_condattr_t* a, clockid_t* clock) {
    *clock = static_cast<clockid_t>(a->clock);
    return 0;
}
int pthread_condattr_setpshared(pthread_condattr_t*, int) {
    return 0;
}
int pthread_condattr_getpshared(const pthread_condattr_t*, int* shared) {
    *shared = PTHREAD_PROCESS_PRIVATE;
    return 0;
}

int pthread_rwlockattr_init(pthread_rwlockattr_t* a) {
    a->is_initialized = 1;
    return 0;
}
int pthread_rwlockattr_destroy(pthread_rwlockattr_t*) {
    return 0;
}
int pthread_rwlockattr_setpshared(pthread_rwlockattr_t*, int) {
    return 0;
}
int pthread_rwlockattr_getpshared(const pthread_rwlockattr_t*, int* shared) {
    *shared = PTHREAD_PROCESS_PRIVATE;
    return 0;
}
int pthread_barrierattr_init(pthread_barrierattr_t* a) {
    a->is_initialized = 1;
    return 0;
}
int pthread_barrierattr_destroy(pthread_barrierattr_t*) {
    return 0;
}
int pthread_barrierattr_setpshared(pthread_barrierattr_t*, int) {
    return 0;
}
int pthread_barrierattr_getpshared(const pthread_barrierattr_t*, int* shared) {
    *shared = PTHREAD_PROCESS_PRIVATE;
    return 0;
}

}  // extern "C"
