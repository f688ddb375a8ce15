// See local_apic.hpp.
#include "arch/x86_64/local_apic.hpp"

#include "arch/mmio.hpp"
#include "arch/paging.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/traps.hpp"

namespace ringlet::arch::x86 {
namespace {

constexpr u64 kGlobalEnable = 1u << 11, kX2apicEnable = 1u << 10;
constexpr u32 kMasked = 1u << 16, kSoftwareEnable = 1u << 8, kLvtNmi = 4u << 8;

/// Where the registers are; 0 in x2APIC mode.
constinit std::uintptr_t registers;
constinit bool x2apic;

}  // namespace

u32 local_apic_read(LocalApicRegister r) {
    if (x2apic) return static_cast<u32>(read_msr(kMsrX2apic + static_cast<u32>(r) / 16));
    return mmio_read<u32>(registers + static_cast<u32>(r));
}

void local_apic_write(LocalApicRegister r, u32 value) {
    if (x2apic) return write_msr(kMsrX2apic + static_cast<u32>(r) / 16, value);
    mmio_write<u32>(registers + static_cast<u32>(r), value);
}

Result<> local_apic_init(PhysAddr base) {
    // The firmware may have moved it: the CPU's own register is the truth, the table is only a hint.
    u64 where = read_msr(kMsrApicBase);
    const u64 actual = where & 0x000f'ffff'ffff'f000;
    if (actual != 0) base = PhysAddr{actual};
    if (features().x2apic) {
        // From disabled to x2APIC only by way of xAPIC (SDM vol. 3 §11.12.5).
        if ((where & kGlobalEnable) == 0) write_msr(kMsrApicBase, where |= kGlobalEnable);
        write_msr(kMsrApicBase, where | kGlobalEnable | kX2apicEnable);
        x2apic = true;
    } else {
        if ((where & kGlobalEnable) == 0) write_msr(kMsrApicBase, where | kGlobalEnable);
        registers = TRY(map_device(base, kPageSize));
    }
    using enum LocalApicRegister;
    local_apic_write(lvt_timer, kMasked);
    local_apic_write(lvt_lint0, kMasked);  // ExtINT from the 8259, which is masked as well
    local_apic_write(lvt_lint1, kLvtNmi);
    local_apic_write(lvt_error, kMasked);
    local_apic_write(task_priority, 0);
    local_apic_write(spurious_vector, kSoftwareEnable | kSpuriousVector);
    return {};
}

u32 local_apic_id() {
    const u32 id = local_apic_read(LocalApicRegister::id);
    return x2apic ? id : id >> 24;
}

void end_of_interrupt() {
    local_apic_write(LocalApicRegister::end_of_interrupt, 0);
}

}  // namespace ringlet::arch::x86
