// newlib's state of a thread (errno, strtok, …) and its locks.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include <pthread.h>
#include <reent.h>
#include <sys/lock.h>

#include "posix/thread.hpp"

namespace {

thread_local _reent state;            ///< all zero until the thread first needs it
thread_local _reent* mine = nullptr;  ///< &state, or the one that newlib itself has

}  // namespace

extern "C" {

_reent* __getreent() {
    if (mine == nullptr) [[unlikely]] {
        _REENT_INIT_PTR(&state);
        mine = &state;
    }
    return mine;
}

struct __lock {
    pthread_mutex_t mutex;
};

// newlib's own static locks, and what it does with them and with those it makes (streams).
__lock __lock___sinit_recursive_mutex{PTHREAD_RECURSIVE_MUTEX_INITIALIZER};
__lock __lock___sfp_recursive_mutex{PTHREAD_RECURSIVE_MUTEX_INITIALIZER};
__lock __lock___atexit_recursive_mutex{PTHREAD_RECURSIVE_MUTEX_INITIALIZER};
__lock __lock___at_quick_exit_mutex{PTHREAD_MUTEX_INITIALIZER};
__lock __lock___malloc_recursive_mutex{PTHREAD_RECURSIVE_MUTEX_INITIALIZER};
__lock __lock___env_recursive_mutex{PTHREAD_RECURSIVE_MUTEX_INITIALIZER};
__lock __lock___tz_mutex{PTHREAD_MUTEX_INITIALIZER};
__lock __lock___dd_hash_mutex{PTHREAD_MUTEX_INITIALIZER};
__lock __lock___arc4random_mutex{PTHREAD_MUTEX_INITIALIZER};

void __retarget_lock_init_recursive(_LOCK_T* lock) {
    *lock = new (std::nothrow) __lock{PTHREAD_RECURSIVE_MUTEX_INITIALIZER};
    if (*lock == nullptr) abort();  // there is no way to say so
}
void __retarget_lock_init(_LOCK_T* lock) {
    *lock = new (std::nothrow) __lock{PTHREAD_MUTEX_INITIALIZER};
    if (*lock == nullptr) abort();
}
void __retarget_lock_close_recursive(_LOCK_T lock) {
    delete lock;
}
void __retarget_lock_close(_LOCK_T lock) {
    delete lock;
}
void __retarget_lock_acquire_recursive(_LOCK_T lock) {
    pthread_mutex_lock(&lock->mutex);
}
void __retarget_lock_acquire(_LOCK_T lock) {
    pthread_mutex_lock(&lock->mutex);
}
int __retarget_lock_try_acquire_recursive(_LOCK_T lock) {
    return pthread_mutex_trylock(&lock->mutex) == 0;
}
int __retarget_lock_try_acquire(_LOCK_T lock) {
    return pthread_mutex_trylock(&lock->mutex) == 0;
}
void __retarget_lock_release_recursive(_LOCK_T lock) {
    pthread_mutex_unlock(&lock->mutex);
}
void __retarget_lock_release(_LOCK_T lock) {
    pthread_mutex_unlock(&lock->mutex);
}

// A stream that newlib made of a string has no lock.
void flockfile(FILE* stream) {
    if ((stream->_flags & __SSTR) == 0) __retarget_lock_acquire_recursive(stream->_lock);
}
int ftrylockfile(FILE* stream) {
    return (stream->_flags & __SSTR) != 0 || __retarget_lock_try_acquire_recursive(stream->_lock) ? 0 : -1;
}
void funlockfile(FILE* stream) {
    if ((stream->_flags & __SSTR) == 0) __retarget_lock_release_recursive(stream->_lock);
}

}  // extern "C"

namespace ringlet::posix {

void use_global_reent() {
    mine = _GLOBAL_REENT;
}

void give_up_reent() {
    if (mine == &state) _reclaim_reent(mine);
    mine = nullptr;
}

}  // namespace ringlet::posix
