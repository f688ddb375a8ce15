/* Cases that behave the same on Linux and on Ringlet, or whose difference docs/posix.md tells. A case is named after the
 * function it is about; it says what came out, in words that are the same wherever it runs. */
#ifndef CASES_H
#define CASES_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct test_case {
  const char *function;
  const char *name;
  void (*run)(void);
};

/* One outcome more of the running case. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* "name=ok", or the name of errno when `result` is -1; how many otherwise. */
void result(const char *name, long result);
/* The same for functions that return the error. */
void code(const char *name, int error);
const char *error_name(int error);
/* Makes a file with this text. */
void put_file(const char *path, const char *text);
void pause_ms(int milliseconds);
long now_ms(void);

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CASE(function, name) static void function##_##name(void)
#define ENTRY(function, name) {#function, #name, function##_##name}
/* The end of each file of cases. */
#define CASES(group, ...)                       \
  const struct test_case group##_cases[] = {__VA_ARGS__}; \
  const int group##_count = COUNT(group##_cases);

#endif
