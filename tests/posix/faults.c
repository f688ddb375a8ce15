/* Faults of the CPU as signals, and the stacks and jumps that go with them. */
#include "cases.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

static sigjmp_buf place;
static volatile int number, is_code, is_address;
static int expected_code;
static void *expected_address;

static void leave(int signal, siginfo_t *info, void *context) {
  (void)context;
  number = signal;
  is_code = info->si_signo == signal && info->si_code == expected_code;
  is_address = info->si_addr == expected_address;
  siglongjmp(place, 1);
}
static void set_handler(int signal, void (*function)(int, siginfo_t *, void *), int flags) {
  struct sigaction a = {.sa_sigaction = function, .sa_flags = SA_SIGINFO | flags};
  sigemptyset(&a.sa_mask);
  sigaction(signal, &a, NULL);
}
static void to_default(int which) { signal(which, SIG_DFL); }
/* Says what came of `action`, which has to fault with this code and address. */
static void fault(const char *name, int signal, void (*action)(void), int code, void *address) {
  set_handler(signal, leave, 0);
  number = is_code = is_address = 0;
  expected_code = code;
  expected_address = address;
  if (sigsetjmp(place, 1) == 0) {
    action();
    say("%s: nothing", name);
  } else {
    say("%s: signal=%d code=%d address=%d", name, number == signal, is_code, is_address);
  }
  to_default(signal);
}

static volatile long sink;
static const long constant[4] = {1, 2, 3, 4};
static unsigned char data[4096];
static char *volatile nowhere = (char *)0x10;
static void read_nothing(void) { sink = *(volatile long *)nowhere; }
static void write_nothing(void) { *(volatile long *)nowhere = 1; }
static void write_constant(void) { *(volatile long *)&constant[2] = 1; }
static void run_data(void) { ((void (*)(void))(void *)data)(); }
static void run_nothing(void) {
  void (*volatile function)(void) = NULL;
  function();
}
static void copy_from_nothing(void) { memcpy(data, nowhere, (size_t)sink + 64); }
static void print_nothing(void) {
  char text[64];
  snprintf(text, sizeof text, "%s", nowhere);
}

CASE(sigaction, segv) {
  sink = 0;
  fault("read", SIGSEGV, read_nothing, SEGV_MAPERR, nowhere);
  fault("write", SIGSEGV, write_nothing, SEGV_MAPERR, nowhere);
  fault("again", SIGSEGV, write_nothing, SEGV_MAPERR, nowhere);
  fault("constant", SIGSEGV, write_constant, SEGV_ACCERR, (void *)&constant[2]);
  fault("run data", SIGSEGV, run_data, SEGV_ACCERR, data);
  fault("run nothing", SIGSEGV, run_nothing, SEGV_MAPERR, NULL);
}
CASE(sigaction, segv_in_library) {
  sink = 0;
  set_handler(SIGSEGV, leave, 0);
  number = 0;
  if (sigsetjmp(place, 1) == 0) copy_from_nothing();
  say("memcpy=%d", number == SIGSEGV);
  number = 0;
  if (sigsetjmp(place, 1) == 0) print_nothing();
  say("snprintf=%d", number == SIGSEGV);
  to_default(SIGSEGV);
}

#if defined(__x86_64__)
static void illegal(void) { asm volatile("ud2"); }
static void breakpoint(void) { asm volatile("int3"); }
static void divide(void) { sink = 100 / sink; }
#else
static void illegal(void) { asm volatile(".inst 0"); }
static void breakpoint(void) { asm volatile("brk #1"); }
static void divide(void) { raise(SIGFPE); /* there, that is no fault */ }
#endif
static void one(const char *name, int signal, void (*action)(void)) {
  set_handler(signal, leave, 0);
  number = 0;
  if (sigsetjmp(place, 1) == 0) action();
  say("%s=%d", name, number == signal);
  to_default(signal);
}
CASE(sigaction, other_faults) {
  one("illegal", SIGILL, illegal);
  one("breakpoint", SIGTRAP, breakpoint);
  sink = 0;
  one("divide", SIGFPE, divide);
}

/* The handler mends the register that the address is in, spoils a floating-point register, and returns: the instruction
 * runs again. */
static volatile unsigned long long there = 42;
static volatile int repairs;
static void repair(int signal, siginfo_t *info, void *context) {
  mcontext_t *m = &((ucontext_t *)context)->uc_mcontext;
  (void)signal;
  (void)info;
  ++repairs;
#if defined(__x86_64__)
  m->gregs[REG_RAX] = (greg_t)&there;
  asm volatile("pxor %%xmm5, %%xmm5" ::: "xmm5");
#else
  m->regs[0] = (unsigned long long)&there;
  asm volatile("movi v21.2d, #0" ::: "v21");
#endif
}
CASE(sigaction, returns) {
  unsigned long long got, kept, other;
  set_handler(SIGSEGV, repair, 0);
  repairs = 0;
#if defined(__x86_64__)
  asm volatile(
      "movq %3, %%xmm5\n\txorl %%eax, %%eax\n\tmovq $7, %%r10\n\tmovq (%%rax), %0\n\tmovq %%xmm5, %1\n\tmovq %%r10, %2"
      : "=&r"(got), "=&r"(kept), "=&r"(other)
      : "r"(99ull)
      : "rax", "r10", "xmm5", "memory");
#else
  asm volatile(
      "fmov d21, %3\n\tmov x0, #0\n\tmov x10, #7\n\tldr %0, [x0]\n\tfmov %1, d21\n\tmov %2, x10"
      : "=&r"(got), "=&r"(kept), "=&r"(other)
      : "r"(99ull)
      : "x0", "x10", "v21", "memory");
#endif
  say("repairs=%d got=%llu kept=%llu other=%llu", (int)repairs, got, kept, other);
  to_default(SIGSEGV);
}

static volatile int nested;
static void fault_in_handler(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  (void)context;
  number = 0;
  sigjmp_buf outer;
  memcpy(&outer, &place, sizeof outer);
  if (sigsetjmp(place, 1) == 0) illegal();
  nested = number == SIGILL;
  siglongjmp(outer, 2);
}
CASE(sigaction, fault_in_handler) {
  set_handler(SIGSEGV, fault_in_handler, 0);
  set_handler(SIGILL, leave, 0);
  nested = 0;
  const int how = sigsetjmp(place, 1);
  if (how == 0) read_nothing();
  say("nested=%d left=%d", (int)nested, how);
  to_default(SIGSEGV);
  to_default(SIGILL);
}
CASE(sigsetjmp, mask) {
  sigset_t set, now;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  for (volatile int save = 0; save <= 1; ++save) {
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    const int how = sigsetjmp(place, save);
    if (how == 0) {
      sigprocmask(SIG_BLOCK, &set, NULL);
      siglongjmp(place, 0);
    }
    sigprocmask(SIG_BLOCK, NULL, &now);
    say("save=%d: value=%d blocked=%d", save, how, sigismember(&now, SIGUSR1));
  }
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static char alternate[65536] __attribute__((aligned(16)));
static volatile int on_alternate, flags_there, change_there;
static void where(int signal, siginfo_t *info, void *context) {
  char here;
  stack_t now, other = {.ss_sp = data, .ss_size = sizeof data};
  (void)info;
  (void)context;
  number = signal;
  on_alternate = &here >= alternate && &here < alternate + sizeof alternate;
  sigaltstack(NULL, &now);
  flags_there = now.ss_flags == SS_ONSTACK;
  change_there = on_alternate && sigaltstack(&other, NULL) == -1 && errno == EPERM;
}
static void where_and_leave(int signal, siginfo_t *info, void *context) {
  where(signal, info, context);
  siglongjmp(place, 1);
}
static int deeper(volatile char *above) {
  volatile char room[512];
  room[0] = above[0];
  return deeper(room) + room[0];
}
static void *overflow(void *p) {
  volatile char start = 1;
  stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate};
  result("alternate", sigaltstack(&s, NULL));
  for (volatile int i = 0; i < 2; ++i) {
    number = 0;
    if (sigsetjmp(place, 1) == 0) sink = deeper(&start);
    say("overflow=%d alternate=%d", number == SIGSEGV, (int)on_alternate);
  }
  return p;
}
CASE(sigaltstack, overflow) {
  pthread_t t;
  set_handler(SIGSEGV, where_and_leave, SA_ONSTACK);
  code("create", pthread_create(&t, NULL, overflow, NULL));
  pthread_join(t, NULL);
  to_default(SIGSEGV);
}
CASE(sigaltstack, outcomes) {
  stack_t s = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
  result("ask", sigaltstack(NULL, &old));
  say("disabled=%d", old.ss_flags == SS_DISABLE);
  s.ss_size = 100;
  result("small", sigaltstack(&s, NULL));
  s.ss_size = sizeof alternate;
  s.ss_flags = 0x70;
  result("flags", sigaltstack(&s, NULL));
  s.ss_flags = 0;
  result("set", sigaltstack(&s, NULL));
  set_handler(SIGUSR1, where, SA_ONSTACK);
  raise(SIGUSR1);
  say("there=%d flags=%d change=%d", (int)on_alternate, (int)flags_there, (int)change_there);
  set_handler(SIGUSR1, where, 0);
  raise(SIGUSR1);
  say("without: there=%d flags=%d", (int)on_alternate, (int)flags_there);
  s.ss_flags = SS_DISABLE;
  result("disable", sigaltstack(&s, &old));
  say("was=%d", old.ss_sp == alternate && old.ss_size == sizeof alternate);
  to_default(SIGUSR1);
}

CASES(faults, ENTRY(sigaction, segv), ENTRY(sigaction, segv_in_library), ENTRY(sigaction, other_faults),
      ENTRY(sigaction, returns), ENTRY(sigaction, fault_in_handler), ENTRY(sigsetjmp, mask), ENTRY(sigaltstack, overflow),
      ENTRY(sigaltstack, outcomes))
