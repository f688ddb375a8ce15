/* Signals that come while a thread computes. */
#include "cases.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static volatile sig_atomic_t seen;
static volatile double spoilt;
static sigjmp_buf place;

/* Computes, so that registers which were not saved show. */
static void note(int signal) {
  double x = signal + 0.5;
  for (int i = 0; i < 8; ++i) x = x * 1.25 + 1;
  spoilt = x;
  ++seen;
}
static void leave(int signal) {
  note(signal);
  siglongjmp(place, 1);
}
static void handle(int signal, void (*function)(int)) {
  struct sigaction a = {.sa_handler = function};
  sigemptyset(&a.sa_mask);
  sigaction(signal, &a, NULL);
  seen = 0;
}
static void every(long first_us, long then_us) {
  const struct itimerval t = {{0, then_us}, {0, first_us}};
  setitimer(ITIMER_REAL, &t, NULL);
}

CASE(alarm, computing) {
  handle(SIGALRM, note);
  alarm(1);
  const long start = now_ms();
  while (seen == 0) {
  }
  const long took = now_ms() - start;
  say("seen=%d in time=%d", (int)seen, took >= 900 && took < 5000);
}
CASE(setitimer, computing) {
  handle(SIGALRM, note);
  every(5000, 5000);
  while (seen < 5) {
  }
  every(0, 0);
  say("seen=%d", seen >= 5);
}
CASE(setitimer, endless_loop) {
  handle(SIGALRM, leave);
  for (volatile int i = 0; i < 20; ++i) {
    if (sigsetjmp(place, 1) != 0) continue;
    every(2000, 0);
    for (;;) {
    }
  }
  say("left=%d", (int)seen);
}
CASE(setitimer, endless_calls) {
  char text[300] = "";
  int p[2];
  pipe(p);
  handle(SIGALRM, leave);
  for (volatile int i = 0; i < 50; ++i) {
    if (sigsetjmp(place, 1) != 0) continue;
    every(2000, 0);
    for (;;) {
      struct timespec t;
      clock_gettime(CLOCK_MONOTONIC, &t);
      memset(text, 'x', 200);
      write(p[1], text, strlen(text));
      read(p[0], text, 200);
      lseek(p[0], 0, SEEK_SET);
    }
  }
  say("left=%d", (int)seen);
  close(p[0]);
  close(p[1]);
}
/* Numbers that are exact whatever the order: a register or a flag that got lost shows. */
CASE(setitimer, registers) {
  double sum = 0, product = 1;
  unsigned long hash = 1;
  handle(SIGALRM, note);
  every(1000, 1000);
  long i = 0;
  for (; seen < 100; ++i) {
    sum += 0.5;
    product = product < 1e6 ? product * 2 : product / 1048576;
    hash = hash * 6364136223846793005ul + 1442695040888963407ul;
  }
  every(0, 0);
  unsigned long again = 1;
  double twice = 1;
  for (long k = 0; k < i; ++k) {
    twice = twice < 1e6 ? twice * 2 : twice / 1048576;
    again = again * 6364136223846793005ul + 1442695040888963407ul;
  }
  say("sum=%d product=%d hash=%d", sum == i * 0.5, product == twice, hash == again);
}
CASE(setitimer, blocked) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGALRM);
  handle(SIGALRM, note);
  sigprocmask(SIG_BLOCK, &set, NULL);
  every(2000, 0);
  for (const long end = now_ms() + 50; now_ms() < end;) {
  }
  say("blocked=%d", (int)seen);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
  say("unblocked=%d", (int)seen);
}
CASE(timer_create, computing) {
  timer_t timer;
  struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2};
  const struct itimerspec t = {{0, 2000000}, {0, 2000000}};
  handle(SIGUSR2, note);
  result("create", timer_create(CLOCK_MONOTONIC, &e, &timer));
  result("set", timer_settime(timer, 0, &t, NULL));
  while (seen < 3) {
  }
  result("delete", timer_delete(timer));
  say("seen=%d", seen >= 3);
}
/* Calls that wait are left, and hold nothing any more. */
CASE(siglongjmp, out_of_read) {
  int p[2];
  char b;
  signal(SIGPIPE, SIG_IGN);
  pipe(p);
  handle(SIGALRM, leave);
  if (sigsetjmp(place, 1) == 0) {
    every(20000, 0);
    read(p[0], &b, 1);
  }
  result("close", close(p[0]));
  result("write", write(p[1], "x", 1));
  close(p[1]);
  say("seen=%d", (int)seen);
}
CASE(siglongjmp, out_of_poll) {
  int p[2];
  pipe(p);
  handle(SIGALRM, leave);
  for (volatile int i = 0; i < 10; ++i) {
    struct pollfd fds[3] = {{p[0], POLLIN, 0}, {p[0], POLLIN, 0}, {p[0], POLLIN, 0}};
    if (sigsetjmp(place, 1) != 0) continue;
    every(2000, 0);
    poll(fds, 3, -1);
  }
  char stack[4096];
  memset(stack, 0x55, sizeof stack);
  __asm__ volatile("" ::"r"(stack) : "memory");
  result("write", write(p[1], "x", 1));
  char b = 0;
  result("read", read(p[0], &b, 1));
  say("seen=%d got=%c", (int)seen, b);
  close(p[0]);
  close(p[1]);
}
static volatile int started;
static void *spin(void *p) {
  started = 1;
  while (seen == 0) {
  }
  return p;
}
CASE(pthread_kill, computing) {
  pthread_t t;
  handle(SIGUSR1, note);
  started = 0;
  pthread_create(&t, NULL, spin, NULL);
  while (!started) pause_ms(1);
  code("kill", pthread_kill(t, SIGUSR1));
  code("join", pthread_join(t, NULL));
  say("seen=%d", (int)seen);
}
/* In the middle of a computation the handler finds where that is. */
static volatile unsigned long at;
static void look(int signal, siginfo_t *info, void *context) {
  const mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
  (void)signal;
  (void)info;
#if defined(__x86_64__)
  at = (unsigned long)m->gregs[REG_RIP];
#else
  at = (unsigned long)m->pc;
#endif
  ++seen;
}
__attribute__((noinline)) static int spin_here(void) {
  const unsigned long start = (unsigned long)(void *)spin_here;
  while (seen < 1000 && (at < start || at >= start + 256)) {
  }
  return at >= start && at < start + 256;
}
CASE(sigaction, context) {
  struct sigaction a = {.sa_sigaction = look, .sa_flags = SA_SIGINFO};
  sigemptyset(&a.sa_mask);
  sigaction(SIGALRM, &a, NULL);
  seen = 0;
  at = 0;
  every(2000, 2000);
  say("inside=%d", spin_here());
  every(0, 0);
}

CASES(interruptions, ENTRY(alarm, computing), ENTRY(setitimer, computing), ENTRY(setitimer, endless_loop),
      ENTRY(setitimer, endless_calls), ENTRY(setitimer, registers), ENTRY(setitimer, blocked),
      ENTRY(siglongjmp, out_of_read), ENTRY(siglongjmp, out_of_poll), ENTRY(timer_create, computing), ENTRY(pthread_kill, computing),
      ENTRY(sigaction, context))
