/* The registers of a thread: struct Registers of <arch/registers.hpp>, with the names that programs for Linux use. */
#ifndef _MACHINE_MCONTEXT_H_
#define _MACHINE_MCONTEXT_H_

#if defined(__x86_64__)
typedef long long greg_t;
#define __NGREG 23
typedef greg_t gregset_t[__NGREG];
typedef struct {
  gregset_t gregs;
} mcontext_t;
#if __GNU_VISIBLE
#define NGREG __NGREG
enum {
  REG_CR2,
  REG_R15,
  REG_R14,
  REG_R13,
  REG_R12,
  REG_R11,
  REG_R10,
  REG_R9,
  REG_R8,
  REG_RBP,
  REG_RDI,
  REG_RSI,
  REG_RDX,
  REG_RCX,
  REG_RBX,
  REG_RAX,
  REG_TRAPNO,
  REG_ERR,
  REG_RIP,
  REG_CSGSFS,
  REG_EFL,
  REG_RSP,
  REG_SS
};
#endif
#elif defined(__aarch64__)
typedef struct {
  unsigned long long regs[31];
  unsigned long long sp;
  unsigned long long pc;
  unsigned long long pstate;
  unsigned long long __esr;
  unsigned long long fault_address;
} mcontext_t;
#endif

#endif
