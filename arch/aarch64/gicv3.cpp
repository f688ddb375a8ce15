// GICv3 distributor, redistributor and CPU interface of the boot CPU. IHI 0069H §12. Context: boot.
#include "arch/paging.hpp"
#include "gic.hpp"
#include "sysreg.hpp"

namespace ringlet::arch {

namespace {

constexpr u32 kAffinityRouting = 1u << 4, kEnableGroup1 = 1u << 1, kEnableGroup1Only = 1u << 0;
constexpr u32 kProcessorSleep = 1u << 1, kChildrenAsleep = 1u << 2;
constexpr u64 kLastInRange = 1u << 4, kVirtualLpis = 1u << 1;

u64 own_affinity() {
    const u64 mpidr = RINGLET_READ_SYSREG("mpidr_el1");
    return (mpidr & 0xff'ffff) | (mpidr >> 32 & 0xff) << 24;
}

// Walks one region of redistributors for the frame of this CPU. 0: not here.
Result<std::uintptr_t> find_redistributor(const MmioRange& region, u64 affinity) {
    u64 offset = 0;
    while (region.bytes >= 0x2'0000 && offset <= region.bytes - 0x2'0000) {
        const std::uintptr_t frame = TRY(map_device(region.base + offset, 0x2'0000));
        const u64 type = mmio_read<u64>(frame + gicr::kType);
        if (type >> 32 == affinity) return frame;
        if ((type & kLastInRange) != 0) break;
        offset += (type & kVirtualLpis) != 0 ? 0x4'0000 : 0x2'0000;
    }
    return std::uintptr_t{0};
}

Result<> wake(std::uintptr_t redistributor) {
    const u32 waker = mmio_read<u32>(redistributor + gicr::kWaker);
    mmio_write<u32>(redistributor + gicr::kWaker, waker & ~kProcessorSleep);
    const bool awake =
        wait_until([=] { return (mmio_read<u32>(redistributor + gicr::kWaker) & kChildrenAsleep) == 0; });
    if (!awake) return fail(Error::device_broken);
    return {};
}

Result<> distributor_on() {
    const auto settled = [] { return (mmio_read<u32>(gic.distributor) & gicd::kWritePending) == 0; };
    mmio_write<u32>(gic.distributor + gicd::kControl, 0);
    if (!wait_until(settled)) return fail(Error::device_broken);
    for (u32 i = kFirstSpi; i < gic.lines; i += 32) {
        mmio_write<u32>(gic.distributor + gicd::kClearEnable + i / 8, ~0u);
        mmio_write<u32>(gic.distributor + gicd::kClearActive + i / 8, ~0u);
    }
    // Seen from the non-secure side bit 0 is EnableGrp1 and bit 1 EnableGrp1A; with one security state bit 1
    // is EnableGrp1. Both set enables group 1 either way; group 0 stays empty.
    mmio_write<u32>(gic.distributor + gicd::kControl, kAffinityRouting | kEnableGroup1 | kEnableGroup1Only);
    if (!wait_until(settled)) return fail(Error::device_broken);
    return {};
}

Result<> cpu_interface_on() {
    RINGLET_WRITE_SYSREG("S3_0_C12_C12_5", RINGLET_READ_SYSREG("S3_0_C12_C12_5") | 1);  // ICC_SRE_EL1.SRE
    isb();
    if ((RINGLET_READ_SYSREG("S3_0_C12_C12_5") & 1) == 0) return fail(Error::device_broken);
    RINGLET_WRITE_SYSREG("S3_0_C4_C6_0", 0xf0);  // ICC_PMR_EL1
    RINGLET_WRITE_SYSREG("S3_0_C12_C12_3", 7);   // ICC_BPR1_EL1: no preemption among interrupts
    RINGLET_WRITE_SYSREG("S3_0_C12_C12_4", 0);   // ICC_CTLR_EL1: EOI drops priority and deactivates
    RINGLET_WRITE_SYSREG("S3_0_C12_C12_7", 1);   // ICC_IGRPEN1_EL1
    isb();
    return {};
}

}  // namespace

Result<> gicv3_init(const Gic& from) {
    if (((RINGLET_READ_SYSREG("id_aa64pfr0_el1") >> 24) & 0xf) == 0) return fail(Error::device_broken);
    gic.affinity = own_affinity();
    for (const MmioRange& region : from.redistributors) {
        gic.redistributor = TRY(find_redistributor(region, gic.affinity));
        if (gic.redistributor != 0) break;
    }
    if (gic.redistributor == 0) return fail(Error::device_broken);
    TRY(wake(gic.redistributor));
    mmio_write<u32>(gic.redistributor + gicr::kSgiFrame + gicd::kClearEnable, ~0u);
    mmio_write<u32>(gic.redistributor + gicr::kSgiFrame + gicd::kClearActive, ~0u);
    TRY(distributor_on());
    TRY(cpu_interface_on());
    gic.affinity = (gic.affinity & 0xff'ffff) | (gic.affinity >> 24) << 32;  // as IROUTER wants it
    if (from.its) static_cast<void>(its_init(*from.its, mmio_read<u64>(gic.redistributor + gicr::kType)));
    return {};
}

}  // namespace ringlet::arch
