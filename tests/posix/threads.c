/* pthreads and semaphores. */
#include "cases.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static void *give(void *p) { return p; }
static void *leave(void *p) { pthread_exit(p); }
static struct timespec in_ms(clockid_t clock, int ms) {
  struct timespec t;
  clock_gettime(clock, &t);
  t.tv_nsec += ms * 1000000L;
  t.tv_sec += t.tv_nsec / 1000000000;
  t.tv_nsec %= 1000000000;
  return t;
}

CASE(pthread_create, result) {
  pthread_t t;
  void *r;
  code("create", pthread_create(&t, NULL, give, (void *)7));
  code("join", pthread_join(t, &r));
  say("%ld", (long)r);
}
CASE(pthread_exit, result) {
  pthread_t t;
  void *r;
  pthread_create(&t, NULL, leave, (void *)8);
  pthread_join(t, &r);
  say("%ld", (long)r);
}
CASE(pthread_join, self) { code("self", pthread_join(pthread_self(), NULL)); }
static sem_t gate;
static void *wait_gate(void *p) {
  sem_wait(&gate);
  return p;
}
CASE(pthread_detach, outcomes) {
  pthread_t t;
  sem_init(&gate, 0, 0);
  pthread_create(&t, NULL, wait_gate, NULL);
  code("detach", pthread_detach(t));
  code("join", pthread_join(t, NULL));
  sem_post(&gate);
  pause_ms(20);
}
static int cleaned;
static void clean(void *p) { cleaned += (int)(long)p; }
static void *cancel_me(void *p) {
  (void)p;
  pthread_cleanup_push(clean, (void *)5);
  for (;;) pause();
  pthread_cleanup_pop(0);
  return NULL;
}
CASE(pthread_cancel, pause_and_cleanup) {
  pthread_t t;
  void *r;
  cleaned = 0;
  pthread_create(&t, NULL, cancel_me, NULL);
  pause_ms(20);
  code("cancel", pthread_cancel(t));
  pthread_join(t, &r);
  say("cancelled=%d cleaned=%d", r == PTHREAD_CANCELED, cleaned);
}
static int cancel_pipe[2];
static void *cancel_read(void *p) {
  char b;
  pthread_cleanup_push(clean, (void *)1);
  read(cancel_pipe[0], &b, 1);
  pthread_cleanup_pop(0);
  return p;
}
CASE(pthread_cancel, read) {
  pthread_t t;
  void *r;
  cleaned = 0;
  pipe(cancel_pipe);
  pthread_create(&t, NULL, cancel_read, NULL);
  pause_ms(20);
  pthread_cancel(t);
  pthread_join(t, &r);
  say("cancelled=%d cleaned=%d", r == PTHREAD_CANCELED, cleaned);
  close(cancel_pipe[0]);
  close(cancel_pipe[1]);
}
static void *not_now(void *p) {
  int old;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
  sem_post(&gate);
  pause_ms(30);
  pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
  pthread_testcancel();
  return p;
}
CASE(pthread_setcancelstate, disable) {
  pthread_t t;
  void *r;
  sem_init(&gate, 0, 0);
  pthread_create(&t, NULL, not_now, NULL);
  sem_wait(&gate);
  pthread_cancel(t);
  pthread_join(t, &r);
  say("cancelled=%d", r == PTHREAD_CANCELED);
  code("state", pthread_setcancelstate(77, NULL));
}
CASE(pthread_mutex_lock, kinds) {
  pthread_mutexattr_t a;
  pthread_mutex_t m;
  pthread_mutexattr_init(&a);
  pthread_mutexattr_settype(&a, PTHREAD_MUTEX_RECURSIVE);
  pthread_mutex_init(&m, &a);
  code("once", pthread_mutex_lock(&m));
  code("recursive", pthread_mutex_lock(&m));
  pthread_mutex_unlock(&m);
  pthread_mutex_unlock(&m);
  pthread_mutex_destroy(&m);
  pthread_mutexattr_settype(&a, PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&m, &a);
  pthread_mutex_lock(&m);
  code("checked", pthread_mutex_lock(&m));
  pthread_mutex_unlock(&m);
  code("not held", pthread_mutex_unlock(&m));
  pthread_mutex_destroy(&m);
  code("type", pthread_mutexattr_settype(&a, 77));
}
CASE(pthread_mutex_trylock, held) {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  code("free", pthread_mutex_trylock(&m));
  code("held", pthread_mutex_trylock(&m));
  pthread_mutex_unlock(&m);
}
CASE(pthread_mutex_timedlock, held) {
  pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
  struct timespec t = in_ms(CLOCK_REALTIME, 20);
  pthread_mutex_lock(&m);
  code("held", pthread_mutex_timedlock(&m, &t));
  pthread_mutex_unlock(&m);
}
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;
static void *signal_turn(void *p) {
  pthread_mutex_lock(&mutex);
  turn = 1;
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&mutex);
  return p;
}
CASE(pthread_cond_wait, signalled) {
  pthread_t t;
  pthread_mutex_lock(&mutex);
  pthread_create(&t, NULL, signal_turn, NULL);
  while (turn == 0) pthread_cond_wait(&cond, &mutex);
  say("turn=%d", turn);
  pthread_mutex_unlock(&mutex);
  pthread_join(t, NULL);
}
CASE(pthread_cond_timedwait, late) {
  struct timespec t = in_ms(CLOCK_REALTIME, 20);
  pthread_mutex_lock(&mutex);
  code("late", pthread_cond_timedwait(&cond, &mutex, &t));
  t.tv_nsec = 2000000000;
  code("nanoseconds", pthread_cond_timedwait(&cond, &mutex, &t));
  pthread_mutex_unlock(&mutex);
}
CASE(pthread_rwlock_rdlock, kinds) {
  pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
  code("read", pthread_rwlock_rdlock(&l));
  code("read too", pthread_rwlock_tryrdlock(&l));
  code("write", pthread_rwlock_trywrlock(&l));
  pthread_rwlock_unlock(&l);
  pthread_rwlock_unlock(&l);
  code("write alone", pthread_rwlock_trywrlock(&l));
  code("read then", pthread_rwlock_tryrdlock(&l));
  pthread_rwlock_unlock(&l);
}
static pthread_barrier_t barrier;
static void *arrive(void *p) {
  int r = pthread_barrier_wait(&barrier);
  return r == PTHREAD_BARRIER_SERIAL_THREAD ? (void *)1 : p;
}
CASE(pthread_barrier_wait, three) {
  pthread_t t[2];
  void *r;
  long serial = 0;
  code("none", pthread_barrier_init(&barrier, NULL, 0));
  pthread_barrier_init(&barrier, NULL, 3);
  for (int i = 0; i < 2; ++i) pthread_create(&t[i], NULL, arrive, NULL);
  serial += (long)arrive(NULL);
  for (int i = 0; i < 2; ++i) {
    pthread_join(t[i], &r);
    serial += (long)r;
  }
  say("serial=%ld", serial);
  pthread_barrier_destroy(&barrier);
}
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int onces;
static void do_once(void) { ++onces; }
CASE(pthread_once, twice) {
  pthread_once(&once, do_once);
  pthread_once(&once, do_once);
  say("%d", onces);
}
static int destroyed;
static void destroy(void *p) { destroyed += (int)(long)p; }
static pthread_key_t key;
static void *set_key(void *p) {
  pthread_setspecific(key, (void *)3);
  return p;
}
CASE(pthread_key_create, destructor) {
  pthread_t t;
  code("create", pthread_key_create(&key, destroy));
  pthread_create(&t, NULL, set_key, NULL);
  pthread_join(t, NULL);
  say("destroyed=%d here=%s", destroyed, pthread_getspecific(key) == NULL ? "null" : "?");
  code("delete", pthread_key_delete(key));
  code("deleted", pthread_key_delete(key));
}
CASE(pthread_attr_setstacksize, outcomes) {
  pthread_attr_t a;
  size_t size;
  pthread_attr_init(&a);
  code("256 KiB", pthread_attr_setstacksize(&a, 262144));
  pthread_attr_getstacksize(&a, &size);
  say("%zu", size);
  code("too small", pthread_attr_setstacksize(&a, 100));
  code("detach state", pthread_attr_setdetachstate(&a, 77));
}
CASE(sem_wait, counts) {
  sem_t s;
  int value;
  result("init", sem_init(&s, 0, 2));
  result("wait", sem_wait(&s));
  result("try", sem_trywait(&s));
  result("none left", sem_trywait(&s));
  sem_post(&s);
  sem_getvalue(&s, &value);
  say("value=%d", value);
  sem_destroy(&s);
}
CASE(sem_timedwait, late) {
  sem_t s;
  struct timespec t = in_ms(CLOCK_REALTIME, 20);
  sem_init(&s, 0, 0);
  result("late", sem_timedwait(&s, &t));
  t.tv_nsec = -1;
  result("nanoseconds", sem_timedwait(&s, &t));
}
CASE(pthread_kill, outcomes) {
  code("none", pthread_kill(pthread_self(), 0));
  code("number", pthread_kill(pthread_self(), 1000));
}

CASES(threads, ENTRY(pthread_create, result), ENTRY(pthread_exit, result), ENTRY(pthread_join, self),
      ENTRY(pthread_detach, outcomes), ENTRY(pthread_cancel, pause_and_cleanup), ENTRY(pthread_cancel, read),
      ENTRY(pthread_setcancelstate, disable), ENTRY(pthread_mutex_lock, kinds), ENTRY(pthread_mutex_trylock, held),
      ENTRY(pthread_mutex_timedlock, held), ENTRY(pthread_cond_wait, signalled), ENTRY(pthread_cond_timedwait, late),
      ENTRY(pthread_rwlock_rdlock, kinds), ENTRY(pthread_barrier_wait, three), ENTRY(pthread_once, twice),
      ENTRY(pthread_key_create, destructor), ENTRY(pthread_attr_setstacksize, outcomes), ENTRY(sem_wait, counts),
      ENTRY(sem_timedwait, late), ENTRY(pthread_kill, outcomes))
