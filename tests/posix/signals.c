/* Signals of one process. */
#include "cases.h"

#include <pthread.h>
#include <signal.h>

static volatile sig_atomic_t seen, last;
static void note(int signal) {
  ++seen;
  last = signal;
}
static void handle(int signal, int flags) {
  struct sigaction a = {.sa_handler = note, .sa_flags = flags};
  sigemptyset(&a.sa_mask);
  sigaction(signal, &a, NULL);
  seen = last = 0;
}

CASE(sigaction, outcomes) {
  struct sigaction a = {.sa_handler = note}, old;
  sigemptyset(&a.sa_mask);
  result("set", sigaction(SIGUSR1, &a, NULL));
  result("ask", sigaction(SIGUSR1, NULL, &old));
  say("same=%d", old.sa_handler == note);
  result("SIGKILL", sigaction(SIGKILL, &a, NULL));
  result("number", sigaction(1000, &a, NULL));
}
CASE(sigaction, resethand) {
  struct sigaction old;
  handle(SIGUSR1, SA_RESETHAND);
  raise(SIGUSR1);
  sigaction(SIGUSR1, NULL, &old);
  say("seen=%d default=%d", (int)seen, old.sa_handler == SIG_DFL);
}
CASE(raise, handler) {
  handle(SIGUSR1, 0);
  result("raise", raise(SIGUSR1));
  say("seen=%d", (int)seen);
  result("number", raise(1000));
}
CASE(kill, self) {
  handle(SIGUSR2, 0);
  result("self", kill(getpid(), SIGUSR2));
  say("seen=%d", (int)seen);
  result("nothing", kill(getpid(), 0));
  result("number", kill(getpid(), 1000));
}
CASE(sigprocmask, blocks) {
  sigset_t set, pending;
  handle(SIGUSR1, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  result("block", sigprocmask(SIG_BLOCK, &set, NULL));
  raise(SIGUSR1);
  sigpending(&pending);
  say("seen=%d pending=%d", (int)seen, sigismember(&pending, SIGUSR1));
  result("unblock", sigprocmask(SIG_UNBLOCK, &set, NULL));
  say("seen=%d", (int)seen);
  result("how", sigprocmask(77, &set, NULL));
}
CASE(sigwait, pending) {
  sigset_t set;
  int got;
  handle(SIGUSR1, 0);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  kill(getpid(), SIGUSR1);
  code("wait", sigwait(&set, &got));
  say("got=%d seen=%d", got == SIGUSR1, (int)seen);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}
static pthread_t main_thread;
static void *send_later(void *p) {
  pause_ms(30);
  pthread_kill(main_thread, (int)(long)p);
  return NULL;
}
static pthread_t later(int signal) {
  pthread_t t;
  main_thread = pthread_self();
  pthread_create(&t, NULL, send_later, (void *)(long)signal);
  return t;
}
CASE(sigsuspend, handler) {
  sigset_t set, none;
  handle(SIGUSR1, 0);
  sigemptyset(&none);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  raise(SIGUSR1);
  result("suspend", sigsuspend(&none));
  say("seen=%d", (int)seen);
  sigprocmask(SIG_UNBLOCK, &set, NULL);
}
CASE(pause, interrupted) {
  handle(SIGUSR1, SA_RESTART);
  pthread_t t = later(SIGUSR1);
  result("pause", pause());
  pthread_join(t, NULL);
}
CASE(nanosleep, interrupted) {
  struct timespec s = {5, 0}, rest = {0, 0};
  handle(SIGUSR1, SA_RESTART);
  pthread_t t = later(SIGUSR1);
  result("sleep", nanosleep(&s, &rest));
  say("rest=%d", rest.tv_sec == 4);
  pthread_join(t, NULL);
}
CASE(read, interrupted) {
  int p[2];
  char b;
  pipe(p);
  handle(SIGUSR1, 0);
  pthread_t t = later(SIGUSR1);
  result("read", read(p[0], &b, 1));
  pthread_join(t, NULL);
  close(p[0]);
  close(p[1]);
}
static int feed;
static void *feed_later(void *p) {
  pause_ms(30);
  pthread_kill(main_thread, SIGUSR1);
  pause_ms(30);
  write(feed, "x", 1);
  return p;
}
CASE(read, restarted) {
  pthread_t t;
  int p[2];
  char b;
  pipe(p);
  feed = p[1];
  handle(SIGUSR1, SA_RESTART);
  main_thread = pthread_self();
  pthread_create(&t, NULL, feed_later, NULL);
  result("read", read(p[0], &b, 1));
  say("seen=%d", (int)seen);
  pthread_join(t, NULL);
  close(p[0]);
  close(p[1]);
}
CASE(alarm, outcomes) {
  handle(SIGALRM, 0);
  say("none=%u", alarm(10));
  say("left=%u", alarm(1));
  result("pause", pause());
  say("alarm=%d left=%u", last == SIGALRM, alarm(0));
}

CASES(signals, ENTRY(sigaction, outcomes), ENTRY(sigaction, resethand), ENTRY(raise, handler), ENTRY(kill, self),
      ENTRY(sigprocmask, blocks), ENTRY(sigwait, pending), ENTRY(sigsuspend, handler), ENTRY(pause, interrupted),
      ENTRY(nanosleep, interrupted), ENTRY(read, interrupted), ENTRY(read, restarted), ENTRY(alarm, outcomes))
