// The interrupt controller's parts, for the files of arch/aarch64. GICv2: IHI 0048B. GICv3 and ITS: IHI 0069.
#pragma once

#include "arch/irq.hpp"
#include "arch/mmio.hpp"

namespace ringlet::arch {

inline constexpr u32 kFirstSpi = 32, kFirstSpecial = 1020, kFirstLpi = 8192;
inline constexpr u8 kDefaultPriority = 0xa0;

/// Distributor registers (the first 32 INTIDs of GICv3 are in the redistributor's SGI frame, same offsets).
namespace gicd {
inline constexpr u32 kControl = 0x000, kType = 0x004, kGroup = 0x080, kSetEnable = 0x100, kClearEnable = 0x180,
                     kClearPending = 0x280, kClearActive = 0x380, kPriority = 0x400, kTargets = 0x800, kConfig = 0xc00,
                     kRouter = 0x6000;
inline constexpr u32 kWritePending = 1u << 31;  // GICD_CTLR.RWP, v3
}  // namespace gicd

/// GICv3 redistributor of the boot CPU: RD frame, then the SGI frame 64 KiB on.
namespace gicr {
inline constexpr u32 kControl = 0x0000, kType = 0x0008, kWaker = 0x0014, kPropertyBase = 0x0070, kPendingBase = 0x0078,
                     kSgiFrame = 0x1'0000;
inline constexpr u32 kEnableLpis = 1u << 0, kControlWritePending = 1u << 3;
}  // namespace gicr

struct GicState {
    GicVersion version = GicVersion::none;
    std::uintptr_t distributor = 0;
    std::uintptr_t cpu_interface = 0;     ///< v2
    std::uintptr_t redistributor = 0;     ///< v3
    u64 redistributor_address_field = 0;  ///< what ITS commands call this redistributor
    u32 lines = 0;                        ///< INTIDs below this exist
    u8 cpu_target = 1;                    ///< v2: this CPU's bit in GICD_ITARGETSR
    u64 affinity = 0;                     ///< v3: as in GICD_IROUTER
    // v2m
    std::uintptr_t v2m = 0;
    u32 v2m_first = 0, v2m_count = 0;
    u64 v2m_used[16] = {};
};
extern constinit GicState gic;

/// Polls `done` at most about a million times. False when it never was.
template <class F> bool wait_until(F done) {
    for (u32 i = 0; i < 1'000'000; ++i) {
        if (done()) return true;
        asm volatile("yield");
    }
    return false;
}

Result<> gicv3_init(const Gic& from);

/// The ITS: absent, or set up by its_init(), which needs the redistributor.
Result<> its_init(const MmioRange& registers, u64 gicr_type);
bool its_present();
Result<IrqId> its_allocate(u32 device_id, MsiMessage& out);
void its_free(u32 lpi);
void its_set_enabled(u32 lpi, u8 enabled);

}  // namespace ringlet::arch
