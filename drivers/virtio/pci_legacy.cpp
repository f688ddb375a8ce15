// Virtio over PCI before 1.0: the header in BAR 0, virtio 1.2 §4.1.4.10.
#include "drivers/virtio/pci_legacy.hpp"

namespace ringlet::virtio {

namespace {
template <class T, usize kOffset> struct IoRegister {
    T read(const pci::IoWindow& bar) const { return bar.read<T>(kOffset); }
    void write(const pci::IoWindow& bar, T value) const { bar.write<T>(kOffset, value); }
};
constexpr IoRegister<u32, 0> kDeviceFeatures;
constexpr IoRegister<u32, 4> kDriverFeatures;
constexpr IoRegister<u32, 8> kQueueAddress;
constexpr IoRegister<u16, 12> kQueueSize;
constexpr IoRegister<u16, 14> kQueueSelect;
constexpr usize kQueueNotify = 16;
constexpr IoRegister<u8, 18> kDeviceStatus;
constexpr IoRegister<u8, 19> kIsrStatus;
constexpr IoRegister<u16, 20> kConfigVector;  // these two with MSI-X on
constexpr IoRegister<u16, 22> kQueueVector;
constexpr u64 kPage = 4096;
}  // namespace

Status PciLegacy::status() {
    return Status(kDeviceStatus.read(bar_));
}
void PciLegacy::set_status(Status s) {
    kDeviceStatus.write(bar_, u8(s));
}
FeatureBits PciLegacy::device_features() {
    return {{kDeviceFeatures.read(bar_), 0}};
}
void PciLegacy::set_driver_features(FeatureBits f) {
    kDriverFeatures.write(bar_, u32(f.word[0]));
}

u16 PciLegacy::queue_size_max(u16 queue) {
    kQueueSelect.write(bar_, queue);
    return kQueueSize.read(bar_);
}

/// The size cannot be chosen, and the ring's place is the number of a 4096-byte page.
Result<Doorbell> PciLegacy::enable_queue(u16 queue, u16, QueueAddrs where) {
    const u64 page = where.desc.raw / kPage;
    if (where.legacy_entries == 0 || where.desc.raw % kPage != 0 || page > ~u32{0}) return fail(Error::unsupported);
    if (queue_size_max(queue) != where.legacy_entries) return fail(Error::device_broken);
    if (kQueueAddress.read(bar_) != 0) return fail(Error::device_broken);  // it was reset: nothing may be there
    kQueueAddress.write(bar_, u32(page));
    if (kQueueAddress.read(bar_) != page) return fail(Error::device_broken);
    const auto kind = bar_.kind() == pci::IoWindow::Kind::ports ? Doorbell::Kind::port16 : Doorbell::Kind::mmio16;
    return Doorbell(kind, bar_.at(kQueueNotify), queue);
}

bool PciLegacy::set_config_vector(u16 vector) {
    if (!messages_) return vector == kNoVector;  // what is there instead belongs to the configuration
    kConfigVector.write(bar_, vector);
    return kConfigVector.read(bar_) == vector;
}

bool PciLegacy::set_queue_vector(u16 queue, u16 vector) {
    if (!messages_) return vector == kNoVector;
    if (queue_size_max(queue) == 0) return false;
    kQueueVector.write(bar_, vector);
    return kQueueVector.read(bar_) == vector;
}

/// Reading clears the status and deasserts the line.
InterruptStatus PciLegacy::interrupt_status() {
    return {kIsrStatus.read(bar_)};
}

u8 PciLegacy::config_u8(usize offset) {
    return bar_.read<u8>(config_at(offset));
}
u16 PciLegacy::config_u16(usize offset) {
    return bar_.read<u16>(config_at(offset));
}
u32 PciLegacy::config_u32(usize offset) {
    return bar_.read<u32>(config_at(offset));
}
void PciLegacy::set_config_u8(usize offset, u8 value) {
    bar_.write<u8>(config_at(offset), value);
}
void PciLegacy::set_config_u32(usize offset, u32 value) {
    bar_.write<u32>(config_at(offset), value);
}

}  // namespace ringlet::virtio
