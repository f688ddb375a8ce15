// Where QEMU enters: the Linux arm64 Image header (Documentation/arch/arm64/booting.rst), EL2 to EL1, MMU
// and caches, bss, the boot stack, then C++. UEFI firmware takes the same file for a PE/COFF application (Microsoft's PE
// format; UEFI 2.10 §2.1.1) and enters ringlet_efi_main() in efi.cpp, which comes here by ringlet_efi_leave(). Nothing is written to memory before the MMU is on: the early
// tables are constants, so no stale cache line can hide them.

#define SCTLR_EL1_RES1 0x30d00800
#define SCTLR_EL1_ON   (SCTLR_EL1_RES1 | 0x1005 | 0x8)      /* M, C, I, SA */
// T0SZ = 16 (48 bits), inner and outer write-back, inner shareable, 4 KiB, no TTBR1 walks. IPS is filled in.
#define TCR_EL1_BASE   (16 | (1 << 8) | (1 << 10) | (3 << 12) | (1 << 23) | (16 << 16))
// Attribute 0: Device-nGnRE. 1: Normal write-back.
#define MAIR_EL1_VALUE 0xff04

#define EARLY_DEVICE 0x0060000000000e01  /* block, AF, nG, AttrIndx 0, PXN, UXN */
                                         /* (with nSH = 10: ignored for Device) */
#define EARLY_NORMAL 0x0040000000000f05  /* block, AF, nG, inner shareable, AttrIndx 1, UXN */

    .section .text.head, "ax"
    .global _start
_start:
    ccmp    x18, #0, #0xd, pl            // does nothing, and begins with "MZ"
    b       entry
    .quad   0x80000                      // text_offset: load address = 2 MiB-aligned base + this
    .quad   __image_size                 // with bss
    .quad   2                            // little-endian, 4 KiB pages, as near to the start of RAM as possible
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   pe_header - _start

// Nothing below needs relocation: firmware may load it at any page. Two sections: text with rodata, data with bss.
pe_header:
    .ascii  "PE\0\0"
    .short  0xaa64, 2                    // machine, sections
    .long   0, 0, 0
    .short  pe_sections - pe_optional
    .short  0x206                        // executable, without line numbers and debug information
pe_optional:
    .short  0x20b, 0                     // PE32+
    .long   __pe_text_bytes              // code
    .long   __pe_data_bytes              // initialised data
    .long   0
    .long   __pe_entry
    .long   __pe_text
    .quad   0                            // image base
    .long   0x1000, 0x200                // alignment in memory, in the file
    .long   0, 0, 0, 0
    .long   __image_size
    .long   __pe_text                    // size of the headers: with the rest of this file and the
                                         // vectors, which do not run from where the firmware loads them
    .long   0
    .short  10, 0                        // EFI application
    .quad   0, 0, 0, 0
    .long   0, 6                         // data directories
    .quad   0, 0, 0, 0, 0, 0
pe_sections:
    .ascii  ".text\0\0\0"
    .long   __pe_text_bytes, __pe_text, __pe_text_bytes, __pe_text
    .long   0, 0, 0, 0x60000020          // code, readable, executable
    .ascii  ".data\0\0\0"
    .long   __pe_data_with_bss, __pe_data, __pe_data_bytes, __pe_data
    .long   0, 0, 0, 0xc0000040          // data, readable, writable

    .section .text.entry, "ax"
entry:
    mov     x21, #0                      // no firmware
from_firmware:
    msr     daifset, #0xf
    mov     x19, x0                      // the devicetree
    mrs     x20, cntvct_el0
    mrs     x0, mpidr_el1                // a loader that releases every CPU at once: only 0.0.0.0 goes on
    ldr     x1, =0xff00ffffff
    tst     x0, x1
    b.ne    park

    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.eq    from_el2
    b.lo    at_el1
park:
    wfi
    b       park

from_el2:
    mov     x0, #(1 << 31)               // HCR_EL2.RW: EL1 is AArch64; nothing else is trapped
    msr     hcr_el2, x0
    isb
    mrs     x0, cnthctl_el2
    orr     x0, x0, #3                   // EL1 may use the physical counter and timer
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    mov     x0, #0x33ff                  // CPTR_EL2: RES1, no trap of FP
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, id_aa64pfr0_el1
    ubfx    x0, x0, #24, #4              // GIC system registers?
    cbz     x0, 1f
    mrs     x0, S3_4_C12_C9_5            // ICC_SRE_EL2: SRE, and Enable for EL1
    orr     x0, x0, #1
    orr     x0, x0, #8
    msr     S3_4_C12_C9_5, x0
    isb
    mrs     x0, S3_4_C12_C9_5
    tbz     x0, #0, 1f
    msr     S3_4_C12_C11_0, xzr          // ICH_HCR_EL2
1:  ldr     x0, =SCTLR_EL1_RES1
    msr     sctlr_el1, x0
    mov     x0, #0x3c4                   // EL1t, all masked
    msr     spsr_el2, x0
    adr     x0, at_el1
    msr     elr_el2, x0
    eret

at_el1:
    msr     spsel, #0                    // threads use SP_EL0; exceptions then start on SP_EL1, the fault stack
    adr     x0, _start
    ldr     x1, =_start
    cmp     x0, x1
    b.ne    wrong_address

    ldr     x0, =MAIR_EL1_VALUE
    msr     mair_el1, x0
    ldr     x0, =TCR_EL1_BASE
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #0xf                 // PARange, at most 48 bits with this granule
    cmp     x1, #5
    mov     x2, #5
    csel    x1, x1, x2, ls
    orr     x0, x0, x1, lsl #32
    msr     tcr_el1, x0
    ldr     x0, =early_level0
    msr     ttbr0_el1, x0
    msr     ttbr1_el1, xzr
    isb
    tlbi    vmalle1
    ic      iallu
    dsb     nsh
    isb
    ldr     x0, =SCTLR_EL1_ON
    msr     sctlr_el1, x0
    isb
    mov     x0, #(3 << 20)               // FP and SIMD for everyone; SVE and SME stay trapped
    msr     cpacr_el1, x0
    isb

    ldr     x0, =__bss_start             // both ends 16-byte aligned by the linker script
    ldr     x1, =__bss_end
    movi    v0.2d, #0
2:  cmp     x0, x1
    b.hs    3f
    str     q0, [x0], #16
    b       2b
3:  ldr     x0, =__boot_stack_top
    mov     sp, x0
    mov     x29, #0
    mov     x30, #0
    msr     tpidr_el1, xzr
    mov     x0, x20
    bl      ringlet_early_init           // vectors, fault stack, canary
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    bl      ringlet_image_main
    b       park

// Linked for one address (identity mapping); say so where QEMU's virt has its UART, and stop.
wrong_address:
    adr     x1, wrong_address_text
    mov     x2, #0x09000000
4:  ldrb    w3, [x1], #1
    cbz     w3, park
    strb    w3, [x2]
    b       4b
wrong_address_text:
    .asciz  "ringlet: this image runs only at 0x40080000 (2 MiB-aligned start of RAM at 1 GiB + 512 KiB); stopped\r\n"
    .balign 4
    .ltorg

// ringlet_efi_leave(what efi.cpp found): from where the firmware has loaded this to where it is linked, to which efi.cpp
// has copied it. Whatever runs or is read while the caches are off must be in memory: the copy, and this code.
    .section .text.efi_leave, "ax"
    .global ringlet_efi_leave, ringlet_link_address
ringlet_efi_leave:
    msr     daifset, #0xf
    mov     x21, x0
    ldr     x0, =__image_start
    ldr     x1, =__data_end
    ldr     x4, =from_firmware
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4              // DminLine: words, as a power of 2
    mov     x3, #4
    lsl     x2, x3, x2
1:  dc      civac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    adr     x0, ringlet_efi_leave
    adr     x1, efi_leave_end
    sub     x3, x2, #1
    bic     x0, x0, x3
2:  dc      civac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    2b
    dsb     sy
    mov     x1, #0x1005                  // M, C, I
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.eq    3f
    mrs     x0, sctlr_el1
    bic     x0, x0, x1
    msr     sctlr_el1, x0
    b       4f
3:  mrs     x0, sctlr_el2
    bic     x0, x0, x1
    msr     sctlr_el2, x0
    isb
    tlbi    alle2
4:  isb
    ic      iallu
    dsb     sy
    isb
    mov     x0, #0
    br      x4
    .ltorg
    .balign 8
ringlet_link_address:
    .quad   __image_start
efi_leave_end:

    .section .data.early_tables, "aw"    // the linker script has it where a page begins
early_level0:
    .quad   early_level1 + 3
    .zero   4096 - 8
early_level1:
    .quad   EARLY_DEVICE                 // the first GiB: devices
    .set    address, 0x40000000
    .rept   255                          // then RAM, as far as virt may have it
    .quad   EARLY_NORMAL + address
    .set    address, address + 0x40000000
    .endr
    .zero   4096 - 8 * 256
    .section .note.GNU-stack, "", @progbits
