// Virtio over MMIO, version 1: the register block of virtio 1.2 §4.2.4.
#include "drivers/virtio/mmio.hpp"
#include "drivers/virtio/registers.hpp"

namespace ringlet::virtio {

namespace {
constexpr Register<u32, 0x010> kDeviceFeatures;
constexpr Register<u32, 0x014> kDeviceFeaturesSel;
constexpr Register<u32, 0x020> kDriverFeatures;
constexpr Register<u32, 0x024> kDriverFeaturesSel;
constexpr Register<u32, 0x028> kGuestPageSize;
constexpr Register<u32, 0x030> kQueueSel;
constexpr Register<u32, 0x038> kQueueNum;
constexpr Register<u32, 0x03c> kQueueAlign;
constexpr Register<u32, 0x040> kQueuePfn;
constexpr usize kQueueNotify = 0x050;
constexpr u32 kPage = 4096;  // the unit of addresses, and where the used part begins (SplitLayout::kLegacyAlign)
}  // namespace

Result<MmioLegacy> MmioLegacy::open(std::uintptr_t registers, usize bytes) {
    return MmioLegacy(TRY(MmioRegisters::open(registers, bytes, 1)));
}

FeatureBits MmioLegacy::device_features() {
    kDeviceFeaturesSel.write(base_, 0);
    return {{kDeviceFeatures.read(base_), 0}};
}
void MmioLegacy::set_driver_features(FeatureBits f) {
    kDriverFeaturesSel.write(base_, 0);
    kDriverFeatures.write(base_, u32(f.word[0]));
}

Result<Doorbell> MmioLegacy::enable_queue(u16 queue, u16, QueueAddrs where) {
    const u64 page = where.desc.raw / kPage;
    if (where.legacy_entries == 0 || where.desc.raw % kPage != 0 || page > ~u32{0}) return fail(Error::unsupported);
    kGuestPageSize.write(base_, kPage);  // a reset takes it back
    kQueueSel.write(base_, queue);
    if (kQueuePfn.read(base_) != 0) return fail(Error::device_broken);
    kQueueNum.write(base_, where.legacy_entries);
    kQueueAlign.write(base_, kPage);
    kQueuePfn.write(base_, u32(page));
    if (kQueuePfn.read(base_) != page) return fail(Error::device_broken);
    return Doorbell(Doorbell::Kind::mmio32, base_ + kQueueNotify, queue);
}

}  // namespace ringlet::virtio
