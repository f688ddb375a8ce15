/* The smallest appliance with the C library. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  const char *who = getenv("WHO");
  printf("Hello, %s, from %s, with %d arguments\n", who != NULL ? who : "world", argv[0], argc - 1);
  return 0;
}
