/* poll, select, epoll over descriptors of all kinds; eventfd, timerfd; sendfile. */
#include "cases.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static const struct {
  short bit;
  const char *name;
} bits[] = {{POLLIN, "IN"}, {POLLOUT, "OUT"}, {POLLHUP, "HUP"}, {POLLERR, "ERR"}, {POLLNVAL, "NVAL"}, {POLLRDHUP, "RDHUP"}};

static void say_bits(const char *name, int got) {
  char text[64] = "";
  for (size_t i = 0; i < COUNT(bits); ++i)
    if ((got & bits[i].bit) != 0) strcat(strcat(text, text[0] != '\0' ? "|" : ""), bits[i].name);
  say("%s=%s", name, text[0] != '\0' ? text : "-");
}
static int look(int fd, short events) {
  struct pollfd p = {.fd = fd, .events = events};
  poll(&p, 1, 0);
  return p.revents;
}
#define BOTH (POLLIN | POLLOUT)

CASE(poll, pipe) {
  int p[2];
  char b;
  pipe(p);
  say_bits("empty", look(p[0], BOTH));
  say_bits("room", look(p[1], BOTH));
  write(p[1], "x", 1);
  say_bits("full", look(p[0], BOTH));
  close(p[1]);
  say_bits("ended", look(p[0], BOTH));
  read(p[0], &b, 1);
  say_bits("end", look(p[0], BOTH));
  close(p[0]);
  pipe(p);
  close(p[0]);
  say_bits("nobody reads", look(p[1], POLLIN));
  close(p[1]);
}
CASE(poll, socketpair) {
  int p[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  say_bits("fresh", look(p[0], BOTH));
  write(p[1], "x", 1);
  say_bits("bytes", look(p[0], BOTH));
  shutdown(p[1], SHUT_WR);
  say_bits("half", look(p[0], BOTH | POLLRDHUP));
  close(p[1]);
  say_bits("closed", look(p[0], BOTH));
  close(p[0]);
}
CASE(poll, others) {
  int fd = open("poll-file", O_RDWR | O_CREAT, 0644), s = socket(AF_INET, SOCK_STREAM, 0);
  struct pollfd p[2] = {{.fd = -1, .events = POLLIN}, {.fd = 99, .events = POLLIN}};
  say_bits("file", look(fd, BOTH));
  say_bits("socket", look(s, BOTH));
  result("closed", poll(p, 2, 0));
  say_bits("none", p[0].revents);
  say_bits("99", p[1].revents);
  close(fd);
  close(s);
}
CASE(poll, timeout) {
  int p[2];
  pipe(p);
  struct pollfd f = {.fd = p[0], .events = POLLIN};
  long began = now_ms();
  result("poll", poll(&f, 1, 30));
  say("waited=%d", now_ms() - began >= 29);
  result("nothing", poll(NULL, 0, 10));
  close(p[0]);
  close(p[1]);
}
static int later_fd;
static void *write_later(void *p) {
  pause_ms(30);
  write(later_fd, "12345678", 8);
  return p;
}
static pthread_t main_thread;
static void *signal_later(void *p) {
  pause_ms(30);
  pthread_kill(main_thread, SIGUSR1);
  return p;
}
CASE(poll, woken) {
  pthread_t t;
  int p[2], s[2];
  pipe(p);
  socketpair(AF_UNIX, SOCK_STREAM, 0, s);
  struct pollfd f[] = {{.fd = p[0], .events = POLLIN}, {.fd = s[0], .events = POLLIN}};
  later_fd = s[1];
  pthread_create(&t, NULL, write_later, NULL);
  result("poll", poll(f, 2, 5000));
  say_bits("pipe", f[0].revents);
  say_bits("socket", f[1].revents);
  pthread_join(t, NULL);
  for (int i = 0; i < 2; ++i) {
    close(p[i]);
    close(s[i]);
  }
}
static void nothing(int signal) { (void)signal; }
CASE(poll, interrupted) {
  pthread_t t;
  struct sigaction a = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  sigaction(SIGUSR1, &a, NULL);
  main_thread = pthread_self();
  pthread_create(&t, NULL, signal_later, NULL);
  result("poll", poll(NULL, 0, 5000));
  pthread_join(t, NULL);
}
static void *poll_for_ever(void *p) {
  struct pollfd f = {.fd = *(int *)p, .events = POLLIN};
  poll(&f, 1, -1);
  return p;
}
CASE(poll, cancelled) {
  pthread_t t;
  void *r;
  int p[2];
  pipe(p);
  pthread_create(&t, NULL, poll_for_ever, &p[0]);
  pause_ms(20);
  pthread_cancel(t);
  pthread_join(t, &r);
  say("cancelled=%d", r == PTHREAD_CANCELED);
  write(p[1], "x", 1);
  say_bits("pipe", look(p[0], BOTH));
  close(p[0]);
  close(p[1]);
}
CASE(ppoll, mask) {
  sigset_t block, none;
  struct timespec t = {1, 0}, bad = {0, 2000000000};
  struct sigaction a = {.sa_handler = nothing};
  sigaction(SIGUSR1, &a, NULL);
  sigemptyset(&none);
  sigemptyset(&block);
  sigaddset(&block, SIGUSR1);
  sigprocmask(SIG_BLOCK, &block, NULL);
  raise(SIGUSR1);
  result("ppoll", ppoll(NULL, 0, &t, &none));
  sigprocmask(SIG_UNBLOCK, &block, NULL);
  result("nanoseconds", ppoll(NULL, 0, &bad, NULL));
}
CASE(select, outcomes) {
  int p[2];
  fd_set r, w;
  struct timeval t = {0, 10000}, bad = {-1, 0};
  pipe(p);
  FD_ZERO(&r);
  FD_ZERO(&w);
  FD_SET(p[0], &r);
  FD_SET(p[1], &w);
  result("write", select(p[1] + 1, &r, &w, NULL, &t));
  say("r=%d w=%d", FD_ISSET(p[0], &r) != 0, FD_ISSET(p[1], &w) != 0);
  FD_ZERO(&r);
  FD_SET(p[0], &r);
  t.tv_usec = 10000;
  result("timeout", select(p[0] + 1, &r, NULL, NULL, &t));
  say("r=%d", FD_ISSET(p[0], &r) != 0);
  close(p[1]);
  FD_SET(p[0], &r);
  result("end", select(p[0] + 1, &r, NULL, NULL, NULL));
  result("time", select(0, NULL, NULL, NULL, &bad));
  result("count", select(-1, NULL, NULL, NULL, NULL));
  FD_SET(p[0], &r);
  close(p[0]);
  result("closed", select(p[0] + 1, &r, NULL, NULL, NULL));
}
CASE(epoll_ctl, errors) {
  int e = epoll_create1(0), p[2], fd = open("epoll-file", O_RDWR | O_CREAT, 0644);
  struct epoll_event v = {.events = EPOLLIN};
  pipe(p);
  result("add", epoll_ctl(e, EPOLL_CTL_ADD, p[0], &v));
  result("twice", epoll_ctl(e, EPOLL_CTL_ADD, p[0], &v));
  result("file", epoll_ctl(e, EPOLL_CTL_ADD, fd, &v));
  result("unknown", epoll_ctl(e, EPOLL_CTL_MOD, p[1], &v));
  result("itself", epoll_ctl(e, EPOLL_CTL_ADD, e, &v));
  result("closed", epoll_ctl(e, EPOLL_CTL_ADD, 99, &v));
  result("not one", epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &v));
  result("what", epoll_ctl(e, 77, p[0], &v));
  result("remove", epoll_ctl(e, EPOLL_CTL_DEL, p[0], NULL));
  result("none", epoll_wait(e, &v, 0, 0));
  close(p[0]);
  close(p[1]);
  close(fd);
  close(e);
}
CASE(epoll_wait, modes) {
  int e = epoll_create1(0), p[2];
  char b;
  struct epoll_event v = {.events = EPOLLIN, .data.u64 = 7}, got[4];
  pipe(p);
  epoll_ctl(e, EPOLL_CTL_ADD, p[0], &v);
  result("empty", epoll_wait(e, got, 4, 0));
  write(p[1], "ab", 2);
  result("level", epoll_wait(e, got, 4, 0));
  say("data=%d", (int)got[0].data.u64);
  result("still", epoll_wait(e, got, 4, 0));
  v.events = EPOLLIN | EPOLLET;
  epoll_ctl(e, EPOLL_CTL_MOD, p[0], &v);
  result("edge", epoll_wait(e, got, 4, 0));
  result("no more", epoll_wait(e, got, 4, 0));
  write(p[1], "c", 1);
  result("new", epoll_wait(e, got, 4, 0));
  v.events = EPOLLIN | EPOLLONESHOT;
  epoll_ctl(e, EPOLL_CTL_MOD, p[0], &v);
  result("once", epoll_wait(e, got, 4, 0));
  write(p[1], "d", 1);
  result("disarmed", epoll_wait(e, got, 4, 0));
  epoll_ctl(e, EPOLL_CTL_MOD, p[0], &v);
  result("armed", epoll_wait(e, got, 4, 0));
  read(p[0], &b, 1);
  v.events = EPOLLIN;
  epoll_ctl(e, EPOLL_CTL_MOD, p[0], &v);
  say_bits("epoll itself", look(e, BOTH));
  close(p[1]);
  epoll_wait(e, got, 4, 0);
  say_bits("end", (int)got[0].events);
  close(p[0]);
  result("closed", epoll_wait(e, got, 4, 0));
  close(e);
}
CASE(epoll_wait, woken) {
  pthread_t t;
  int e = epoll_create1(EPOLL_CLOEXEC), outer = epoll_create1(0), f = eventfd(0, 0);
  struct epoll_event v = {.events = EPOLLIN, .data.fd = 1}, got;
  epoll_ctl(e, EPOLL_CTL_ADD, f, &v);
  epoll_ctl(outer, EPOLL_CTL_ADD, e, &v);
  later_fd = f;
  pthread_create(&t, NULL, write_later, NULL);
  result("inside another", epoll_wait(outer, &got, 1, 5000));
  result("itself", epoll_wait(e, &got, 1, 0));
  pthread_join(t, NULL);
  close(f);
  close(e);
  close(outer);
}
CASE(eventfd, counts) {
  eventfd_t v = 0;
  int f = eventfd(3, EFD_NONBLOCK);
  say_bits("set", look(f, BOTH));
  result("read", eventfd_read(f, &v));
  say("%d", (int)v);
  say_bits("empty", look(f, BOTH));
  result("none", eventfd_read(f, &v));
  eventfd_write(f, 2);
  eventfd_write(f, 5);
  eventfd_read(f, &v);
  say("%d", (int)v);
  result("most", eventfd_write(f, UINT64_MAX - 1));
  say_bits("full", look(f, BOTH));
  result("too many", eventfd_write(f, 1));
  result("never", eventfd_write(f, UINT64_MAX));
  result("short", read(f, &v, 4));
  close(f);
  f = eventfd(2, EFD_SEMAPHORE);
  eventfd_read(f, &v);
  say("one=%d", (int)v);
  close(f);
}
CASE(timerfd_create, expirations) {
  uint64_t n = 0;
  struct itimerspec s = {{0, 20000000}, {0, 20000000}}, now;
  int f = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
  result("unset", read(f, &n, 8));
  result("set", timerfd_settime(f, 0, &s, NULL));
  struct pollfd p = {.fd = f, .events = POLLIN};
  result("poll", poll(&p, 1, 5000));
  result("read", read(f, &n, 8));
  say("some=%d", n >= 1);
  pause_ms(50);
  read(f, &n, 8);
  say("more=%d", n >= 2);
  timerfd_gettime(f, &now);
  say("interval=%ld", (long)now.it_interval.tv_nsec);
  close(f);
  result("clock", timerfd_create(9999, 0));
  result("not one", timerfd_settime(0, 0, &s, NULL));
}
CASE(sendfile, outcomes) {
  int p[2];
  char b[10] = "";
  off_t at = 1;
  put_file("sf", "hello");
  int fd = open("sf", O_RDONLY);
  socketpair(AF_UNIX, SOCK_STREAM, 0, p);
  result("offset", sendfile(p[0], fd, &at, 3));
  say("at=%ld position=%ld", (long)at, (long)lseek(fd, 0, SEEK_CUR));
  result("position", sendfile(p[0], fd, NULL, 100));
  say("position=%ld", (long)lseek(fd, 0, SEEK_CUR));
  result("end", sendfile(p[0], fd, NULL, 100));
  read(p[1], b, 9);
  say("%s", b);
  result("from a socket", sendfile(p[0], p[1], NULL, 1));
  close(fd);
  close(p[0]);
  close(p[1]);
}

CASES(readiness, ENTRY(poll, pipe), ENTRY(poll, socketpair), ENTRY(poll, others), ENTRY(poll, timeout), ENTRY(poll, woken),
      ENTRY(poll, interrupted), ENTRY(poll, cancelled), ENTRY(ppoll, mask), ENTRY(select, outcomes), ENTRY(epoll_ctl, errors),
      ENTRY(epoll_wait, modes), ENTRY(epoll_wait, woken), ENTRY(eventfd, counts), ENTRY(timerfd_create, expirations),
      ENTRY(sendfile, outcomes))
