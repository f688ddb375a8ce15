// A live queue: a ring, its doorbell, and what is in flight. While the device has a buffer nobody else can name it: the
// token goes in by move and comes out by move. Context: one lock (the network monitor, a disk's spinlock); suppress()
// and note_interrupt() may also come from an interrupt meanwhile.
#pragma once

#include <array>
#include <atomic>
#include <new>
#include <optional>
#include <utility>

#include "drivers/virtio/counters.hpp"
#include "drivers/virtio/doorbell.hpp"
#include "drivers/virtio/quarantine.hpp"
#include "drivers/virtio/ring.hpp"
#include "lib/leak.hpp"

namespace ringlet::virtio {

template <Ring R, class Token, u16 kCapacity> class Virtqueue {
    static_assert(R::valid_size(kCapacity), "a virtqueue's capacity must be a size that its ring layout allows");

public:
    using RingType = R;
    struct Used {
        Token token;
        u32 written = 0;
    };

    Virtqueue(R ring, Doorbell bell) : ring_(std::move(ring)), bell_(bell) { ASSERT(ring_.size() <= kCapacity); }

    /// Hands `token` over to the device, with its memory. False when the ring is full: the caller still owns `token`.
    [[nodiscard]] bool add(std::span<const Segment> readable, std::span<const Segment> writable, Token& token) {
        const auto id = ring_.push(readable, writable);
        if (!id) {
            ring_full_.add();
            return false;
        }
        in_flight_[*id].emplace(std::move(token));
        return true;
    }

    /// Makes everything added visible; with nothing added, asks again whether the device missed something. True: the
    /// device wants ring_bell(), which needs no lock.
    [[nodiscard]] bool publish() {
        const u16 before = published_;
        published_ = ring_.in_flight();
        const bool wanted = ring_.publish();
        position_.store(ring_.position(), std::memory_order_relaxed);
        if (published_ != before)
            (wanted ? kicks_ : kicks_suppressed_).add();
        else if (wanted)
            kicks_.add(), kicks_late_.add();
        return wanted;
    }
    void ring_bell() const { bell_.ring(position_.load(std::memory_order_relaxed)); }
    /// Both: at most one exit per batch.
    void kick() {
        if (publish()) ring_bell();
    }

    std::optional<Used> pop() {
        const auto done = ring_.pop();
        if (!done) return std::nullopt;
        published_ = u16(published_ - 1);
        std::optional<Token>& slot = in_flight_[done->id];
        ASSERT(slot.has_value());  // the ring only gives out ids that it holds in flight
        std::optional<Used> used(Used{std::move(*slot), done->written});
        slot.reset();
        return used;
    }

    /// After a device reset: every token comes back, unserved; the ring is as new and rings `bell` from now on.
    template <class F> void drain(F&& give_back) {
        for (std::optional<Token>& slot : in_flight_) {
            if (!slot) continue;
            Token token = std::move(*slot);
            slot.reset();
            give_back(std::move(token));
        }
        bad_used_before_ += ring_.bad_used();
        ring_.reset();
        position_.store(ring_.position(), std::memory_order_relaxed);
        published_ = 0;
    }
    void attach(Doorbell bell) { bell_ = bell; }
    /// For a device that cannot be stopped: it keeps the ring and every buffer for ever; nothing of it is used again.
    void abandon() {
        for (std::optional<Token>& slot : in_flight_) {
            if (slot) leak(std::move(*slot));
            slot.reset();
        }
        if (auto* kept = new (std::nothrow) R(std::move(ring_)))
            keep_for_ever(kept);
        else
            leak(std::move(ring_));
    }

    void suppress() { ring_.suppress(); }
    bool rearm() { return ring_.rearm(); }
    /// One interrupt when `chains` of those in flight are done; see Ring.
    bool rearm_after(u16 chains) { return ring_.rearm_after(chains); }
    /// One interrupt when everything in flight is done.
    bool rearm_at_last() { return ring_.rearm_after(0xffff); }
    void note_interrupt() { interrupts_.add(); }
    void note_spurious() { spurious_.add(); }

    u16 size() const { return ring_.size(); }
    u16 free() const { return ring_.free(); }
    u16 in_flight() const { return ring_.in_flight(); }
    bool broken() const { return ring_.broken(); }
    R& ring() { return ring_; }
    const R& ring() const { return ring_; }
    QueueCounters counters() const {
        return {.kicks = kicks_.value(),
                .kicks_late = kicks_late_.value(),
                .kicks_suppressed = kicks_suppressed_.value(),
                .interrupts = interrupts_.value(),
                .spurious = spurious_.value(),
                .ring_full = ring_full_.value(),
                .bad_used = bad_used_before_ + ring_.bad_used()};
    }

private:
    R ring_;
    Doorbell bell_;
    std::atomic<u16> position_{0};  ///< for ring_bell(), which may run beside the next publish()
    u16 published_ = 0;
    u64 bad_used_before_ = 0;
    Counter kicks_, kicks_late_, kicks_suppressed_, interrupts_, spurious_, ring_full_;
    std::array<std::optional<Token>, kCapacity> in_flight_;
};

}  // namespace ringlet::virtio
