/* Pipes. */
#include "cases.h"

#include <limits.h>
#include <signal.h>
#include <sys/ioctl.h>

CASE(pipe, bytes) {
  int p[2], n;
  char b[10] = "";
  result("pipe", pipe(p));
  result("write", write(p[1], "hello", 5));
  ioctl(p[0], FIONREAD, &n);
  say("there=%d", n);
  result("read", read(p[0], b, 3));
  result("rest", read(p[0], b, 10));
  say("%.2s", b);
  close(p[1]);
  result("end", read(p[0], b, 10));
  result("seek", lseek(p[0], 0, SEEK_SET));
  close(p[0]);
}
CASE(pipe, wrong_ends) {
  int p[2];
  char b;
  pipe(p);
  result("write", write(p[0], "x", 1));
  result("read", read(p[1], &b, 1));
  result("pread", pread(p[0], &b, 1, 0));
  close(p[0]);
  close(p[1]);
}
CASE(pipe, nobody_reads) {
  int p[2];
  signal(SIGPIPE, SIG_IGN);
  pipe(p);
  close(p[0]);
  result("write", write(p[1], "x", 1));
  close(p[1]);
}
static volatile sig_atomic_t pipes_broken;
static void broken(int signal) {
  (void)signal;
  ++pipes_broken;
}
CASE(pipe, sigpipe) {
  int p[2];
  signal(SIGPIPE, broken);
  pipe(p);
  close(p[0]);
  result("write", write(p[1], "x", 1));
  say("signals=%d", (int)pipes_broken);
  close(p[1]);
  signal(SIGPIPE, SIG_IGN);
}
CASE(pipe2, nonblock) {
  int p[2];
  static char b[4096];
  long total = 0;
  result("pipe2", pipe2(p, O_NONBLOCK | O_CLOEXEC));
  result("empty", read(p[0], b, 1));
  while (write(p[1], b, sizeof b) == sizeof b) total += sizeof b;
  say("full=%s total=%ld", error_name(errno), total);
  result("one more", write(p[1], b, 1));
  read(p[0], b, 100);
  result("not as a whole", write(p[1], b, PIPE_BUF));
  say("cloexec=%d", fcntl(p[0], F_GETFD));
  close(p[0]);
  close(p[1]);
  result("flags", pipe2(p, 0x40000000));
}

CASES(pipes, ENTRY(pipe, bytes), ENTRY(pipe, wrong_ends), ENTRY(pipe, nobody_reads), ENTRY(pipe, sigpipe),
      ENTRY(pipe2, nonblock))
