/* Directories, links, names, times of files. */
#include "cases.h"

#include <dirent.h>
#include <limits.h>
#include <sys/time.h>

CASE(mkdir, outcomes) {
  put_file("plain", "x");
  result("new", mkdir("md", 0755));
  result("again", mkdir("md", 0755));
  result("over a file", mkdir("plain", 0755));
  result("no parent", mkdir("no/md", 0755));
  result("in a file", mkdir("plain/md", 0755));
}
CASE(rmdir, outcomes) {
  mkdir("rd", 0755);
  put_file("rd/x", "x");
  result("full", rmdir("rd"));
  unlink("rd/x");
  result("empty", rmdir("rd"));
  result("missing", rmdir("rd"));
  result("file", rmdir("plain"));
}
CASE(unlink, outcomes) {
  put_file("ul", "x");
  result("file", unlink("ul"));
  result("missing", unlink("ul"));
  result("directory", unlink("md"));
  result("in a file", unlink("plain/x"));
}
CASE(remove, outcomes) {
  mkdir("rm", 0755);
  result("directory", remove("rm"));
  result("missing", remove("rm"));
}
CASE(rename, outcomes) {
  put_file("ra", "a");
  put_file("rb", "b");
  mkdir("rdir", 0755);
  mkdir("rfull", 0755);
  put_file("rfull/x", "x");
  result("over a file", rename("ra", "rb"));
  result("missing", rename("ra", "rc"));
  result("file over directory", rename("rb", "rdir"));
  result("directory over file", rename("rdir", "rb"));
  result("over a full one", rename("rdir", "rfull"));
  result("into itself", rename("rfull", "rfull/in"));
  result("same", rename("rb", "rb"));
}
CASE(link, outcomes) {
  struct stat s;
  put_file("la", "a");
  result("new", link("la", "lb"));
  stat("lb", &s);
  say("links=%ld", (long)s.st_nlink);
  result("there", link("la", "lb"));
  result("missing", link("nothing", "lc"));
  result("directory", link("md", "ld"));
}
CASE(symlink, outcomes) {
  char b[20];
  result("new", symlink("target", "sa"));
  result("there", symlink("target", "sa"));
  result("length", readlink("sa", b, sizeof b));
  result("cut", readlink("sa", b, 3));
  result("empty", symlink("", "sb"));
}
CASE(readlink, outcomes) {
  char b[4];
  result("file", readlink("plain", b, 4));
  result("missing", readlink("nothing", b, 4));
}
CASE(stat, links) {
  struct stat s;
  symlink("loop2", "loop1");
  symlink("loop1", "loop2");
  symlink("plain", "good");
  result("loop", stat("loop1", &s));
  result("dangling", stat("sa", &s));
  result("good", stat("good", &s));
  say("regular=%d", S_ISREG(s.st_mode));
  result("lstat", lstat("good", &s));
  say("link=%d size=%ld", S_ISLNK(s.st_mode), (long)s.st_size);
}
CASE(fstatat, flags) {
  struct stat s;
  result("nofollow", fstatat(AT_FDCWD, "good", &s, AT_SYMLINK_NOFOLLOW));
  say("link=%d", S_ISLNK(s.st_mode));
  result("flag", fstatat(AT_FDCWD, "good", &s, 0x40000000));
}
CASE(access, outcomes) {
  result("there", access("plain", F_OK));
  result("read", access("plain", R_OK));
  result("missing", access("nothing", F_OK));
}
CASE(chmod, outcomes) {
  struct stat s;
  result("640", chmod("plain", 0640));
  stat("plain", &s);
  say("mode=%o", (unsigned)(s.st_mode & 07777));
  result("missing", chmod("nothing", 0640));
}
CASE(chdir, outcomes) {
  char b[PATH_MAX], *end;
  result("directory", chdir("md"));
  end = getcwd(b, sizeof b) != NULL ? strrchr(b, '/') : NULL;
  say("at=%s", end != NULL ? end : "?");
  result("back", chdir(".."));
  result("file", chdir("plain"));
  result("missing", chdir("nothing"));
}
CASE(getcwd, outcomes) {
  char b[2];
  say("small=%s", getcwd(b, sizeof b) == NULL ? error_name(errno) : "?");
  say("none=%s", getcwd(b, 0) == NULL ? error_name(errno) : "?");
}
CASE(realpath, outcomes) {
  char b[PATH_MAX], *end;
  end = realpath("md/../good", b) != NULL ? strrchr(b, '/') : NULL;
  say("%s", end != NULL ? end : error_name(errno));
  say("missing=%s", realpath("nothing/x", b) == NULL ? error_name(errno) : "?");
  say("loop=%s", realpath("loop1", b) == NULL ? error_name(errno) : "?");
}
static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
CASE(readdir, entries) {
  char *names[20];
  size_t n = 0;
  struct dirent *e;
  mkdir("list", 0755);
  put_file("list/b", "");
  put_file("list/a", "");
  mkdir("list/c", 0755);
  DIR *d = opendir("list");
  while (d != NULL && n < 20 && (e = readdir(d)) != NULL) names[n++] = strdup(e->d_name);
  qsort(names, n, sizeof names[0], by_name);
  for (size_t i = 0; i < n; ++i) say("%s", names[i]);
  rewinddir(d);
  for (n = 0; readdir(d) != NULL;) ++n;
  say("again=%zu", n);
  result("close", closedir(d));
}
CASE(opendir, outcomes) {
  say("missing=%s", opendir("nothing") == NULL ? error_name(errno) : "?");
  say("file=%s", opendir("plain") == NULL ? error_name(errno) : "?");
}
CASE(utimensat, times) {
  struct timespec t[2] = {{1000, 5}, {2000, 7}};
  struct stat s;
  result("set", utimensat(AT_FDCWD, "plain", t, 0));
  stat("plain", &s);
  say("%ld.%ld %ld.%ld", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  t[0].tv_nsec = UTIME_OMIT;
  t[1].tv_sec = 3000;
  result("omit", utimensat(AT_FDCWD, "plain", t, 0));
  stat("plain", &s);
  say("%ld %ld", (long)s.st_atim.tv_sec, (long)s.st_mtim.tv_sec);
  t[1].tv_nsec = 2000000000;
  result("nanoseconds", utimensat(AT_FDCWD, "plain", t, 0));
  result("missing", utimensat(AT_FDCWD, "nothing", NULL, 0));
}
CASE(mkstemp, outcomes) {
  char good[] = "mk-XXXXXX", bad[] = "mk";
  int fd = mkstemp(good);
  say("made=%d changed=%d", fd >= 0, strcmp(good, "mk-XXXXXX") != 0);
  close(fd);
  result("template", mkstemp(bad));
}
CASE(umask, outcomes) {
  mode_t before = umask(077);
  say("%o", (unsigned)umask(before));
}

CASES(trees, ENTRY(mkdir, outcomes), ENTRY(rmdir, outcomes), ENTRY(unlink, outcomes), ENTRY(remove, outcomes),
      ENTRY(rename, outcomes), ENTRY(link, outcomes), ENTRY(symlink, outcomes), ENTRY(readlink, outcomes), ENTRY(stat, links),
      ENTRY(fstatat, flags), ENTRY(access, outcomes), ENTRY(chmod, outcomes), ENTRY(chdir, outcomes), ENTRY(getcwd, outcomes),
      ENTRY(realpath, outcomes), ENTRY(readdir, entries), ENTRY(opendir, outcomes), ENTRY(utimensat, times),
      ENTRY(mkstemp, outcomes), ENTRY(umask, outcomes))
