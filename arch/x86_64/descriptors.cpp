// GDT, TSS and IDT of the boot CPU. SDM vol. 3 §3.4.5, §6.14, §8.7. Context: boot.
//
// Faults get stacks of their own (IST): one for everything, so that a stack overflow still prints; others for
// double faults and for NMI and machine checks, which may arrive while the first is in use.
#include "arch/cpu.hpp"
#include "arch/early.hpp"
#include "arch/hooks.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/traps.hpp"

namespace ringlet::arch {
namespace {

struct [[gnu::packed]] Tss {
    u32 reserved0 = 0;
    u64 rsp[3] = {};
    u64 reserved1 = 0;
    u64 ist[7] = {};
    u64 reserved2 = 0;
    u16 reserved3 = 0;
    u16 io_map_base = 104;
};
static_assert(sizeof(Tss) == 104);

struct Gate {
    u16 offset_low;
    u16 selector;
    u8 ist;
    u8 type;
    u16 offset_middle;
    u32 offset_high;
    u32 reserved;
};
static_assert(sizeof(Gate) == 16);

struct [[gnu::packed]] TablePointer {
    u16 limit;
    u64 base;
};

constexpr u16 kCode = 0x08, kData = 0x10, kTss = 0x18;
constexpr usize kFaultStackBytes = 8192;
constexpr u8 kIstFault = 1, kIstDoubleFault = 2, kIstAsynchronous = 3;

// Flat 64-bit code and data (the base and limit are ignored), then two slots for the TSS.
constinit u64 gdt[5] = {0, 0x00af'9b00'0000'ffff, 0x00cf'9300'0000'ffff, 0, 0};
constinit Tss tss;
constinit Gate idt[256];
alignas(16) constinit u8 fault_stacks[3][kFaultStackBytes];

void load_tss() {
    for (usize i = 0; i < 3; ++i) tss.ist[i] = reinterpret_cast<u64>(fault_stacks[i] + kFaultStackBytes);
    const auto base = reinterpret_cast<u64>(&tss);
    constexpr u64 kAvailableTss = 0x89;
    gdt[3] = (sizeof(Tss) - 1) | (base & 0xff'ffff) << 16 | kAvailableTss << 40 | (base >> 24 & 0xff) << 56;
    gdt[4] = base >> 32;
    const TablePointer pointer{sizeof gdt - 1, reinterpret_cast<u64>(gdt)};
    // The entry code's selectors have the same values; CS is reloaded all the same, so that nothing of the
    // old table lives on. GS is not touched: its base was set by MSR.
    asm volatile("lgdt %0\n\t"
                 "pushq %1\n\t"
                 "leaq 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "lretq\n"
                 "1:\tmovl %2, %%ds\n\tmovl %2, %%es\n\tmovl %2, %%ss\n\t"
                 "ltr %w3"
                 :
                 : "m"(pointer), "i"(kCode), "r"(u32{kData}), "r"(kTss)
                 : "rax", "memory");
}

u8 stack_for(unsigned vector) {
    constexpr unsigned kNmi = 2, kDoubleFault = 8, kMachineCheck = 18;
    if (vector >= 32) return 0;
    if (vector == kDoubleFault) return kIstDoubleFault;
    return vector == kNmi || vector == kMachineCheck ? kIstAsynchronous : kIstFault;
}

}  // namespace

void cpu_init() {
    set_cpu_local(hooks::boot_cpu_local);
    load_tss();
    for (unsigned v = 0; v < 256; ++v) {
        const u64 code = v == x86::kSpuriousVector ? reinterpret_cast<u64>(&ringlet_spurious)
                                                   : reinterpret_cast<u64>(&ringlet_vectors) + 16 * v;
        constexpr u8 kInterruptGate = 0x8e;
        idt[v] = {static_cast<u16>(code),       kCode, stack_for(v), kInterruptGate, static_cast<u16>(code >> 16),
                  static_cast<u32>(code >> 32), 0};
    }
    const TablePointer pointer{sizeof idt - 1, reinterpret_cast<u64>(idt)};
    asm volatile("lidt %0" : : "m"(pointer));
    if (x86::features().smep) {
        u64 cr4;
        asm volatile("movq %%cr4, %0" : "=r"(cr4));
        asm volatile("movq %0, %%cr4" : : "r"(cr4 | u64{1} << 20));
    }
}

}  // namespace ringlet::arch
