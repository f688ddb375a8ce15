/* What POSIX adds to the C library's <limits.h>. */
#include_next <limits.h>

#ifndef _RINGLET_LIMITS_H_
#define _RINGLET_LIMITS_H_

#include <sys/syslimits.h> /* NAME_MAX, PATH_MAX, IOV_MAX, PIPE_BUF, OPEN_MAX */

#undef PIPE_BUF
#define PIPE_BUF 4096
#define HOST_NAME_MAX 64
#ifndef MAX_CANON
#define MAX_CANON 255
#define MAX_INPUT 255
#endif
#define SSIZE_MAX LONG_MAX
#define TZNAME_MAX 8
#define LOGIN_NAME_MAX 33
#define TTY_NAME_MAX 33
#define SYMLINK_MAX 4095
#define _POSIX_PATH_MAX 256
#define _POSIX_NAME_MAX 14
#define _POSIX_PIPE_BUF 512
#define _POSIX_SSIZE_MAX 32767

#endif
