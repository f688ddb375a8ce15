// Block device driver, virtio 1.2 §5.2: satisfies fs::BlockDevice. Requests are the submitter's; what the device needs
// besides (header, status byte) lies in DMA slots that belong to the request in flight. Nothing is allocated per
// request and nothing is lost when the ring is full: requests wait in a list. A device that breaks its queue is reset
// and the unanswered requests are replayed (they are idempotent); when that fails too, all complete with
// Error::device_broken. Context: submit() and flush_submissions() any thread; completion in the interrupt. One spinlock
// over everything.
#pragma once

#include <atomic>
#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_transport.hpp"
#include "drivers/virtio/device_info.hpp"
#include "drivers/virtio/handshake.hpp"
#include "drivers/virtio/spec/blk.hpp"
#include "drivers/virtio/split_ring.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "fs/block_device.hpp"
#include "kernel/log.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::virtio {

using RequestList = List<fs::BlockRequest, fs::BlockRequest>;

/// How a block driver is built: a template argument.
struct BlkConfig {
    using Feature = BlkSpec::Feature;
    Features<BlkSpec> features{.required = {Common::version_1},
                               .optional = {Common::event_idx, Common::indirect_desc, Feature::size_max,
                                            Feature::seg_max, Feature::ro, Feature::blk_size, Feature::flush}};
    u16 queue_size = 64;       ///< ring entries, and requests in flight
    u16 max_segments = 32;     ///< pieces of data per request
    u16 indirect_tables = 32;  ///< allocated at the start, max_segments + 2 descriptors each
};

template <BlkConfig kC> struct BlkConfigChecked {
    static_assert(FeaturesChecked<BlkSpec, kC.features>::value);
    static_assert(SplitRing::valid_size(kC.queue_size), "a split ring's size must be a power of two from 1 to 32768");
    static_assert(kC.queue_size >= 4, "a block queue needs room for header, data and status: at least 4 entries");
    static_assert(kC.max_segments > 0, "a block request needs room for at least one piece of data");
    static_assert(kC.indirect_tables == 0 || kC.features.lists(Common::indirect_desc),
                  "indirect tables are useless unless INDIRECT_DESC is listed");
    static constexpr bool value = true;
};

/// The device's word about itself, made safe: what limits() gives.
struct BlkGeometry {
    u64 sectors = 0;
    fs::BlockLimits limits;
    bool read_only = false;
};
/// Why a request cannot be sent to such a device; nothing when it can.
std::optional<Error> refuse(const fs::BlockRequest& r, const BlkGeometry& g, u64 sectors);
/// Error::unsupported: values that no driver could work with.
Result<> check_geometry(const BlkGeometry& g);
/// The specification's status byte as an error.
std::optional<Error> status_error(u8 status);

template <BlkConfig kC = BlkConfig{}, Transport T = AnyTransport>
class Blk final : public fs::BlockDevice, public DeviceRecord {
    static_assert(BlkConfigChecked<kC>::value);
    using Spec = BlkSpec;
    using Feature = Spec::Feature;
    using Hs = Handshake<Spec, kC.features, T>;
    static constexpr u32 kMaxRecoveries = 4;
    static constexpr u8 kPoison = 0xff;  ///< a status that the device has not written

public:
    /// Brings the device up; on success it runs. `name` outlives the driver.
    /// Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    static Result<std::unique_ptr<Blk>> probe(BasicDevice<T> device, std::string_view name) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Blk> driver(new (std::nothrow) Blk(std::move(device), name));
        if (!driver) return fail(Error::no_memory);
        TRY(driver->start_first());
        driver->list();
        return driver;
    }
    ~Blk() override { stop(); }

    std::string_view name() const override { return name_; }
    u64 sectors() const override { return sectors_.load(std::memory_order_relaxed); }
    bool read_only() const override { return geometry_.read_only; }
    fs::BlockLimits limits() const override { return geometry_.limits; }

    void submit(fs::BlockRequest& r) override {
        r.error = refuse(r, geometry_, sectors());
        if (r.error || (r.op == fs::BlockRequest::Op::flush && !features_.template has<Feature::flush>())) {
            r.done(r);  // refused, or a device without a write cache
            return;
        }
        bool dead;
        {
            auto s = state_.lock();
            dead = s->dead;
            if (!dead) s->waiting.push_back(r);
        }
        if (dead) finish(r, Error::device_broken);
    }

    void flush_submissions() override {
        bool bell;
        RequestList done;
        {
            auto s = state_.lock();
            bell = !s->dead && feed(*s);
            if (s->queue && s->queue->broken() && !s->dead) bell = recover(*s, done);
        }
        if (bell) state_bell_->ring_bell();
        finish_all(done);
    }

    bool polled() const { return interrupts_.mode() == InterruptMode::polling; }
    /// Polling mode: call now and then, from a thread.
    void poll() { interrupts_.poll(); }

    DeviceInfo info() const override {
        DeviceInfo d{.name = name_,
                     .type = Spec::kName,
                     .transport = transport_.name(),
                     .interrupts = interrupts_.mode(),
                     .broken = false,
                     .recoveries = 0,
                     .offered = offered_,
                     .negotiated = features_.bits(),
                     .feature_names = Spec::kNames,
                     .queues = {}};
        auto s = state_.lock();
        d.broken = s->dead;
        d.recoveries = s->recoveries;
        if (s->queue) {
            d.queues.try_push_back(
                {"requests", Spec::kRequestQueue, s->queue->size(), s->queue->in_flight(), s->queue->counters()});
        }
        return d;
    }

private:
    struct Slot {  // DMA side of one request; 32 bytes, so that none crosses a page
        Spec::Request header;
        u8 status;
        u8 unused[15];
    };
    static_assert(sizeof(Slot) == 32);
    struct InFlight {  // the token: owns its slot until completion
        fs::BlockRequest* request;
        u16 slot;
    };
    using Queue = Virtqueue<SplitRing, InFlight, kC.queue_size>;
    struct State {
        std::optional<Queue> queue;
        RequestList waiting;  ///< submitted, not in the ring yet; in order
        std::array<u16, kC.queue_size> free_slots{};
        u16 slots_free = 0;
        u32 recoveries = 0;
        bool dead = false;
    };

    Blk(BasicDevice<T> d, std::string_view name) : transport_(d.transport), wiring_(std::move(d.wiring)), name_(name) {}

    Result<> start_first() {
        slots_ = TRY(kernel::DmaRegion::allocate(sizeof(Slot) * kC.queue_size));
        Hs h = TRY(Hs::begin(transport_));
        offered_ = h.offered();
        features_ = h.features();
        geometry_ = TRY(read_geometry(h));
        interrupts_.bind(transport_, std::move(wiring_), {.queues = 1, .slow = 0}, on_interrupt, this, Spec::kName);
        const u16 entries = u16(kC.max_segments + 2);
        auto made =
            TRY(h.template queue<SplitRing>(Spec::kRequestQueue, RingOptions{.size = kC.queue_size,
                                                                             .indirect_tables = kC.indirect_tables,
                                                                             .indirect_entries = entries,
                                                                             .indirect_above = 1}));
        const u16 longest = made.first.max_segments();
        if (longest < 3) return fail(Error::unsupported);
        geometry_.limits.max_segments = std::min<u32>(geometry_.limits.max_segments, longest - 2u);
        {
            auto s = state_.lock();
            s->queue.emplace(std::move(made.first), made.second);
            state_bell_ = &*s->queue;
            for (u16 i = 0; i < kC.queue_size; ++i) s->free_slots[i] = i;
            s->slots_free = kC.queue_size;
        }
        std::move(h).go_live();
        return interrupts_.unmask();
    }

    Result<BlkGeometry> read_geometry(Hs& h) {
        BlkGeometry g;
        const auto config = h.config();
        g.sectors = TRY(config.read(Spec::kCapacity));
        g.read_only = features_.template has<Feature::ro>();
        g.limits.max_segments = 1;
        if constexpr (kC.features.lists(Feature::seg_max)) {
            const std::optional<u32> n = TRY(config.read(Spec::kSegMax));
            if (n) g.limits.max_segments = std::max(*n, u32{1});
        }
        g.limits.max_segments = std::min<u32>(g.limits.max_segments, kC.max_segments);
        if constexpr (kC.features.lists(Feature::blk_size)) {
            const std::optional<u32> n = TRY(config.read(Spec::kBlkSize));
            if (n) g.limits.block_size = *n;
        }
        if constexpr (kC.features.lists(Feature::size_max)) {
            const std::optional<u32> n = TRY(config.read(Spec::kSizeMax));
            if (n) g.limits.max_segment_bytes = std::min(g.limits.max_segment_bytes, align_down(*n, u32{512}));
        }
        TRY(check_geometry(g));
        sectors_.store(g.sectors, std::memory_order_relaxed);
        return g;
    }

    /// Moves waiting requests into the ring. True: ring the bell, without the lock.
    bool feed(State& s) {
        while (!s.waiting.empty() && s.slots_free != 0) {
            fs::BlockRequest& r = s.waiting.front();
            if (!send(s, r)) break;
            s.waiting.pop_front();
        }
        return s.queue->publish();
    }

    bool send(State& s, fs::BlockRequest& r) {
        const u16 index = s.free_slots[s.slots_free - 1];
        Slot& slot = *slots_.template at<Slot>(usize{index} * sizeof(Slot));
        const DmaAddr at = slots_.addr(usize{index} * sizeof(Slot));
        const bool write = r.op == fs::BlockRequest::Op::write, flush = r.op == fs::BlockRequest::Op::flush;
        slot.header = {.type = flush   ? Spec::kTypeFlush
                               : write ? Spec::kTypeOut
                                       : Spec::kTypeIn,
                       .reserved = 0,
                       .sector = flush ? 0 : r.lba.raw};
        slot.status = kPoison;
        std::array<Segment, kC.max_segments + 2> pieces;
        usize n = 0;
        pieces[n++] = {at, sizeof(Spec::Request)};
        for (const fs::IoSegment& d : r.data) pieces[n++] = {d.dma, u32(d.bytes.size())};
        pieces[n++] = {at + offsetof(Slot, status), 1};
        const usize readable = write ? n - 1 : 1;
        InFlight token{&r, index};
        const std::span<const Segment> all(pieces.data(), n);
        if (!s.queue->add(all.first(readable), all.subspan(readable), token)) return false;
        --s.slots_free;
        return true;
    }

    /// Takes what the device has finished; true: ring the bell.
    bool reap(State& s, RequestList& done) {
        bool bell = false, found = false;
        do {
            while (auto used = s.queue->pop()) {
                found = true;
                const u16 index = used->token.slot;
                const u8 status =
                    *static_cast<volatile u8*>(&slots_.template at<Slot>(usize{index} * sizeof(Slot))->status);
                used->token.request->error = status_error(status);
                s.free_slots[s.slots_free++] = index;
                done.push_back(*used->token.request);
            }
            bell = feed(s) || bell;
        } while (s.queue->rearm());
        if (!found) s.queue->note_spurious();
        return bell;
    }

    static void on_interrupt(void* self, u32 queues, bool config) {
        Blk& b = *static_cast<Blk*>(self);
        bool bell = false;
        RequestList done;
        {
            auto s = b.state_.lock();
            if (s->dead) return;
            if (queues != 0) {
                s->queue->note_interrupt();
                s->queue->suppress();
                bell = b.reap(*s, done);
            }
            const bool reset_wanted = config && b.look_at_config();
            if (s->queue->broken() || reset_wanted) bell = b.recover(*s, done);
        }
        if (bell) b.state_bell_->ring_bell();
        b.finish_all(done);
    }

    /// True: the device asks for a reset, or is gone.
    bool look_at_config() {
        const Status status = transport_.status();
        if (status == Status::gone || any(status, Status::needs_reset)) return true;
        const auto n = ConfigSpace<Spec, kC.features, T>(transport_, features_).read(Spec::kCapacity);
        if (n && *n <= kMaxSectors) sectors_.store(*n, std::memory_order_relaxed);
        return false;
    }

    /// Reset, the same features again, and every unanswered request once more. When it fails (or has failed too often)
    /// all of them go to `done` with Error::device_broken. True: ring the bell.
    bool recover(State& s, RequestList& done) {
        kernel::log(kernel::LogLevel::warning, "{}: device broke its queue, resetting it", name_);
        interrupts_.mask();
        const bool quiet = reset_and_wait(transport_).has_value();
        RequestList again;
        s.queue->drain([&](InFlight&& f) {
            s.free_slots[s.slots_free++] = f.slot;
            again.push_back(*f.request);
        });
        while (!again.empty()) {  // in front of those that were never sent
            fs::BlockRequest& r = again.back();
            RequestList::remove(r);
            s.waiting.push_front(r);
        }
        if (quiet && ++s.recoveries <= kMaxRecoveries && start_again(s)) return feed(s);
        kernel::log(kernel::LogLevel::error, "{}: given up", name_);
        transport_.set_status(Status::reset);
        s.dead = true;
        while (fs::BlockRequest* r = s.waiting.pop_front()) {
            r->error = Error::device_broken;
            done.push_back(*r);
        }
        return false;
    }
    Result<> start_again(State& s) {
        Hs h = TRY(Hs::begin(transport_, offered_.without(features_.bits())));
        if (!(h.features().bits() == features_.bits())) return fail(Error::unsupported);
        if (!interrupts_.bind_again(transport_)) return fail(Error::device_broken);
        s.queue->attach(TRY(h.queue_again(Spec::kRequestQueue, s.queue->ring())));
        std::move(h).go_live();
        return interrupts_.unmask();
    }

    static void finish(fs::BlockRequest& r, std::optional<Error> error) {
        r.error = error;
        r.done(r);
    }
    static void finish_all(RequestList& done) {
        while (fs::BlockRequest* r = done.pop_front()) r->done(*r);  // may be gone afterwards
    }

    void stop() {
        unlist();
        RequestList done;
        interrupts_.mask();
        const bool quiet = reset_and_wait(transport_).has_value();
        {
            auto s = state_.lock();
            s->dead = true;
            if (s->queue) s->queue->drain([&](InFlight&& f) { done.push_back(*f.request); });
            while (fs::BlockRequest* r = s->waiting.pop_front()) done.push_back(*r);
        }
        if (!quiet) kernel::log(kernel::LogLevel::error, "{}: no answer to the reset", name_);
        interrupts_.release();
        while (fs::BlockRequest* r = done.pop_front()) finish(*r, Error::device_broken);
    }

    static constexpr u64 kMaxSectors = u64{1} << 54;  ///< 8 EiB: byte offsets fit 63 bits

    T transport_;
    Wiring wiring_;
    std::string_view name_;
    Negotiated<Spec, kC.features> features_;
    FeatureBits offered_;
    BlkGeometry geometry_;
    std::atomic<u64> sectors_{0};
    kernel::DmaRegion slots_;
    mutable kernel::Guarded<State, kernel::Rank::device, kernel::Spinlock> state_;
    const Queue* state_bell_ = nullptr;  ///< for ring_bell() alone, which needs no lock
    Interrupts<T> interrupts_;           ///< last: silenced before the queue goes
};

}  // namespace ringlet::virtio
