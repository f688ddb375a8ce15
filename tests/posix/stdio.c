/* Formatted output, and the locks of streams. */
#include "cases.h"

#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <wchar.h>

CASE(snprintf, numbers) {
  char text[200];
  int n = snprintf(text, sizeof text, "%d|%+5d|%-6u|%#o|%#X|%lld|%zx|%hhd|%.3i", -42, 7, 9u, 8u, 0xbeefu, LLONG_MIN, (size_t)255, 300, 5);
  say("%d \"%s\"", n, text);
}
CASE(snprintf, floating_point) {
  char text[400];
  int n = snprintf(text, sizeof text, "%f|%.0f|%e|%.17g|%G|%a|%08.2f|%+.1e|%g|%g", 3.14159, 2.5, 12345.678, 0.1, 1e-10, 1.0, -1.005, 9.96, 1e300, 100000.0);
  say("%d \"%s\"", n, text);
  snprintf(text, sizeof text, "%Lf|%.20Lg|%Le|%.3Lf", 2.5L, 0.125L, -1e-5L, 1e15L + 0.25L);
  say("long \"%s\"", text);
  snprintf(text, sizeof text, "%f %E %g", __builtin_inf(), -__builtin_inf(), __builtin_nan(""));
  say("none \"%s\"", text);
}
CASE(snprintf, cut) {
  char text[6] = "-----";
  say("size=%d", snprintf(text, sizeof text, "%s", "too long"));
  say("text=%s", text);
  say("none=%d", snprintf(NULL, 0, "%5d", 1));
}
CASE(snprintf, positions) {
  char text[60];
  snprintf(text, sizeof text, "%3$s %1$*2$d %3$.2s %4$.1f", 7, 4, "three", 1.25);
  say("\"%s\"", text);
}
CASE(asprintf, grows) {
  char *text = NULL;
  int n = asprintf(&text, "%s%*d%s", "begin", 3000, 1, "end");
  say("size=%d length=%zu %.5s %s", n, strlen(text), text, text + n - 4);
  free(text);
}
CASE(dprintf, file) {
  char text[100] = "";
  int fd = open("dp1", O_RDWR | O_CREAT | O_TRUNC, 0600);
  result("dprintf", dprintf(fd, "%s %d %.1f", "text", 5, 0.5));
  pread(fd, text, sizeof text - 1, 0);
  say("\"%s\"", text);
  close(fd);
}
CASE(fprintf, streams) {
  char text[1000] = "";
  FILE *f = fopen("fp1", "w+");
  setvbuf(f, NULL, _IONBF, 0);
  result("long", fprintf(f, "%600d\n", 5));
  result("wide", fprintf(f, "%ls", L"wide"));
  rewind(f);
  say("read=%zu", fread(text, 1, sizeof text, f));
  fclose(f);
  f = fopen("fp1", "r");
  result("not to be written", fprintf(f, "x"));
  fclose(f);
}
CASE(sprintf, string) {
  char text[40];
  int so_far = 0;
  say("size=%d", sprintf(text, "%-5s|%n%5s|%c%%", "ab", &so_far, "cd", 'e'));
  say("\"%s\" n=%d", text, so_far);
}

static void *try_lock(void *f) {
  int taken = ftrylockfile(f);
  if (taken == 0) funlockfile(f);
  return taken == 0 ? f : NULL;
}
CASE(flockfile, another_thread) {
  pthread_t thread;
  void *got = NULL;
  FILE *f = fopen("fl1", "w");
  flockfile(f);
  say("again=%d", ftrylockfile(f));
  funlockfile(f);
  pthread_create(&thread, NULL, try_lock, f);
  pthread_join(thread, &got);
  say("held: %s", got != NULL ? "taken" : "refused");
  funlockfile(f);
  pthread_create(&thread, NULL, try_lock, f);
  pthread_join(thread, &got);
  say("free: %s", got != NULL ? "taken" : "refused");
  fclose(f);
}

CASES(stdio, ENTRY(snprintf, numbers), ENTRY(snprintf, floating_point), ENTRY(snprintf, cut), ENTRY(snprintf, positions),
      ENTRY(asprintf, grows), ENTRY(dprintf, file), ENTRY(fprintf, streams), ENTRY(sprintf, string),
      ENTRY(flockfile, another_thread))
