// memcpy, memmove, memset, memcmp, memchr, strlen. Normal memory only: they use unaligned accesses. Large
// copies go 256 bytes a round through q registers (20 instructions), the rest of them 64; small ones by overlapping loads and stores from both ends,
// no loop.

    .text
    .global memcpy, memmove
    .type   memcpy, %function
    .type   memmove, %function
    .balign 64
// memmove's order is right for both, so they are one function: everything that is stored late was loaded
// early.
memcpy:
memmove:
    add     x4, x1, x2                   // ends
    add     x5, x0, x2
    cmp     x2, #16
    b.lo    .Lsmall
    cmp     x2, #128
    b.hi    .Llong
    ldr     q0, [x1]                     // 16..128: load all, then store all
    ldr     q1, [x4, #-16]
    cmp     x2, #32
    b.hi    1f
    str     q0, [x0]
    str     q1, [x5, #-16]
    ret
1:  ldr     q2, [x1, #16]
    ldr     q3, [x4, #-32]
    cmp     x2, #64
    b.hi    2f
    stp     q0, q2, [x0]
    stp     q3, q1, [x5, #-32]
    ret
2:  ldp     q4, q5, [x1, #32]
    ldp     q6, q7, [x4, #-64]
    stp     q0, q2, [x0]
    stp     q4, q5, [x0, #32]
    stp     q6, q7, [x5, #-64]
    stp     q3, q1, [x5, #-32]
    ret
.Lsmall:
    tbz     x2, #3, 3f
    ldr     x6, [x1]
    ldr     x7, [x4, #-8]
    str     x6, [x0]
    str     x7, [x5, #-8]
    ret
3:  tbz     x2, #2, 4f
    ldr     w6, [x1]
    ldr     w7, [x4, #-4]
    str     w6, [x0]
    str     w7, [x5, #-4]
    ret
4:  cbz     x2, 5f                       // 1..3: first, middle, last
    lsr     x8, x2, #1
    ldrb    w6, [x1]
    ldrb    w7, [x1, x8]
    ldrb    w9, [x4, #-1]
    strb    w6, [x0]
    strb    w7, [x0, x8]
    strb    w9, [x5, #-1]
5:  ret

.Llong:
    sub     x6, x0, x1
    cmp     x6, x2
    b.lo    .Lbackward                   // the destination begins inside the source
    // Forward. The last 64 bytes are loaded first, in case the loop overwrites them (overlap downwards).
    ldp     q16, q17, [x4, #-64]
    ldp     q18, q19, [x4, #-32]
    mov     x3, x0
    sub     x2, x2, #64                  // rounds while more than 64 remain, then the kept tail
    subs    x2, x2, #256
    b.ls    9f
10: .irp    block, 0, 64, 128, 192
    ldp     q0, q1, [x1, #\block]
    ldp     q2, q3, [x1, #\block + 32]
    stp     q0, q1, [x3, #\block]
    stp     q2, q3, [x3, #\block + 32]
    .endr
    add     x1, x1, #256
    add     x3, x3, #256
    subs    x2, x2, #256
    b.hi    10b
9:  add     x2, x2, #256                 // 1 to 256
6:  ldp     q0, q1, [x1]
    ldp     q2, q3, [x1, #32]
    add     x1, x1, #64
    subs    x2, x2, #64
    stp     q0, q1, [x3]
    stp     q2, q3, [x3, #32]
    add     x3, x3, #64
    b.hi    6b
    stp     q16, q17, [x5, #-64]
    stp     q18, q19, [x5, #-32]
    ret
.Lbackward:
    cbz     x6, 8f                       // onto itself
    ldp     q16, q17, [x1]
    ldp     q18, q19, [x1, #32]
    mov     x3, x5
    sub     x2, x2, #64
7:  ldp     q0, q1, [x4, #-32]
    ldp     q2, q3, [x4, #-64]
    sub     x4, x4, #64
    subs    x2, x2, #64
    stp     q0, q1, [x3, #-32]
    stp     q2, q3, [x3, #-64]
    sub     x3, x3, #64
    b.hi    7b
    stp     q16, q17, [x0]
    stp     q18, q19, [x0, #32]
8:  ret

    .global memset
    .type   memset, %function
    .balign 64
memset:
    dup     v0.16b, w1
    add     x4, x0, x2
    cmp     x2, #16
    b.lo    3f
    cmp     x2, #64
    b.hi    1f
    str     q0, [x0]
    str     q0, [x4, #-16]
    cmp     x2, #32
    b.ls    2f
    str     q0, [x0, #16]
    str     q0, [x4, #-32]
2:  ret
1:  mov     x3, x0
    sub     x2, x2, #64
4:  stp     q0, q0, [x3]
    stp     q0, q0, [x3, #32]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hi    4b
    stp     q0, q0, [x4, #-64]
    stp     q0, q0, [x4, #-32]
    ret
3:  tbz     x2, #3, 5f
    str     d0, [x0]
    str     d0, [x4, #-8]
    ret
5:  tbz     x2, #2, 6f
    str     s0, [x0]
    str     s0, [x4, #-4]
    ret
6:  cbz     x2, 7f
    strb    w1, [x0]
    strb    w1, [x4, #-1]
    lsr     x3, x2, #1
    strb    w1, [x0, x3]
7:  ret

    .global memcmp
    .type   memcmp, %function
    .balign 64
memcmp:
    subs    x2, x2, #8
    b.lo    2f
1:  ldr     x3, [x0], #8
    ldr     x4, [x1], #8
    cmp     x3, x4
    b.ne    4f
    subs    x2, x2, #8
    b.hs    1b
2:  adds    x2, x2, #8
    b.eq    5f
3:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w3, w3, w4
    b.ne    6f
    subs    x2, x2, #1
    b.ne    3b
5:  mov     w0, #0
    ret
6:  mov     w0, w3
    ret
4:  rev     x3, x3                       // the first differing byte decides: make it the most significant
    rev     x4, x4
    cmp     x3, x4
    mov     w0, #1
    cneg    w0, w0, lo
    ret

    // x0, w1 = byte, x2 = count, which may reach beyond what is mapped if the byte comes first: only aligned blocks are
    // loaded, so that none lies on two pages. Of each byte four bits of the answer are kept.
    .global memchr
    .type   memchr, %function
    .balign 64
memchr:
    cbz     x2, 2f
    dup     v1.16b, w1
    and     x3, x0, #15
    bic     x0, x0, #15
    adds    x2, x2, x3                   // bytes from the block's begin on
    csinv   x2, x2, xzr, cc
    ldr     q0, [x0]
    cmeq    v0.16b, v0.16b, v1.16b
    shrn    v0.8b, v0.8h, #4
    fmov    x4, d0
    lsl     x3, x3, #2                   // what is in front of the first byte does not count
    lsr     x4, x4, x3
    lsl     x4, x4, x3
    cbnz    x4, 3f
1:  subs    x2, x2, #16
    b.ls    2f
    ldr     q0, [x0, #16]!
    cmeq    v0.16b, v0.16b, v1.16b
    shrn    v0.8b, v0.8h, #4
    fmov    x4, d0
    cbz     x4, 1b
3:  rbit    x4, x4
    clz     x4, x4
    lsr     x4, x4, #2
    cmp     x4, x2
    b.hs    2f
    add     x0, x0, x4
    ret
2:  mov     x0, #0
    ret

    .global strlen
    .type   strlen, %function
strlen:
    mov     x1, x0
1:  ldrb    w2, [x1], #1
    cbnz    w2, 1b
    sub     x0, x1, x0
    sub     x0, x0, #1
    ret
    .section .note.GNU-stack, "", @progbits
