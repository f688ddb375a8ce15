/* What its argument says (tests/integration/test_signals.py). */
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static char *volatile nowhere = (char *)0x10;
static sigjmp_buf place;

static __attribute__((noinline)) void first_fault(void) { *nowhere = 1; }
static __attribute__((noinline)) void fault_again(void) { *nowhere = 2; }

static void say_and_leave(int number) {
  printf("handler: %d\n", number);
  fflush(stdout);
  siglongjmp(place, 1);
}
static void fault_in_handler(int number) {
  (void)number;
  fault_again();
}
static void do_nothing(int number) { (void)number; }
static int deeper(volatile char *above) {
  volatile char room[512];
  room[0] = above[0];
  return deeper(room) + room[0];
}
static void handle(void (*handler)(int)) {
  struct sigaction a = {.sa_handler = handler};
  sigemptyset(&a.sa_mask);
  sigaction(SIGSEGV, &a, NULL);
  sigaction(SIGINT, &a, NULL);
}

#if defined(__x86_64__) /* the other architecture's machines have no such faults */
static void tell_float(int number, siginfo_t *info, void *context) {
  (void)context;
  printf("float: signal=%d division=%d\n", number == SIGFPE, info->si_code == FPE_FLTDIV);
  siglongjmp(place, 1);
}
static void divide_floats(void) {
  struct sigaction a = {.sa_sigaction = tell_float, .sa_flags = SA_SIGINFO};
  const unsigned short all_but_division = 0x37b;
  const float zero = 0;
  sigemptyset(&a.sa_mask);
  sigaction(SIGFPE, &a, NULL);
  for (volatile int i = 0; i < 2; ++i)
    if (sigsetjmp(place, 1) == 0)
      __asm__ volatile("fninit\n\tfldcw %0\n\tfld1\n\tfdivs %1\n\tfwait" ::"m"(all_but_division), "m"(zero) : "st");
}
#else
static void divide_floats(void) {}
#endif

static void act(const char *what) {
  if (strcmp(what, "default") == 0) {
    first_fault();
  } else if (strcmp(what, "ignored") == 0) {
    handle(SIG_IGN);
    first_fault();
  } else if (strcmp(what, "blocked") == 0) {
    sigset_t set;
    handle(say_and_leave);
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigprocmask(SIG_BLOCK, &set, NULL);
    first_fault();
  } else if (strcmp(what, "in-handler") == 0) {
    handle(fault_in_handler);
    first_fault();
  } else if (strcmp(what, "overflow") == 0) {
    volatile char start = 1;
    handle(say_and_leave);
    if (sigsetjmp(place, 1) == 0) deeper(&start);
  } else if (strcmp(what, "system") == 0) {
    handle(say_and_leave);
    if (sigsetjmp(place, 1) == 0) clock_gettime(CLOCK_MONOTONIC, (struct timespec *)nowhere);
  } else if (strcmp(what, "system-text") == 0) { /* what reads it has no frame */
    handle(say_and_leave);
    if (sigsetjmp(place, 1) == 0) mkdtemp((char *)nowhere);
  } else if (strcmp(what, "float") == 0) {
    divide_floats();
  } else if (strcmp(what, "spin") == 0) {
    printf("spins\n");
    for (;;) {
    }
  } else if (strcmp(what, "spin-handled") == 0) {
    char line[512];
    handle(say_and_leave);
    if (sigsetjmp(place, 1) == 0) {
      printf("spins\n");
      for (;;) {
      }
    }
    printf("after: %s", fgets(line, sizeof line, stdin) != NULL ? line : "nothing\n");
  } else if (strcmp(what, "faults") == 0) { /* and every return faults again, until somebody has enough */
    signal(SIGSEGV, do_nothing);
    printf("spins\n");
    first_fault();
  }
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  act(argc > 1 ? argv[1] : "");
  printf("signals: still here\n");
  return 0;
}
