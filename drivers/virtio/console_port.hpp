// One port of a console device, virtio 1.2 §5.3.6: two queues, a buffer for each entry, and the bytes that have come
// and were not read yet, which lie in their buffers until then: a reader that is slow holds the host up. Used by
// drivers/virtio/console.hpp alone, which decides when a port exists.
// Context: read(), write(), wait_open() threads; put() and on_interrupt() any. One leaf spinlock; nothing is woken
// under it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "drivers/virtio/counters.hpp"
#include "drivers/virtio/ring.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/port.hpp"
#include "kernel/sched/event.hpp"
#include "kernel/sync/spinlock.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

/// What a port needs of its device.
class ConsoleDevice {
public:
    /// Something to do for its thread. Context: any, with no lock held.
    virtual void attend() = 0;
    /// Nothing interrupts.
    virtual bool is_polled() const = 0;

protected:
    ~ConsoleDevice() = default;
};

struct ConsoleSlot {
    u16 index;
};

template <class Queue, u16 kBuffers, u16 kBytes> class ConsolePort final : public kernel::PortDriver {
    static constexpr u32 kAll = u32((u64{1} << kBuffers) - 1);
    static constexpr Duration kPollEvery = Duration::from_ms(10);

public:
    struct Chunk {
        u16 slot, from, to;
    };
    /// Under the lock.
    struct State {
        std::optional<Queue> receive, transmit;
        kernel::DmaRegion memory;       ///< kBuffers to receive, then kBuffers to transmit
        u32 empty = kAll, idle = kAll;  ///< buffers: neither with the device nor full; to transmit, not with the device
        std::array<Chunk, kBuffers> chunks;
        u16 first = 0, count = 0;  ///< of chunks: a ring
        bool present = false;      ///< the device has announced it, and its queues may be used
        bool host_open = false, guest_open = false, dead = false;
        bool owes_ready = false, owes_open = false;  ///< messages to the device
        bool stalled = false;                        ///< put() waited in vain, and nothing has moved since
        Counter in, out, dropped, stalls;

        bool open() const { return present && host_open; }
        std::byte* buffer(usize n) const { return memory.bytes().data() + n * kBytes; }

        /// What has come, into `chunks`; or nowhere.
        void collect(bool keep) {
            while (auto used = receive->pop()) {
                if (keep && used->written != 0)
                    chunks[(first + count++) % kBuffers] = {used->token.index, 0, u16(used->written)};
                else
                    empty |= 1u << used->token.index;
            }
        }
        void forget_chunks() {
            for (; count != 0; --count, first = u16((first + 1) % kBuffers)) empty |= 1u << chunks[first].slot;
        }
        /// Gives the empty buffers to the device.
        void post() {
            bool any = false;
            for (u32 rest = empty; rest != 0; rest &= rest - 1) {
                ConsoleSlot slot{u16(std::countr_zero(rest))};
                const Segment s{memory.addr(usize{slot.index} * kBytes), kBytes};
                if (!receive->add({}, {&s, 1}, slot)) break;
                empty &= ~(rest & -rest);
                any = true;
            }
            if (any) receive->kick();
        }
        usize take(MutableBytes to) {
            const u32 before = empty;
            if (present) collect(true);
            usize n = 0;
            while (n < to.size() && count != 0) {
                Chunk& c = chunks[first];
                const usize piece = std::min(to.size() - n, usize(c.to - c.from));
                std::memcpy(to.data() + n, buffer(c.slot) + c.from, piece);
                n += piece;
                c.from = u16(c.from + piece);
                if (c.from != c.to) break;
                empty |= 1u << c.slot;
                first = u16((first + 1) % kBuffers);
                --count;
            }
            if (present && empty != before) post();
            in.add(n);
            return n;
        }
        usize send(Bytes from) {
            while (auto used = transmit->pop()) idle |= 1u << used->token.index;
            usize n = 0;
            while (n < from.size() && idle != 0) {
                ConsoleSlot slot{u16(std::countr_zero(idle))};
                const usize at = kBuffers + slot.index, piece = std::min<usize>(from.size() - n, kBytes);
                std::memcpy(buffer(at), from.data() + n, piece);
                const Segment s{memory.addr(at * kBytes), u32(piece)};
                const u32 bit = 1u << slot.index;
                if (!transmit->add({&s, 1}, {}, slot)) break;
                idle &= ~bit;
                n += piece;
            }
            if (n == 0) return 0;
            transmit->kick();
            stalled = false;
            out.add(n);
            return n;
        }
        bool broken() const { return present && (receive->broken() || transmit->broken()); }
    };

    void start(ConsoleDevice& device) { device_ = &device; }
    auto lock() { return state_.lock(); }

    Result<usize> read(MutableBytes to, Instant deadline) override {
        if (to.empty()) return fail(Error::invalid);
        for (;;) {
            bool broken, again;
            {
                auto s = state_.lock();
                if (const usize n = s->take(to)) return n;
                if (s->dead) return fail(Error::device_broken);
                broken = s->broken();
                if (!broken && !s->open()) return fail(Error::closed);
                again = !broken && s->receive->rearm();
            }
            if (broken) device_->attend();
            if (again ? kernel::now() >= deadline : !wait(readable_, deadline)) return fail(Error::timed_out);
        }
    }
    Result<usize> write(Bytes from, Instant deadline) override {
        usize done = 0;
        const auto end = [&](Error e) { return done != 0 ? Result<usize>(done) : Result<usize>(fail(e)); };
        for (;;) {
            bool broken, again;
            {
                auto s = state_.lock();
                if (s->dead) return end(Error::device_broken);
                broken = s->broken();
                if (!broken && !s->open()) return end(Error::closed);
                if (!broken) done += s->send(from.subspan(done));
                if (done == from.size()) return done;
                broken = s->broken();
                again = !broken && s->transmit->rearm();
            }
            if (broken) device_->attend();
            if (again ? kernel::now() >= deadline : !wait(writable_, deadline)) return end(Error::timed_out);
        }
    }
    bool wait_open(Instant deadline) override {
        for (;;) {
            {
                auto s = state_.lock();
                if (s->present) s->collect(true);
                if (s->open() || s->count != 0) return true;
            }
            if (!wait(readable_, deadline)) return false;
        }
    }
    bool host_open() override { return state_.lock()->open(); }
    void set_guest_open(bool open) override {
        {
            auto s = state_.lock();
            s->guest_open = open;
            s->owes_open = true;
        }
        device_->attend();
    }

    /// Output from any context: waits at most `patience` for room, and not again before something moved.
    void put(std::string_view text, Duration patience) {
        Bytes rest = std::as_bytes(std::span(text));
        Instant deadline = Instant::never();
        while (!rest.empty()) {
            auto s = state_.lock();
            const usize n = s->present && !s->broken() ? s->send(rest) : 0;
            rest = rest.subspan(n);
            if (n != 0) {
                deadline = Instant::never();
                continue;
            }
            const Instant now = kernel::now();
            if (s->present && !s->broken() && !s->stalled && (deadline.is_never() || now < deadline)) {
                if (deadline.is_never()) deadline = now + patience;
                continue;  // the lock is let go meanwhile
            }
            if (!deadline.is_never()) s->stalled = true, s->stalls.add();
            s->dropped.add(rest.size());
            return;
        }
    }
    /// A character for the system console; nothing: an interrupt will tell.
    std::optional<char> get() {
        std::byte c;
        for (unsigned i = 0; i < 2 * kBuffers; ++i) {
            auto s = state_.lock();
            if (s->take({&c, 1}) != 0) return char(c);
            if (!s->present || s->broken() || !s->receive->rearm()) return std::nullopt;
        }
        device_->attend();  // nothing but empty buffers
        return std::nullopt;
    }

    void on_interrupt(bool receive, bool transmit) {
        {
            auto s = state_.lock();
            if (receive && s->receive) s->receive->note_interrupt();
            if (transmit && s->transmit) s->transmit->note_interrupt();
        }
        if (receive) readable_.set();
        if (transmit) writable_.set();
    }
    void wake_all() {
        readable_.set();
        writable_.set();
    }

private:
    bool wait(kernel::Event& event, Instant deadline) {
        if (!device_->is_polled()) return event.wait_until(deadline);
        const Instant now = kernel::now();
        if (now >= deadline) return false;
        (void)event.wait_until(std::min(deadline, now + kPollEvery));
        return true;
    }

    ConsoleDevice* device_ = nullptr;
    kernel::Guarded<State, kernel::Rank::leaf, kernel::Spinlock> state_;
    kernel::Event readable_, writable_;
};

}  // namespace ringlet::virtio
