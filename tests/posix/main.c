/* Runs all cases, or those of the functions named by the arguments, in a directory of its own. */
#include "cases.h"

#include <stdarg.h>
#include <time.h>

#define GROUPS(X)                                                                                                         \
  X(files) X(stdio) X(trees) X(threads) X(signals) X(faults) X(interruptions) X(times) X(sockets) X(readiness) X(pipes) \
  X(memory) X(system)
#define DECLARE(g)                           \
  extern const struct test_case g##_cases[]; \
  extern const int g##_count;
GROUPS(DECLARE)

static char outcome[2048];
static size_t used;

void say(const char *format, ...) {
  va_list more;
  va_start(more, format);
  if (used < sizeof outcome - 1) used += snprintf(outcome + used, sizeof outcome - used, " ");
  if (used < sizeof outcome - 1) used += vsnprintf(outcome + used, sizeof outcome - used, format, more);
  va_end(more);
}

static const struct {
  int number;
  const char *name;
} errors[] = {
#define E(n) {n, #n}
    E(EPERM), E(ENOENT), E(ESRCH), E(EINTR), E(EIO), E(ENXIO), E(E2BIG), E(EBADF), E(ECHILD), E(EAGAIN), E(ENOMEM), E(EACCES),
    E(EFAULT), E(EBUSY), E(EEXIST), E(EXDEV), E(ENODEV), E(ENOTDIR), E(EISDIR), E(EINVAL), E(EMFILE), E(ENOTTY), E(EFBIG),
    E(ENOSPC), E(ESPIPE), E(EROFS), E(EMLINK), E(EPIPE), E(EDOM), E(ERANGE), E(EDEADLK), E(ENAMETOOLONG), E(ENOSYS),
    E(ENOTEMPTY), E(ELOOP), E(ENOTSOCK), E(EDESTADDRREQ), E(EMSGSIZE), E(EPROTOTYPE), E(ENOPROTOOPT), E(EPROTONOSUPPORT),
    E(EOPNOTSUPP), E(ENOTSUP), E(EAFNOSUPPORT), E(EADDRINUSE), E(EADDRNOTAVAIL), E(ENETUNREACH), E(EHOSTUNREACH),
    E(ECONNRESET), E(ENOBUFS), E(EISCONN), E(ENOTCONN), E(ETIMEDOUT), E(ECONNREFUSED), E(EALREADY), E(EINPROGRESS),
    E(ECANCELED), E(EOVERFLOW), E(EILSEQ),
#undef E
};

const char *error_name(int error) {
  for (size_t i = 0; i < COUNT(errors); ++i)
    if (errors[i].number == error) return errors[i].name;
  return "another error";
}

void result(const char *name, long result) {
  if (result == -1)
    say("%s=%s", name, error_name(errno));
  else if (result == 0)
    say("%s=ok", name);
  else
    say("%s=%ld", name, result);
}

void code(const char *name, int error) { say("%s=%s", name, error == 0 ? "ok" : error_name(error)); }

void put_file(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) say("cannot write %s", path);
  close(fd);
}

void pause_ms(int milliseconds) {
  struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {
  }
}

long now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#ifdef __ringlet__
#include <dlfcn.h>
#include <semaphore.h>

/* Which of the functions that need other processes say ENOSYS: for the table, not to be compared. */
static void say_refusals(void) {
  char *none[] = {NULL};
#define REFUSES(function, call)                               \
  errno = 0;                                                  \
  (void)(call);                                               \
  if (errno == ENOSYS) printf("refuses %s\n", #function)
  REFUSES(fork, fork());
  REFUSES(execve, execve("/x", none, none));
  REFUSES(execv, execv("/x", none));
  REFUSES(execl, execl("/x", "x", NULL));
  REFUSES(execle, execle("/x", "x", NULL, none));
  REFUSES(execlp, execlp("/x", "x", NULL));
  REFUSES(execvp, execvp("/x", none));
  REFUSES(popen, popen("x", "r"));
  REFUSES(system, system("x"));
  REFUSES(mkfifo, mkfifo("fifo", 0600));
  REFUSES(mknod, mknod("node", S_IFIFO | 0600, 0));
  REFUSES(dlopen, dlopen("x", RTLD_NOW));
  REFUSES(dlsym, dlsym(RTLD_DEFAULT, "x"));
  REFUSES(dlclose, dlclose(RTLD_DEFAULT));
  REFUSES(sem_open, sem_open("/x", O_CREAT, 0600, 1));
}
#else
static void say_refusals(void) {}
#endif

static void run(const struct test_case *cases, int count, int argc, char **argv) {
  for (int i = 0; i < count; ++i) {
    int wanted = argc < 2;
    for (int a = 1; a < argc; ++a) wanted |= strcmp(argv[a], cases[i].function) == 0;
    if (!wanted) continue;
    used = 0;
    outcome[0] = '\0';
    cases[i].run();
    printf("case %s/%s:%s\n", cases[i].function, cases[i].name, outcome);
  }
}

int main(int argc, char **argv) {
  char folder[] = "/tmp/posix-cases-XXXXXX";
  setvbuf(stdout, NULL, _IOLBF, 0);
  umask(022);
  mkdir("/tmp", 01777);
  if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
    printf("no folder to work in: %s\n", strerror(errno));
    return 1;
  }
#define RUN(g) run(g##_cases, g##_count, argc, argv);
  GROUPS(RUN)
  say_refusals();
  printf("cases: done\n");
  return 0;
}
