/* The type. There is no getcontext(), setcontext(), makecontext(), swapcontext(). */
#ifndef _UCONTEXT_H_
#define _UCONTEXT_H_
#include <sys/ucontext.h>
#endif
