/* For the C library's <sys/socket.h>: how control messages are aligned. */
#ifndef _MACHINE__ALIGN_H_
#define _MACHINE__ALIGN_H_

#define _ALIGNBYTES (sizeof(long) - 1)
#define _ALIGN(p) (((__uintptr_t)(p) + _ALIGNBYTES) & ~_ALIGNBYTES)

#endif
