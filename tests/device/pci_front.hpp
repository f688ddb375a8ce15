// The modern PCI interface in front of a modelled device (virtio 1.2 §4.1.4), as already mapped. Host tests only.
#pragma once

#include <memory>

#include "drivers/virtio/pci_modern.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

/// The four windows of a modern PCI device (§4.1.4), as already mapped.
class PciFront final : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0xfe00'0000, kIsr = 0x1000, kDevice = 0x2000, kNotify = 0x3000;
    VirtioDevice& device;
    u16 notify_off_step = 1;
    u32 common_bytes = 60;
    static constexpr u16 kNotifyPorts = 0xd000;  ///< with ports_for_doorbells()
    u32 notify_bytes = 0x1000, notify_multiplier = 4;
    u64 notify_at = 0;  ///< where the window begins, behind kNotify

    explicit PciFront(VirtioDevice& d) : device(d) { arch::host::register_mmio(kBase, 0x4000, *this); }
    ~PciFront() override { arch::host::unregister_mmio(kBase); }
    /// As QEMU's modern-pio-notify: all queues at one port, the value tells which.
    void ports_for_doorbells() {
        ports_.reset(new Ports(*this));
        notify_multiplier = 0;
        notify_bytes = 4;
    }
    static u16 notif_config_data(u16 queue) { return u16(0x4100 + 3 * queue); }
    virtio::PciRegions regions() const {
        return {.device_type = device.type,
                .common = kBase,
                .common_bytes = common_bytes,
                .notify = ports_ ? pci::IoWindow(pci::IoWindow::Kind::ports, kNotifyPorts)
                                 : pci::IoWindow(pci::IoWindow::Kind::memory, kBase + kNotify + notify_at),
                .notify_bytes = notify_bytes,
                .notify_multiplier = notify_multiplier,
                .isr = kBase + kIsr,
                .device = kBase + kDevice,
                .device_bytes = u32(device.config.size())};
    }

    u64 read(u64 at, unsigned width) override {
        if (device.absent) return ~u64{0};
        if (at == kIsr) return std::exchange(device.isr, 0);
        if (at >= kDevice && at < kNotify) return device.read_config(at - kDevice, width);
        Queue* q = selected();
        switch (at) {
        case 0x38:
            return q ? notif_config_data(queue_sel_) : 0;
        case 0x3a:
            return q ? device.queue_reset(*q) : 0;
        case 0x04:
            return feature_sel_ < 4 ? u32(device.offered.word[feature_sel_ / 2] >> feature_sel_ % 2 * 32) : 0;
        case 0x10:
            return device.config_vector;
        case 0x12:
            return device.queues.size();
        case 0x14:
            return device.status;
        case 0x15:
            return device.generation & 0xff;
        case 0x18:
            return q ? q->size : 0;
        case 0x1a:
            return q ? q->vector : kNoVector;
        case 0x1c:
            return q ? q->enabled : 0;
        case 0x1e:
            return q ? queue_sel_ * notify_off_step : 0;
        default:
            device.violations.push_back("read of unknown common field " + std::to_string(at));
            return 0;
        }
    }
    void write(u64 at, unsigned width, u64 v) override {
        if (at >= kNotify) {
            return doorbell(at - kNotify - notify_at, width, v);
        }
        if (at >= kDevice) return device.on_config_write(at - kDevice, width, v);
        switch (at) {
        case 0x00:
            feature_sel_ = u32(v);
            return;
        case 0x08:
            driver_sel_ = u32(v);
            return;
        case 0x0c:
            if (driver_sel_ < 4) {
                u64& w = device.accepted.word[driver_sel_ / 2];
                w = driver_sel_ % 2 == 0 ? (w & ~u64{0xffffffff}) | u32(v) : (w & 0xffffffff) | v << 32;
            }
            return;
        case 0x10:
            device.config_vector = v < device.vectors_taken ? u16(v) : kNoVector;
            return;
        case 0x14:
            device.write_status(u8(v));
            return;
        case 0x16:
            queue_sel_ = u16(v);
            return;
        default:
            break;
        }
        Queue* q = selected();
        if (q == nullptr) return device.violations.push_back("write to unknown common field " + std::to_string(at));
        switch (at) {
        case 0x18:
            q->size = u16(v);
            return;
        case 0x1a:
            q->vector = v < device.vectors_taken ? u16(v) : kNoVector;
            return;
        case 0x1c:
            device.enable(*q, queue_sel_);
            return;
        case 0x3a:
            if (v == 1) device.reset_queue(*q);
            return;
        case 0x20:
            q->desc = (q->desc & ~u64{0xffffffff}) | u32(v);
            return;
        case 0x24:
            q->desc = (q->desc & 0xffffffff) | v << 32;
            return;
        case 0x28:
            q->driver = (q->driver & ~u64{0xffffffff}) | u32(v);
            return;
        case 0x2c:
            q->driver = (q->driver & 0xffffffff) | v << 32;
            return;
        case 0x30:
            q->device = (q->device & ~u64{0xffffffff}) | u32(v);
            return;
        case 0x34:
            q->device = (q->device & 0xffffffff) | v << 32;
            return;
        default:
            device.violations.push_back("write to unknown common field " + std::to_string(at));
        }
    }

private:
    struct Ports final : arch::host::MmioHandler {
        PciFront& front;
        explicit Ports(PciFront& f) : front(f) { arch::host::register_ports(kNotifyPorts, 4, *this); }
        ~Ports() override { arch::host::unregister_ports(kNotifyPorts); }
        u64 read(u64, unsigned) override { return front.device.violations.push_back("doorbell read"), 0; }
        void write(u64 at, unsigned width, u64 v) override { front.doorbell(at, width, v); }
    };
    void doorbell(u64 at, unsigned width, u64 v) {
        const bool tells_position = device.accepted.test(38);
        if (width != (tells_position ? 4 : 2)) device.violations.push_back("doorbell of a wrong width");
        u16 queue = u16(v);
        if (device.accepted.test(39)) {
            queue = 0;
            while (queue < device.queues.size() && notif_config_data(queue) != u16(v)) ++queue;
        }
        if (at != u64{queue} * notify_off_step * notify_multiplier) device.violations.push_back("wrong doorbell");
        if (tells_position && queue < device.queues.size()) device.queues[queue].last_position = u32(v >> 16);
        device.notify(queue);
    }
    std::unique_ptr<Ports> ports_;
    Queue* selected() { return queue_sel_ < device.queues.size() ? &device.queues[queue_sel_] : nullptr; }
    u32 feature_sel_ = 0, driver_sel_ = 0;
    u16 queue_sel_ = 0;
};

}  // namespace ringlet::device
