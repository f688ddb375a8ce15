// Virtio over MMIO: the register block of virtio 1.2 §4.2.2, and what version 1 shares with it.
#include "drivers/virtio/mmio.hpp"

#include <algorithm>

#include "drivers/virtio/registers.hpp"

namespace ringlet::virtio {

namespace {
constexpr Register<u32, 0x000> kMagic;
constexpr Register<u32, 0x004> kVersion;
constexpr Register<u32, 0x008> kDeviceId;
constexpr Register<u32, 0x010> kDeviceFeatures;
constexpr Register<u32, 0x014> kDeviceFeaturesSel;
constexpr Register<u32, 0x020> kDriverFeatures;
constexpr Register<u32, 0x024> kDriverFeaturesSel;
constexpr Register<u32, 0x030> kQueueSel;
constexpr Register<u32, 0x034> kQueueNumMax;
constexpr Register<u32, 0x038> kQueueNum;
constexpr Register<u32, 0x044> kQueueReady;
constexpr usize kQueueNotify = 0x050;
constexpr Register<u32, 0x060> kInterruptStatus;
constexpr Register<u32, 0x064> kInterruptAck;
constexpr Register<u32, 0x070> kStatus;
constexpr AddressRegister<0x080> kQueueDesc;
constexpr AddressRegister<0x090> kQueueDriver;
constexpr AddressRegister<0x0a0> kQueueDevice;
constexpr Register<u32, 0x0c0> kQueueReset;
constexpr Register<u32, 0x0fc> kConfigGeneration;
constexpr u32 kMagicValue = 0x74726976;  // "virt"
}  // namespace

Result<MmioRegisters> MmioRegisters::open(std::uintptr_t registers, usize bytes, u32 wanted) {
    if (bytes < kConfig || registers % 4 != 0) return fail(Error::invalid);
    if (kMagic.read(registers) != kMagicValue) return fail(Error::invalid);
    const u32 version = kVersion.read(registers);
    const u32 id = kDeviceId.read(registers);
    if (id == 0) return fail(Error::not_found);  // §4.2.2: a placeholder, whatever the version says
    if (version != wanted || id > 0xffff) return fail(Error::unsupported);
    return MmioRegisters(registers, bytes, u16(id));
}
Result<Mmio> Mmio::open(std::uintptr_t registers, usize bytes) {
    return Mmio(TRY(MmioRegisters::open(registers, bytes, 2)));
}

Status MmioRegisters::status() {
    const u32 s = kStatus.read(base_);
    return s > 0xff ? Status::gone : Status(s);
}
void MmioRegisters::set_status(Status s) {
    kStatus.write(base_, u32(s));
}

// The first 64 bits only: no feature is defined above, and QEMU takes every selector but 0 for 1, so that a zero
// written to the words above would take VERSION_1 back.

FeatureBits Mmio::device_features() {
    u32 part[2];
    for (u32 i = 0; i < 2; ++i) {
        kDeviceFeaturesSel.write(base_, i);
        part[i] = kDeviceFeatures.read(base_);
    }
    const FeatureBits offered{{part[0] | u64{part[1]} << 32, 0}};
    return offered.without(mask(Common::notif_config_data));  // no register tells what to write
}

void Mmio::set_driver_features(FeatureBits f) {
    notify_position_ = f.test(unsigned(Common::notification_data));
    for (u32 i = 0; i < 2; ++i) {
        kDriverFeaturesSel.write(base_, i);
        kDriverFeatures.write(base_, u32(f.word[0] >> i * 32));
    }
}

u16 MmioRegisters::queue_size_max(u16 queue) {
    kQueueSel.write(base_, queue);
    return u16(std::min<u32>(kQueueNumMax.read(base_), 32768));
}

Result<Doorbell> Mmio::enable_queue(u16 queue, u16 size, QueueAddrs where) {
    kQueueSel.write(base_, queue);
    if (kQueueReady.read(base_) != 0) return fail(Error::device_broken);  // §4.2.3.2: still in use
    kQueueNum.write(base_, size);
    kQueueDesc.write(base_, where.desc.raw);
    kQueueDriver.write(base_, where.driver.raw);
    kQueueDevice.write(base_, where.device.raw);
    kQueueReady.write(base_, 1);
    return Doorbell(Doorbell::Kind::mmio32, base_ + kQueueNotify, queue,
                    notify_position_ ? Doorbell::Says::position : Doorbell::Says::queue);
}

/// §4.2.2 QueueReset: reads 1 until the device has let go of the queue. QEMU offers RING_RESET here without having the
/// register: then QueueReady stays 1, which is an error and no queue that was reset.
Result<> Mmio::reset_queue(u16 queue) {
    kQueueSel.write(base_, queue);
    kQueueReset.write(base_, 1);
    for (unsigned polls = 0; polls < kResetPolls; ++polls) {
        if (kQueueReset.read(base_) != 0) continue;
        if (kQueueReady.read(base_) == 0) return {};
        break;
    }
    return fail(Error::device_broken);
}

/// §4.2.2: read, then acknowledged, before anyone looks into a queue: what the device completes after this raises the
/// line again, so that an edge-triggered line loses nothing.
InterruptStatus MmioRegisters::interrupt_status() {
    const u32 bits = kInterruptStatus.read(base_) & (InterruptStatus::kQueue | InterruptStatus::kConfig);
    if (bits != 0) kInterruptAck.write(base_, bits);
    return {bits};
}

u32 Mmio::config_generation() {
    return kConfigGeneration.read(base_);
}
u8 MmioRegisters::config_u8(usize offset) {
    return arch::mmio_read<u8>(base_ + kConfig + offset);
}
u16 MmioRegisters::config_u16(usize offset) {
    return arch::mmio_read<u16>(base_ + kConfig + offset);
}
u32 MmioRegisters::config_u32(usize offset) {
    return arch::mmio_read<u32>(base_ + kConfig + offset);
}
void MmioRegisters::set_config_u8(usize offset, u8 value) {
    arch::mmio_write<u8>(base_ + kConfig + offset, value);
}
void MmioRegisters::set_config_u32(usize offset, u32 value) {
    arch::mmio_write<u32>(base_ + kConfig + offset, value);
}

}  // namespace ringlet::virtio
