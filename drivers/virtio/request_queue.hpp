// A virtqueue for requests that somebody waits for: what blk and scsi share. It keeps those that do not fit yet, the
// DMA slot of each one in flight, the deadlines, and what is to be sent again after a reset. Nothing is allocated per
// request, nothing is lost when the ring is full.
//
// The owner supplies two functions: `build(request, slot, slot's address, chain)` writes what the device reads and
// names the memory, `finish(request, slot, written)` turns the answer into request.error, or asks for another try.
// Everything here is under the owner's lock (one per queue); completed requests go to a list, and the owner calls their
// done() with no lock held. The bell is rung under the lock too, so that no kick reaches a device that was reset
// meanwhile.
//
// Recovery: detach() -> reset -> drain into returned() -> send_again() -> attach() -> feed(), or fail_all(). While
// detached, requests wait.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <optional>

#include "drivers/virtio/virtqueue.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/list.hpp"
#include "lib/time.hpp"

namespace ringlet::virtio {

/// fs::BlockRequest is one; so is a driver's own command.
template <class R>
concept Queueable = std::derived_from<R, ListNode<R>> && requires(R r) {
    { r.timeout } -> std::convertible_to<Duration>;
    { r.deadline } -> std::convertible_to<Instant>;
    { r.attempts } -> std::convertible_to<u8>;
    { r.error } -> std::convertible_to<std::optional<Error>>;
    { r.quarantined } -> std::convertible_to<bool>;
};

/// The memory of one request: first what the device reads, then what it writes.
template <usize kMost> class ChainBuilder {
public:
    void reads(DmaAddr at, usize bytes) {
        ASSERT(readable_ == count_);
        add(at, bytes);
        ++readable_;
    }
    void writes(DmaAddr at, usize bytes) { add(at, bytes); }
    std::span<const Segment> readable() const { return {pieces_.all.data(), readable_}; }
    std::span<const Segment> writable() const { return {pieces_.all.data() + readable_, count_ - readable_}; }

private:
    void add(DmaAddr at, usize bytes) {
        ASSERT(count_ < kMost);
        pieces_.all[count_++] = {at, u32(bytes)};
    }
    usize count_ = 0, readable_ = 0;
    SegmentRoom<kMost> pieces_;
};

enum class Answered : u8 { done, again };

template <Ring R, Queueable Request, class Slot, u16 kCapacity, usize kMostSegments> class RequestQueue {
    static_assert(kPageSize % sizeof(Slot) == 0, "a slot must not cross a page");

public:
    struct InFlight {
        Request* request;
        u16 slot;
    };
    using Queue = Virtqueue<R, InFlight, kCapacity>;
    using Requests = List<Request, Request>;
    using Chain = ChainBuilder<kMostSegments>;

    static constexpr u8 kMaxAttempts = 4;    ///< how often a request is given to devices that lose it
    static constexpr u16 kPatienceFrom = 4;  ///< with less in flight every completion interrupts
    /// The longest that a completion may wait for others: then the owner looks without an interrupt.
    static constexpr Duration kPatience = Duration::from_ms(1);
    /// How often the owner looks at what takes long: for bells and interrupts that an emulator lost (docs/virtio.md).
    static constexpr Duration kSecondLook = Duration::from_s(1);

    /// What allocate() takes: allocated before the lock of this object is held. Errors: no_memory.
    static Result<kernel::DmaRegion> slot_memory() { return kernel::DmaRegion::allocate(sizeof(Slot) * kCapacity); }
    /// Once, before anything else.
    void allocate(kernel::DmaRegion memory) {
        slots_ = std::move(memory);
        for (u16 i = 0; i < kCapacity; ++i) free_[i] = i;
        slots_free_ = kCapacity;
    }
    /// The queue is live from here on, and stays where it is; nullptr while there is none.
    void attach(Queue& queue) { queue_ = &queue; }
    void detach() { queue_ = nullptr; }
    bool attached() const { return queue_ != nullptr; }
    const Queue* queue() const { return queue_; }
    /// The device lied about this queue.
    bool broken() const { return queue_ != nullptr && queue_->broken(); }
    bool idle() const { return sent_.empty() && waiting_.empty(); }
    bool has_waiting() const { return !waiting_.empty(); }

    void wait(Request& r) { waiting_.push_back(r); }

    /// Gives the device what fits, with at most one kick. Returns when somebody must look, at the latest: reap(), which
    /// also rings a bell that was left out, and next_look(). `clock()` is the time, asked for only when something needs
    /// it, here and in reap().
    template <class Clock, class Build> Instant feed(Clock&& clock, Build&& build) {
        Instant earliest = Instant::never();
        if (queue_ == nullptr) return earliest;
        if (!waiting_.empty()) {
            const Instant now = clock();
            while (!waiting_.empty() && slots_free_ != 0) {
                Request& r = waiting_.front();
                if (!send(r, now, build)) break;
                earliest = std::min({earliest, r.deadline, now + kSecondLook});
            }
        }
        queue_->kick();
        return earliest;
    }

    enum class Patience : u8 { none, some };
    struct Reaped {
        u32 found = 0;
        Instant look_by = Instant::never();  ///< reap() again then, if not before
    };
    /// Takes what the device has finished, gives it what waits, and asks for the next interrupt: at the next completion
    /// or, with patience and a deep queue, when half of what is in flight is done. A completion does not wait for
    /// others longer than kPatience: see look_by. `finish` sets request.error in any case. Context: any.
    template <class Clock, class Build, class Finish>
    Reaped reap(Clock&& clock, Patience patience, Requests& done, Build&& build, Finish&& finish) {
        Reaped result;
        if (queue_ == nullptr) return result;
        do {
            while (auto used = queue_->pop()) {
                ++result.found;
                Request& r = *used->token.request;
                const Answered a = finish(r, slot(used->token.slot), used->written);
                free_[slots_free_++] = used->token.slot;
                Requests::remove(r);
                if (a == Answered::again && ++r.attempts < kMaxAttempts)
                    waiting_.push_front(r);
                else
                    done.push_back(r);
            }
            result.look_by = std::min(result.look_by, feed(clock, build));
        } while (rearm(patience));
        if (patient_) result.look_by = std::min(result.look_by, clock() + kPatience);
        return result;
    }
    /// For an interrupt, before its reap(); and after one that found nothing.
    void note_interrupt() {
        if (queue_ != nullptr) queue_->note_interrupt();
    }
    void note_spurious() {
        if (queue_ != nullptr) queue_->note_spurious();
    }
    bool patient() const { return patient_; }

    /// Ends those that wait and for which `which(request)` holds: their unit is gone.
    template <class F> void drop_waiting(Error error, Requests& done, F&& which) {
        Requests kept;
        while (Request* r = waiting_.pop_front()) {
            if (which(*r))
                end(*r, error, done);
            else
                kept.push_back(*r);
        }
        while (Request* r = kept.pop_front()) waiting_.push_back(*r);
    }
    /// When to look again at what is in flight: not after `now` if some of it has run out of time.
    Instant next_look(Instant now) {
        Instant next = sent_.empty() ? Instant::never() : now + kSecondLook;
        for (Request& r : sent_) next = std::min(next, r.deadline);
        return next;
    }

    /// After a reset, token by token as Virtqueue::drain() and Session::restart_queue() give them back; then
    /// send_again().
    void returned(InFlight&& f) { free_[slots_free_++] = f.slot; }
    /// After the device has stopped: what was in flight waits again, in its old order and before everything else,
    /// except what ran out of time (timed_out) or was lost too often (device_broken).
    [[gnu::cold]] void send_again(Instant now, Requests& done) {
        while (!sent_.empty()) {
            Request& r = sent_.back();
            Requests::remove(r);
            if (r.deadline <= now) {
                end(r, Error::timed_out, done);
            } else if (++r.attempts >= kMaxAttempts) {
                end(r, Error::device_broken, done);
            } else {
                waiting_.push_front(r);
            }
        }
    }
    /// For ever. `stopped` is false when the device never confirmed that it did: the memory of what it holds is
    /// quarantined, the slots' included.
    enum class Device : u8 { stopped, not_stopped };
    [[gnu::cold]] void fail_all(Device device, Requests& done) {
        while (Request* r = sent_.pop_front()) {
            r->quarantined = device == Device::not_stopped;
            end(*r, Error::device_broken, done);
        }
        while (Request* r = waiting_.pop_front()) end(*r, Error::device_broken, done);
        if (device == Device::not_stopped) slots_.abandon();
    }

private:
    Slot& slot(u16 i) { return *slots_.template at<Slot>(usize{i} * sizeof(Slot)); }

    template <class Build> bool send(Request& r, Instant now, Build&& build) {
        const u16 index = free_[slots_free_ - 1];
        Chain chain;
        build(r, slot(index), slots_.addr(usize{index} * sizeof(Slot)), chain);
        InFlight token{&r, index};
        if (!queue_->add(chain.readable(), chain.writable(), token)) return false;
        --slots_free_;
        Requests::remove(r);
        r.deadline = now + r.timeout;
        sent_.push_back(r);
        return true;
    }
    bool rearm(Patience patience) {
        const u16 n = queue_->in_flight();
        patient_ = patience == Patience::some && n >= kPatienceFrom;
        return patient_ ? queue_->rearm_after(u16(n / 2)) : queue_->rearm();
    }
    static void end(Request& r, Error e, Requests& done) {
        r.error = e;
        done.push_back(r);
    }

    Queue* queue_ = nullptr;
    Requests waiting_;  ///< submitted, not in the ring; in order
    Requests sent_;     ///< in the ring; in order
    kernel::DmaRegion slots_;
    std::array<u16, kCapacity> free_;
    u16 slots_free_ = 0;
    bool patient_ = false;
};

/// With no lock held: done() may do anything, and the request may be gone afterwards.
template <class Request> void complete_all(List<Request, Request>& done) {
    while (Request* r = done.pop_front()) r->done(*r);
}

}  // namespace ringlet::virtio
