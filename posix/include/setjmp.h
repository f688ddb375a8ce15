/* What POSIX adds to the C library's <setjmp.h>: jumps that bring the signal mask back. */
#include_next <setjmp.h>

#ifndef _RINGLET_SETJMP_H_
#define _RINGLET_SETJMP_H_

#include <sys/_sigset.h>

_BEGIN_STD_C

struct __ringlet_sigjmp {
  jmp_buf __place;
  int __has_mask;
  __sigset_t __mask;
};
typedef struct __ringlet_sigjmp sigjmp_buf[1];

/* Notes the mask when `savemask` is not 0; returns the place for setjmp(). */
long long *__ringlet_sigsetjmp(sigjmp_buf env, int savemask);
#define sigsetjmp(env, savemask) setjmp(__ringlet_sigsetjmp(env, savemask))
void siglongjmp(sigjmp_buf env, int value) __attribute__((__noreturn__));

#define _setjmp(env) setjmp(env)
#define _longjmp(env, value) longjmp(env, value)

_END_STD_C

#endif
