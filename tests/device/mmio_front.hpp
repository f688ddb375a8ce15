// virtio-mmio, both versions, in front of a modelled device (virtio 1.2 §4.2). Host tests only.
#pragma once

#include "drivers/virtio/mmio.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

/// The register block of virtio-mmio version 2 (§4.2.2).
class MmioFront final : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0x0a00'0000, kBytes = 0x200;
    u32 version = 2, magic = 0x74726976;
    bool has_queue_reset = true;
    VirtioDevice& device;

    explicit MmioFront(VirtioDevice& d) : device(d) { arch::host::register_mmio(kBase, kBytes, *this); }
    ~MmioFront() override { arch::host::unregister_mmio(kBase); }

    u64 read(u64 at, unsigned width) override {
        if (device.absent) return ~u64{0};
        if (at >= 0x100) return device.read_config(at - 0x100, width);
        if (width != 4) device.violations.push_back("MMIO register not read as 32 bits");
        switch (at) {
        case 0x000:
            return magic;
        case 0x004:
            return version;
        case 0x008:
            return device.type;
        case 0x00c:
            return 0x554d4551;
        case 0x010:
            return feature_sel_ < 4 ? u32(device.offered.word[feature_sel_ / 2] >> feature_sel_ % 2 * 32) : 0;
        case 0x034:
            return selected() ? selected()->max_size : 0;
        case 0x044:
            return selected() ? selected()->enabled : 0;
        case 0x0c0:
            return selected() && has_queue_reset ? device.queue_reset(*selected()) : 0;
        case 0x060:
            return device.isr;
        case 0x070:
            return device.status;
        case 0x0fc:
            return device.generation;
        default:
            device.violations.push_back("read of unknown register " + std::to_string(at));
            return 0;
        }
    }
    void write(u64 at, unsigned width, u64 v64) override {
        const u32 v = u32(v64);
        if (at >= 0x100) return device.on_config_write(at - 0x100, width, v64);
        if (width != 4) device.violations.push_back("MMIO register not written as 32 bits");
        Queue* q = selected();
        switch (at) {
        // As QEMU 7.2: every selector but 0 means 1, so that whoever writes the words above overwrites VERSION_1.
        case 0x014:
            feature_sel_ = v != 0;
            return;
        case 0x020:
            set_word(v);
            return;
        case 0x024:
            driver_sel_ = v != 0;
            return;
        case 0x030:
            queue_sel_ = v;
            return;
        case 0x050:
            if (device.accepted.test(38) && (v & 0xffff) < device.queues.size())
                device.queues[v & 0xffff].last_position = v >> 16;
            device.notify(device.accepted.test(38) ? v & 0xffff : v);
            return;
        case 0x064:
            device.isr &= ~v;
            return;
        case 0x070:
            device.write_status(u8(v));
            return;
        default:
            break;
        }
        if (q == nullptr) return device.violations.push_back("write to unknown register " + std::to_string(at));
        switch (at) {
        case 0x038:
            q->size = u16(v);
            return;
        case 0x044:
            if (v == 1)
                device.enable(*q, u16(queue_sel_));
            else
                q->enabled = false;
            return;
        case 0x0c0:  // QEMU offers RING_RESET on this transport, but has no such register
            if (v == 1 && has_queue_reset) device.reset_queue(*q);
            return;
        case 0x080:
            q->desc = (q->desc & ~u64{0xffffffff}) | v;
            return;
        case 0x084:
            q->desc = (q->desc & 0xffffffff) | u64{v} << 32;
            return;
        case 0x090:
            q->driver = (q->driver & ~u64{0xffffffff}) | v;
            return;
        case 0x094:
            q->driver = (q->driver & 0xffffffff) | u64{v} << 32;
            return;
        case 0x0a0:
            q->device = (q->device & ~u64{0xffffffff}) | v;
            return;
        case 0x0a4:
            q->device = (q->device & 0xffffffff) | u64{v} << 32;
            return;
        default:
            device.violations.push_back("write to unknown register " + std::to_string(at));
        }
    }

private:
    void set_word(u32 v) {
        if (driver_sel_ >= 4) return;
        u64& w = device.accepted.word[driver_sel_ / 2];
        w = driver_sel_ % 2 == 0 ? (w & ~u64{0xffffffff}) | v : (w & 0xffffffff) | u64{v} << 32;
    }
    Queue* selected() { return queue_sel_ < device.queues.size() ? &device.queues[queue_sel_] : nullptr; }
    u32 feature_sel_ = 0, driver_sel_ = 0, queue_sel_ = 0;
};

/// The register block of version 1 (§4.2.4).
class MmioLegacyFront final : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0x0a00'0000, kBytes = 0x200;
    VirtioDevice& device;

    explicit MmioLegacyFront(VirtioDevice& d) : device(d) {
        d.legacy = true;
        arch::host::register_mmio(kBase, kBytes, *this);
    }
    ~MmioLegacyFront() override { arch::host::unregister_mmio(kBase); }

    u64 read(u64 at, unsigned width) override {
        if (device.absent) return ~u64{0};
        if (at >= 0x100) return device.read_config(at - 0x100, width);
        if (width != 4) device.violations.push_back("MMIO register not read as 32 bits");
        switch (at) {
        case 0x000:
            return 0x74726976;
        case 0x004:
            return 1;
        case 0x008:
            return device.type;
        case 0x010:
            return feature_sel_ == 0 ? u32(device.offered.word[0]) : 0;
        case 0x034:
            return selected() ? selected()->max_size : 0;
        case 0x040:
            return selected() && selected()->enabled ? selected()->desc / page_ : 0;
        case 0x060:
            return device.isr;
        case 0x070:
            return device.status;
        default:
            device.violations.push_back("read of unknown register " + std::to_string(at));
            return 0;
        }
    }
    void write(u64 at, unsigned width, u64 v64) override {
        const u32 v = u32(v64);
        if (at >= 0x100) return device.on_config_write(at - 0x100, width, v64);
        if (width != 4) device.violations.push_back("MMIO register not written as 32 bits");
        Queue* q = selected();
        switch (at) {
        case 0x014:
            feature_sel_ = v;
            return;
        case 0x020:
            if (driver_sel_ == 0) device.accepted.word[0] = v;
            return;
        case 0x024:
            driver_sel_ = v;
            return;
        case 0x028:
            page_ = v;
            if (v == 0 || (v & (v - 1)) != 0) device.violations.push_back("page size"), page_ = 1;
            return;
        case 0x030:
            queue_sel_ = v;
            return;
        case 0x050:
            device.notify(v);
            return;
        case 0x064:
            device.isr &= ~v;
            return;
        case 0x070:
            if (v == 0 && !device.never_resets) page_ = 1, align_ = 0;
            device.write_status(u8(v));
            return;
        default:
            break;
        }
        if (q == nullptr) return device.violations.push_back("write to unknown register " + std::to_string(at));
        switch (at) {
        case 0x038:
            q->size = u16(v);
            return;
        case 0x03c:
            align_ = v;
            return;
        case 0x040:
            if (align_ == 0) device.violations.push_back("QueuePFN before QueueAlign");
            if (v != 0) device.enable_legacy(*q, u16(queue_sel_), u64{v} * page_, align_);
            return;
        default:
            device.violations.push_back("write to unknown register " + std::to_string(at));
        }
    }

private:
    Queue* selected() { return queue_sel_ < device.queues.size() ? &device.queues[queue_sel_] : nullptr; }
    u32 feature_sel_ = 0, driver_sel_ = 0, queue_sel_ = 0;
    u32 page_ = 1, align_ = 0;
};

}  // namespace ringlet::device
