/* The types of <pthread.h> on Ringlet, in place of newlib's. Every object is usable when it is all zero, so that static
   initialisers cost nothing and nothing is allocated behind the caller's back; threads sleep on the 32-bit words
   (posix/futex.hpp). Compiled into libstdc++ and into applications: a change here rebuilds the sysroot. */
#ifndef _SYS__PTHREADTYPES_H_
#define _SYS__PTHREADTYPES_H_

#include <sys/sched.h>

typedef struct __ringlet_thread *pthread_t;

#define PTHREAD_SCOPE_PROCESS 0
#define PTHREAD_SCOPE_SYSTEM 1
#define PTHREAD_INHERIT_SCHED 1
#define PTHREAD_EXPLICIT_SCHED 2
#define PTHREAD_CREATE_DETACHED 0
#define PTHREAD_CREATE_JOINABLE 1
#define PTHREAD_STACK_MIN 16384
#define PTHREAD_KEYS_MAX 64
#define PTHREAD_DESTRUCTOR_ITERATIONS 4

typedef struct {
  int is_initialized;
  int detachstate;
  void *stackaddr;
  size_t stacksize; /* bytes; 0: the default */
  int contentionscope;
  int inheritsched;
  int schedpolicy;
  struct sched_param schedparam;
} pthread_attr_t;

#define PTHREAD_PROCESS_PRIVATE 0
#define PTHREAD_PROCESS_SHARED 1
#define PTHREAD_MUTEX_NORMAL 0
#define PTHREAD_MUTEX_RECURSIVE 1
#define PTHREAD_MUTEX_ERRORCHECK 2
#define PTHREAD_MUTEX_DEFAULT PTHREAD_MUTEX_NORMAL

/* __word: 0 free, 1 held, 2 held and somebody may wait. */
typedef struct {
  __uint32_t __word;
  __uint32_t __type;
  __uint32_t __count; /* further locks by the owner of a recursive one */
  __uint32_t __pad;
  pthread_t __owner;
} pthread_mutex_t;
typedef struct {
  int is_initialized;
  int type;
  int recursive;
  int process_shared;
} pthread_mutexattr_t;
#define _PTHREAD_MUTEX_INITIALIZER { 0, PTHREAD_MUTEX_NORMAL, 0, 0, 0 }
#define PTHREAD_RECURSIVE_MUTEX_INITIALIZER { 0, PTHREAD_MUTEX_RECURSIVE, 0, 0, 0 }
#define PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP PTHREAD_RECURSIVE_MUTEX_INITIALIZER

/* __seq moves at every signal; __clock is what pthread_cond_timedwait counts by. */
typedef struct {
  __uint32_t __seq;
  __uint32_t __waiters;
  __uint32_t __clock;
  __uint32_t __pad;
} pthread_cond_t;
typedef struct {
  int is_initialized;
  clock_t clock;
} pthread_condattr_t;
#define _PTHREAD_COND_INITIALIZER { 0, 0, 0, 0 }

typedef __uint32_t pthread_key_t;
typedef struct {
  __uint32_t __word; /* 0 not yet, 1 running, 2 done, 3 running and somebody waits */
} pthread_once_t;
#define _PTHREAD_ONCE_INIT { 0 }

typedef struct {
  __uint32_t __count;
  __uint32_t __arrived;
  __uint32_t __seq;
  __uint32_t __leaving;
} pthread_barrier_t;
typedef struct {
  int is_initialized;
} pthread_barrierattr_t;

typedef __uint32_t pthread_spinlock_t;

/* __word: readers that hold it, or 0xffffffff for a writer; __writers wait. */
typedef struct {
  __uint32_t __word;
  __uint32_t __writers;
  __uint32_t __seq;
  __uint32_t __pad;
} pthread_rwlock_t;
typedef struct {
  int is_initialized;
} pthread_rwlockattr_t;
#define _PTHREAD_RWLOCK_INITIALIZER { 0, 0, 0, 0 }

#endif
