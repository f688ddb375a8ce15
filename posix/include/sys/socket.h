/* What is missing from the C library's <sys/socket.h>. Its sendfile() is of another shape than <sys/sendfile.h>'s. */
#ifndef _RINGLET_SYS_SOCKET_H_
#define _RINGLET_SYS_SOCKET_H_

#define sendfile __other_sendfile
#include_next <sys/socket.h>
#undef sendfile

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2

#endif
