/* The C library's <sys/select.h>, for as many descriptors as there can be. */
#ifndef FD_SETSIZE
#define FD_SETSIZE 1024
#endif
#include_next <sys/select.h>
