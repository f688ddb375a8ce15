// See msix.hpp.
#include "drivers/pci/msix.hpp"

#include "arch/mmio.hpp"
#include "drivers/pci/spec.hpp"

namespace ringlet::pci {

using namespace spec;

Result<Msix> Msix::open(Function& f) {
    const auto capability = f.find_capability(kCapMsix);
    if (!capability) return fail(Error::not_found);
    if (*capability > 0x100 - 12) return fail(Error::corrupt);
    Msix m;
    m.function_ = &f;
    m.capability_ = *capability;
    const u16 vectors = static_cast<u16>((m.control() & kMsixSizeMask) + 1);
    const u32 where = f.read32(static_cast<u16>(*capability + kMsixTable));
    m.table_ = TRY(f.map_bar(where & 7, where & ~7u, vectors * u64{kMsixEntryBytes}));
    m.vectors_ = vectors;
    return m;
}

u16 Msix::control() const {
    return function_->read16(static_cast<u16>(capability_ + kMsixControl));
}
void Msix::set_control(u16 value) {
    function_->write16(static_cast<u16>(capability_ + kMsixControl), value);
}

void Msix::set_vector_mask(u16 vector, u32 value) {
    if (vector >= vectors_) return;
    arch::mmio_write<u32>(entry(vector) + 12, value);
}
void Msix::mask(u16 vector) {
    set_vector_mask(vector, kMsixEntryMasked);
    // The read makes sure that the write has arrived: nothing is sent after this function returns.
    if (vector < vectors_) (void)arch::mmio_read<u32>(entry(vector) + 12);
}
void Msix::unmask(u16 vector) {
    set_vector_mask(vector, 0);
}

Result<> Msix::program(u16 vector, arch::MsiMessage message) {
    if (vector >= vectors_) return fail(Error::invalid);
    const std::uintptr_t e = entry(vector);
    mask(vector);
    const auto low = static_cast<u32>(message.address), high = static_cast<u32>(message.address >> 32);
    arch::mmio_write<u32>(e, low);
    arch::mmio_write<u32>(e + 4, high);
    arch::mmio_write<u32>(e + 8, message.data);
    if (arch::mmio_read<u32>(e) != low || arch::mmio_read<u32>(e + 4) != high ||
        arch::mmio_read<u32>(e + 8) != message.data)
        return fail(Error::device_broken);
    return {};
}

Result<> Msix::enable() {
    if (vectors_ == 0) return fail(Error::not_found);
    // §6.8.2: entries may be undefined until written; the function mask holds everything back meanwhile.
    set_control(static_cast<u16>(control() | kMsixEnable | kMsixFunctionMask));
    for (u16 v = 0; v < vectors_; ++v) set_vector_mask(v, kMsixEntryMasked);
    function_->disable_intx();
    set_control(static_cast<u16>((control() | kMsixEnable) & ~kMsixFunctionMask));
    if ((control() & kMsixEnable) == 0) {
        function_->enable_intx();
        return fail(Error::device_broken);
    }
    return {};
}

void Msix::disable() {
    if (vectors_ == 0) return;
    set_control(static_cast<u16>(control() & ~kMsixEnable));
    function_->enable_intx();
}

void Msix::mask_function() {
    if (vectors_ != 0) set_control(static_cast<u16>(control() | kMsixFunctionMask));
}
void Msix::unmask_function() {
    if (vectors_ != 0) set_control(static_cast<u16>(control() & ~kMsixFunctionMask));
}

}  // namespace ringlet::pci
