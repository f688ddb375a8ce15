// CPU identity, hardware randomness, new contexts, and the console that needs no driver.
#include "arch/cpu.hpp"

#include "arch/context.hpp"
#include "arch/early.hpp"
#include "arch/port.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "lib/assert.hpp"
#include "lib/parse.hpp"

/// GS points here from the first 64-bit instruction on (boot/x86_64/entry.S).
extern "C" {
constinit ringlet::arch::CpuBlock ringlet_boot_cpu;
void ringlet_context_start();
extern ringlet::u8 ringlet_copy_words;  // arch/x86_64/string.S
}

namespace ringlet::arch {
namespace x86 {
namespace {
constinit Features detected;
}

const Features& features() {
    return detected;
}

void detect_features() {
    const auto basic = cpuid(1);
    detected.x2apic = bit(basic.ecx, 21);
    detected.tsc_deadline = bit(basic.ecx, 24);
    detected.rdrand = bit(basic.ecx, 30);
    detected.hypervisor = bit(basic.ecx, 31);
    constexpr u32 kTcg = 0x5447'4354;  // "TCGT"
    const bool emulated = detected.hypervisor && cpuid_or_zero(0x4000'0000).ebx == kTcg;
    // QEMU's own emulation takes sixty-four steps for a word: tables are several times as fast there.
    detected.crc32 = bit(basic.ecx, 20) && !emulated;
    ringlet_copy_words = emulated;
    detected.smep = bit(cpuid_or_zero(7).ebx, 7);
    detected.gib_pages = bit(cpuid_or_zero(0x8000'0001).edx, 26);
    const unsigned address_bits = cpuid_or_zero(0x8000'0008).eax & 0xff;
    if (address_bits >= 32 && address_bits <= 52) detected.physical_end = u64{1} << address_bits;
}

}  // namespace x86

std::optional<u64> hardware_random() {
    if (!x86::features().rdrand) return std::nullopt;
    for (int attempt = 0; attempt < 10; ++attempt) {
        u64 value;
        bool ok;
        asm volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
        if (ok) return value;
    }
    return std::nullopt;
}

std::string_view cpu_model() {
    static constinit u32 brand[12];
    const std::string_view unknown = "unknown x86_64";
    for (u32 i = 0; i < 3; ++i) {
        const auto r = x86::cpuid_or_zero(0x8000'0002 + i);
        brand[4 * i] = r.eax;
        brand[4 * i + 1] = r.ebx;
        brand[4 * i + 2] = r.ecx;
        brand[4 * i + 3] = r.edx;
    }
    std::string_view text(reinterpret_cast<const char*>(brand), sizeof brand);
    text = substring(text, 0, text.find('\0'));
    while (text.starts_with(' ')) text.remove_prefix(1);
    while (text.ends_with(' ')) text.remove_suffix(1);
    return text.empty() ? unknown : text;
}

void context_init(Context& context, MutableBytes stack, void (*entry)(void*), void* arg) {
    // The frame that ringlet_context_switch() pops: MXCSR and x87 control word at their defaults, r15, r14,
    // r13, r12 = arg, rbx = entry, rbp = 0, return address.
    constexpr u64 kFloatingPointControl = u64{0x037f} << 32 | 0x1f80;
    ASSERT(stack.size() >= 512);
    const auto top = align_down(reinterpret_cast<std::uintptr_t>(stack.data()) + stack.size(), usize{16});
    auto* frame = reinterpret_cast<u64*>(top) - 8;
    frame[0] = kFloatingPointControl;
    frame[1] = frame[2] = frame[3] = 0;
    frame[4] = reinterpret_cast<u64>(arg);
    frame[5] = reinterpret_cast<u64>(entry);
    frame[6] = 0;
    frame[7] = reinterpret_cast<u64>(&ringlet_context_start);
    context.stack_pointer = reinterpret_cast<u64>(frame);
}

void early_put(char c) {
    constexpr u16 kCom1 = 0x3f8, kLineStatus = kCom1 + 5;
    constexpr u8 kTransmitterEmpty = 0x20;
    for (int i = 0; i < 10'000 && (port_in8(kLineStatus) & kTransmitterEmpty) == 0; ++i) relax();
    port_out8(kCom1, static_cast<u8>(c));
}

}  // namespace ringlet::arch
