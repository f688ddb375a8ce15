// A virtio device without a transport: status, features, queues, configuration, interrupts (virtio 1.2 §2, §3). Checks
// the protocol: every `violations` entry is something a driver must not do. Host tests only.
#pragma once

#include <functional>

#include "drivers/virtio/interrupts.hpp"
#include "drivers/virtio/mmio.hpp"
#include "drivers/virtio/pci_modern.hpp"
#include "tests/device/ring_device.hpp"

namespace ringlet::device {

using virtio::FeatureBits, virtio::kNoVector;

struct Queue {
    u16 max_size = 256, size = 256, vector = kNoVector;
    u64 desc = 0, driver = 0, device = 0;
    bool enabled = false;
    u64 notified = 0;
    RingDevice ring;
};

class VirtioDevice {
public:
    u16 type = 0;
    FeatureBits offered;
    std::vector<u8> config;
    std::vector<Queue> queues;
    std::vector<std::string> violations;

    // Bad behaviour, to be chosen by a test.
    bool refuses_features = false;  ///< clears FEATURES_OK
    bool never_resets = false;
    bool absent = false;     ///< all reads are ones
    int torn_reads = 0;      ///< the generation moves on during so many reads
    u16 vectors_taken = 64;  ///< a vector from this number on reads back as NO_VECTOR
    bool silent = false;     ///< ignores doorbells

    u8 status = 0;
    FeatureBits accepted;
    u32 generation = 0;
    u16 config_vector = kNoVector;
    u32 isr = 0;
    u64 resets = 0, interrupts_sent = 0;
    std::vector<u8> status_history;
    std::function<void(u16 vector)> send_message;  ///< set: MSI-X is in use
    std::function<void()> raise_line;

    virtual ~VirtioDevice() = default;
    virtual void on_notify(u16 queue) = 0;
    virtual void on_reset() {}
    /// The driver writes to the configuration space. Most types forbid it.
    virtual void on_config_write(u64 at, unsigned, u64) {
        violations.push_back("write to configuration byte " + std::to_string(at));
    }

    bool live() const { return (status & 4) != 0 && (status & 0x40) == 0; }

    void write_status(u8 v) {
        status_history.push_back(v);
        if (v == 0) return reset();
        if ((v & status) != (status & ~0x40) && v != 128) violations.push_back("status bits taken back");
        if ((v & 2) && !(v & 1)) violations.push_back("DRIVER without ACKNOWLEDGE");
        if ((v & 8) && !(status & 8)) features_ok(v);
        if ((v & 4) && !(status & 8)) violations.push_back("DRIVER_OK without FEATURES_OK");
        status = v;
        if ((v & 8) && refuses_features) status = u8(v & ~8);
    }

    void enable(Queue& q, u16 index) {
        if (!(status & 8)) violations.push_back("queue enabled before FEATURES_OK");
        if (status & 4) violations.push_back("queue enabled after DRIVER_OK");
        if (q.size == 0 || q.size > q.max_size || (q.size & (q.size - 1)) != 0) violations.push_back("queue size");
        q.enabled = true;
        q.ring = {};
        q.ring.start(q.size, DmaAddr(q.desc), DmaAddr(q.driver), DmaAddr(q.device), accepted.test(29));
        (void)index;
    }

    void notify(u32 queue) {
        if (!(status & 4)) violations.push_back("kick before DRIVER_OK");
        if (queue >= queues.size() || !queues[queue].enabled) return violations.push_back("kick of no queue");
        ++queues[queue].notified;
        if (live() && !silent) on_notify(u16(queue));
    }

    void interrupt_queue(u16 queue) { interrupt(1, queues[queue].vector); }
    void interrupt_config() { interrupt(2, config_vector); }
    void change_config(std::function<void()> change) {
        change();
        ++generation;
        if (live()) interrupt_config();
    }
    void needs_reset() {
        status |= 0x40;
        interrupt_config();
    }
    /// Returns a chain and interrupts if the driver asked for it.
    void complete(u16 queue, u16 id, u32 written) {
        if (queues[queue].ring.give(id, written)) interrupt_queue(queue);
    }
    /// What a torn read of the configuration looks like.
    void config_was_read() {
        if (torn_reads != 0) --torn_reads, ++generation;
    }
    std::vector<std::string> all_violations() const {
        auto all = violations;
        for (const Queue& q : queues) all.insert(all.end(), q.ring.violations.begin(), q.ring.violations.end());
        return all;
    }

private:
    void features_ok(u8 v) {
        if ((v & 3) != 3) violations.push_back("FEATURES_OK without DRIVER");
        if (accepted.without(offered).any()) violations.push_back("accepted a feature that was not offered");
    }
    void reset() {
        ++resets;
        if (never_resets) return;
        status = 0;
        accepted = {};
        isr = 0;
        config_vector = kNoVector;
        for (Queue& q : queues) {
            const auto seen = q.ring.violations;
            violations.insert(violations.end(), seen.begin(), seen.end());
            const u64 notified = q.notified;
            q = {.max_size = q.max_size, .size = q.max_size, .vector = kNoVector, .ring = {}};
            q.notified = notified;
        }
        on_reset();
    }
    void interrupt(u32 bit, u16 vector) {
        if (!(status & 4)) violations.push_back("test: interrupt before DRIVER_OK");
        ++interrupts_sent;
        if (send_message) {
            if (vector != kNoVector) send_message(vector);
            return;
        }
        const u32 before = std::exchange(isr, isr | bit);
        if (before == 0 && raise_line) raise_line();  // an edge: the hardest kind of line
    }
};

/// The register block of virtio-mmio version 2 (§4.2.2).
class MmioFront final : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0x0a00'0000, kBytes = 0x200;
    u32 version = 2, magic = 0x74726976;
    VirtioDevice& device;

    explicit MmioFront(VirtioDevice& d) : device(d) { arch::host::register_mmio(kBase, kBytes, *this); }
    ~MmioFront() override { arch::host::unregister_mmio(kBase); }

    u64 read(u64 at, unsigned width) override {
        if (device.absent) return ~u64{0};
        if (at >= 0x100) return config_read(at - 0x100, width);
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
            device.notify(v);
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
    u64 config_read(u64 at, unsigned width) {
        u64 v = 0;
        for (unsigned i = 0; i < width && at + i < device.config.size(); ++i) v |= u64{device.config[at + i]} << 8 * i;
        device.config_was_read();
        return v;
    }
    void set_word(u32 v) {
        if (driver_sel_ >= 4) return;
        u64& w = device.accepted.word[driver_sel_ / 2];
        w = driver_sel_ % 2 == 0 ? (w & ~u64{0xffffffff}) | v : (w & 0xffffffff) | u64{v} << 32;
    }
    Queue* selected() { return queue_sel_ < device.queues.size() ? &device.queues[queue_sel_] : nullptr; }
    u32 feature_sel_ = 0, driver_sel_ = 0, queue_sel_ = 0;
};

/// The four windows of a modern PCI device (§4.1.4), as already mapped.
class PciFront final : public arch::host::MmioHandler {
public:
    static constexpr u64 kBase = 0xfe00'0000, kIsr = 0x1000, kDevice = 0x2000, kNotify = 0x3000;
    VirtioDevice& device;
    u16 notify_off_step = 1;
    u32 notify_bytes = 0x1000, notify_multiplier = 4;

    explicit PciFront(VirtioDevice& d) : device(d) { arch::host::register_mmio(kBase, 0x4000, *this); }
    ~PciFront() override { arch::host::unregister_mmio(kBase); }
    virtio::PciRegions regions() const {
        return {.device_type = device.type,
                .common = kBase,
                .notify = kBase + kNotify,
                .notify_bytes = notify_bytes,
                .notify_multiplier = notify_multiplier,
                .isr = kBase + kIsr,
                .device = kBase + kDevice,
                .device_bytes = u32(device.config.size())};
    }

    u64 read(u64 at, unsigned width) override {
        if (device.absent) return ~u64{0};
        if (at == kIsr) return std::exchange(device.isr, 0);
        if (at >= kDevice && at < kNotify) {
            u64 v = 0;
            for (unsigned i = 0; i < width && at - kDevice + i < device.config.size(); ++i)
                v |= u64{device.config[at - kDevice + i]} << 8 * i;
            device.config_was_read();
            return v;
        }
        const Queue* q = selected();
        switch (at) {
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
            if (width != 2) device.violations.push_back("doorbell not 16 bits wide");
            if ((at - kNotify) != v * notify_off_step * notify_multiplier)
                device.violations.push_back("wrong doorbell");
            return device.notify(u32(v));
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
    Queue* selected() { return queue_sel_ < device.queues.size() ? &device.queues[queue_sel_] : nullptr; }
    u32 feature_sel_ = 0, driver_sel_ = 0;
    u16 queue_sel_ = 0;
};

/// A device's MSI-X table. A message sent while its vector is masked is remembered, as the pending bit does.
class FakeVectors final : public virtio::VectorTable {
public:
    struct Vector {
        bool open = false, masked = true, pending = false;
        arch::IrqId id{};
        arch::MsiMessage message;
    };
    std::vector<Vector> vectors;
    bool enabled = false, stuck = false;

    explicit FakeVectors(u16 n) : vectors(n) {}
    u16 size() const override { return u16(vectors.size()); }
    Result<arch::IrqId> open(u16 i) override {
        Vector& v = vectors.at(i);
        v.id = TRY(arch::allocate_msi(0, v.message));
        v.open = v.masked = true;
        return v.id;
    }
    void close(u16 i) override {
        arch::free_msi(vectors.at(i).id);
        vectors.at(i) = {};
    }
    void mask(u16 i) override { vectors.at(i).masked = true; }
    void unmask(u16 i) override {
        vectors.at(i).masked = false;
        if (std::exchange(vectors.at(i).pending, false)) arch::host::deliver(vectors.at(i).message);
    }
    bool enable() override { return enabled = !stuck; }
    void disable() override { enabled = false; }
    /// What the device does.
    void send(u16 i) {
        if (!enabled || i >= vectors.size() || !vectors[i].open) return;
        if (vectors[i].masked)
            vectors[i].pending = true;
        else
            arch::host::deliver(vectors[i].message);
    }
};

/// What a driver owns of it.
class FakeVectorsHandle final : public virtio::VectorTable {
public:
    explicit FakeVectorsHandle(FakeVectors& to) : to_(to) {}
    u16 size() const override { return to_.size(); }
    Result<arch::IrqId> open(u16 i) override { return to_.open(i); }
    void close(u16 i) override { to_.close(i); }
    void mask(u16 i) override { to_.mask(i); }
    void unmask(u16 i) override { to_.unmask(i); }
    bool enable() override { return to_.enable(); }
    void disable() override { to_.disable(); }

private:
    FakeVectors& to_;
};

}  // namespace ringlet::device
