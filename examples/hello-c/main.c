/* The smallest appliance with the C library. */
#include <stdio.h>

int main(int argc, char **argv) {
  printf("Hello from %s, with %d arguments\n", argv[0], argc - 1);
  return 0;
}
