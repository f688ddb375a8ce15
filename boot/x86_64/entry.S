// The first instructions of an x86_64 image, in 32-bit protected mode with paging off: PVH entry (ebx = start info; Xen
// docs/misc/pvh.markdown) and Multiboot2 entry (eax = magic, ebx = boot information; Multiboot2 specification 2.0 §3.3).
// Then early identity map of 4 GiB, long mode, ringlet_loader_main() on the boot stack.

#define CR0_FINAL   0x80010033          /* PG WP NE ET MP PE */
#define CR4_FINAL   0x620               /* OSXMMEXCPT OSFXSR PAE */
#define MSR_EFER    0xC0000080
#define EFER_BITS   0x900               /* NXE LME */
#define MSR_GS_BASE 0xC0000101
#define MULTIBOOT2_HEADER 0xe85250d6
#define CODE64      0x08
#define DATA        0x10

        // XEN_ELFNOTE_PHYS32_ENTRY. The four zero bytes behind it are there because QEMU reads the entry as 64 bits.
        .section .note.PVH, "a", @note
        .balign 4
        .long   4, 4, 18
        .asciz  "Xen"
        .long   pvh_start
        .long   0

        .section .text.boot, "ax"
        // Within the first 32 KiB of the file, 8-byte aligned (§3.1); boot services must have ended, as they do by default.
        .balign 8
multiboot2_header:
        .long   MULTIBOOT2_HEADER, 0, multiboot2_header_end - multiboot2_header
        .long   -(MULTIBOOT2_HEADER + (multiboot2_header_end - multiboot2_header))
        .short  1, 0                    // a memory map must be there
        .long   12, 6
        .balign 8
        .short  3, 0                    // the entry
        .long   12, multiboot2_start
        .balign 8
        .short  0, 0
        .long   8
multiboot2_header_end:

        .code32
        .globl  pvh_start
pvh_start:
        xorl    %eax, %eax
multiboot2_start:
        cld
        cli
        movl    $__boot_stack_top, %esp // above .bss
        pushl   $0
        pushl   %eax
        movl    %ebx, %esi
        rdtsc
        movl    %eax, %ebp              // kept until .bss is clean
        movl    %edx, %ebx

        // Some loaders do not clear what is not in the file.
        movl    $__bss_start, %edi
        movl    $__bss_end, %ecx
        subl    %edi, %ecx
        shrl    $2, %ecx
        xorl    %eax, %eax
        rep stosl
        movl    %ebp, ringlet_entry_cycles
        movl    %ebx, ringlet_entry_cycles + 4

        movl    $0x80000000, %eax
        cpuid
        cmpl    $0x80000001, %eax
        jb      no_long_mode
        movl    $0x80000001, %eax
        cpuid
        andl    $((1 << 29) | (1 << 20)), %edx  // LM, NX
        cmpl    $((1 << 29) | (1 << 20)), %edx
        jne     no_long_mode

        // 4 GiB in 2 MiB pages; paging_init() tightens these same tables later.
        movl    $(early_pdpt + 3), early_pml4
        movl    $(early_pd + 3), %eax
        xorl    %ecx, %ecx
1:      movl    %eax, early_pdpt(, %ecx, 8)
        addl    $4096, %eax
        incl    %ecx
        cmpl    $4, %ecx
        jne     1b
        movl    $0x83, %eax
        movl    $early_pd, %edi
        movl    $2048, %ecx
2:      movl    %eax, (%edi)
        addl    $0x200000, %eax
        addl    $8, %edi
        decl    %ecx
        jnz     2b

        movl    $CR4_FINAL, %eax
        movl    %eax, %cr4
        movl    $early_pml4, %eax
        movl    %eax, %cr3
        movl    $MSR_EFER, %ecx
        rdmsr
        orl     $EFER_BITS, %eax
        wrmsr
        movl    $CR0_FINAL, %eax
        movl    %eax, %cr0
        lgdt    early_gdt_pointer
        ljmp    $CODE64, $start64

no_long_mode:
        movl    $no_long_mode_text, %esi
        movw    $0x3f8, %dx
3:      lodsb
        testb   %al, %al
        jz      4f
        outb    %al, %dx
        jmp     3b
4:      cli
        hlt
        jmp     4b

        .code64
start64:
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        xorl    %eax, %eax
        movl    %eax, %fs
        movl    %eax, %gs
        movl    $MSR_GS_BASE, %ecx
        movl    $ringlet_boot_cpu, %eax
        xorl    %edx, %edx
        wrmsr
        fninit
        ldmxcsr default_mxcsr
        xorl    %ebp, %ebp              // the end of every backtrace
        movl    %esi, %edi
        popq    %rsi
        call    ringlet_loader_main
        ud2

        .section .rodata.boot, "a"
        .balign 8
early_gdt:
        .quad   0
        .quad   0x00AF9B000000FFFF      // 64-bit code, accessed
        .quad   0x00CF93000000FFFF      // data, accessed
early_gdt_pointer:
        .word   . - early_gdt - 1
        .long   early_gdt
        .balign 4
default_mxcsr:
        .long   0x1F80
no_long_mode_text:
        .asciz  "RINGLET: this CPU has no 64-bit mode or no NX; the image needs both\r\n"

        .section .bss.early_tables, "aw", @nobits
        .balign 4096
        .globl  early_pml4, early_pdpt, early_pd
early_pml4:
        .skip   4096
early_pdpt:
        .skip   4096
early_pd:
        .skip   4 * 4096
        .section .note.GNU-stack, "", @progbits
