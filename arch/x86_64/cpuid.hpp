// CPUID leaves and model-specific registers by name. Internal to arch/x86_64. SDM vol. 2 (CPUID), vol. 4
// (MSRs).
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch::x86 {

struct CpuidResult {
    u32 eax, ebx, ecx, edx;
};

inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0) {
    CpuidResult r;
    asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
    return r;
}

/// The result of `leaf`, or zeros when the CPU does not have it (out-of-range leaves repeat another one on
/// Intel).
inline CpuidResult cpuid_or_zero(u32 leaf, u32 subleaf = 0) {
    const u32 highest = cpuid(leaf & 0xffff'0000).eax;
    if (highest < leaf || highest > (leaf & 0xffff'0000) + 0xffff) return {};
    return cpuid(leaf, subleaf);
}

constexpr bool bit(u32 word, unsigned n) {
    return (word >> n & 1) != 0;
}

/// What the kernel uses of the CPU. Asked once: under a hypervisor every CPUID is an exit.
struct Features {
    bool crc32 = false, x2apic = false, tsc_deadline = false, rdrand = false, hypervisor = false, smep = false,
         gib_pages = false;
    u64 physical_end = u64{1} << 36;  ///< the first impossible physical address
};
/// Valid after detect_features(), which the entry code calls first of all (before that: the modest defaults).
const Features& features();
void detect_features();

inline constexpr u32 kMsrApicBase = 0x1b;
inline constexpr u32 kMsrFsBase = 0xc000'0100;
inline constexpr u32 kMsrTscDeadline = 0x6e0;
inline constexpr u32 kMsrX2apic = 0x800;

inline u64 read_msr(u32 msr) {
    u32 low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr) : "memory");
    return u64{high} << 32 | low;
}
inline void write_msr(u32 msr, u64 value) {
    asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<u32>(value)), "d"(static_cast<u32>(value >> 32)) : "memory");
}

}  // namespace ringlet::arch::x86
