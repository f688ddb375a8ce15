/* What the third argument of a handler with SA_SIGINFO points to: where the thread was. When the handler returns, the
 * thread goes on with the general registers, stack pointer, program counter and condition flags that are in it then, and
 * with the signal mask. A signal that comes inside a call, as by raise(), has only the places of that call in it, and
 * nothing is taken back. */
#ifndef _SYS_UCONTEXT_H_
#define _SYS_UCONTEXT_H_

#include <machine/mcontext.h>
#include <signal.h>

typedef struct __ringlet_ucontext {
  unsigned long uc_flags;              /* 0 */
  struct __ringlet_ucontext *uc_link;  /* NULL */
  stack_t uc_stack;                    /* as sigaltstack() tells it */
  mcontext_t uc_mcontext;
  sigset_t uc_sigmask;                 /* what was blocked */
} ucontext_t;

#endif
