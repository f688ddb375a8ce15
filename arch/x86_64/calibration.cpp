// See calibration.hpp. Every device read may take microseconds under emulation and the boot budget is counted
// in instructions: the windows are short, the ends are read with care, and clock.cpp refines later.
#include "arch/x86_64/calibration.hpp"

#include <atomic>

#include "arch/cpu.hpp"
#include "arch/port.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/local_apic.hpp"

namespace ringlet::arch::x86 {
namespace {

constexpr u64 kGiga = 1'000'000'000;
constexpr u32 kHypervisorLeaf = 0x4000'0000;
enum class Hypervisor : u8 { none, tcg, kvm, other };

Hypervisor which_hypervisor() {
    if (!features().hypervisor) return Hypervisor::none;
    const auto r = cpuid(kHypervisorLeaf);
    if (r.ebx == 0x5447'4354 && r.ecx == 0x4354'4743 && r.edx == 0x4743'5447) return Hypervisor::tcg;  // TCGTCGTCGTCG
    if (r.ebx == 0x4b4d'564b && r.ecx == 0x564b'4d56 && r.edx == 0x0000'004d) return Hypervisor::kvm;  // KVMKVMKVM
    return Hypervisor::other;
}

constexpr bool plausible(u64 hz) {
    return hz >= 10'000'000 && hz <= 20 * kGiga;
}

/// SDM vol. 3 §19.7.3: crystal frequency times a ratio.
u64 tsc_from_cpuid() {
    const auto r = cpuid_or_zero(0x15);
    if (r.eax == 0 || r.ebx == 0 || r.ecx == 0) return 0;
    const u64 hz = u64{r.ecx} * r.ebx / r.eax;
    return plausible(hz) ? hz : 0;
}

/// The leaf VMware began and KVM's users follow: kHz of the TSC and of the APIC bus.
Frequencies from_hypervisor_leaf() {
    if (!features().hypervisor || cpuid(kHypervisorLeaf).eax < kHypervisorLeaf + 0x10) return {};
    const auto r = cpuid(kHypervisorLeaf + 0x10);
    const u64 tsc = u64{r.eax} * 1000, apic = u64{r.ebx} * 1000;
    if (!plausible(tsc)) return {};
    return {tsc, plausible(apic) ? apic : 0, true};
}

/// Linux Documentation/virt/kvm/x86/msr.rst, MSR_KVM_SYSTEM_TIME_NEW: the host's own scale, read once.
u64 tsc_from_kvm() {
    struct alignas(32) SystemTime {
        u32 version, pad;
        u64 tsc_timestamp, system_time;
        u32 tsc_to_system_mul;
        i8 tsc_shift;
        u8 flags, pad2[2];
    };
    constexpr u32 kMsrSystemTime = 0x4b56'4d01;
    static constinit SystemTime time;
    if (!bit(cpuid_or_zero(kHypervisorLeaf + 1).eax, 3)) return 0;
    write_msr(kMsrSystemTime, reinterpret_cast<u64>(&time) | 1);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const u32 multiplier = *const_cast<volatile u32*>(&time.tsc_to_system_mul);
    const int shift = *const_cast<volatile i8*>(&time.tsc_shift);
    write_msr(kMsrSystemTime, 0);
    if (multiplier == 0 || shift < -31 || shift > 31) return 0;
    u64 hz = (kGiga << 32) / multiplier;
    hz = shift < 0 ? hz << -shift : hz >> shift;
    return plausible(hz) ? hz : 0;
}

struct ApicSample {
    u64 tsc = 0;
    u32 count = 0;
};

/// Counter and TSC at one moment: of three tries the one that was disturbed least.
ApicSample apic_sample() {
    ApicSample best;
    u64 least = ~u64{0};
    for (int i = 0; i < 3; ++i) {
        const u64 before = cycle_counter();
        const u32 count = local_apic_read(LocalApicRegister::timer_current_count);
        const u64 took = cycle_counter() - before;
        if (took >= least) continue;
        least = took;
        best = {before + took / 2, count};
    }
    return best;
}

void apic_start() {
    constexpr u32 kMasked = 1u << 16, kDivideByOne = 0xb;
    local_apic_write(LocalApicRegister::lvt_timer, kMasked);
    local_apic_write(LocalApicRegister::timer_divide, kDivideByOne);
    local_apic_write(LocalApicRegister::timer_initial_count, ~u32{0});
}

struct Elapsed {
    u64 tsc = 0, apic = 0;
};

/// Both counters over the time that `over()` takes.
template <class F> Elapsed elapsed(F over) {
    apic_start();
    const ApicSample start = apic_sample();
    over();
    const ApicSample end = apic_sample();
    local_apic_write(LocalApicRegister::timer_initial_count, 0);
    return {end.tsc - start.tsc, start.count - end.count};
}

/// QEMU's APIC timer counts nanoseconds.
Frequencies against_apic(u64 apic_hz) {
    const u32 window = static_cast<u32>(apic_hz / 20'000);  // 50 us
    const Elapsed e = elapsed([&] {
        const u32 start = local_apic_read(LocalApicRegister::timer_current_count);
        // The bound is for a timer that does not count.
        for (int i = 0; i < 100'000; ++i)
            if (start - local_apic_read(LocalApicRegister::timer_current_count) >= window) break;
    });
    if (e.apic == 0) return {};
    return {multiply_divide(e.tsc, apic_hz, e.apic), apic_hz, false};
}

u64 apic_against_tsc(u64 tsc_hz) {
    const Elapsed e = elapsed([&] {
        const u64 start = cycle_counter();
        while (cycle_counter() - start < tsc_hz / 20'000) relax();
    });
    return e.tsc == 0 ? 0 : multiply_divide(e.apic, tsc_hz, e.tsc);
}

Frequencies against_pit() {
    constexpr u16 kWindow = kPitHz / 2000;  // 500 us
    pit_start();
    u64 tsc_hz = 0;
    const Elapsed e = elapsed([&] {
        const PitSample start = pit_sample();
        for (int i = 0; i < 100'000; ++i) {
            const PitSample now = pit_sample();
            const u16 ticks = static_cast<u16>(start.count - now.count);
            if (i == 1'000 && ticks == 0) return;  // nobody is there
            if (ticks < kWindow) continue;
            tsc_hz = multiply_divide(now.tsc - start.tsc, kPitHz, ticks);
            return;
        }
    });
    if (!plausible(tsc_hz)) return {};
    return {tsc_hz, multiply_divide(e.apic, tsc_hz, e.tsc), false};
}

}  // namespace

void pit_start() {
    constexpr u16 kControl = 0x43, kChannel2 = 0x42, kPortB = 0x61;
    port_out8(kPortB, static_cast<u8>((port_in8(kPortB) & ~2u) | 1u));  // gate on, loudspeaker off
    port_out8(kControl, 0xb4);                                          // channel 2, both bytes, mode 2, binary
    port_out8(kChannel2, 0);
    port_out8(kChannel2, 0);
}

PitSample pit_sample() {
    constexpr u16 kControl = 0x43, kChannel2 = 0x42;
    constexpr u8 kLatchChannel2 = 0x80;
    const u64 before = cycle_counter();
    port_out8(kControl, kLatchChannel2);
    const u64 took = cycle_counter() - before;
    const u8 low = port_in8(kChannel2);
    const u8 high = port_in8(kChannel2);
    return {before + took / 2, took, static_cast<u16>(high << 8 | low)};
}

Frequencies measure_frequencies(bool apic_needed) {
    const Hypervisor hypervisor = which_hypervisor();
    Frequencies f = from_hypervisor_leaf();
    if (f.tsc_hz == 0) f = {tsc_from_cpuid(), 0, true};
    if (f.tsc_hz == 0 && hypervisor == Hypervisor::kvm) f.tsc_hz = tsc_from_kvm();
    if (f.tsc_hz == 0 && hypervisor == Hypervisor::tcg) f = against_apic(kGiga);
    if (!plausible(f.tsc_hz)) f = against_pit();
    if (apic_needed && f.apic_hz == 0 && f.tsc_hz != 0) f.apic_hz = apic_against_tsc(f.tsc_hz);
    return f;
}

}  // namespace ringlet::arch::x86
