// See virtio_mmio.hpp.
#include "boot/virtio_mmio.hpp"

namespace ringlet::boot {

Result<> add_virtio_mmio(arch::Platform& out, const arch::VirtioMmio& slot) {
    constexpr u64 kConfigSpace = 0x100;  // where it begins; every device type has some
    constexpr u32 kMaxLine = 1023;
    const arch::MmioRange& r = slot.registers;
    u64 end;
    if (r.base.raw == 0 || r.base.raw % 4 != 0 || r.bytes < kConfigSpace || slot.line.number > kMaxLine)
        return fail(Error::invalid);
    if (__builtin_add_overflow(r.base.raw, r.bytes, &end)) return fail(Error::invalid);
    for (const arch::VirtioMmio& other : out.virtio_mmio)
        if (other.registers.base == r.base) return {};
    if (!out.virtio_mmio.try_push_back(slot)) return fail(Error::no_space);
    return {};
}

}  // namespace ringlet::boot
