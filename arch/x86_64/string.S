// memcpy, memmove, memset, memcmp, strlen, memchr. Small sizes by overlapping loads, large ones 512 bytes a turn with
// SSE (66 instructions per 512 bytes copied); no REP MOVSB, which crawls under TCG and starts slowly on hardware.
// TCG keeps the XMM registers in memory: there copying 8 bytes at a time takes half as long, though twice the instructions.
// Context: any; interrupt entry saves the XMM registers.

        // A byte: not 0 when large copies are made 8 bytes at a time. Set once, at the start (arch/x86_64/cpu.cpp).
        .data
        .globl  ringlet_copy_words
ringlet_copy_words:
        .byte   0

        .macro  FUNCTION name
        .section .text.\name, "ax"
        .balign 16
        .globl  \name
        .type   \name, @function
\name:
        .endm
        .macro  END name
        .size   \name, . - \name
        .endm

        // 64 bytes from rsi + rdx + block to the same of rdi.
        .macro  MOVE block
        movups  \block+0(%rsi, %rdx), %xmm0
        movups  \block+16(%rsi, %rdx), %xmm1
        movups  \block+32(%rsi, %rdx), %xmm2
        movups  \block+48(%rsi, %rdx), %xmm3
        movups  %xmm0, \block+0(%rdi, %rdx)
        movups  %xmm1, \block+16(%rdi, %rdx)
        movups  %xmm2, \block+32(%rdi, %rdx)
        movups  %xmm3, \block+48(%rdi, %rdx)
        .endm

        // rdi = to, rsi = from, rdx = count; returns to. Loads everything before it stores anything up to 128 bytes,
        // and copies downwards when the destination overlaps the source's end: hence memmove and memcpy are one.
        .globl  memcpy
FUNCTION memmove
memcpy:
        movq    %rdi, %rax
        cmpq    $16, %rdx
        jae     2f
        cmpl    $8, %edx
        jae     1f
        cmpl    $4, %edx
        jae     3f
        testl   %edx, %edx
        jz      9f
        movzbl  (%rsi), %ecx
        movzbl  -1(%rsi, %rdx), %r8d
        cmpl    $3, %edx
        jne     4f
        movzbl  1(%rsi), %r9d
        movb    %r9b, 1(%rdi)
4:      movb    %r8b, -1(%rdi, %rdx)
        movb    %cl, (%rdi)
9:      ret
3:      movl    (%rsi), %ecx
        movl    -4(%rsi, %rdx), %r8d
        movl    %ecx, (%rdi)
        movl    %r8d, -4(%rdi, %rdx)
        ret
1:      movq    (%rsi), %rcx
        movq    -8(%rsi, %rdx), %r8
        movq    %rcx, (%rdi)
        movq    %r8, -8(%rdi, %rdx)
        ret
2:      cmpq    $32, %rdx
        ja      5f
        movups  (%rsi), %xmm0
        movups  -16(%rsi, %rdx), %xmm1
        movups  %xmm0, (%rdi)
        movups  %xmm1, -16(%rdi, %rdx)
        ret
5:      cmpq    $64, %rdx
        ja      6f
        movups  (%rsi), %xmm0
        movups  16(%rsi), %xmm1
        movups  -32(%rsi, %rdx), %xmm2
        movups  -16(%rsi, %rdx), %xmm3
        movups  %xmm0, (%rdi)
        movups  %xmm1, 16(%rdi)
        movups  %xmm2, -32(%rdi, %rdx)
        movups  %xmm3, -16(%rdi, %rdx)
        ret
6:      cmpq    $128, %rdx
        ja      7f
        movups  (%rsi), %xmm0
        movups  16(%rsi), %xmm1
        movups  32(%rsi), %xmm2
        movups  48(%rsi), %xmm3
        movups  -64(%rsi, %rdx), %xmm4
        movups  -48(%rsi, %rdx), %xmm5
        movups  -32(%rsi, %rdx), %xmm6
        movups  -16(%rsi, %rdx), %xmm7
        movups  %xmm0, (%rdi)
        movups  %xmm1, 16(%rdi)
        movups  %xmm2, 32(%rdi)
        movups  %xmm3, 48(%rdi)
        movups  %xmm4, -64(%rdi, %rdx)
        movups  %xmm5, -48(%rdi, %rdx)
        movups  %xmm6, -32(%rdi, %rdx)
        movups  %xmm7, -16(%rdi, %rdx)
        ret

        // More than 128. The last 64 bytes are loaded first and stored last (upwards), the first 64 likewise
        // (downwards), so that the loops may stop anywhere inside them.
7:      movq    %rdi, %rcx
        subq    %rsi, %rcx
        cmpq    %rdx, %rcx
        jb      backwards
        movups  -64(%rsi, %rdx), %xmm12
        movups  -48(%rsi, %rdx), %xmm13
        movups  -32(%rsi, %rdx), %xmm14
        movups  -16(%rsi, %rdx), %xmm15
        leaq    -64(%rdi, %rdx), %r8            // where they go
        andq    $-256, %rdx                     // in halves of a turn
        jz      2f
        cmpb    $0, ringlet_copy_words(%rip)
        jne     5f
        leaq    128(%rsi, %rdx), %rsi           // their end and 128 more: a half's offsets have one byte
        leaq    128(%rdi, %rdx), %rdi
        negq    %rdx
        testl   $256, %edx
        jz      1f
        subq    $256, %rdx                      // an odd number of halves: begins in the middle of a turn
        jmp     8f
1:      .irp    block, -128, -64, 0, 64
        MOVE    \block
        .endr
8:      .irp    block, 128, 192, 256, 320
        MOVE    \block
        .endr
        addq    $512, %rdx
        jnz     1b
        addq    $-128, %rsi
        addq    $-128, %rdi
2:      cmpq    %r8, %rdi
        jae     4f
3:      movups  (%rsi), %xmm0
        movups  16(%rsi), %xmm1
        movups  32(%rsi), %xmm2
        movups  48(%rsi), %xmm3
        movups  %xmm0, (%rdi)
        movups  %xmm1, 16(%rdi)
        movups  %xmm2, 32(%rdi)
        movups  %xmm3, 48(%rdi)
        addq    $64, %rsi
        addq    $64, %rdi
        cmpq    %r8, %rdi
        jb      3b
4:      movups  %xmm12, (%r8)
        movups  %xmm13, 16(%r8)
        movups  %xmm14, 32(%r8)
        movups  %xmm15, 48(%r8)
        ret
5:      .irp    block, 0, 32, 64, 96, 128, 160, 192, 224
        movq    \block+0(%rsi), %rcx
        movq    \block+8(%rsi), %r9
        movq    \block+16(%rsi), %r10
        movq    \block+24(%rsi), %r11
        movq    %rcx, \block+0(%rdi)
        movq    %r9, \block+8(%rdi)
        movq    %r10, \block+16(%rdi)
        movq    %r11, \block+24(%rdi)
        .endr
        addq    $256, %rsi
        addq    $256, %rdi
        subq    $256, %rdx
        jnz     5b
        jmp     2b

backwards:
        movups  (%rsi), %xmm12
        movups  16(%rsi), %xmm13
        movups  32(%rsi), %xmm14
        movups  48(%rsi), %xmm15
        addq    %rdx, %rsi
        addq    %rdi, %rdx                      // rdx = end of the destination
        leaq    64(%rdi), %r8
1:      movups  -16(%rsi), %xmm0
        movups  -32(%rsi), %xmm1
        movups  -48(%rsi), %xmm2
        movups  -64(%rsi), %xmm3
        movups  %xmm0, -16(%rdx)
        movups  %xmm1, -32(%rdx)
        movups  %xmm2, -48(%rdx)
        movups  %xmm3, -64(%rdx)
        subq    $64, %rsi
        subq    $64, %rdx
        cmpq    %r8, %rdx
        ja      1b
        movups  %xmm12, (%rdi)
        movups  %xmm13, 16(%rdi)
        movups  %xmm14, 32(%rdi)
        movups  %xmm15, 48(%rdi)
        ret
END memmove

        // rdi = to, esi = byte, rdx = count
FUNCTION memset
        movq    %rdi, %rax
        movzbl  %sil, %esi
        movabsq $0x0101010101010101, %rcx
        imulq   %rsi, %rcx
        cmpq    $16, %rdx
        jae     2f
        cmpl    $8, %edx
        jae     1f
        cmpl    $4, %edx
        jae     3f
        testl   %edx, %edx
        jz      9f
        movb    %cl, (%rdi)
        movb    %cl, -1(%rdi, %rdx)
        shrl    $1, %edx
        movb    %cl, (%rdi, %rdx)
9:      ret
3:      movl    %ecx, (%rdi)
        movl    %ecx, -4(%rdi, %rdx)
        ret
1:      movq    %rcx, (%rdi)
        movq    %rcx, -8(%rdi, %rdx)
        ret
2:      movq    %rcx, %xmm0
        punpcklqdq %xmm0, %xmm0
        movups  %xmm0, (%rdi)
        movups  %xmm0, -16(%rdi, %rdx)
        cmpq    $32, %rdx
        jbe     9b
        leaq    (%rdi, %rdx), %r8               // end
        addq    $16, %rdi
        andq    $-16, %rdi
        movq    %r8, %rcx
        subq    %rdi, %rcx
        subq    $256, %rcx
        jb      5f
4:      .irp    block, 0, 64, 128, 192
        movaps  %xmm0, \block+0(%rdi)
        movaps  %xmm0, \block+16(%rdi)
        movaps  %xmm0, \block+32(%rdi)
        movaps  %xmm0, \block+48(%rdi)
        .endr
        addq    $256, %rdi
        subq    $256, %rcx
        jae     4b
5:      addq    $240, %rcx                      // whole 16-byte pieces left, less one
        js      7f
6:      movaps  %xmm0, (%rdi)
        addq    $16, %rdi
        subq    $16, %rcx
        jns     6b
7:      ret
END memset

        // rdi, rsi, rdx = count
FUNCTION memcmp
        subq    $16, %rdx
        jb      2f
1:      movups  (%rdi), %xmm0
        movups  (%rsi), %xmm1
        pcmpeqb %xmm1, %xmm0
        pmovmskb %xmm0, %eax
        subl    $0xffff, %eax
        jnz     4f
        addq    $16, %rdi
        addq    $16, %rsi
        subq    $16, %rdx
        jae     1b
2:      addq    $16, %rdx
        jz      3f
5:      movzbl  (%rdi), %eax
        movzbl  (%rsi), %ecx
        subl    %ecx, %eax
        jnz     6f
        incq    %rdi
        incq    %rsi
        decq    %rdx
        jnz     5b
3:      xorl    %eax, %eax
6:      ret
4:      negl    %eax                            // 0xffff - mask: the bytes that differ
        bsfl    %eax, %ecx
        movzbl  (%rdi, %rcx), %eax
        movzbl  (%rsi, %rcx), %ecx
        subl    %ecx, %eax
        ret
END memcmp

FUNCTION strlen
        movq    %rdi, %rax
1:      cmpb    $0, (%rax)
        je      2f
        incq    %rax
        jmp     1b
2:      subq    %rdi, %rax
        ret
END strlen

        // rdi, esi = byte, rdx = count, which may reach beyond what is mapped if the byte comes first: only aligned
        // blocks are loaded, so that none lies on two pages.
FUNCTION memchr
        testq   %rdx, %rdx
        jz      2f
        movd    %esi, %xmm1
        punpcklbw %xmm1, %xmm1
        pshuflw $0, %xmm1, %xmm1
        punpcklqdq %xmm1, %xmm1
        movl    %edi, %ecx
        andl    $15, %ecx
        subq    %rcx, %rdi
        addq    %rcx, %rdx                      // bytes from the block's begin on
        jnc     4f
        movq    $-1, %rdx
4:      movdqa  (%rdi), %xmm0
        pcmpeqb %xmm1, %xmm0
        pmovmskb %xmm0, %eax
        shrl    %cl, %eax                       // what is in front of the first byte does not count
        shll    %cl, %eax
        testl   %eax, %eax                      // a shift by nothing sets no flags
        jnz     3f
1:      subq    $16, %rdx
        jbe     2f
        addq    $16, %rdi
        movdqa  (%rdi), %xmm0
        pcmpeqb %xmm1, %xmm0
        pmovmskb %xmm0, %eax
        testl   %eax, %eax
        jz      1b
3:      bsfl    %eax, %eax
        cmpq    %rdx, %rax
        jae     2f
        addq    %rdi, %rax
        ret
2:      xorl    %eax, %eax
        ret
END memchr
        .section .note.GNU-stack, "", @progbits
