/* What POSIX adds to the C library's <sys/signal.h>, which its <signal.h> is made of. */
#ifndef _RINGLET_SYS_SIGNAL_H_
#define _RINGLET_SYS_SIGNAL_H_

/* Registers, and what delivers a signal, take half of the smallest. */
#define MINSIGSTKSZ 4096
#define SIGSTKSZ 16384

#include_next <sys/signal.h>

#define SA_RESTART 0x10
#define SA_RESETHAND 0x20
#define SA_NODEFER 0x40

/* The address of a fault: of the data, or of the instruction for SIGILL, SIGFPE, SIGTRAP. */
#define si_addr si_value.sival_ptr

/* si_code of a fault. */
#define SEGV_MAPERR 0x11 /* there is no memory */
#define SEGV_ACCERR 0x12 /* it does not allow that */
#define BUS_ADRALN 0x21
#define BUS_ADRERR 0x22
#define ILL_ILLOPC 0x31
#define FPE_INTDIV 0x41
#define FPE_FLTDIV 0x42
#define FPE_FLTOVF 0x43
#define FPE_FLTUND 0x44
#define FPE_FLTRES 0x45
#define FPE_FLTINV 0x46
#define TRAP_BRKPT 0x51

#include <sys/ucontext.h>

#endif
