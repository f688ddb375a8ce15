// A device of any type that does what a string of bytes says: serves, lies, rewrites, tears, interrupts at any moment,
// keeps silent, breaks, disappears. It knows nothing of its type: it takes chains and fills what is writable, or has
// `answer` fill it, where a driver would not come far with random bytes. Only it may misbehave: whatever the bytes, a
// driver must not crash, hang, lose a request or leave its memory. Host only.
#pragma once

#include <functional>
#include <span>

#include "tests/unit/virtio/bench.hpp"

namespace ringlet::fuzz {

/// The bytes that decide; zeros when they are used up.
class Script {
    std::span<const u8> bytes_;

public:
    explicit Script(std::span<const u8> bytes) : bytes_(bytes) {}
    bool done() const { return bytes_.empty(); }
    u8 byte() {
        if (bytes_.empty()) return 0;
        const u8 b = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return b;
    }
    u32 below(u32 n) { return n > 256 ? (byte() | u32{byte()} << 8) % n : byte() % n; }
    u32 word() { return byte() | u32{byte()} << 8 | u32{byte()} << 16 | u32{byte()} << 24; }
    /// Mostly something small, sometimes an edge.
    u32 number() {
        constexpr u32 kEdges[] = {0xffff, 0x7fff, 0x8000, 0xffff'ffff, 0x8000'0000, 1u << 20};
        const u8 b = byte();
        return b < 240 ? b : b < 246 ? kEdges[b - 240] : word();
    }
};

class HostileDevice final : public device::VirtioDevice {
public:
    Script* script = nullptr;
    bool ever_stuck = false;  ///< did not confirm a reset at some time: memory may be in quarantine
    /// What a device of this type would say: into the chain's writable pieces, those with memory.
    std::function<void(u16 queue, const device::Chain&)> answer;

    HostileDevice() { config.assign(64, 0); }

    void on_notify(u16 queue) override {
        device::RingDevice& ring = queues[queue].ring;
        if (script == nullptr || asleep_) return;
        ring.busy();
        take_some(queue);
        (void)ring.sleep();
    }
    void on_reset() override { held_.clear(); }

    /// One thing that the device does, honest about half of the time.
    void act() {
        const u16 queue = u16(script->below(u32(queues.size())));
        if (status & 4 && queues[queue].enabled && script->byte() % 16 < 9)
            serve(queue);
        else
            misbehave(queue);
        // What the model says of the driver means nothing while the device rewrites the driver's memory.
        violations.clear();
        for (device::Queue& q : queues) q.ring.violations.clear();
    }
    /// Honest for the rest: a driver must be able to recover now.
    void behave() { silent = absent = never_resets = refuses_features = asleep_ = false, torn_reads = 0; }

private:
    struct Held {
        u16 queue;
        device::Chain chain;
    };

    void take_some(u16 queue) {
        for (int i = 0; i < 64 && held_.size() < 512; ++i) {
            auto chain = queues[queue].ring.take();
            if (!chain) return;
            held_.push_back({queue, std::move(*chain)});
        }
    }
    void fill(u16 queue, const device::Chain& chain) {
        const u8 mode = script->byte();
        if (answer && mode % 8 != 0) {
            answer(queue, chain);
            if (mode % 4 != 1 || chain.in.empty()) return;
            const device::Piece& p = chain.in[script->below(u32(chain.in.size()))];
            if (p.bytes != nullptr && p.len != 0) p.bytes[script->below(std::min(p.len, 128u))] ^= std::byte(mode);
            return;
        }
        for (const device::Piece& p : chain.in) {
            if (p.bytes == nullptr) continue;
            // Status bytes and headers at the ends matter most: the first and the last few bytes, zeros for the rest.
            for (u32 i = 0; i < std::min<u32>(p.len, 16); ++i) p.bytes[i] = std::byte(mode & 1 ? script->byte() : 0);
            for (u32 i = p.len - std::min<u32>(p.len, 4); i < p.len; ++i)
                p.bytes[i] = std::byte(mode & 2 ? script->byte() : 0);
        }
    }
    void serve(u16 queue) {
        take_some(queue);
        std::vector<usize> mine;
        for (usize i = 0; i < held_.size(); ++i)
            if (held_[i].queue == queue) mine.push_back(i);
        for (u32 n = 1 + script->below(4); n != 0 && !mine.empty(); --n) {
            const usize which = script->byte() % 4 == 0 ? script->below(u32(mine.size())) : 0;
            const Held h = held_[mine[which]];
            held_.erase(held_.begin() + std::ptrdiff_t(mine[which]));
            mine.clear();
            for (usize i = 0; i < held_.size(); ++i)
                if (held_[i].queue == queue) mine.push_back(i);
            fill(queue, h.chain);
            const u8 length = script->byte();
            complete(queue, h.chain.id, length < 200 ? h.chain.writable() : script->number());
            if (!queues[queue].enabled) return;  // reset meanwhile
        }
    }

    bool may_interrupt() { return (status & 4) != 0 || script->byte() % 4 == 0; }

    void misbehave(u16 queue) {
        device::Queue& q = queues[queue];
        const bool live = (status & 4) != 0 && q.enabled;
        switch (script->below(20)) {
        case 0:
            if (live) q.ring.put(script->number(), script->number()), q.ring.publish();
            break;
        case 1:
            if (live) q.ring.jump(u16(script->number() % 600));
            break;
        case 2:
            if (live) q.ring.scribble_descriptors(script->byte());
            break;
        case 3:
        case 4:
            if (live) rewrite(q);
            break;
        case 5:
            torn_reads = int(script->number() % 300);
            break;
        case 6:
            for (u32 n = 1 + script->below(4); n != 0; --n) config[script->below(64)] = script->byte();
            ++generation;
            break;
        case 7:
            if (may_interrupt()) interrupt_config();
            break;
        case 8:
        case 9:
            if (may_interrupt()) interrupt_queue(queue);
            break;
        case 10:
            silent = script->byte() % 2 == 0;
            break;
        case 11:
            asleep_ = !asleep_;
            break;
        case 12:
            if (script->byte() % 4 == 0) never_resets = !never_resets, ever_stuck = true;
            break;
        case 13:
            if (script->byte() % 4 == 0) absent = !absent, ever_stuck = true;
            break;
        case 14:
            if (script->byte() % 4 == 0) refuses_features = !refuses_features;
            break;
        case 15:
            if (status & 4) needs_reset();
            break;
        case 16:
            status = script->byte() % 4 == 0 ? script->byte() : status;
            break;
        case 17:
            config.resize(script->byte() % 4 == 0 ? script->below(64) : 64);
            config.resize(64);
            break;
        case 18:
            isr |= script->byte();
            if (raise_line && may_interrupt()) raise_line();
            break;
        case 19:
            if (live && script->byte() % 8 == 0) q.ring.busy();  // and never sleeps: no kicks any more
            break;
        }
    }
    /// A few bytes somewhere in the driver's ring.
    void rewrite(device::Queue& q) {
        const usize bytes = q.ring.packed ? usize{16} * q.size : usize{16} * q.size + 6 + usize{2} * q.size;
        std::byte* desc = arch::host::dma_to_pointer(DmaAddr(q.desc), bytes);
        std::byte* used = arch::host::dma_to_pointer(DmaAddr(q.device), q.ring.packed ? 4 : 6 + usize{8} * q.size);
        for (u32 n = 1 + script->below(4); n != 0; --n) {
            std::byte* base = script->byte() % 2 == 0 ? desc : used;
            const u32 size = u32(base == desc ? bytes : q.ring.packed ? 4 : 6 + usize{8} * q.size);
            const u32 at = script->byte() % 2 == 0 ? script->below(size) : script->below(std::min(size, 64u));
            if (base != nullptr) __atomic_store_n(reinterpret_cast<u8*>(base + at), script->byte(), __ATOMIC_RELAXED);
        }
    }

    std::deque<Held> held_;
    bool asleep_ = false;
};

}  // namespace ringlet::fuzz
