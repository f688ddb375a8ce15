/* One file: open, read, write, position, descriptors. */
#include "cases.h"

#include <sys/ioctl.h>
#include <sys/uio.h>

CASE(open, missing) { result("open", open("nothing", O_RDONLY)); }
CASE(open, exclusive) {
  int fd = open("x1", O_WRONLY | O_CREAT | O_EXCL, 0600);
  say("first=%s", fd >= 0 ? "ok" : error_name(errno));
  result("second", open("x1", O_WRONLY | O_CREAT | O_EXCL, 0600));
  close(fd);
}
CASE(open, directory) {
  mkdir("d1", 0755);
  result("write", open("d1", O_WRONLY));
  put_file("f1", "x");
  result("O_DIRECTORY", open("f1", O_RDONLY | O_DIRECTORY));
  result("through a file", open("f1/x", O_RDONLY));
  result("trailing slash", open("f1/", O_RDONLY));
}
CASE(open, names) {
  char name[5000];
  memset(name, 'a', sizeof name);
  name[300] = '\0';
  result("300 bytes", open(name, O_RDONLY));
  memset(name, 'a', sizeof name);
  for (int i = 100; i < 4998; i += 100) name[i] = '/';
  name[4999] = '\0';
  result("5000 bytes", open(name, O_RDONLY));
  result("empty", open("", O_RDONLY));
}
CASE(open, truncates) {
  struct stat s;
  put_file("t1", "hello");
  close(open("t1", O_WRONLY | O_TRUNC));
  stat("t1", &s);
  say("size=%ld", (long)s.st_size);
}
CASE(open, mode) {
  struct stat s;
  umask(027);
  close(open("m1", O_WRONLY | O_CREAT, 0666));
  umask(022);
  stat("m1", &s);
  say("mode=%o", (unsigned)(s.st_mode & 07777));
}
CASE(open, lowest) {
  int a = open("f1", O_RDONLY | O_CREAT, 0644), b = open("f1", O_RDONLY);
  close(a);
  int c = open("f1", O_RDONLY);
  say("lowest=%s", a == c ? "yes" : "no");
  close(b);
  close(c);
}
CASE(open, nofollow) {
  symlink("f1", "l0");
  result("O_NOFOLLOW", open("l0", O_RDONLY | O_NOFOLLOW));
}
CASE(openat, folder) {
  mkdir("oa", 0755);
  int at = open("oa", O_RDONLY | O_DIRECTORY), fd = openat(at, "in", O_CREAT | O_WRONLY, 0644);
  struct stat s;
  say("made=%s", fd >= 0 ? "ok" : error_name(errno));
  result("there", stat("oa/in", &s));
  result("of a file", openat(fd, "x", O_RDONLY));
  result("of nothing", openat(-1, "x", O_RDONLY));
  close(fd);
  close(at);
}
CASE(read, outcomes) {
  char b[10];
  put_file("r1", "hello");
  int fd = open("r1", O_RDONLY);
  result("3", read(fd, b, 3));
  result("10", read(fd, b, 10));
  result("end", read(fd, b, 10));
  result("none", read(fd, b, 0));
  close(fd);
  result("closed", read(fd, b, 1));
  fd = open("r1", O_WRONLY);
  result("write-only", read(fd, b, 1));
  close(fd);
  fd = open("d1", O_RDONLY);
  result("directory", read(fd, b, 1));
  close(fd);
}
CASE(write, outcomes) {
  int fd = open("w1", O_RDONLY | O_CREAT, 0644);
  result("read-only", write(fd, "x", 1));
  close(fd);
  result("closed", write(fd, "x", 1));
  fd = open("w1", O_WRONLY);
  result("3", write(fd, "abc", 3));
  result("none", write(fd, "", 0));
  close(fd);
}
CASE(write, append) {
  char b[10] = "";
  put_file("a1", "ab");
  int fd = open("a1", O_RDWR | O_APPEND);
  lseek(fd, 0, SEEK_SET);
  result("write", write(fd, "c", 1));
  say("at=%ld", (long)lseek(fd, 0, SEEK_CUR));
  result("read", pread(fd, b, 9, 0));
  say("%s", b);
  close(fd);
}
CASE(write, hole) {
  char b[8];
  int fd = open("h1", O_RDWR | O_CREAT | O_TRUNC, 0644);
  lseek(fd, 100000, SEEK_SET);
  result("write", write(fd, "x", 1));
  result("read", pread(fd, b, 8, 50000));
  say("zero=%d", b[0] == 0 && b[7] == 0);
  say("size=%ld", (long)lseek(fd, 0, SEEK_END));
  close(fd);
}
CASE(pread, outcomes) {
  char b[4];
  put_file("p1", "0123456789");
  int fd = open("p1", O_RDONLY);
  result("at 8", pread(fd, b, 4, 8));
  result("behind", pread(fd, b, 4, 20));
  result("negative", pread(fd, b, 4, -1));
  say("at=%ld", (long)lseek(fd, 0, SEEK_CUR));
  close(fd);
}
CASE(pwrite, outcomes) {
  struct stat s;
  int fd = open("p2", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  result("at 5", pwrite(fd, "ab", 2, 5));
  result("negative", pwrite(fd, "ab", 2, -1));
  fstat(fd, &s);
  say("size=%ld", (long)s.st_size);
  close(fd);
}
CASE(lseek, outcomes) {
  put_file("s1", "0123456789");
  int fd = open("s1", O_RDONLY);
  result("end", lseek(fd, 0, SEEK_END));
  result("behind", lseek(fd, 5, SEEK_END));
  result("back", lseek(fd, -3, SEEK_CUR));
  result("before", lseek(fd, -1, SEEK_SET));
  result("whence", lseek(fd, 0, 77));
  close(fd);
  result("closed", lseek(fd, 0, SEEK_SET));
}
CASE(readv, pieces) {
  char a[3], b[4];
  struct iovec v[] = {{a, 3}, {b, 4}};
  put_file("v1", "abcde");
  int fd = open("v1", O_RDONLY);
  result("readv", readv(fd, v, 2));
  say("%.3s %.2s", a, b);
  result("count", readv(fd, v, -1));
  close(fd);
}
CASE(writev, pieces) {
  char b[9] = "";
  struct iovec v[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
  int fd = open("v2", O_RDWR | O_CREAT | O_TRUNC, 0644);
  result("writev", writev(fd, v, 3));
  pread(fd, b, 8, 0);
  say("%s", b);
  close(fd);
}
CASE(ftruncate, outcomes) {
  struct stat s;
  put_file("t2", "hello");
  int fd = open("t2", O_RDWR);
  result("3", ftruncate(fd, 3));
  result("9", ftruncate(fd, 9));
  fstat(fd, &s);
  say("size=%ld", (long)s.st_size);
  result("negative", ftruncate(fd, -1));
  close(fd);
  fd = open("t2", O_RDONLY);
  result("read-only", ftruncate(fd, 1));
  close(fd);
}
CASE(truncate, outcomes) {
  put_file("t3", "hello");
  result("2", truncate("t3", 2));
  result("missing", truncate("nothing", 2));
  result("directory", truncate("d1", 2));
}
CASE(dup, shares_position) {
  char b[3];
  put_file("du", "abcdef");
  int a = open("du", O_RDONLY), c = dup(a);
  read(a, b, 3);
  say("at=%ld", (long)lseek(c, 0, SEEK_CUR));
  close(a);
  close(c);
  result("closed", dup(c));
}
CASE(dup2, outcomes) {
  int a = open("du", O_RDONLY);
  result("to", dup2(a, 50) == 50 ? 0 : -1);
  say("same=%d", dup2(a, a) == a);
  result("closed", dup2(60, 61));
  result("bad", dup2(a, -1));
  close(a);
  close(50);
}
CASE(dup3, outcomes) {
  int a = open("du", O_RDONLY);
  result("same", dup3(a, a, 0));
  say("to=%d", dup3(a, 50, O_CLOEXEC) == 50);
  say("cloexec=%d", fcntl(50, F_GETFD) == FD_CLOEXEC);
  close(a);
  close(50);
}
CASE(fcntl, flags) {
  int a = open("du", O_RDWR);
  say("access=%d", (fcntl(a, F_GETFL) & O_ACCMODE) == O_RDWR);
  result("set", fcntl(a, F_SETFL, O_NONBLOCK));
  say("nonblock=%d", (fcntl(a, F_GETFL) & O_NONBLOCK) != 0);
  result("setfd", fcntl(a, F_SETFD, FD_CLOEXEC));
  result("getfd", fcntl(a, F_GETFD));
  int d = fcntl(a, F_DUPFD, 70);
  say("dupfd=%d", d);
  close(d);
  close(a);
  result("closed", fcntl(a, F_GETFL));
  result("command", fcntl(0, 9999));
}
CASE(fsync, outcomes) {
  int fd = open("du", O_RDWR);
  result("file", fsync(fd));
  close(fd);
  result("closed", fsync(fd));
}
CASE(fdatasync, outcomes) {
  int fd = open("du", O_RDWR);
  result("file", fdatasync(fd));
  close(fd);
  result("closed", fdatasync(fd));
}
CASE(close, twice) {
  int fd = open("du", O_RDONLY);
  result("first", close(fd));
  result("second", close(fd));
  result("negative", close(-1));
}
CASE(fstat, file) {
  struct stat s;
  put_file("fs", "hello");
  int fd = open("fs", O_RDONLY);
  result("fstat", fstat(fd, &s));
  say("regular=%d size=%ld links=%ld mode=%o", S_ISREG(s.st_mode), (long)s.st_size, (long)s.st_nlink,
      (unsigned)(s.st_mode & 0777));
  close(fd);
  result("closed", fstat(fd, &s));
}
CASE(isatty, outcomes) {
  int fd = open("fs", O_RDONLY);
  int is = isatty(fd);
  say("file=%d %s", is, error_name(errno));
  close(fd);
  is = isatty(fd);
  say("closed=%d %s", is, error_name(errno));
}
CASE(posix_fallocate, outcomes) {
  struct stat s;
  int fd = open("pf", O_RDWR | O_CREAT, 0644);
  code("10000", posix_fallocate(fd, 0, 10000));
  fstat(fd, &s);
  say("size=%ld", (long)s.st_size);
  code("none", posix_fallocate(fd, 0, 0));
  close(fd);
}
CASE(unlink, open_file) {
  char b[6] = "";
  put_file("u1", "hello");
  int fd = open("u1", O_RDWR);
  result("unlink", unlink("u1"));
  result("again", open("u1", O_RDONLY));
  result("read", read(fd, b, 5));
  result("write", write(fd, "more", 4));
  close(fd);
}

CASES(files, ENTRY(open, missing), ENTRY(open, exclusive), ENTRY(open, directory), ENTRY(open, names), ENTRY(open, truncates),
      ENTRY(open, mode), ENTRY(open, lowest), ENTRY(open, nofollow), ENTRY(openat, folder), ENTRY(read, outcomes),
      ENTRY(write, outcomes), ENTRY(write, append), ENTRY(write, hole), ENTRY(pread, outcomes), ENTRY(pwrite, outcomes),
      ENTRY(lseek, outcomes), ENTRY(readv, pieces), ENTRY(writev, pieces), ENTRY(ftruncate, outcomes),
      ENTRY(truncate, outcomes), ENTRY(dup, shares_position), ENTRY(dup2, outcomes), ENTRY(dup3, outcomes),
      ENTRY(fcntl, flags), ENTRY(fsync, outcomes), ENTRY(fdatasync, outcomes), ENTRY(close, twice), ENTRY(fstat, file),
      ENTRY(isatty, outcomes), ENTRY(posix_fallocate, outcomes), ENTRY(unlink, open_file))
