/* mmap and malloc. */
#include "cases.h"

#include <stdint.h>
#include <sys/mman.h>

static const char *outcome_of(void *p) { return p == MAP_FAILED ? error_name(errno) : "ok"; }

CASE(mmap, anonymous) {
  char *p = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  say("map=%s", outcome_of(p));
  if (p == MAP_FAILED) return;
  int zero = 1;
  for (int i = 0; i < 10000; ++i) zero &= p[i] == 0;
  say("aligned=%d zero=%d", (uintptr_t)p % 4096 == 0, zero);
  memset(p, 1, 10000);
  result("unmap", munmap(p, 10000));
}
CASE(mmap, file) {
  put_file("mf", "hello");
  int fd = open("mf", O_RDWR);
  char *p = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0), b[6] = "";
  say("map=%s", outcome_of(p));
  if (p == MAP_FAILED) return;
  say("%.5s zero=%d", p, p[5] == 0 && p[4095] == 0);
  p[0] = 'j';
  pread(fd, b, 5, 0);
  say("file=%s", b);
  close(fd);
  say("after close=%.5s", p);
  result("unmap", munmap(p, 5));
}
CASE(mmap, shared_writable) {
  int fd = open("mf", O_RDWR);
  char *p = mmap(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  say("map=%s", outcome_of(p));
  if (p != MAP_FAILED) munmap(p, 5);
  close(fd);
}
CASE(mmap, errors) {
  int fd = open("mf", O_RDONLY), pipes[2];
  say("none=%s", outcome_of(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  say("sharing=%s", outcome_of(mmap(NULL, 4096, PROT_READ, MAP_ANONYMOUS, -1, 0)));
  say("offset=%s", outcome_of(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 5)));
  say("descriptor=%s", outcome_of(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 99, 0)));
  pipe(pipes);
  say("pipe=%s", outcome_of(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, pipes[0], 0)));
  close(pipes[0]);
  close(pipes[1]);
  say("huge=%s", outcome_of(mmap(NULL, SIZE_MAX - 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)));
  close(fd);
}
CASE(munmap, errors) {
  char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  result("address", munmap(p + 1, 4096));
  result("none", munmap(p, 0));
  result("part", munmap(p, 4096));
}
CASE(mprotect, outcomes) {
  char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  result("read and write", mprotect(p, 4096, PROT_READ | PROT_WRITE));
  result("read", mprotect(p, 4096, PROT_READ));
}
CASE(posix_memalign, outcomes) {
  void *p;
  code("4096", posix_memalign(&p, 4096, 100));
  say("aligned=%d", (uintptr_t)p % 4096 == 0);
  free(p);
  code("3", posix_memalign(&p, 3, 100));
}
CASE(malloc, too_much) {
  void *volatile p = malloc(PTRDIFF_MAX);
  say("%s", p == NULL ? error_name(errno) : "?");
}

CASES(memory, ENTRY(mmap, anonymous), ENTRY(mmap, file), ENTRY(mmap, shared_writable), ENTRY(mmap, errors),
      ENTRY(munmap, errors), ENTRY(mprotect, outcomes), ENTRY(posix_memalign, outcomes), ENTRY(malloc, too_much))
