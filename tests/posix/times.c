/* Clocks and timers. */
#include "cases.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

CASE(clock_gettime, outcomes) {
  struct timespec a, b;
  result("realtime", clock_gettime(CLOCK_REALTIME, &a));
  clock_gettime(CLOCK_MONOTONIC, &a);
  clock_gettime(CLOCK_MONOTONIC, &b);
  say("forward=%d", b.tv_sec > a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec >= a.tv_nsec));
  result("thread", clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a));
  result("process", clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
  result("clock", clock_gettime(9999, &a));
}
CASE(clock_getres, outcomes) {
  struct timespec t;
  result("monotonic", clock_getres(CLOCK_MONOTONIC, &t));
  result("clock", clock_getres(9999, &t));
}
CASE(nanosleep, outcomes) {
  struct timespec t = {0, 30000000}, bad = {0, 2000000000}, before = {-1, 0};
  long began = now_ms();
  result("30 ms", nanosleep(&t, NULL));
  say("long enough=%d", now_ms() - began >= 29);
  result("nanoseconds", nanosleep(&bad, NULL));
  result("negative", nanosleep(&before, NULL));
}
CASE(clock_nanosleep, outcomes) {
  struct timespec past = {0, 1}, bad = {0, -1};
  code("past", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &past, NULL));
  code("nanoseconds", clock_nanosleep(CLOCK_MONOTONIC, 0, &bad, NULL));
  code("clock", clock_nanosleep(9999, 0, &past, NULL));
}
static volatile sig_atomic_t rings;
static void ring(int signal) {
  (void)signal;
  ++rings;
}
static void on_alarm(void) {
  struct sigaction a = {.sa_handler = ring};
  sigemptyset(&a.sa_mask);
  sigaction(SIGALRM, &a, NULL);
  rings = 0;
}
CASE(setitimer, repeats) {
  struct itimerval t = {{0, 20000}, {0, 20000}}, now, none = {{0, 0}, {0, 0}};
  on_alarm();
  result("set", setitimer(ITIMER_REAL, &t, NULL));
  while (rings < 3) pause();
  getitimer(ITIMER_REAL, &now);
  say("interval=%ld", (long)now.it_interval.tv_usec);
  result("clear", setitimer(ITIMER_REAL, &none, &now));
  rings = 0;
  pause_ms(60);
  say("after=%d", (int)rings);
  result("which", setitimer(77, &t, NULL));
}
CASE(timer_create, signal) {
  timer_t t;
  struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
  struct itimerspec s = {{0, 0}, {0, 20000000}};
  on_alarm();
  result("create", timer_create(CLOCK_MONOTONIC, &e, &t));
  result("set", timer_settime(t, 0, &s, NULL));
  while (rings == 0) pause();
  result("get", timer_gettime(t, &s));
  say("left=%ld", (long)s.it_value.tv_nsec);
  result("delete", timer_delete(t));
  result("clock", timer_create(9999, &e, &t));
  e.sigev_signo = 1000;
  result("number", timer_create(CLOCK_MONOTONIC, &e, &t));
}
static sem_t called;
static int value_seen;
static void call(union sigval v) {
  value_seen = v.sival_int;
  sem_post(&called);
}
CASE(timer_create, thread) {
  timer_t t;
  struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_value.sival_int = 42};
  struct itimerspec s = {{0, 0}, {0, 10000000}};
  e.sigev_notify_function = call;
  sem_init(&called, 0, 0);
  result("create", timer_create(CLOCK_MONOTONIC, &e, &t));
  timer_settime(t, 0, &s, NULL);
  while (sem_wait(&called) != 0) {
  }
  say("value=%d", value_seen);
  timer_delete(t);
}
CASE(timer_settime, outcomes) {
  timer_t t;
  struct sigevent e = {.sigev_notify = SIGEV_NONE};
  struct itimerspec s = {{0, 0}, {100, 0}}, old;
  timer_create(CLOCK_MONOTONIC, &e, &t);
  timer_settime(t, 0, &s, NULL);
  s.it_value.tv_sec = 50;
  result("set", timer_settime(t, 0, &s, &old));
  say("old=%ld", (long)old.it_value.tv_sec);
  s.it_value.tv_nsec = 2000000000;
  result("nanoseconds", timer_settime(t, 0, &s, NULL));
  timer_delete(t);
}
CASE(gettimeofday, outcomes) {
  struct timeval t;
  result("now", gettimeofday(&t, NULL));
  say("microseconds=%d", t.tv_usec >= 0 && t.tv_usec < 1000000);
}

CASES(times, ENTRY(clock_gettime, outcomes), ENTRY(clock_getres, outcomes), ENTRY(nanosleep, outcomes),
      ENTRY(clock_nanosleep, outcomes), ENTRY(setitimer, repeats), ENTRY(timer_create, signal), ENTRY(timer_create, thread),
      ENTRY(timer_settime, outcomes), ENTRY(gettimeofday, outcomes))
