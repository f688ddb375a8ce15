// The PCI interface from before 1.0 in front of a modelled device (virtio 1.2 §4.1.4.10): BAR 0, as ports or as memory.
// Host tests only.
#pragma once

#include "drivers/virtio/pci_legacy.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class PciLegacyFront final : public arch::host::MmioHandler {
public:
    using Kind = pci::IoWindow::Kind;
    static constexpr u16 kPort = 0xc000;
    static constexpr u64 kMemory = 0x3eff'0000;
    static constexpr u32 kBytes = 256;
    VirtioDevice& device;

    PciLegacyFront(VirtioDevice& d, Kind kind) : device(d), kind_(kind) {
        d.legacy = true;
        if (kind == Kind::ports)
            arch::host::register_ports(kPort, kBytes, *this);
        else
            arch::host::register_mmio(kMemory, kBytes, *this);
    }
    ~PciLegacyFront() override {
        if (kind_ == Kind::ports)
            arch::host::unregister_ports(kPort);
        else
            arch::host::unregister_mmio(kMemory);
    }
    virtio::PciLegacy transport(pci::Function* function = nullptr) const {
        return {device.type, {kind_, kind_ == Kind::ports ? kPort : kMemory}, kBytes, function};
    }
    /// Whether the function's MSI-X is on decides where things are.
    std::function<bool()> messages = [] { return false; };

    u64 read(u64 at, unsigned width) override {
        if (device.absent) return ~u64{0};
        const Queue* q = selected();
        if (at >= config_at()) return device.read_config(at - config_at(), width);
        check(at, width);
        switch (at) {
        case 0:
            return u32(device.offered.word[0]);
        case 4:
            return u32(device.accepted.word[0]);
        case 8:
            return q && q->enabled ? q->desc / 4096 : 0;
        case 12:
            return q ? q->max_size : 0;
        case 18:
            return device.status;
        case 19:
            return std::exchange(device.isr, 0);
        case 20:
            return device.config_vector;
        case 22:
            return q ? q->vector : kNoVector;
        default:
            device.violations.push_back("read of unknown legacy register " + std::to_string(at));
            return 0;
        }
    }
    void write(u64 at, unsigned width, u64 v) override {
        if (at >= config_at()) return device.on_config_write(at - config_at(), width, v);
        check(at, width);
        Queue* q = selected();
        switch (at) {
        case 4:
            device.accepted = {{v, 0}};
            return;
        case 8:
            if (q == nullptr) return device.violations.push_back("address of no queue");
            if (v != 0) device.enable_legacy(*q, queue_sel_, v * 4096, 4096);
            return;
        case 14:
            queue_sel_ = u16(v);
            return;
        case 16:
            return device.notify(u32(v));
        case 18:
            return device.write_status(u8(v));
        case 20:
            device.config_vector = v < device.vectors_taken ? u16(v) : kNoVector;
            return;
        case 22:
            if (q == nullptr) return device.violations.push_back("vector of no queue");
            q->vector = v < device.vectors_taken ? u16(v) : kNoVector;
            return;
        default:
            device.violations.push_back("write to unknown legacy register " + std::to_string(at));
        }
    }

private:
    u64 config_at() const { return messages() ? 24 : 20; }
    void check(u64 at, unsigned width) {
        const unsigned natural = at < 12 ? 4 : at == 18 || at == 19 ? 1 : 2;
        if (width != natural) device.violations.push_back("legacy register of a wrong width: " + std::to_string(at));
    }
    Queue* selected() { return queue_sel_ < device.queues.size() ? &device.queues[queue_sel_] : nullptr; }
    Kind kind_;
    u16 queue_sel_ = 0;
};

}  // namespace ringlet::device
