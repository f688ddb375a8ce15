// Exception vectors (Arm ARM D1.4). Threads run in EL1t on SP_EL0, so every exception starts on SP_EL1, the
// fault stack. An interrupt goes back to the interrupted stack at once and saves there; if that stack is
// exhausted, the store faults and the fault is again taken on SP_EL1: an overflow always prints, with
// nothing to check.

    .macro vector kind
    .balign 0x80
    b       \kind
    .endm

    .section .text.vectors, "ax"
    .balign 0x800
    .global ringlet_vectors
ringlet_vectors:
    vector  fault_from_thread            // current EL, SP_EL0: synchronous
    vector  irq_entry                    //                     IRQ
    vector  fault_fiq                    //                     FIQ
    vector  fault_serror                 //                     SError
    vector  fault_nested                 // current EL, SP_EL1: a fault while a fault is handled
    vector  fault_nested
    vector  fault_nested
    vector  fault_nested
    .rept   8                            // lower ELs do not exist here
    vector  fault_nested
    .endr

#define FRAME 720
irq_entry:                               // saves what a call may change; the handler, and a switch, keep the rest
    msr     spsel, #0
    sub     sp, sp, #FRAME
    stp     x0, x1, [sp, #16]
    stp     x2, x3, [sp, #32]
    stp     x4, x5, [sp, #48]
    stp     x6, x7, [sp, #64]
    stp     x8, x9, [sp, #80]
    stp     x10, x11, [sp, #96]
    stp     x12, x13, [sp, #112]
    stp     x14, x15, [sp, #128]
    stp     x16, x17, [sp, #144]
    stp     x18, x30, [sp, #160]
    mrs     x0, elr_el1
    mrs     x1, spsr_el1
    mrs     x2, fpcr
    mrs     x3, fpsr
    stp     x29, x0, [sp]                // a frame record: the backtrace goes through the interrupt
    mov     x29, sp
    stp     x1, x2, [sp, #176]
    str     x3, [sp, #192]
    stp     q0, q1, [sp, #208]
    stp     q2, q3, [sp, #240]
    stp     q4, q5, [sp, #272]
    stp     q6, q7, [sp, #304]
    stp     q8, q9, [sp, #336]
    stp     q10, q11, [sp, #368]
    stp     q12, q13, [sp, #400]
    stp     q14, q15, [sp, #432]
    stp     q16, q17, [sp, #464]
    stp     q18, q19, [sp, #496]
    stp     q20, q21, [sp, #528]
    stp     q22, q23, [sp, #560]
    stp     q24, q25, [sp, #592]
    stp     q26, q27, [sp, #624]
    stp     q28, q29, [sp, #656]
    stp     q30, q31, [sp, #688]
    msr     fpcr, xzr                    // handlers compute in the default rounding mode
    bl      ringlet_irq                  // may return on another thread's time, but on this stack
    ldp     q0, q1, [sp, #208]
    ldp     q2, q3, [sp, #240]
    ldp     q4, q5, [sp, #272]
    ldp     q6, q7, [sp, #304]
    ldp     q8, q9, [sp, #336]
    ldp     q10, q11, [sp, #368]
    ldp     q12, q13, [sp, #400]
    ldp     q14, q15, [sp, #432]
    ldp     q16, q17, [sp, #464]
    ldp     q18, q19, [sp, #496]
    ldp     q20, q21, [sp, #528]
    ldp     q22, q23, [sp, #560]
    ldp     q24, q25, [sp, #592]
    ldp     q26, q27, [sp, #624]
    ldp     q28, q29, [sp, #656]
    ldp     q30, q31, [sp, #688]
    ldr     x3, [sp, #192]
    ldp     x1, x2, [sp, #176]
    ldp     x29, x0, [sp]
    msr     fpsr, x3
    msr     fpcr, x2
    msr     spsr_el1, x1
    msr     elr_el1, x0
    ldp     x0, x1, [sp, #16]
    ldp     x2, x3, [sp, #32]
    ldp     x4, x5, [sp, #48]
    ldp     x6, x7, [sp, #64]
    ldp     x8, x9, [sp, #80]
    ldp     x10, x11, [sp, #96]
    ldp     x12, x13, [sp, #112]
    ldp     x14, x15, [sp, #128]
    ldp     x16, x17, [sp, #144]
    ldp     x18, x30, [sp, #160]
    add     sp, sp, #FRAME
    eret

// struct Registers (arch/registers.hpp), then the C handler; if that returns, the fault was expected and the
// interrupted code goes on (floating-point registers are not touched by it: it changes x0 and pc only).
    .macro save_registers stack_pointer
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    .ifc    \stack_pointer, sp_el0
    mrs     x0, sp_el0
    .else
    add     x0, sp, #288
    .endif
    stp     x30, x0, [sp, #240]
    mrs     x0, elr_el1
    mrs     x1, spsr_el1
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x0, x1, [sp, #256]
    stp     x2, x3, [sp, #272]
    .endm

fault_from_thread:
    save_registers sp_el0
    mov     w1, #0
    b       to_fault
fault_serror:
    save_registers sp_el0
    mov     w1, #1
    b       to_fault
fault_fiq:
    save_registers sp_el0
    mov     w1, #2
to_fault:
    mov     x0, sp
    bl      ringlet_fault
    ldr     x0, [sp, #256]
    msr     elr_el1, x0
    ldp     x0, x1, [sp]                 // the handler is C: restore what it may have changed
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldr     x30, [sp, #240]
    add     sp, sp, #288
    eret

// A fault inside fault handling. One more try on a second stack, which has nothing below it worth keeping.
fault_nested:
    ldr     x30, =ringlet_nested_stack_top
    mov     x28, sp
    mov     sp, x30
    save_registers sp_el1
    str     x28, [sp, #248]
    mov     x0, sp
    mov     w1, #3
    bl      ringlet_fault
    b       .
    .ltorg

// void ringlet_context_switch(Context* from, Context* to)
    .text
    .global ringlet_context_switch
ringlet_context_switch:
    sub     sp, sp, #176
    stp     x29, x30, [sp]
    mov     x29, sp
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     d8, d9, [sp, #96]
    stp     d10, d11, [sp, #112]
    stp     d12, d13, [sp, #128]
    stp     d14, d15, [sp, #144]
    mrs     x2, fpcr
    str     x2, [sp, #160]
    mov     x3, sp
    str     x3, [x0]
    ldr     x3, [x1]
    mov     sp, x3
    ldr     x3, [sp, #160]
    cmp     x2, x3
    b.eq    1f
    msr     fpcr, x3
1:  ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     d8, d9, [sp, #96]
    ldp     d10, d11, [sp, #112]
    ldp     d12, d13, [sp, #128]
    ldp     d14, d15, [sp, #144]
    ldp     x29, x30, [sp]
    add     sp, sp, #176
    ret

// First thing a new thread runs: x19 = entry, x20 = its argument. x29 = 0 ends backtraces.
    .global ringlet_thread_start
ringlet_thread_start:
    mov     x0, x20
    blr     x19
    brk     #1

    .section .bss.fault_stacks, "aw", @nobits
    .balign 16
    .zero   4096
    .global ringlet_fault_stack_top
ringlet_fault_stack_top:
    .zero   4096
ringlet_nested_stack_top:
    .section .note.GNU-stack, "", @progbits
