// Interrupt and fault entry, and the switch between threads. SDM vol. 3 §6.12, §6.14; System V AMD64 ABI §3.2.
//
// Every vector pushes a uniform frame (error code or 0, then the vector number), sixteen bytes of code each, so that the
// IDT is filled with start + 16 * vector. Faults (below 32) run on IST stacks; when they return the thread is diverted.
// Interrupts run on the interrupted thread's stack, save there what a call may change including the FP state, and may
// come back much later, when the scheduler runs that thread again.

        .macro  PUSH_REGISTERS
        pushq   %rax
        pushq   %rbx
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %rbp
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        .endm

        .macro  POP_REGISTERS
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rbp
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rbx
        popq    %rax
        .endm

        .section .text.traps, "ax"
        .balign 16
        .globl  ringlet_vectors
ringlet_vectors:
        vector = 0
        .rept   256
        .balign 16
        // #DF #TS #NP #SS #GP #PF #AC #CP push an error code themselves.
        .if     vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21
        .else
        pushq   $0
        .endif
        pushq   $vector
        .if     vector < 32
        jmp     fault_entry
        .else
        jmp     interrupt_entry
        .endif
        vector = vector + 1
        .endr

        .balign 16
fault_entry:
        cld
        PUSH_REGISTERS
        movq    %cr2, %rax
        pushq   %rax
        movq    %rsp, %rdi
        movq    %rsp, %rbx
        subq    $512, %rsp
        andq    $-16, %rsp
        fxsave64 (%rsp)
        xorl    %ebp, %ebp
        call    ringlet_fault
take_back:                              // rsp: what FXSAVE saved; rbx: struct Registers
        fxrstor64 (%rsp)
        movq    %rbx, %rsp
        addq    $8, %rsp
        POP_REGISTERS
        addq    $16, %rsp
        iretq

        // What a call may change; the rest is kept by the handler, and by the switch if there is one. The CPU aligned the
        // stack to 16 before it pushed 5 words; with vector, error code and 9 registers that is 128 bytes, so the stack is
        // aligned again here, as FXSAVE and the call both need.
        .balign 16
interrupt_entry:
        pushq   %rax
        pushq   %rcx
        pushq   %rdx
        pushq   %rsi
        pushq   %rdi
        pushq   %r8
        pushq   %r9
        pushq   %r10
        pushq   %r11
        subq    $512, %rsp
        fxsave64 (%rsp)
        cld
        movl    (512 + 9 * 8)(%rsp), %edi
        pushq   (512 + 11 * 8)(%rsp)    // the interrupted pc and rbp: one more frame for backtraces
        pushq   %rbp
        movq    %rsp, %rbp
        movq    %rsp, %rsi
        call    ringlet_interrupt
        movl    %eax, (528 + 10 * 8)(%rsp)      // in place of the error code: is the thread diverted?
        popq    %rbp
        addq    $8, %rsp
        fxrstor64 (%rsp)
        addq    $512, %rsp
        popq    %r11
        popq    %r10
        popq    %r9
        popq    %r8
        popq    %rdi
        popq    %rsi
        popq    %rdx
        popq    %rcx
        popq    %rax
        cmpl    $0, 8(%rsp)
        jne     ringlet_divert
        addq    $16, %rsp
        iretq

        // A thread calls ringlet_diverted() between two of its instructions: after an interrupt, with what the CPU pushed
        // then on top of its stack, or after a fault, with a copy of it on this or another stack. Interrupts are disabled.
        // Saves the whole of its state there, struct Registers first, and goes on where that says.
        .balign 16
        .globl  ringlet_divert
ringlet_divert:
        cld
        PUSH_REGISTERS
        movq    %cr2, %rax
        pushq   %rax
        movq    %rsp, %rbx
        pushq   $0
        pushq   144(%rbx)               // pc and rbp: one more frame for backtraces
        pushq   %rbp
        movq    %rsp, %rbp
        subq    $512, %rsp
        fxsave64 (%rsp)
        fninit
        ldmxcsr default_mxcsr(%rip)
        sti
        movq    %rbx, %rdi
        call    ringlet_diverted
        cli
        jmp     take_back
        .balign 4
default_mxcsr:
        .long   0x1f80                  // all exceptions masked, rounding to nearest

        // The vector of interrupts that were withdrawn before they were delivered: nothing to do, no EOI.
        .balign 16
        .globl  ringlet_spurious
ringlet_spurious:
        iretq

        // void ringlet_context_switch(Context& from, Context& to)
        .section .text.context_switch, "ax"
        .balign 16
        .globl  ringlet_context_switch
ringlet_context_switch:
        pushq   %rbp
        pushq   %rbx
        pushq   %r12
        pushq   %r13
        pushq   %r14
        pushq   %r15
        subq    $8, %rsp
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movq    %rsp, (%rdi)
        movq    (%rsi), %rsp
        fldcw   4(%rsp)
        ldmxcsr (%rsp)
        addq    $8, %rsp
        popq    %r15
        popq    %r14
        popq    %r13
        popq    %r12
        popq    %rbx
        popq    %rbp
        ret

        // Where a new context "returns" to: rbx = entry, r12 = its argument, rbp = 0.
        .globl  ringlet_context_start
        .balign 16
ringlet_context_start:
        movq    %r12, %rdi
        pushq   $0                      // a return address that ends backtraces
        jmp     *%rbx

        // void ringlet_call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument)
        .globl  ringlet_call_on_stack
        .balign 16
ringlet_call_on_stack:
        pushq   %rbp
        movq    %rsp, %rbp
        movq    %rdi, %rsp
        andq    $-16, %rsp
        movq    %rdx, %rdi
        call    *%rsi
        leave
        ret
        .section .note.GNU-stack, "", @progbits
