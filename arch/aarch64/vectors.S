// Exception vectors (Arm ARM D1.4). Threads run in EL1t on SP_EL0, so every exception starts on SP_EL1, the
// fault stack. An interrupt goes back to the interrupted stack at once and saves there; if that stack is
// exhausted, the store faults and the fault is again taken on SP_EL1: an overflow always prints, with
// nothing to check.

    .macro vector kind
    .balign 0x80
    b       \kind
    .endm

    .section .text.vectors, "ax"         // the linker script aligns it to 2 KiB
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

    .macro each_q op at
    \op     q0, q1, [sp, #\at]
    \op     q2, q3, [sp, #\at + 32]
    \op     q4, q5, [sp, #\at + 64]
    \op     q6, q7, [sp, #\at + 96]
    \op     q8, q9, [sp, #\at + 128]
    \op     q10, q11, [sp, #\at + 160]
    \op     q12, q13, [sp, #\at + 192]
    \op     q14, q15, [sp, #\at + 224]
    \op     q16, q17, [sp, #\at + 256]
    \op     q18, q19, [sp, #\at + 288]
    \op     q20, q21, [sp, #\at + 320]
    \op     q22, q23, [sp, #\at + 352]
    \op     q24, q25, [sp, #\at + 384]
    \op     q26, q27, [sp, #\at + 416]
    \op     q28, q29, [sp, #\at + 448]
    \op     q30, q31, [sp, #\at + 480]
    .endm

// All of struct Registers (arch/registers.hpp) at `base` but x0, x1 and what is behind x30.
    .macro each_x op base
    \op     x2, x3, [\base, #16]
    \op     x4, x5, [\base, #32]
    \op     x6, x7, [\base, #48]
    \op     x8, x9, [\base, #64]
    \op     x10, x11, [\base, #80]
    \op     x12, x13, [\base, #96]
    \op     x14, x15, [\base, #112]
    \op     x16, x17, [\base, #128]
    \op     x18, x19, [\base, #144]
    \op     x20, x21, [\base, #160]
    \op     x22, x23, [\base, #176]
    \op     x24, x25, [\base, #192]
    \op     x26, x27, [\base, #208]
    \op     x28, x29, [\base, #224]
    .endm

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
    each_q  stp, 208
    msr     fpcr, xzr                    // handlers compute in the default rounding mode
    mov     x0, sp
    bl      ringlet_irq                  // may return on another thread's time, but on this stack
    cmp     w0, #0                       // is the thread diverted? Nothing below changes the flags
    each_q  ldp, 208
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
    b.ne    divert_interrupted
    eret

// A thread calls ringlet_diverted() between two of its instructions. Here after an interrupt: everything is as it was then
// but pc and pstate, which are still in elr and spsr.
divert_interrupted:
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    add     x0, sp, #288
    mrs     x1, elr_el1
    stp     x0, x1, [sp, #248]
    mrs     x0, spsr_el1
    mov     x1, #-1                      // kNoFault
    stp     x0, x1, [sp, #264]
    ldp     x0, x1, [sp]

// Here after a fault: sp, on this or another stack, is struct Registers, of which the end, from sp on, is there already.
// Interrupts are disabled. Saves the rest, and goes on where that says.
    .global ringlet_divert
ringlet_divert:
    stp     x0, x1, [sp]
    each_x  stp, sp
    str     x30, [sp, #240]
    mov     x19, sp
    sub     sp, sp, #544
    ldr     x0, [x19, #256]
    stp     x29, x0, [sp]                // one more frame for backtraces
    mov     x29, sp
    mrs     x0, fpcr
    mrs     x1, fpsr
    stp     x0, x1, [sp, #16]
    each_q  stp, 32
    msr     fpcr, xzr
    msr     daifclr, #2
    mov     x0, x19
    bl      ringlet_diverted
    msr     daifset, #2
    each_q  ldp, 32
    ldp     x0, x1, [sp, #16]
    msr     fpcr, x0
    msr     fpsr, x1
    ldp     x2, x3, [x19, #248]
    ldr     x4, [x19, #264]
    msr     elr_el1, x3
    msr     spsr_el1, x4
    mov     x1, x19
    msr     spsel, #1                    // the fault stack holds the last two registers while all others come back
    msr     sp_el0, x2
    ldp     x2, x3, [x1]
    stp     x2, x3, [sp, #-16]!
    ldr     x30, [x1, #240]
    each_x  ldp, x1
    ldp     x0, x1, [sp], #16
    eret

// struct Registers (arch/registers.hpp), then the C handler; if that returns, the interrupted code goes on where
// Registers says: behind an instruction that was tried, or diverted.
    .macro save_registers stack_pointer
    sub     sp, sp, #288
    stp     x0, x1, [sp]
    each_x  stp, sp
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
    sub     sp, sp, #512
    each_q  stp, 0
    bl      ringlet_fault
    each_q  ldp, 0
    add     sp, sp, #512
    ldp     x0, x1, [sp, #248]           // the handler is C: what it may have changed, and what it changed on purpose
    msr     sp_el0, x0
    msr     elr_el1, x1
    ldr     x0, [sp, #264]
    msr     spsr_el1, x0
    each_x  ldp, sp
    ldp     x0, x1, [sp]
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

// void ringlet_call_on_stack(std::uintptr_t top, void (*function)(void*), void* argument)
    .global ringlet_call_on_stack
ringlet_call_on_stack:
    stp     x29, x30, [sp, #-16]!
    mov     x29, sp
    and     x0, x0, #-16
    mov     sp, x0
    mov     x0, x2
    blr     x1
    mov     sp, x29
    ldp     x29, x30, [sp], #16
    ret

// First thing a new thread runs: x19 = entry, x20 = its argument. x29 = 0 ends backtraces.
    .global ringlet_thread_start
ringlet_thread_start:
    mov     x0, x20
    blr     x19
    brk     #1

    .section .bss.fault_stacks, "aw", @nobits
    .balign 16
    .zero   6144
    .global ringlet_fault_stack_top
ringlet_fault_stack_top:
    .zero   4096
ringlet_nested_stack_top:
    .section .note.GNU-stack, "", @progbits
