/* What POSIX adds to the C library's <signal.h>. */
#include_next <signal.h>

#ifndef _RINGLET_SIGNAL_H_
#define _RINGLET_SIGNAL_H_

#define SA_RESTART 0x10
#define SA_RESETHAND 0x20
#define SA_NODEFER 0x40

#endif
