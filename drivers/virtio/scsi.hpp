// SCSI host driver, virtio 1.2 §5.6: its queues. Everything that does not depend on the configuration is in
// scsi_host.hpp, where the contexts are stated too. Each logical unit that is a disk or a CD-ROM becomes an
// fs::BlockDevice (scsi_disk.hpp), which the registry hears of. A unit belongs to one request queue, so that a batch
// leaves with one kick.
#pragma once

#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/quarantine.hpp"
#include "drivers/virtio/scsi_host.hpp"
#include "drivers/virtio/session.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

/// How a SCSI driver is built: a template argument.
struct ScsiConfig {
    using Feature = ScsiSpec::Feature;
    Features<ScsiSpec> features{.required = {},
                                .optional = {Common::version_1, Common::access_platform, Common::order_platform,
                                             Common::notification_data, Common::notif_config_data, Common::event_idx,
                                             Common::indirect_desc, Feature::inout, Feature::hotplug, Feature::change}};
    u16 queue_size = 64;       ///< entries of a request queue, and commands in flight in it
    u16 request_queues = 2;    ///< used at most
    u16 max_segments = 32;     ///< pieces of data per request
    u16 indirect_tables = 32;  ///< per request queue, allocated at the start, max_segments + 2 descriptors each
    u16 event_buffers = 8;     ///< events that may come before the driver has looked
    u16 max_lun = 16383;       ///< greater numbers are not looked at
};

template <ScsiConfig kC> struct ScsiConfigChecked {
    static_assert(FeaturesChecked<ScsiSpec, kC.features>::value);
    static_assert(RingSizeChecked<ScsiSpec, kC.features, kC.queue_size>::value);
    static_assert(RingSizeChecked<ScsiSpec, kC.features, kC.event_buffers>::value);
    static_assert(!kC.features.lists(ScsiSpec::Feature::t10_pi),
                  "T10_PI cannot be listed: this driver sends no protection information");
    static_assert(kC.queue_size >= 4, "a SCSI queue needs room for header, data and answer: at least 4 entries");
    static_assert(kC.max_segments > 0, "a SCSI command needs room for at least one piece of data");
    static_assert(kC.request_queues >= 1 && kC.request_queues <= 6, "a SCSI host has 1 to 6 request queues in use");
    static_assert(kC.event_buffers >= 2 && kC.event_buffers <= 32, "2 to 32 event buffers fit into their page");
    static_assert(kC.max_lun <= 16383, "a single-level logical unit number is at most 16383");
    static_assert(kC.indirect_tables == 0 || kC.features.lists(Common::indirect_desc),
                  "indirect tables are useless unless INDIRECT_DESC is listed");
    static constexpr bool value = true;
};

/// What the device's configuration space says, unchecked.
struct ScsiDeviceLimits {
    u32 num_queues = 0, seg_max = 0, max_sectors = 0, cmd_per_lun = 0, sense_size = 0, cdb_size = 0, max_lun = 0;
    u16 max_target = 0;
};
/// Errors: unsupported (values that no driver could work with).
Result<ScsiLimits> check_limits(const ScsiDeviceLimits& said, u16 request_queues, u16 max_segments, u16 max_lun);

template <ScsiConfig kC = ScsiConfig{}, Transport T = AnyTransport>
class Scsi final : public ScsiHost, public DeviceRecord {
    static_assert(ScsiConfigChecked<kC>::value);
    using Feature = Spec::Feature;
    using Driver = Session<Spec, kC.features, T>;
    using Ring = RingOf<Spec, kC.features>;
    static constexpr u16 kControlSize = 4, kControl = Spec::kControlQueue, kEvents = Spec::kEventQueue,
                         kFirst = Spec::kFirstRequestQueue;

public:
    /// Brings the host up, finds its units and starts the worker. `name` and `registry` outlive the driver.
    /// Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    static Result<std::unique_ptr<Scsi>> probe(BasicDevice<T> device, std::string_view name, ScsiRegistry& registry,
                                               ScsiTunables tunables = {}) {
        auto driver = TRY(open(std::move(device), name, registry, tunables));
        driver->scan();
        TRY(driver->start_worker());
        return driver;
    }
    /// The same without a scan and without a worker: the caller calls scan() and service().
    static Result<std::unique_ptr<Scsi>> open(BasicDevice<T> device, std::string_view name, ScsiRegistry& registry,
                                              ScsiTunables tunables = {}) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Scsi> driver(new (std::nothrow) Scsi(std::move(device), name, registry, tunables));
        if (!driver) return fail(Error::no_memory);
        driver->queues_.reset(new (std::nothrow) Queues);
        if (!driver->queues_) return fail(Error::no_memory);
        TRY(driver->start());
        driver->list();
        return driver;
    }
    ~Scsi() override {
        stop_worker();
        unlist();
        const bool quiet = driver_.halt();
        finish_everything(quiet);
        driver_.close();
        if (!quiet) keep_for_ever(queues_.release());  // the device may still write into the rings
    }

    /// Polling mode: what interrupts would have done. Context: thread.
    void poll() { driver_.poll(); }

    DeviceInfo info() const override {
        DeviceInfo d = driver_.describe();
        auto s = state_.lock();
        d.broken = s->dead;
        const auto add = [&](std::string_view name, u16 index, const auto& q) {
            if (q) d.queues.try_push_back({name, index, q->size(), q->in_flight(), q->counters()});
        };
        add("control", kControl, queues_->control);
        add("events", kEvents, queues_->events);
        for (u16 i = 0; i < kC.request_queues; ++i) add("requests", u16(kFirst + i), queues_->requests[i]);
        return d;
    }
    void for_each_value(FunctionRef<void(std::string_view, u64)> visit) const override {
        visit("scsi_cmd_timeouts", counters_.timeouts.value());
        visit("retries", counters_.retries.value());
        visit("unit_attentions", counters_.unit_attentions.value());
        visit("task_management", counters_.tmfs.value());
        visit("bad_responses", counters_.bad_responses.value());
        visit("events", counters_.events.value());
        visit("events_missed", counters_.events_missed.value());
        visit("bad_events", counters_.bad_events.value());
        visit("scans", counters_.scans.value());
        visit("looks", counters_.looks.value());
        visit("bells_repeated", counters_.reminders.value());
        auto s = state_.lock();
        visit("disks", s->disks.size());
    }

private:
    struct Queues {
        std::optional<Virtqueue<Ring, u16, kControlSize>> control;
        std::optional<Virtqueue<Ring, u16, kC.event_buffers>> events;
        std::array<std::optional<Virtqueue<Ring, u16, kC.queue_size>>, kC.request_queues> requests;
    };

    Scsi(BasicDevice<T> d, std::string_view name, ScsiRegistry& registry, ScsiTunables tunables)
        : ScsiHost(name, registry, tunables), driver_(std::move(d), name) {}

    Result<> start() {
        auto h = TRY(driver_.begin());
        const ScsiLimits limits = TRY(read_limits());
        const bool first = !queues_->control.has_value();
        if (first)
            TRY(allocate(limits, kC.queue_size, kC.event_buffers));
        else if (limits.request_queues < limits_.request_queues)
            return fail(Error::device_broken);
        const u8 count = u8(kFirst + limits_.request_queues);
        TRY(driver_.bind({.queues = count, .slow = 1u << kControl | 1u << kEvents}, on_interrupt, this));
        TRY(driver_.connect(h, kControl, queues_->control, RingOptions{.size = kControlSize}));
        TRY(driver_.connect(h, kEvents, queues_->events, RingOptions{.size = kC.event_buffers}));
        for (u16 i = 0; i < limits_.request_queues; ++i)
            TRY(driver_.connect(h, u16(kFirst + i), queues_->requests[i],
                                RingOptions{.size = kC.queue_size,
                                            .indirect_tables = kC.indirect_tables,
                                            .indirect_entries = u16(kC.max_segments + 2),
                                            .indirect_above = 1}));
        if (queues_->control->size() < 2) return fail(Error::unsupported);
        if (first) TRY(limit_segments());
        bool bell;
        {
            auto s = state_.lock();
            bell = post_events();
        }
        TRY(driver_.run(std::move(h)));
        if (bell) queues_->events->ring_bell();
        return {};
    }

    Result<ScsiLimits> read_limits() {
        const auto config = driver_.config();
        ScsiDeviceLimits said;
        said.num_queues = TRY(config.read(Spec::kNumQueues));
        said.seg_max = TRY(config.read(Spec::kSegMax));
        said.max_sectors = TRY(config.read(Spec::kMaxSectors));
        said.cmd_per_lun = TRY(config.read(Spec::kCmdPerLun));
        said.sense_size = TRY(config.read(Spec::kSenseSize));
        said.cdb_size = TRY(config.read(Spec::kCdbSize));
        said.max_target = TRY(config.read(Spec::kMaxTarget));
        said.max_lun = TRY(config.read(Spec::kMaxLun));
        return check_limits(said, kC.request_queues, kC.max_segments, kC.max_lun);
    }

    /// The rings may be shorter than what the device would take.
    Result<> limit_segments() {
        for (const auto& q : queues_->requests) {
            if (!q) continue;
            const u16 longest = q->ring().max_segments();
            if (longest < 3) return fail(Error::unsupported);
            limits_.max_segments = std::min(limits_.max_segments, u16(longest - 2));
        }
        return {};
    }

    /// Gives the device every event buffer. True: ring the bell, once it runs.
    bool post_events() {
        if (!driver_.template has<Feature::hotplug>() && !driver_.template has<Feature::change>()) return false;
        for (u16 i = 0; i < queues_->events->size(); ++i) (void)post_event(i);
        return queues_->events->publish();
    }
    bool post_event(u16 i) {
        const Segment buffer = event_buffer(i);
        return queues_->events->add({}, {&buffer, 1}, i);
    }

    // --- Hot, with the lock held.

    /// Moves waiting commands into the ring, with at most one kick. The bell rings under the lock, here and below, so
    /// that no kick reaches a device that was reset meanwhile.
    void feed(State& s, u16 q, ScsiRequests& done) {
        auto& queue = *queues_->requests[q];
        Instant now;
        while (Command* c = ScsiHost::next(s, q, done)) {
            SegmentRoom<kC.max_segments + 2> pieces;
            usize readable = 0;
            const usize n = fill(*c, pieces.all, readable);
            const std::span<const Segment> all(pieces.all.data(), n);
            u16 token = c->slot;
            if (!queue.add(all.first(readable), all.subspan(readable), token)) {
                put_back(s, *c);
                break;
            }
            if (now == Instant{}) now = kernel::now();
            sent(s, *c, now);
        }
        if (!s.dead && !s.resetting) queue.kick();
    }

    /// Takes everything that a queue has finished; `more` is called before each last look. True: there was something.
    template <class Queue, class Take, class More, class Rearm>
    static bool reap(Queue& queue, Take take, More more, Rearm rearm) {
        bool found = false;
        queue.suppress();
        do {
            while (auto used = queue.pop()) {
                found = true;
                take(used->token, used->written);
            }
            more();
        } while (rearm());
        return found;
    }
    /// For an interrupt of a queue that has no patience.
    template <class Queue, class Take, class More> static void heard(Queue& queue, Take take, More more) {
        queue.note_interrupt();
        if (!reap(queue, take, more, [&] { return queue.rearm(); })) queue.note_spurious();
    }
    /// With patience and a deep queue, one interrupt when half of what is in flight is done; the worker looks in any
    /// case after a while.
    bool reap_requests(State& s, u16 q, bool patience, ScsiRequests& done) {
        auto& queue = *queues_->requests[q];
        const auto rearm = [&] {
            const u16 n = queue.in_flight();
            if (!be_patient(s, q, patience && n >= kPatienceFrom)) return queue.rearm();
            return queue.rearm_after(u16(n / 2));
        };
        return reap(
            queue, [&](u16 slot, u32) { complete(s, slot, done); }, [&] { feed(s, q, done); }, rearm);
    }

    static void on_interrupt(void* self, u32 queues, bool config) {
        static_cast<Scsi*>(self)->interrupted(queues, config);
    }
    void interrupted(u32 queues, bool config) {
        ScsiRequests done;
        {
            auto s = state_.lock();
            if (s->dead || s->resetting) return;
            Queues& all = *queues_;
            bool broken = config && driver_.wants_reset();
            if ((queues & 1u << kControl) != 0) {
                heard(
                    *all.control, [&](u16, u32) { tmf_answered(*s); }, [] {});
                broken = broken || all.control->broken();
            }
            if ((queues & 1u << kEvents) != 0) {
                const auto take = [&](u16 buffer, u32 written) {
                    take_event(*s, buffer, written);
                    (void)post_event(buffer);
                };
                heard(*all.events, take, [&] { all.events->kick(); });
                broken = broken || all.events->broken();
            }
            for (u16 q = 0; q < limits_.request_queues; ++q) {
                if ((queues >> (kFirst + q) & 1) == 0) continue;
                all.requests[q]->note_interrupt();
                if (!reap_requests(*s, q, !driver_.polled(), done)) all.requests[q]->note_spurious();
                broken = broken || all.requests[q]->broken();
            }
            if (broken) {
                s->reset_wanted = true;
                wake();
            }
        }
        finish_all(done);
    }

    // --- What the host asks for.

    void kick(u32 queues) override {
        ScsiRequests done;
        {
            auto s = state_.lock();
            if (s->dead || s->resetting) return;
            for (u16 q = 0; q < limits_.request_queues; ++q)
                if ((queues >> q & 1) != 0) feed(*s, q, done);
        }
        finish_all(done);
    }
    void look() override { interrupted((u32{1} << (kFirst + limits_.request_queues)) - 1, true); }
    void look_patiently(u32 queues) override {
        ScsiRequests done;
        {
            auto s = state_.lock();
            if (s->dead || s->resetting) return;
            for (u16 q = 0; q < limits_.request_queues; ++q) {
                if ((queues >> q & 1) == 0) continue;
                // Nothing in all that time: every completion interrupts again.
                if (!reap_requests(*s, q, true, done)) (void)reap_requests(*s, q, false, done);
                if (queues_->requests[q]->broken()) {
                    s->reset_wanted = true;
                    wake();
                }
            }
        }
        finish_all(done);
    }
    void remind() override {
        auto s = state_.lock();
        if (s->dead || s->resetting) return;
        for (u16 q = 0; q < limits_.request_queues; ++q) queues_->requests[q]->ring_bell();
    }
    bool send_tmf() override {
        auto s = state_.lock();
        if (s->dead || s->resetting) return false;
        const Segment request = tmf_request(), response = tmf_response();
        u16 token = 0;
        if (!queues_->control->add({&request, 1}, {&response, 1}, token)) return false;
        queues_->control->kick();
        return true;
    }
    bool halt() override { return driver_.halt(); }
    Result<> restart() override {
        {
            auto s = state_.lock();
            const auto forget = [](u16) {};  // the host has taken everything back already
            queues_->control->drain(forget);
            queues_->events->drain(forget);
            for (auto& q : queues_->requests)
                if (q) q->drain(forget);
        }
        return start();
    }
    bool may_recover() override { return driver_.may_recover(); }
    void give_up() override { driver_.give_up(); }
    bool polled() const override { return driver_.polled(); }

    std::unique_ptr<Queues> queues_;
    Driver driver_;  ///< last: silenced before the queues go
};

}  // namespace ringlet::virtio
