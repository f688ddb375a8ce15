// Virtio over PCI, the modern interface: the common configuration structure, virtio 1.2 §4.1.4.3.
#include "drivers/virtio/pci_modern.hpp"

#include "drivers/virtio/registers.hpp"

namespace ringlet::virtio {

namespace {
namespace common {
constexpr Register<u32, 0x00> device_feature_select;
constexpr Register<u32, 0x04> device_feature;
constexpr Register<u32, 0x08> driver_feature_select;
constexpr Register<u32, 0x0c> driver_feature;
constexpr Register<u16, 0x10> config_msix_vector;
constexpr Register<u16, 0x12> num_queues;
constexpr Register<u8, 0x14> device_status;
constexpr Register<u8, 0x15> config_generation;
constexpr Register<u16, 0x16> queue_select;
constexpr Register<u16, 0x18> queue_size;
constexpr Register<u16, 0x1a> queue_msix_vector;
constexpr Register<u16, 0x1c> queue_enable;
constexpr Register<u16, 0x1e> queue_notify_off;
constexpr AddressRegister<0x20> queue_desc;
constexpr AddressRegister<0x28> queue_driver;
constexpr AddressRegister<0x30> queue_device;
constexpr Register<u16, 0x38> queue_notif_config_data;
constexpr Register<u16, 0x3a> queue_reset;
}  // namespace common
}  // namespace

Status PciModern::status() {
    return Status(common::device_status.read(r_.common));
}
void PciModern::set_status(Status s) {
    common::device_status.write(r_.common, u8(s));
}

FeatureBits PciModern::device_features() {
    u32 part[4];
    for (u32 i = 0; i < 4; ++i) {
        common::device_feature_select.write(r_.common, i);
        part[i] = common::device_feature.read(r_.common);
    }
    const FeatureBits offered{{part[0] | u64{part[1]} << 32, part[2] | u64{part[3]} << 32}};
    // Features whose registers are not inside the window do not exist for us.
    return offered.without(r_.common_bytes >= 60   ? FeatureBits{}
                           : r_.common_bytes >= 58 ? mask(Common::ring_reset)
                                                   : mask(Common::ring_reset, Common::notif_config_data));
}

void PciModern::set_driver_features(FeatureBits f) {
    notify_position_ = f.test(unsigned(Common::notification_data));
    notify_config_data_ = f.test(unsigned(Common::notif_config_data));
    for (u32 i = 0; i < 4; ++i) {
        common::driver_feature_select.write(r_.common, i);
        common::driver_feature.write(r_.common, u32(f.word[i / 2] >> i % 2 * 32));
    }
}

u16 PciModern::queue_size_max(u16 queue) {
    if (queue >= common::num_queues.read(r_.common)) return 0;
    common::queue_select.write(r_.common, queue);
    return common::queue_size.read(r_.common);
}

Result<Doorbell> PciModern::enable_queue(u16 queue, u16 size, QueueAddrs where) {
    common::queue_select.write(r_.common, queue);
    if (common::queue_enable.read(r_.common) != 0) return fail(Error::device_broken);  // §4.1.4.3.2: 0 after reset
    common::queue_size.write(r_.common, size);
    if (common::queue_size.read(r_.common) != size) return fail(Error::device_broken);
    common::queue_desc.write(r_.common, where.desc.raw);
    common::queue_driver.write(r_.common, where.driver.raw);
    common::queue_device.write(r_.common, where.device.raw);
    const Doorbell bell = TRY(doorbell(queue));
    common::queue_enable.write(r_.common, 1);
    return bell;
}

/// Of the selected queue. §4.1.4.4, and §2.9 for what is written there.
Result<Doorbell> PciModern::doorbell(u16 queue) {
    const u64 at = u64{common::queue_notify_off.read(r_.common)} * r_.notify_multiplier;
    const u32 width = notify_position_ ? 4 : 2;
    if (r_.notify_bytes < width || at > r_.notify_bytes - width) return fail(Error::device_broken);
    if (r_.notify.at(at) % width != 0) return fail(Error::device_broken);  // of the access, not only of the offset
    const bool ports = r_.notify.kind() == pci::IoWindow::Kind::ports;
    const auto narrow = ports ? Doorbell::Kind::port16 : Doorbell::Kind::mmio16;
    const auto wide = ports ? Doorbell::Kind::port32 : Doorbell::Kind::mmio32;
    const u16 value = notify_config_data_ ? common::queue_notif_config_data.read(r_.common) : queue;
    return Doorbell(notify_position_ ? wide : narrow, r_.notify.at(at), value,
                    notify_position_ ? Doorbell::Says::position : Doorbell::Says::queue);
}

/// §4.1.4.3.2: reads 1 until the device has let go of the queue. Only when RING_RESET was negotiated.
Result<> PciModern::reset_queue(u16 queue) {
    if (queue >= common::num_queues.read(r_.common)) return fail(Error::device_broken);
    common::queue_select.write(r_.common, queue);
    common::queue_reset.write(r_.common, 1);
    for (unsigned polls = 0; polls < kResetPolls; ++polls) {
        if (common::queue_reset.read(r_.common) != 0) continue;
        if (common::queue_enable.read(r_.common) == 0) return {};
        break;
    }
    return fail(Error::device_broken);
}

bool PciModern::set_config_vector(u16 vector) {
    common::config_msix_vector.write(r_.common, vector);
    return common::config_msix_vector.read(r_.common) == vector;
}

bool PciModern::set_queue_vector(u16 queue, u16 vector) {
    if (queue >= common::num_queues.read(r_.common)) return false;
    common::queue_select.write(r_.common, queue);
    common::queue_msix_vector.write(r_.common, vector);
    return common::queue_msix_vector.read(r_.common) == vector;
}

/// §4.1.4.5: reading clears the status and deasserts the line.
InterruptStatus PciModern::interrupt_status() {
    return {arch::mmio_read<u8>(r_.isr)};
}

u32 PciModern::config_generation() {
    return common::config_generation.read(r_.common);
}
u8 PciModern::config_u8(usize offset) {
    return arch::mmio_read<u8>(r_.device + offset);
}
u16 PciModern::config_u16(usize offset) {
    return arch::mmio_read<u16>(r_.device + offset);
}
u32 PciModern::config_u32(usize offset) {
    return arch::mmio_read<u32>(r_.device + offset);
}
void PciModern::set_config_u8(usize offset, u8 value) {
    arch::mmio_write<u8>(r_.device + offset, value);
}
void PciModern::set_config_u32(usize offset, u32 value) {
    arch::mmio_write<u32>(r_.device + offset, value);
}

}  // namespace ringlet::virtio
