// A virtio device without a transport: status, features, queues, configuration, interrupts (virtio 1.2 §2, §3). Checks
// the protocol: every `violations` entry is something a driver must not do. Host tests only.
#pragma once

#include <functional>

#include "drivers/virtio/interrupts.hpp"
#include "tests/device/ring_device.hpp"

namespace ringlet::device {

using virtio::FeatureBits, virtio::kNoVector;

struct Queue {
    u16 max_size = 256, size = 256, vector = kNoVector;
    u64 desc = 0, driver = 0, device = 0;
    bool enabled = false;
    u64 notified = 0;
    u32 last_position = 0;  ///< with NOTIFICATION_DATA: what the last doorbell said
    int reset_polls = 0;    ///< RING_RESET under way: so many reads until it is done
    bool was_reset = false;
    RingDevice ring;
};

class VirtioDevice {
public:
    u16 type = 0;
    FeatureBits offered, demanded;  ///< demanded: a driver that leaves one of these out is refused
    std::vector<u8> config;
    std::vector<Queue> queues;
    std::vector<std::string> violations;

    // Bad behaviour, to be chosen by a test.
    bool refuses_features = false;  ///< clears FEATURES_OK
    bool never_resets = false;
    int queue_reset_takes = 0;  ///< polls until a queue's reset is done; negative: for ever
    bool absent = false;        ///< all reads are ones
    int torn_reads = 0;         ///< the generation moves on during so many reads
    u16 vectors_taken = 64;     ///< a vector from this number on reads back as NO_VECTOR
    bool silent = false;        ///< ignores doorbells

    bool legacy = false;  ///< set by a front from before 1.0: 32 feature bits, no FEATURES_OK, rings as in §2.7.2
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
        if ((v & 8) && legacy) violations.push_back("FEATURES_OK over a legacy interface");
        if (legacy ? (v & 4) && !(status & 4) : (v & 8) && !(status & 8)) features_ok(v);
        if ((v & 4) && !(status & 8) && !legacy) violations.push_back("DRIVER_OK without FEATURES_OK");
        status = v;
        if ((v & 8) && (refuses_features || (demanded & offered).without(accepted).any())) status = u8(v & ~8);
    }

    void enable(Queue& q, u16 index) {
        if (!(status & (legacy ? 2 : 8))) violations.push_back("queue enabled before the features were agreed");
        if ((status & 4) && !q.was_reset) violations.push_back("queue enabled after DRIVER_OK");
        if (q.size == 0 || q.size > q.max_size) violations.push_back("queue size");
        q.enabled = true;
        q.was_reset = false;
        keep_complaints(q);
        q.ring = {};
        q.ring.start({.size = q.size,
                      .desc = DmaAddr(q.desc),
                      .driver = DmaAddr(q.driver),
                      .device = DmaAddr(q.device),
                      .packed = accepted.test(34),
                      .in_order = accepted.test(35),
                      .event_idx = accepted.test(29),
                      .indirect = accepted.test(28)});
        (void)index;
    }
    /// §2.7.2: one page number says where everything is.
    void enable_legacy(Queue& q, u16 index, u64 at, u64 align) {
        q.desc = at;
        q.driver = at + u64{16} * q.size;
        q.device = align_up(q.driver + 6 + u64{2} * q.size, align);
        enable(q, index);
    }
    void reset_queue(Queue& q) {
        if (!accepted.test(40)) violations.push_back("queue reset without RING_RESET");
        if (!(status & 4)) violations.push_back("queue reset before DRIVER_OK");
        q.reset_polls = queue_reset_takes;
        if (q.reset_polls == 0) finish_queue_reset(q);
    }
    /// What the register says: 1 while the reset goes on.
    u16 queue_reset(Queue& q) {
        if (q.reset_polls > 0 && --q.reset_polls == 0) finish_queue_reset(q);
        return q.reset_polls != 0;
    }

    void notify(u32 queue) {
        if (!(status & 4)) violations.push_back("kick before DRIVER_OK");
        if (queue >= queues.size() || !queues[queue].enabled) return violations.push_back("kick of no queue");
        Queue& q = queues[queue];
        ++q.notified;
        if (accepted.test(38) && q.last_position != q.ring.avail_position())
            violations.push_back("doorbell with another position");
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
    /// Little-endian; beyond the end it is zero. A torn read shows in the generation, or, where there is none, in the
    /// value.
    u64 read_config(u64 at, unsigned width) {
        u64 v = 0;
        for (unsigned i = 0; i < width && at + i < config.size(); ++i) v |= u64{config[at + i]} << 8 * i;
        if (torn_reads != 0) {
            --torn_reads, ++generation;
            if (legacy) v ^= torn_reads & 0x7f;
        }
        return v;
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
        if (!legacy && offered.test(32) && !accepted.test(32)) violations.push_back("VERSION_1 not accepted");
    }
    void keep_complaints(Queue& q) {
        const auto seen = std::exchange(q.ring.violations, {});
        violations.insert(violations.end(), seen.begin(), seen.end());
    }
    void finish_queue_reset(Queue& q) {
        keep_complaints(q);
        q = {.max_size = q.max_size,
             .size = q.max_size,
             .vector = kNoVector,
             .notified = q.notified,
             .was_reset = true,
             .ring = {}};
    }
    void reset() {
        ++resets;
        if (never_resets) return;
        status = 0;
        accepted = {};
        isr = 0;
        config_vector = kNoVector;
        for (Queue& q : queues) {
            keep_complaints(q);
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

}  // namespace ringlet::device
