// The facade of irq.hpp over GICv2 and GICv3, and MSIs through a GICv2m frame (Arm Server Base System
// Architecture appendix E). Context: see irq.hpp.
#include "gic.hpp"

#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/paging.hpp"
#include "internal.hpp"
#include "sysreg.hpp"

namespace ringlet::arch {

constinit GicState gic;

namespace {

namespace gicc {
constexpr u32 kControl = 0x0, kPriorityMask = 0x4, kBinaryPoint = 0x8, kAcknowledge = 0xc, kEndOfInterrupt = 0x10;
}
namespace v2m {
constexpr u32 kType = 0x008, kSetSpi = 0x040;
}

// Where the bits of an INTID are: its banked copy in the redistributor for v3's first 32.
std::uintptr_t bank(u32 intid) {
    return gic.version == GicVersion::v3 && intid < kFirstSpi ? gic.redistributor + gicr::kSgiFrame : gic.distributor;
}

void write_bit(u32 reg, u32 intid) {
    mmio_write<u32>(bank(intid) + reg + intid / 32 * 4, 1u << (intid % 32));
}

void configure(u32 intid, Trigger trigger) {
    write_bit(gicd::kClearEnable, intid);
    if (gic.version == GicVersion::v3) {
        const std::uintptr_t group = bank(intid) + gicd::kGroup + intid / 32 * 4;
        mmio_write<u32>(group, mmio_read<u32>(group) | 1u << (intid % 32));  // non-secure group 1
        if (intid >= kFirstSpi) mmio_write<u64>(gic.distributor + gicd::kRouter + intid * 8, gic.affinity);
    } else if (intid >= kFirstSpi) {
        mmio_write<u8>(gic.distributor + gicd::kTargets + intid, gic.cpu_target);
    }
    mmio_write<u8>(bank(intid) + gicd::kPriority + intid, kDefaultPriority);
    const std::uintptr_t config = bank(intid) + gicd::kConfig + intid / 16 * 4;
    const u32 edge = 2u << (intid % 16 * 2);
    const u32 old = mmio_read<u32>(config);
    mmio_write<u32>(config, trigger == Trigger::edge ? old | edge : old & ~edge);
    write_bit(gicd::kClearPending, intid);
}

Result<> v2_init(const Gic& from) {
    if (from.cpu_interface.bytes < 0x1000) return fail(Error::device_broken);
    gic.cpu_interface = TRY(map_device(from.cpu_interface.base, 0x1000));
    mmio_write<u32>(gic.distributor + gicd::kControl, 0);
    // GICD_ITARGETSR0..7 are read-only and name the reading CPU (IHI 0048B §4.3.12); 0 on a uniprocessor.
    const u32 self = mmio_read<u32>(gic.distributor + gicd::kTargets) & 0xff;
    gic.cpu_target = self != 0 ? static_cast<u8>(self) : 1;
    for (u32 i = 0; i < gic.lines; i += 32) {
        mmio_write<u32>(gic.distributor + gicd::kClearEnable + i / 8, ~0u);
        mmio_write<u32>(gic.distributor + gicd::kClearActive + i / 8, ~0u);
    }
    mmio_write<u32>(gic.distributor + gicd::kControl, 1);
    mmio_write<u32>(gic.cpu_interface + gicc::kPriorityMask, 0xf0);
    mmio_write<u32>(gic.cpu_interface + gicc::kBinaryPoint, 7);  // no preemption among interrupts
    mmio_write<u32>(gic.cpu_interface + gicc::kControl, 1);
    return {};
}

Result<> v2m_init(const MmioRange& frame) {
    if (frame.bytes < 0x1000) return fail(Error::device_broken);
    const std::uintptr_t base = TRY(map_device(frame.base, 0x1000));
    const u32 type = mmio_read<u32>(base + v2m::kType);
    const u32 first = type >> 16 & 0x3ff, count = type & 0x3ff;
    if (first < kFirstSpi || count == 0 || first + count > gic.lines) return fail(Error::device_broken);
    gic.v2m = base;
    gic.v2m_first = first;
    gic.v2m_count = count;
    return {};
}

Result<IrqId> v2m_allocate(MsiMessage& out) {
    for (u32 i = 0; i < gic.v2m_count; ++i) {
        u64& word = gic.v2m_used[i / 64];
        const u64 bit = u64{1} << (i % 64);
        if ((word & bit) != 0) continue;
        word |= bit;
        const u32 intid = gic.v2m_first + i;
        configure(intid, Trigger::edge);
        write_bit(gicd::kSetEnable, intid);
        out = {.address = gic.v2m + v2m::kSetSpi, .data = intid};
        return IrqId{intid};
    }
    return fail(Error::no_space);
}

u32 acknowledge() {
    if (gic.version == GicVersion::v2) return mmio_read<u32>(gic.cpu_interface + gicc::kAcknowledge);
    const u64 iar = RINGLET_READ_SYSREG("S3_0_C12_C12_0");  // ICC_IAR1_EL1
    asm volatile("dsb sy" ::: "memory");                    // before the handler looks at what the device did
    return static_cast<u32>(iar & 0xff'ffff);
}

void end_of_interrupt(u32 iar) {
    if (gic.version == GicVersion::v2)
        mmio_write<u32>(gic.cpu_interface + gicc::kEndOfInterrupt, iar);
    else {
        RINGLET_WRITE_SYSREG("S3_0_C12_C12_1", iar);  // ICC_EOIR1_EL1
        isb();
    }
}

bool is_wired(u32 intid) {
    return intid >= 16 && intid < gic.lines;
}

}  // namespace

Result<> irq_init(const Platform& platform) {
    const Gic& from = platform.gic;
    if (from.version == GicVersion::none) return fail(Error::unsupported);
    const bool v3 = from.version == GicVersion::v3;
    if (from.distributor.bytes < (v3 ? 0x1'0000u : 0x1000u)) return fail(Error::device_broken);
    gic.distributor = TRY(map_device(from.distributor.base, v3 ? 0x1'0000 : 0x1000));
    const u32 lines = ((mmio_read<u32>(gic.distributor + gicd::kType) & 0x1f) + 1) * 32;
    gic.lines = lines < kFirstSpecial ? lines : kFirstSpecial;
    TRY(v3 ? gicv3_init(from) : v2_init(from));
    gic.version = from.version;
    if (from.v2m && !v2m_init(*from.v2m)) gic.v2m = 0;  // no MSIs then: drivers fall back to lines
    return {};
}

Result<IrqId> attach_line(IrqLine line) {
    if (gic.version == GicVersion::none || !is_wired(line.number)) return fail(Error::invalid);
    const IrqGuard guard;
    // One that is enabled has an owner already, with whom it is now shared: configuring would disable it for good.
    const u32 enabled = mmio_read<u32>(bank(line.number) + gicd::kSetEnable + line.number / 32 * 4);
    if ((enabled >> line.number % 32 & 1) == 0) configure(line.number, line.trigger);
    return IrqId{line.number};
}

Result<IrqId> allocate_msi(u32 requester_id, MsiMessage& out) {
    if (requester_id > 0xffff) return fail(Error::invalid);
    const IrqGuard guard;
    if (its_present()) return its_allocate(requester_id, out);
    if (gic.v2m != 0) return v2m_allocate(out);
    return fail(Error::unsupported);
}

void free_msi(IrqId id) {
    const auto intid = static_cast<u32>(id);
    const IrqGuard guard;
    if (intid >= kFirstLpi) return its_free(intid);
    if (gic.v2m == 0 || intid < gic.v2m_first || intid - gic.v2m_first >= gic.v2m_count) return;
    mask(id);
    write_bit(gicd::kClearPending, intid);
    gic.v2m_used[(intid - gic.v2m_first) / 64] &= ~(u64{1} << ((intid - gic.v2m_first) % 64));
}

void mask(IrqId id) {
    const auto intid = static_cast<u32>(id);
    if (intid >= kFirstLpi) return its_set_enabled(intid, 0);
    if (!is_wired(intid)) return;
    write_bit(gicd::kClearEnable, intid);
    // Effective when this returns, so that a handler may be removed afterwards.
    if (gic.version == GicVersion::v3)
        static_cast<void>(wait_until([] { return (mmio_read<u32>(gic.distributor) & gicd::kWritePending) == 0; }));
}

void unmask(IrqId id) {
    const auto intid = static_cast<u32>(id);
    if (intid >= kFirstLpi) return its_set_enabled(intid, 1);
    if (is_wired(intid)) write_bit(gicd::kSetEnable, intid);
}

void irq_dispatch() {
    if (gic.version == GicVersion::none) return;
    const u32 iar = acknowledge();
    const u32 intid = gic.version == GicVersion::v2 ? iar & 0x3ff : iar;
    if (intid >= kFirstSpecial && intid < kFirstLpi) return;  // spurious: nothing to end
    if (!clock_interrupt(IrqId{intid})) hooks::interrupt(IrqId{intid});
    end_of_interrupt(iar);
}

void wait_for_interrupt() {
    asm volatile("dsb sy\n\twfi" ::: "memory");
    irq_dispatch();
}

}  // namespace ringlet::arch
