// Memory balloon driver, virtio 1.2 §5.5: lends free memory to the host and takes it back. The host says how much by a
// configuration change; a thread follows, in batches of large free blocks: many page numbers per request, many requests
// per kick, one interrupt and one write of `actual` per batch. It keeps a floor free. When an allocation is about to
// fail and DEFLATE_ON_OOM was agreed, the allocating context itself takes blocks back, which needs no memory. Reports
// of free memory and statistics are by-products. Blocks under way to the host belong to nobody else until it has
// answered. Context: service() its thread; give() any; an interrupt only wakes the thread. One spinlock over queues and
// blocks.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/balloon_store.hpp"
#include "drivers/virtio/serviced.hpp"
#include "drivers/virtio/session.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/mm/page_poison.hpp"
#include "kernel/mm/pressure.hpp"
#include "kernel/sync/spinlock.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

/// How a balloon driver is built: a template argument.
struct BalloonConfig {
    using Feature = BalloonSpec::Feature;
    Features<BalloonSpec> features{
        .required = {Common::version_1},
        .optional = {Common::access_platform, Common::order_platform, Common::notification_data,
                     Common::notif_config_data, Common::event_idx, Feature::must_tell_host, Feature::stats_vq,
                     Feature::deflate_on_oom, Feature::free_page_hint, Feature::page_poison, Feature::page_reporting}};
    u16 lists = 16;                 ///< pages full of page numbers per batch: 4 MiB of memory each
    u32 floor_bytes = 2 << 20;      ///< what always stays free, or a sixteenth of memory if that is more
    u16 report_blocks = 16;         ///< free blocks in one report
    u16 report_interval_ms = 2000;  ///< between two looks for unreported free memory
};

template <BalloonConfig kC> struct BalloonConfigChecked {
    static_assert(FeaturesChecked<BalloonSpec, kC.features>::value);
    static_assert(RingSizeChecked<BalloonSpec, kC.features, kC.lists>::value);
    static_assert(kC.lists <= 32, "a balloon has at most 32 lists of page numbers in flight");
    static_assert(kC.floor_bytes >= 1 << 20, "a balloon must leave the kernel at least 1 MiB");
    static_assert(kC.report_blocks > 0 && kC.report_blocks <= 32, "a report of free memory holds 1 to 32 blocks");
    static_assert(kC.report_interval_ms >= 100, "looking for free memory more than ten times a second wastes power");
    static_assert(!kC.features.required.contains(BalloonSpec::Feature::page_poison),
                  "PAGE_POISON cannot be required: the kernel command line says whether free pages are filled");
    static constexpr bool value = true;
};

template <BalloonConfig kC = BalloonConfig{}, Transport T = AnyTransport>
class Balloon final : public DeviceRecord, public Serviced {
    static_assert(BalloonConfigChecked<kC>::value);
    using Spec = BalloonSpec;
    using Feature = Spec::Feature;
    using DeviceSession = Session<Spec, kC.features, T>;
    using Ring = RingOf<Spec, kC.features>;
    using Block = kernel::PageBlock;
    static constexpr usize kNumbers = kPageSize / sizeof(le32);  ///< page numbers per list
    static constexpr unsigned kLargest = 10;  ///< order of the blocks that are lent: one list's worth
    static constexpr u16 kHintSize = 32, kReportSize = 32;
    static constexpr Duration kAgain = Duration::from_s(1), kAfterShortage = Duration::from_s(10),
                              kPollEvery = Duration::from_ms(50), kSpin = Duration::from_ms(100);

    struct List {
        u16 index;
    };
    struct Hint {
        std::optional<Block> block;  ///< none: a command
    };
    struct Nothing {};
    using ListQueue = std::optional<Virtqueue<Ring, List, kC.lists>>;
    /// Under the lock.
    struct State {
        ListQueue inflate, deflate;
        std::optional<Virtqueue<Ring, Nothing, 2>> stats;
        std::optional<Virtqueue<Ring, Hint, kHintSize>> hint;
        std::optional<Virtqueue<Ring, Nothing, kReportSize>> report;
        BalloonStore held;                              ///< the host has them
        BalloonStore rising;                            ///< under way to the host
        BalloonStore falling;                           ///< under way from it, with MUST_TELL_HOST
        BalloonStore hinted;                            ///< told to be free, and kept so until the host is done
        FixedVector<Block, kC.report_blocks> reported;  ///< in the one report under way
        u32 busy_lists = 0;
        bool live = false;
    };

public:
    /// Brings the device up; on success it runs. `name` outlives the driver.
    /// Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    static Result<std::unique_ptr<Balloon>> probe(BasicDevice<T> device, std::string_view name) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Balloon> driver(new (std::nothrow) Balloon(std::move(device), name));
        if (!driver) return fail(Error::no_memory);
        driver->words_ = TRY(kernel::DmaRegion::allocate(sizeof(Words)));
        TRY(driver->start());
        kernel::pressure_register(driver->source_);
        driver->list();
        return driver;
    }
    ~Balloon() {
        unlist();
        kernel::pressure_unregister(source_);
        session_.close();
        auto s = state_.lock();
        // One that never confirmed its reset may still discard what is under way: nobody else gets it.
        if (session_.transport().status() == Status{}) {
            take_everything_back(*s);
        } else {
            words_.abandon();
            numbers_.abandon();
        }
    }

    Instant service(Instant now) override {
        if (dead_) return Instant::never();
        if ((session_.wants_reset() || broken()) && !recover()) return Instant::never();
        if (const auto told = session_.config().read(Spec::kNumPages)) target_ = *told;
        bool waiting = false;
        for (unsigned batch = 0; batch < kBatches && !waiting; ++batch) waiting = !reap() || !start_batch(now);
        statistics();
        hints();
        reports(now);
        if (!waiting || broken()) wake();  // more to do, after others had their turn
        Instant next = retry_at_;
        if (session_.template has<Feature::page_reporting>()) next = std::min(next, report_at_);
        if (session_.polled()) next = std::min(next, now + kPollEvery);
        return next;
    }

    bool polled() const { return session_.polled(); }
    DeviceInfo info() const override {
        DeviceInfo d = session_.describe();
        d.broken = dead_;
        auto s = state_.lock();
        const auto add = [&d](std::string_view name, u16 index, const auto& q) {
            if (q) d.queues.try_push_back({name, index, q->size(), q->in_flight(), q->counters()});
        };
        add("inflate", Spec::kInflateQueue, s->inflate);
        add("deflate", Spec::kDeflateQueue, s->deflate);
        add("stats", Spec::kStatsQueue, s->stats);
        add("free_page", Spec::kFreePageQueue, s->hint);
        add("reporting", Spec::kReportingQueue, s->report);
        return d;
    }
    void for_each_value(FunctionRef<void(std::string_view, u64)> visit) const override {
        visit("interrupts", inflate_interrupts_.value());
        visit("desired", target_);
        visit("current", state_.lock()->held.pages());
        visit("inflated", inflated_.value());
        visit("deflated", deflated_.value());
        visit("oom_deflated", oom_deflated_.value());
        visit("refused", refused_.value());
        visit("stats", stats_sent_.value());
        visit("hinted", hinted_.value());
        visit("reported", reported_.value());
        visit("poison", session_.template has<Feature::page_poison>() ? kernel::poison::pattern().value_or(0) : 0);
    }

private:
    static constexpr unsigned kBatches = 64;
    /// What the device reads besides page numbers.
    struct Words {
        Spec::Stat stats[Spec::kStats];
        le32 command, stop;
    };

    Balloon(BasicDevice<T> d, std::string_view name) : session_(std::move(d), name) {}

    /// A host that was not told of the pattern would give reported pages back without it.
    Result<typename DeviceSession::Hs> negotiate() {
        if (!kernel::poison::pattern()) return session_.begin(mask(Feature::page_poison));
        {
            auto h = session_.begin();  // a dropped one has written FAILED before the next begins
            if (!h || session_.template has<Feature::page_poison>()) return h;
        }
        return session_.begin(mask(Feature::page_reporting));
    }
    Result<> start() {
        auto h = TRY(negotiate());
        const FeatureBits offered = session_.offered();
        // Queues of features that are not offered take no number with some devices; with others they do.
        u16 next = Spec::kStatsQueue;
        const auto number = [&](Feature f, u16 specified) {
            const u16 dense = next;
            next = u16(next + offered.test(unsigned(f)));
            return session_.transport().queue_size_max(specified) != 0 ? specified : dense;
        };
        const u16 stats = number(Feature::stats_vq, Spec::kStatsQueue);
        const u16 hint = number(Feature::free_page_hint, Spec::kFreePageQueue);
        const u16 report = number(Feature::page_reporting, Spec::kReportingQueue);
        const bool has_stats = session_.template has<Feature::stats_vq>(),
                   has_hint = session_.template has<Feature::free_page_hint>(),
                   has_report = session_.template has<Feature::page_reporting>();
        const u16 last = has_report ? report : has_hint ? hint : has_stats ? stats : Spec::kDeflateQueue;
        const u8 queues = u8(last + 1);
        TRY(session_.bind({.queues = queues, .slow = (u32{1} << queues) - 1}, on_interrupt, this));
        TRY(connect_all(h, has_stats ? stats : 0, has_hint ? hint : 0, has_report ? report : 0));
        if (session_.template has<Feature::page_poison>())
            session_.transport().set_config_u32(Spec::kPoisonVal.kOffset, *kernel::poison::pattern());
        TRY(session_.run(std::move(h)));
        dead_ = false;
        actual_ = ~u64{0};  // whatever the device believes
        send_statistics();
        state_.lock()->live = true;
        return {};
    }

    /// Queue number 0 here: without that one. Rings are made outside the lock: that allocates.
    Result<> connect_all(typename DeviceSession::Hs& h, u16 stats, u16 hint, u16 report) {
        State& s = *state_.lock();  // nobody else touches it while it is not live
        TRY(session_.connect(h, Spec::kInflateQueue, s.inflate, {.size = kC.lists}));
        TRY(session_.connect(h, Spec::kDeflateQueue, s.deflate, {.size = kC.lists}));
        if (stats != 0) TRY(session_.connect(h, stats, s.stats, {.size = 2}));
        if (hint != 0) TRY(session_.connect(h, hint, s.hint, {.size = kHintSize}));
        if (report != 0) TRY(session_.connect(h, report, s.report, {.size = kReportSize}));
        return {};
    }

    // --- inflating and deflating

    /// Takes what the device has finished. False: a batch is still under way.
    bool reap() {
        auto s = state_.lock();
        return reap(*s);
    }
    bool reap(State& s) {
        while (auto used = s.inflate->pop()) s.busy_lists &= ~(1u << used->token.index);
        if (s.inflate->in_flight() == 0) s.held.absorb(s.rising);
        while (auto used = s.deflate->pop()) s.busy_lists &= ~(1u << used->token.index);
        if (s.deflate->in_flight() == 0) s.falling.release(~usize{0});
        return s.inflate->in_flight() == 0 && s.deflate->in_flight() == 0;
    }

    /// False: nothing more to do now.
    bool start_batch(Instant now) {
        u64 held;
        {
            auto s = state_.lock();
            held = s->held.pages();
        }
        if (held != actual_) session_.transport().set_config_u32(Spec::kActual.kOffset, u32(actual_ = held));
        retry_at_ = Instant::never();
        if (held == target_) return false;
        retry_at_ = std::max(now + kAgain, hold_off());
        if (!have_lists()) return false;
        if (held > target_) return deflate_batch(held - target_) != 0;
        if (now < hold_off()) return false;
        if (inflate_batch(target_ - held) != 0) return true;
        // The floor is reached: caches first, then the host has to wait.
        if (now < asked_until_) return false;
        asked_until_ = now + kAgain;
        if (kernel::relieve_pressure(target_ - held, kernel::Pressure::wanted) != 0) return true;
        refused_.add();
        return false;
    }
    Instant hold_off() const { return Instant{__atomic_load_n(&hold_off_ns_, __ATOMIC_RELAXED)}; }

    /// The memory for page numbers, made when it is first needed and kept: fewer when memory is short.
    bool have_lists() {
        for (usize n = kC.lists; lists_ == 0 && n != 0; n /= 2) {
            auto memory = kernel::DmaRegion::allocate(n * kPageSize);
            if (!memory) continue;
            numbers_ = std::move(*memory);
            lists_ = u16(n);
        }
        return lists_ != 0 && state_.lock()->falling.reserve();
    }
    std::span<le32> list_at(u16 index) const {
        return {reinterpret_cast<le32*>(numbers_.bytes().data() + index * kPageSize), kNumbers};
    }
    template <class Queue> bool send(State& s, Queue& queue, u16 list, u64 count) {
        const Segment segment{numbers_.addr(list * kPageSize), u32(count * sizeof(le32))};
        List token{list};
        if (!queue.add({&segment, 1}, {}, token)) return false;
        s.busy_lists |= 1u << list;
        return true;
    }
    /// One kick; one interrupt, after the last. Those who answer at once cause none.
    void kick(ListQueue State::*which) {
        auto s = state_.lock();
        auto& queue = *((*s).*which);
        queue.suppress();
        queue.kick();
        (void)reap(*s);
        if (queue.in_flight() != 0 && queue.rearm_at_last()) wake();
    }

    u64 inflate_batch(u64 most) {
        u64 sent = 0;
        for (u16 list = 0; list < lists_ && sent < most; ++list) {
            auto s = state_.lock();
            const u64 room = std::min({most - sent, spare_pages(kC.floor_bytes), u64{kNumbers}});
            u64 count = 0;
            while (count < room) {
                const unsigned order = std::min(kLargest, unsigned(std::bit_width(room - count)) - 1);
                const auto block = kernel::take_largest_block(order);
                if (!block) break;
                if (!write_page_numbers(list_at(list).subspan(count), *block) || !s->rising.push(*block)) {
                    kernel::free_pages(block->base, block->order);
                    break;
                }
                count += block->pages();
            }
            if (count == 0 || !send(*s, *s->inflate, list, count)) break;
            sent += count;
        }
        inflated_.add(sent);
        if (sent != 0) kick(&State::inflate);
        return sent;
    }

    u64 deflate_batch(u64 most) {
        u64 sent = 0;
        for (u16 list = 0; list < lists_ && sent < most; ++list) {
            auto s = state_.lock();
            const u64 count = deflate_list(*s, list, most - sent);
            if (count == 0) break;
            sent += count;
        }
        deflated_.add(sent);
        if (sent != 0) kick(&State::deflate);
        return sent;
    }
    /// Without MUST_TELL_HOST the pages are ours again at once (§5.5.6.1).
    u64 deflate_list(State& s, u16 list, u64 most) {
        u64 count = 0;
        most = std::min(most, u64{kNumbers});
        while (count < most && (!session_.template has<Feature::must_tell_host>() || s.falling.has_room())) {
            auto block = s.held.pop();
            if (!block) break;
            while (block->pages() > most - count && block->order != 0) {
                const Block upper = kernel::split_block(*block);
                if (!s.held.push(upper)) break;  // lost: better than used before the host knows
            }
            (void)write_page_numbers(list_at(list).subspan(count), *block);
            count += block->pages();
            if (!session_.template has<Feature::must_tell_host>())
                kernel::free_pages(block->base, block->order);
            else
                (void)s.falling.push(*block);  // there is room
        }
        return count != 0 && send(s, *s.deflate, list, count) ? count : 0;
    }

    // --- an allocation is about to fail

    static usize give(void* self, usize pages, kernel::Pressure pressure) {
        return pressure == kernel::Pressure::exhausted ? static_cast<Balloon*>(self)->give_now(pages) : 0;
    }
    usize give_now(usize pages) {
        auto s = state_.lock();
        if (!s->live) return 0;
        u64 freed = s->hint ? s->hinted.release(~usize{0}) : 0;
        if (s->report && s->report->in_flight() != 0) freed += await(*s, [&] { return take_reports(*s); });
        if (!session_.template has<Feature::deflate_on_oom>() || lists_ == 0) return freed;
        const u32 all = u32((u64{1} << lists_) - 1);
        if ((s->busy_lists & all) == all || session_.template has<Feature::must_tell_host>())
            (void)await(*s, [&] { return (void)reap(*s), u64((s->busy_lists & all) != all && s->falling.empty()); });
        const u16 list = u16(std::countr_one(s->busy_lists));
        if (list >= lists_ || s->held.empty()) return freed;
        const u64 count = deflate_list(*s, list, std::max<u64>(pages, 256));
        if (count == 0) return freed;
        oom_deflated_.add(count);
        __atomic_store_n(&hold_off_ns_, (kernel::now() + kAfterShortage).ns, __ATOMIC_RELAXED);
        s->deflate->kick();
        if (session_.template has<Feature::must_tell_host>() &&
            await(*s, [&] { return (void)reap(*s), u64(s->deflate->in_flight() == 0); }) == 0)
            return freed;
        wake();
        return freed + count;
    }
    /// Looks until `done` is not 0, with a bound. Interrupts are off: the device is polled.
    template <class Done> u64 await(State& s, Done done) {
        const Instant deadline = kernel::now() + kSpin;
        for (;;) {
            if (const u64 result = done()) return result;
            if (s.inflate->broken() || s.deflate->broken() || kernel::now() >= deadline) return 0;
        }
    }

    // --- statistics, hints, reports

    void statistics() {
        if (!session_.template has<Feature::stats_vq>()) return;
        bool asked;
        {
            auto s = state_.lock();
            asked = s->stats->pop().has_value();
        }
        if (asked) send_statistics();
    }
    void send_statistics() {
        if (!session_.template has<Feature::stats_vq>()) return;
        write_statistics(words_.template at<Words>(0)->stats);  // asks caches: not under the lock
        const Segment segment{words_.addr(), u32(sizeof(Words::stats))};
        Nothing token;
        auto s = state_.lock();
        if (!s->stats->add({&segment, 1}, {}, token)) return;
        stats_sent_.add();
        (void)s->stats->rearm();
        s->stats->kick();
    }

    /// §5.5.6.4: between a command and its end the free blocks are the host's to know; they are kept until it is done.
    void hints() {
        if constexpr (kC.features.lists(Feature::free_page_hint)) {
            if (!session_.template has<Feature::free_page_hint>()) return;
            const auto told = session_.config().read(Spec::kHintCommand);
            const u32 command = told ? std::optional<u32>(*told).value_or(Spec::kCommandStop) : Spec::kCommandStop;
            auto s = state_.lock();
            while (auto used = s->hint->pop())
                if (used->token.block && !s->hinted.push(*used->token.block))
                    kernel::free_pages(used->token.block->base, used->token.block->order);
            if (command == Spec::kCommandDone && s->hint->in_flight() == 0) s->hinted.release(~usize{0});
            if (command <= Spec::kCommandDone) {
                hinting_ = false;
                hint_command_ = command;
            } else if (command != hint_command_ && s->hint->in_flight() == 0) {
                hint_command_ = command;
                hinting_ = send_command(*s, offsetof(Words, command), command);
            }
            if (hinting_) send_hints(*s);
            s->hint->kick();
            if (s->hint->in_flight() != 0 && s->hint->rearm()) wake();
        }
    }
    bool send_command(State& s, usize at, u32 value) {
        *words_.template at<le32>(at) = value;
        const Segment segment{words_.addr(at), sizeof(le32)};
        Hint token;
        return s.hint->add({&segment, 1}, {}, token);
    }
    void send_hints(State& s) {
        while (s.hint->free() > 1) {
            const u64 spare = spare_pages(kC.floor_bytes);
            const auto block =
                spare == 0 ? std::nullopt
                           : kernel::take_largest_block(std::min(kLargest, unsigned(std::bit_width(spare)) - 1));
            if (!block) {
                hinting_ = !send_command(s, offsetof(Words, stop), Spec::kCommandStop);
                return;
            }
            const Segment segment{DmaAddr(block->base.raw), u32(block->pages() * kPageSize)};
            Hint token{*block};
            if (!s.hint->add({}, {&segment, 1}, token)) return kernel::free_pages(block->base, block->order);
            hinted_.add(block->pages());
        }
    }

    /// §5.5.6.5: free blocks that the host does not know of yet, isolated until it has answered.
    void reports(Instant now) {
        if (!session_.template has<Feature::page_reporting>()) return;
        for (unsigned batch = 0; batch < kBatches; ++batch) {
            auto s = state_.lock();
            (void)take_reports(*s);
            if (s->report->in_flight() != 0 || s->report->broken() || now < report_at_) return;
            if (!send_report(*s)) {
                report_at_ = now + Duration::from_ms(kC.report_interval_ms);
                return;
            }
            s->report->suppress();
            s->report->kick();
            (void)take_reports(*s);
            if (s->report->in_flight() != 0 && s->report->rearm_at_last()) wake();
        }
    }
    bool send_report(State& s) {
        FixedVector<Segment, kC.report_blocks> segments;
        u64 pages = 0;
        const u64 most = kernel::page_stats().free_pages / 4;  // the rest must do for everybody meanwhile
        while (segments.size() < std::min<usize>(kC.report_blocks, s.report->free())) {
            if (pages + (u64{1} << kernel::kReportOrder) > most) break;
            const auto block =
                kernel::take_unreported_block(pages + (u64{1} << kLargest) > most ? kernel::kReportOrder : kLargest);
            if (!block) break;
            pages += block->pages();
            (void)s.reported.try_push_back(*block);
            (void)segments.try_push_back(Segment{DmaAddr(block->base.raw), u32(block->pages() * kPageSize)});
        }
        Nothing token;
        if (pages == 0) return false;
        if (!s.report->add({}, {segments.begin(), segments.size()}, token)) return forget_reports(s), false;
        reported_.add(pages);
        return true;
    }
    u64 take_reports(State& s) {
        u64 pages = 0;
        if (!s.report->pop()) return 0;
        for (const Block& b : s.reported) {
            kernel::return_reported(b);
            pages += b.pages();
        }
        s.reported.clear();
        return pages;
    }
    void forget_reports(State& s) {
        for (const Block& b : s.reported) kernel::free_pages(b.base, b.order);
        s.reported.clear();
    }

    // --- trouble

    static void on_interrupt(void* self, u32 queues, bool) {
        Balloon& b = *static_cast<Balloon*>(self);
        if (queues & 1u << Spec::kInflateQueue) b.inflate_interrupts_.add();
        b.wake();
    }

    bool broken() {
        auto s = state_.lock();
        return s->inflate->broken() || s->deflate->broken() || (s->stats && s->stats->broken()) ||
               (s->hint && s->hint->broken()) || (s->report && s->report->broken());
    }
    /// After a confirmed reset the host discards nothing any more. What it was given stays lent, as far as it is known.
    bool recover() {
        {
            auto s = state_.lock();
            s->live = false;
        }
        if (session_.may_recover() && session_.halt()) {
            {
                auto s = state_.lock();
                drain(*s);
                s->held.absorb(s->rising);
            }
            if (start()) return true;
        }
        session_.give_up();
        dead_ = true;
        return false;
    }
    void drain(State& s) {
        const auto forget = [](auto&&) {};
        if (s.inflate) s.inflate->drain(forget);
        if (s.deflate) s.deflate->drain(forget);
        if (s.stats) s.stats->drain(forget);
        if (s.hint)
            s.hint->drain([](Hint&& h) {
                if (h.block) kernel::free_pages(h.block->base, h.block->order);
            });
        if (s.report) s.report->drain(forget);
        forget_reports(s);
        s.busy_lists = 0;
        s.falling.release(~usize{0});
        s.hinted.release(~usize{0});
        hinting_ = false;
        hint_command_ = Spec::kCommandStop;
    }
    /// The device was reset, for ever.
    void take_everything_back(State& s) {
        drain(s);
        s.falling.unreserve();
        s.rising.release(~usize{0});
        s.held.release(~usize{0});
    }

    DeviceSession session_;
    kernel::DmaRegion words_, numbers_;
    u16 lists_ = 0;
    mutable kernel::Guarded<State, kernel::Rank::balloon, kernel::Spinlock> state_;
    kernel::MemorySource source_{.give = give, .context = this};
    u32 target_ = 0;
    u64 actual_ = 0;  ///< what the device was told
    Instant asked_until_{}, report_at_{}, retry_at_ = Instant::never();
    u64 hold_off_ns_ = 0;  ///< after a shortage the balloon does not grow before then
    u32 hint_command_ = Spec::kCommandStop;
    bool hinting_ = false, dead_ = true;
    Counter inflate_interrupts_, inflated_, deflated_, oom_deflated_, refused_, stats_sent_, hinted_, reported_;
};

}  // namespace ringlet::virtio
