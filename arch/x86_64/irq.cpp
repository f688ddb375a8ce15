// Vectors: who owns which, and where its mask is. See arch/irq.hpp.
#include "arch/irq.hpp"

#include <optional>

#include "arch/cpu.hpp"
#include "arch/port.hpp"
#include "arch/x86_64/io_apic.hpp"
#include "arch/x86_64/local_apic.hpp"
#include "arch/x86_64/traps.hpp"

namespace ringlet::arch {
namespace {

enum class Owner : u8 { nobody, line, message };

struct Vector {
    Owner owner = Owner::nobody;
    x86::Pin pin;  ///< of a line
};

constexpr usize kVectors = x86::kLastDeviceVector - x86::kFirstDeviceVector + 1;
constinit Vector vectors[kVectors];
constinit std::optional<IrqLine> isa_overrides[16];  ///< by ISA interrupt; none: the GSI of the same number
constinit u32 boot_apic_id;

/// The table entry of `id`; nothing when it is no device vector.
Vector* vector_of(IrqId id) {
    const u32 n = static_cast<u32>(id);
    return n >= x86::kFirstDeviceVector && n <= x86::kLastDeviceVector ? &vectors[n - x86::kFirstDeviceVector]
                                                                       : nullptr;
}

Result<IrqId> take_vector(Vector as) {
    for (u32 i = 0; i < kVectors; ++i) {
        if (vectors[i].owner != Owner::nobody) continue;
        vectors[i] = as;
        return IrqId{x86::kFirstDeviceVector + i};
    }
    return fail(Error::no_space);
}

/// The 8259s are never used, but the BIOS has left them open. Masked, they say nothing.
void silence_8259() {
    constexpr u16 kMasterMask = 0x21, kSlaveMask = 0xa1;
    port_out8(kMasterMask, 0xff);
    port_out8(kSlaveMask, 0xff);
}

IrqLine after_overrides(IrqLine line) {
    return line.number < 16 ? isa_overrides[line.number].value_or(line) : line;
}

}  // namespace

Result<> irq_init(const Platform& platform) {
    silence_8259();
    TRY(x86::local_apic_init(platform.local_apic));
    boot_apic_id = x86::local_apic_id();
    for (const IsaOverride& o : platform.isa_overrides)
        if (o.irq < 16) isa_overrides[o.irq] = o.line;
    if (platform.io_apics.empty()) return x86::io_apic_add({PhysAddr{0xfec0'0000}, 0});
    for (const IoApic& chip : platform.io_apics) TRY(x86::io_apic_add(chip));
    return {};
}

Result<IrqId> attach_line(IrqLine line) {
    line = after_overrides(line);
    const auto pin = x86::io_apic_find(line.number);
    if (!pin) return fail(Error::not_found);
    IrqGuard guard;
    for (u32 i = 0; i < kVectors; ++i) {
        const Vector& v = vectors[i];
        if (v.owner == Owner::line && v.pin.chip == pin->chip && v.pin.index == pin->index)
            return IrqId{x86::kFirstDeviceVector + i};
    }
    const IrqId id = TRY(take_vector({Owner::line, *pin}));
    x86::io_apic_route(*pin, static_cast<u8>(id), boot_apic_id, line.trigger, line.polarity);
    return id;
}

Result<IrqId> allocate_msi(u32, MsiMessage& out) {
    // SDM vol. 3 §11.11: fixed delivery to one CPU. Eight bits of APIC id are all a message can carry.
    if (boot_apic_id > 0xff) return fail(Error::unsupported);
    IrqGuard guard;
    const IrqId id = TRY(take_vector({Owner::message, {}}));
    out.address = 0xfee0'0000 | boot_apic_id << 12;
    out.data = static_cast<u32>(id);
    return id;
}

void free_msi(IrqId id) {
    Vector* v = vector_of(id);
    if (v != nullptr && v->owner == Owner::message) v->owner = Owner::nobody;
}

void mask(IrqId id) {
    const Vector* v = vector_of(id);
    if (v != nullptr && v->owner == Owner::line) x86::io_apic_set_masked(v->pin);
}

void unmask(IrqId id) {
    const Vector* v = vector_of(id);
    if (v != nullptr && v->owner == Owner::line) x86::io_apic_set_unmasked(v->pin);
}

}  // namespace ringlet::arch
