// Block device driver, virtio 1.2 §5.2: satisfies fs::BlockDevice. Requests are the submitter's; what the device needs
// besides (header, range, status byte) lies in DMA slots that belong to the request in flight. One or several request
// queues, a spinlock each. Context: submit() and flush_submissions() any; completion in the interrupt; everything that
// takes long (resets, configuration changes, deadlines, polling) on the driver's thread.
//
// A device that breaks a queue, asks for a reset or lets a request run out of time is reset; what ran out of time
// fails, the rest is replayed (requests are idempotent), each at most a few times. When that fails too, or happens too
// often in a row, the device is given up and every request ends with Error::device_broken. If it never confirmed its
// reset then, the memory of what it held is quarantined: request.quarantined, and the rings and slots are never freed.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/attended.hpp"
#include "drivers/virtio/blk_facts.hpp"
#include "drivers/virtio/request_queue.hpp"
#include "drivers/virtio/session.hpp"
#include "kernel/sync/spinlock.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

/// How a block driver is built: a template argument.
struct BlkConfig {
    using Feature = BlkSpec::Feature;
    Features<BlkSpec> features{.required = {},
                               .optional = {Common::version_1, Common::access_platform, Common::order_platform,
                                            Common::notification_data, Common::notif_config_data, Common::event_idx,
                                            Common::indirect_desc, Feature::size_max, Feature::seg_max, Feature::ro,
                                            Feature::blk_size, Feature::flush, Feature::topology, Feature::config_wce,
                                            Feature::discard, Feature::write_zeroes}};
    u16 queue_size = 64;       ///< ring entries, and requests in flight, per queue
    u16 max_segments = 32;     ///< pieces of data per request
    u16 indirect_tables = 32;  ///< per queue, allocated at the start, max_segments + 2 descriptors each
    u8 queues = 1;             ///< request queues, if the device has as many
};

/// Run-time choices, from the kernel command line.
struct BlkTunables {
    enum class CacheMode : i8 { leave = -1, write_through = 0, write_back = 1 };  // FreeBSD's numbers
    CacheMode writecache_mode = CacheMode::leave;                                 ///< hw.vtblk.writecache_mode
    bool no_ident = false;  ///< hw.vtblk.no_ident: never ask for the serial number
};

template <BlkConfig kC> struct BlkConfigChecked {
    using Feature = BlkSpec::Feature;
    static constexpr u8 kMostQueues = 16;
    static_assert(FeaturesChecked<BlkSpec, kC.features>::value);
    static_assert(RingSizeChecked<BlkSpec, kC.features, kC.queue_size>::value);
    static_assert(kC.queue_size >= 4, "a block queue needs room for header, data and status: at least 4 entries");
    static_assert(kC.max_segments > 0, "a block request needs room for at least one piece of data");
    static_assert(kC.indirect_tables == 0 || kC.features.lists(Common::indirect_desc),
                  "indirect tables are useless unless INDIRECT_DESC is listed");
    static_assert(kC.queues > 0 && kC.queues <= kMostQueues, "a block driver has between 1 and 16 request queues");
    static_assert(kC.queues == 1 || kC.features.lists(Feature::mq),
                  "more than one request queue needs MQ to be listed");
    static_assert(!kC.features.required.contains(Feature::ro),
                  "RO cannot be required: it is for the device to say whether it can be written");
    static constexpr bool value = true;
};

template <BlkConfig kC = BlkConfig{}, Transport T = AnyTransport>
class Blk final : public fs::BlockDevice, public DeviceRecord, public Attended {
    static_assert(BlkConfigChecked<kC>::value);
    using Spec = BlkSpec;
    using Feature = Spec::Feature;
    using DeviceSession = Session<Spec, kC.features, T>;
    using Hs = typename DeviceSession::Hs;
    using Ring = RingOf<Spec, kC.features>;
    using Request = fs::BlockRequest;
    static constexpr u8 kPoison = 0xff;  ///< a status that the device has not written

public:
    /// Resets in a row, without a minute of peace between them, before the device is given up.
    static constexpr u32 kMaxRecoveries = 4;

    /// Brings the device up; on success it runs. `name` outlives the driver.
    /// Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    [[gnu::cold]] static Result<std::unique_ptr<Blk>> probe(BasicDevice<T> device, std::string_view name,
                                                            const BlkTunables& tunables = {}) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Blk> driver(new (std::nothrow) Blk(std::move(device), name, tunables));
        if (!driver) return fail(Error::no_memory);
        TRY(driver->start());
        driver->list();
        if (driver->session_.polled()) driver->attend();
        return driver;
    }
    ~Blk() override { stop(); }

    std::string_view name() const override { return session_.name(); }
    u64 sectors() const override { return sectors_.load(std::memory_order_relaxed); }
    bool read_only() const override { return geometry_.read_only; }
    fs::BlockLimits limits() const override { return geometry_.limits; }
    u32 generation() const override { return generation_.load(std::memory_order_relaxed); }
    fs::WriteCache write_cache() const override {
        return write_back_.load(std::memory_order_relaxed) ? fs::WriteCache::write_back : fs::WriteCache::write_through;
    }

    [[gnu::cold]] fs::BlockIdentity identity() override {
        if (!identified_ && !tunables_.no_ident) {
            std::array<u8, Spec::kIdBytes> raw{};
            if (ask(kOpGetId, raw)) serial_length_ = clean_serial(raw, serial_);
            identified_ = true;
        }
        return {
            .vendor = {}, .product = {}, .revision = {}, .serial = {serial_, serial_length_}, .world_wide_name = {}};
    }

    [[gnu::cold]] Result<fs::BlockLifetime> lifetime() override {
        if (!session_.template has<Feature::lifetime>()) return fail(Error::unsupported);
        std::array<u8, sizeof(Spec::Lifetime)> raw{};
        TRY(ask(kOpGetLifetime, raw));
        Spec::Lifetime l;
        std::memcpy(&l, raw.data(), sizeof l);
        return fs::BlockLifetime{l.pre_eol_info, l.device_lifetime_est_typ_a, l.device_lifetime_est_typ_b};
    }

    [[gnu::cold]] Result<> set_write_cache(fs::WriteCache mode) override {
        if (!session_.template has<Feature::config_wce>()) return fail(Error::unsupported);
        const bool back = mode == fs::WriteCache::write_back;
        if (back) write_back_.store(true, std::memory_order_relaxed);
        wanted_cache_.store(back ? Cache::back : Cache::through, std::memory_order_relaxed);
        write_cache_mode(back);
        if (back) return {};
        Request r;  // §5.2.6.2: what was written before may still be in the cache
        r.op = Request::Op::flush;
        TRY(run(r));
        write_back_.store(false, std::memory_order_relaxed);
        return {};
    }

    void submit(Request& r) override {
        r.quarantined = false;
        r.attempts = 0;
        r.error = refuse(r, geometry_, sectors());
        if (r.error || (r.op == Request::Op::flush && !write_back_.load(std::memory_order_relaxed)))
            return r.done(r);  // refused, or durable already
        enqueue(r);
    }

    void flush_submissions() override {
        Instant look = Instant::never();
        for (u16 i = 0; i < lane_count_; ++i)
            if (lanes_[i].fresh.load(std::memory_order_relaxed)) look = std::min(look, push(lanes_[i]));
        if (lane_count_ > 1) next_lane_.fetch_add(1, std::memory_order_relaxed);
        if (session_.polled() && !look.is_never()) look = std::min(look, kernel::now() + kPollInterval);
        attend(look);
    }

    /// True: nothing interrupts, the thread polls.
    bool polled() const { return session_.polled(); }

    [[gnu::cold]] DeviceInfo info() const override {
        DeviceInfo d = session_.describe();
        d.broken = dead_.load(std::memory_order_relaxed);
        for (u16 i = 0; i < lane_count_; ++i) {
            const auto s = lanes_[i].state.lock();
            const auto& q = lanes_[i].queue;
            if (q) d.queues.try_push_back({"requests", i, q->size(), q->in_flight(), q->counters()});
        }
        return d;
    }
    [[gnu::cold]] void for_each_value(FunctionRef<void(std::string_view name, u64 value)> visit) const override {
        visit("sectors", sectors());
        visit("block_size", geometry_.limits.block_size);
        visit("physical_block_size", geometry_.limits.physical_block_size);
        visit("max_segments", geometry_.limits.max_segments);
        visit("max_discard_bytes", geometry_.limits.max_discard_bytes);
        visit("max_write_zeroes_bytes", geometry_.limits.max_write_zeroes_bytes);
        visit("writecache_mode", write_back_.load(std::memory_order_relaxed));
        visit("cylinders", facts_.cylinders);
        visit("heads", facts_.heads);
        visit("track_sectors", facts_.track_sectors);
        visit("resizes", generation());
        visit("timeouts", timeouts_.value());
        visit("queue_resets", queue_resets_.value());
        visit("lost_interrupts", lost_interrupts_.value());
        visit("looks", looks_.value());
    }

private:
    struct Slot {  // DMA side of one request; 64 bytes, so that none crosses a page
        BlkCommand command;
        u8 answer[Spec::kIdBytes];  ///< of GET_ID and GET_LIFETIME
        u8 status;
        u8 unused[11];
    };
    static_assert(sizeof(Slot) == 64 && sizeof(BlkCommand) == 32);
    using Requests = RequestQueue<Ring, Request, Slot, kC.queue_size, kC.max_segments + 3>;
    using Queue = typename Requests::Queue;
    using Done = typename Requests::Requests;
    using Patience = typename Requests::Patience;
    using Chain = typename Requests::Chain;
    struct LaneState {
        Requests requests;
        bool dead = false;
    };
    struct Lane {
        mutable kernel::Guarded<LaneState, kernel::Rank::device, kernel::Spinlock> state;
        std::atomic<bool> fresh{false};  ///< something was submitted since the last push()
        std::optional<Queue> queue;      ///< reached through state while it is attached there
    };
    enum class Cache : u8 { leave, through, back };
    static constexpr Duration kPollInterval = Duration::from_us(200);
    static constexpr Duration kConfigInterval = Duration::from_ms(500);  ///< looks at it when nothing interrupts
    static constexpr Duration kPeace = Duration::from_s(60);

    Blk(BasicDevice<T> d, std::string_view name, const BlkTunables& tunables)
        : session_(std::move(d), name), tunables_(tunables) {
        if (tunables.writecache_mode == BlkTunables::CacheMode::write_through) wanted_cache_ = Cache::through;
        if (tunables.writecache_mode == BlkTunables::CacheMode::write_back) wanted_cache_ = Cache::back;
    }

    // ---- starting ------------------------------------------------------------------------------------------------

    /// The first start and, with the lanes there already, every later one. Nothing is attached meanwhile.
    [[gnu::cold]] Result<> start() {
        Hs h = TRY(session_.begin());
        const BlkFacts facts = TRY(read_facts(h.config()));
        TRY(make_lanes(facts));
        TRY(session_.bind({.queues = u8(lane_count_), .slow = 0}, on_interrupt, this));
        u16 longest = 0xffff;
        for (u16 i = 0; i < lane_count_; ++i) {
            TRY(session_.connect(h, i, lanes_[i].queue,
                                 {.size = kC.queue_size,
                                  .indirect_tables = kC.indirect_tables,
                                  .indirect_entries = u16(kC.max_segments + 2),
                                  .indirect_above = 1}));
            longest = std::min(longest, lanes_[i].queue->ring().max_segments());
        }
        if (longest < 3) return fail(Error::unsupported);
        BlkGeometry g =
            TRY(understand(facts, session_.features().bits(), std::min<u32>(kC.max_segments, longest - 2u)));
        if (started_ && !(g.limits == geometry_.limits)) return fail(Error::unsupported);  // another disk
        if (!started_) geometry_ = g;
        started_ = true;
        facts_ = facts;
        note_sectors(g.sectors);
        TRY(session_.run(std::move(h)));
        apply_cache_mode();
        for (u16 i = 0; i < lane_count_; ++i) lanes_[i].state.lock()->requests.attach(*lanes_[i].queue);
        return {};
    }

    [[gnu::cold]] Result<> make_lanes(const BlkFacts& facts) {
        const u16 device = session_.template has<Feature::mq>() ? facts.queues : u16{1};
        if (device == 0) return fail(Error::unsupported);
        const u16 wanted = std::min<u16>(device, kC.queues);
        if (lanes_) return wanted >= lane_count_ ? Result<>{} : fail(Error::device_broken);
        lanes_.reset(new (std::nothrow) Lane[wanted]);
        if (!lanes_) return fail(Error::no_memory);
        lane_count_ = wanted;
        for (u16 i = 0; i < wanted; ++i) {
            auto memory = TRY(Requests::slot_memory());  // a spinlock must not be held meanwhile
            lanes_[i].state.lock()->requests.allocate(std::move(memory));
        }
        return {};
    }

    using Config = ConfigSpace<Spec, kC.features, T>;
    template <class Field, class V> static Result<> read(const Config& c, Field field, V& into) {
        if constexpr (kC.features.lists(Field::kGate)) {
            const std::optional<V> told = TRY(c.read(field));
            if (told) into = *told;
        }
        return {};
    }
    [[gnu::cold]] static Result<BlkFacts> read_facts(const Config& c) {
        BlkFacts f;
        f.capacity = TRY(c.read(Spec::kCapacity));
        TRY(read(c, Spec::kSizeMax, f.size_max));
        TRY(read(c, Spec::kSegMax, f.seg_max));
        TRY(read(c, Spec::kBlkSize, f.blk_size));
        TRY(read(c, Spec::kCylinders, f.cylinders));
        TRY(read(c, Spec::kHeads, f.heads));
        TRY(read(c, Spec::kTrackSectors, f.track_sectors));
        TRY(read(c, Spec::kPhysicalExp, f.physical_exp));
        TRY(read(c, Spec::kAlignment, f.alignment));
        TRY(read(c, Spec::kMinIo, f.min_io));
        TRY(read(c, Spec::kOptIo, f.opt_io));
        TRY(read(c, Spec::kNumQueues, f.queues));
        TRY(read(c, Spec::kDiscardSectors, f.discard_sectors));
        TRY(read(c, Spec::kDiscardSegs, f.discard_segs));
        TRY(read(c, Spec::kDiscardAlign, f.discard_align));
        TRY(read(c, Spec::kZeroSectors, f.zero_sectors));
        TRY(read(c, Spec::kZeroSegs, f.zero_segs));
        TRY(read(c, Spec::kZeroUnmaps, f.zero_unmaps));
        TRY(read(c, Spec::kEraseSectors, f.erase_sectors));
        TRY(read(c, Spec::kEraseSegs, f.erase_segs));
        TRY(read(c, Spec::kEraseAlign, f.erase_align));
        return f;
    }

    [[gnu::cold]] void note_sectors(u64 n) {
        const u64 before = sectors_.exchange(n, std::memory_order_relaxed);
        if (before == n || before == 0) return;
        generation_.fetch_add(1, std::memory_order_relaxed);
        kernel::log(kernel::LogLevel::info, "{}: resized from {} to {} sectors", name(), before, n);
    }

    // ---- the write cache, §5.2.5.1 and §5.2.6.2 ------------------------------------------------------------------

    [[gnu::cold]] void write_cache_mode(bool back) {
        T& t = session_.transport();
        t.set_config_u8(Spec::kWriteback.kOffset, back ? 1 : 0);
    }
    /// What the device says, or what was asked for: a reset takes the device back to its own choice.
    [[gnu::cold]] void apply_cache_mode() {
        bool back = session_.template has<Feature::flush>();
        if constexpr (kC.features.lists(Feature::config_wce)) {
            if (session_.template has<Feature::config_wce>()) {
                const Cache wanted = wanted_cache_.load(std::memory_order_relaxed);
                if (wanted != Cache::leave) write_cache_mode(wanted == Cache::back);
                u8 told = 1;
                const auto answer = read(session_.config(), Spec::kWriteback, told);
                back = !answer || told != 0;
            }
        }
        write_back_.store(back, std::memory_order_relaxed);
    }

    // ---- requests ------------------------------------------------------------------------------------------------

    void enqueue(Request& r) {
        Lane& lane = lanes_[lane_count_ == 1 ? 0 : next_lane_.load(std::memory_order_relaxed) % lane_count_];
        {
            auto s = lane.state.lock();
            if (!s->dead) {
                s->requests.wait(r);
                lane.fresh.store(true, std::memory_order_relaxed);
                return;
            }
        }
        r.error = Error::device_broken;
        r.done(r);
    }
    Instant push(Lane& lane) {
        auto s = lane.state.lock();
        lane.fresh.store(false, std::memory_order_relaxed);
        const Instant look = s->requests.feed(kernel::now, build);
        return s->requests.broken() ? Instant{} : look;
    }

    static void build(Request& r, Slot& slot, DmaAddr at, Chain& chain) {
        slot.command = command(r);
        slot.status = kPoison;
        const bool range = has_range(r.op);
        chain.reads(at, range ? sizeof(BlkCommand) : sizeof(Spec::Request));
        if (r.op == Request::Op::write)
            for (const fs::IoSegment& d : r.data) chain.reads(d.dma, d.bytes.size());
        else if (r.op == Request::Op::read)
            for (const fs::IoSegment& d : r.data) chain.writes(d.dma, d.bytes.size());
        else if (r.op > Request::Op::secure_erase)
            chain.writes(at + offsetof(Slot, answer), r.data[0].bytes.size());
        chain.writes(at + offsetof(Slot, status), 1);
    }
    static Answered finish(Request& r, Slot& slot, u32) {
        r.error = status_error(*static_cast<volatile u8*>(&slot.status));
        if (r.op > Request::Op::secure_erase && !r.error)
            std::memcpy(r.data[0].bytes.data(), slot.answer, r.data[0].bytes.size());
        return Answered::done;
    }

    /// A question of our own, whose answer fits into the slot.
    [[gnu::cold]] Result<> ask(Request::Op op, std::span<u8> answer) {
        const fs::IoSegment to{{reinterpret_cast<std::byte*>(answer.data()), answer.size()}, {}};
        kernel::Event finished;
        Request r;
        r.op = op;
        r.data = {&to, 1};
        r.timeout = Duration::from_s(5);
        r.context = &finished;
        r.done = [](Request& done) { static_cast<kernel::Event*>(done.context)->set(); };
        enqueue(r);
        flush_submissions();
        finished.wait();
        if (r.error) return fail(*r.error);
        return {};
    }

    static void on_interrupt(void* self, u32 queues, bool config) {
        Blk& b = *static_cast<Blk*>(self);
        Done done;
        Instant look = Instant::never();
        bool found = false;
        for (u16 i = 0; queues != 0 && i < b.lane_count_; ++i, queues >>= 1) {
            if ((queues & 1) == 0) continue;
            auto s = b.lanes_[i].state.lock();
            s->requests.note_interrupt();
            const auto reaped = s->requests.reap(kernel::now, Patience::some, done, build, finish);
            if (reaped.found == 0) s->requests.note_spurious();
            found = found || reaped.found != 0;
            look = std::min(look, s->requests.broken() ? Instant{} : reaped.look_by);
        }
        if (config) {
            b.config_changed_.store(true, std::memory_order_relaxed);
            // One vector for everything says so every time: then it is probably not about the configuration.
            look = std::min(look, found ? kernel::now() + Duration::from_ms(10) : Instant{});
        }
        b.attend(look);
        complete_all(done);
    }

    // ---- the driver's thread ----------------------------------------------------------------------------------

    Instant look(Instant now) override {
        if (dead_.load(std::memory_order_relaxed)) return Instant::never();
        looks_.add();
        Done done;
        Instant next = Instant::never();
        bool trouble = false;
        const auto clock = [now] { return now; };
        u32 sick = 0;  // a bit for each lane that lied or is late
        for (u16 i = 0; i < lane_count_; ++i) {
            auto s = lanes_[i].state.lock();
            const bool patient = s->requests.patient();
            auto reaped = s->requests.reap(clock, Patience::some, done, build, finish);
            if (reaped.found == 0)  // nothing in all that time: every completion interrupts again
                reaped = s->requests.reap(clock, Patience::none, done, build, finish);
            else if (!patient && !session_.polled())
                lost_interrupts_.add();
            const Instant due = s->requests.next_look(now);
            const bool late = due <= now;
            if (late) timeouts_.add();
            if (late || s->requests.broken()) sick |= u32{1} << i;
            next = std::min({next, reaped.look_by, due});
            if (session_.polled() && !s->requests.idle()) next = std::min(next, now + kPollInterval);
        }
        complete_all(done);
        if (session_.polled()) next = std::min(next, now + kConfigInterval);
        if (config_changed_.exchange(false, std::memory_order_relaxed) || session_.polled()) {
            trouble = session_.wants_reset();
            if (!trouble) look_at_capacity();
        }
        for (u16 i = 0; i < lane_count_ && !trouble; ++i)
            if (sick >> i & 1) trouble = !restart_lane(i, now, next);
        return trouble ? recover(now) : next;
    }

    [[gnu::cold]] bool may_recover(Instant now) {
        if (now - last_recovery_ > kPeace) recoveries_in_a_row_ = 0;
        last_recovery_ = now;
        return ++recoveries_in_a_row_ <= kMaxRecoveries;
    }

    /// RING_RESET of one queue, where it was agreed; the others go on. False: the device must be reset.
    [[gnu::cold]] bool restart_lane(u16 i, Instant now, Instant& next) {
        if (!session_.template has<Common::ring_reset>() || !may_recover(now)) return false;
        Lane& lane = lanes_[i];
        lane.state.lock()->requests.detach();
        const auto give_back = [&](auto&& f) { lane.state.lock()->requests.returned(std::move(f)); };
        if (!session_.restart_queue(i, *lane.queue, give_back)) return false;
        kernel::log(kernel::LogLevel::warning, "{}: queue {} reset", name(), i);
        queue_resets_.add();
        Done done;
        {
            auto s = lane.state.lock();
            s->requests.send_again(now, done);
            s->requests.attach(*lane.queue);
        }
        complete_all(done);
        next = std::min(next, push(lane));
        return true;
    }

    [[gnu::cold]] void look_at_capacity() {
        const auto n = session_.config().read(Spec::kCapacity);
        if (n && *n <= kMaxSectors) note_sectors(*n);
    }

    /// Reset, the same features again, and every unanswered request once more.
    [[gnu::cold]] Instant recover(Instant now) {
        for (u16 i = 0; i < lane_count_; ++i) lanes_[i].state.lock()->requests.detach();
        const bool allowed = session_.may_recover() && may_recover(now);
        const bool quiet = session_.halt();
        Done done;
        for (u16 i = 0; i < lane_count_ && quiet; ++i) {
            auto s = lanes_[i].state.lock();
            lanes_[i].queue->drain([&](auto&& f) { s->requests.returned(std::move(f)); });
            s->requests.send_again(now, done);
        }
        const bool runs = quiet && allowed && start();
        if (!runs) give_up(done);
        complete_all(done);
        Instant next = session_.polled() ? now + kPollInterval : Instant::never();
        for (u16 i = 0; i < lane_count_ && runs; ++i) next = std::min(next, push(lanes_[i]));
        return next;
    }
    [[gnu::cold]] void give_up(Done& done) {
        session_.give_up();
        dead_.store(true, std::memory_order_relaxed);
        fail_everything(done);
    }
    [[gnu::cold]] void fail_everything(Done& done) {
        for (u16 i = 0; i < lane_count_; ++i) {
            auto s = lanes_[i].state.lock();
            s->dead = true;
            s->requests.detach();
            s->requests.fail_all(session_.quiet() ? Requests::Device::stopped : Requests::Device::not_stopped, done);
        }
    }

    [[gnu::cold]] void stop() {
        unlist();
        for (u16 i = 0; i < lane_count_; ++i) lanes_[i].state.lock()->requests.detach();
        session_.close();
        Done done;
        fail_everything(done);
        for (u16 i = 0; i < lane_count_ && !session_.quiet(); ++i) DeviceSession::abandon(lanes_[i].queue);
        complete_all(done);
    }

    DeviceSession session_;
    const BlkTunables tunables_;
    BlkGeometry geometry_;
    BlkFacts facts_;
    std::unique_ptr<Lane[]> lanes_;
    u16 lane_count_ = 0;
    bool started_ = false;
    std::atomic<u32> next_lane_{0};
    std::atomic<u64> sectors_{0};
    std::atomic<u32> generation_{0};
    std::atomic<bool> write_back_{false}, dead_{false}, config_changed_{false};
    std::atomic<Cache> wanted_cache_{Cache::leave};
    u32 recoveries_in_a_row_ = 0;
    Instant last_recovery_;
    Counter timeouts_, lost_interrupts_, looks_, queue_resets_;
    bool identified_ = false;
    char serial_[Spec::kIdBytes];
    usize serial_length_ = 0;
};

}  // namespace ringlet::virtio
