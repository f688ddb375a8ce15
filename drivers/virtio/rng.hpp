// Entropy device driver, virtio 1.2 §5.4: feeds the kernel's random number generator at boot and now and then after it.
// One request at a time, in one small buffer. The device is never waited for beyond a bound, and one that gives
// nothing, or never answers, costs a counter: the generator has other sources. What it says is mixed in and never used
// alone. Context: service() its thread; an interrupt only wakes that.
#pragma once

#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/serviced.hpp"
#include "drivers/virtio/session.hpp"
#include "drivers/virtio/spec/rng.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

/// How an entropy driver is built: a template argument.
struct RngConfig {
    Features<RngSpec> features{.required = {},
                               .optional = {Common::version_1, Common::access_platform, Common::order_platform,
                                            Common::notification_data, Common::notif_config_data, Common::event_idx}};
    u16 queue_size = 4;      ///< ring entries; one is used at a time
    u16 request_bytes = 64;  ///< per request; the device may give less
    u16 interval_s = 300;    ///< between two requests
    u16 boot_wait_ms = 20;   ///< how long probe() waits for the first bytes where the CPU has none
};

template <RngConfig kC> struct RngConfigChecked {
    static_assert(FeaturesChecked<RngSpec, kC.features>::value);
    static_assert(SplitRing::valid_size(kC.queue_size), "a split ring's size must be a power of two from 1 to 32768");
    static_assert(kC.request_bytes >= 32 && kC.request_bytes <= kPageSize,
                  "an entropy request must hold at least a key of 32 bytes and at most a page");
    static_assert(kC.interval_s > 0, "an entropy driver must leave time between its requests");
    static_assert(kC.boot_wait_ms <= 100, "booting must not wait longer than 100 ms for entropy");
    static constexpr bool value = true;
};

/// Gives what the device wrote to the generator and forgets it.
void take_entropy(MutableBytes written);
/// Whether the generator has a better source than timing before any device spoke.
bool cpu_has_entropy();

template <RngConfig kC = RngConfig{}, Transport T = AnyTransport>
class Rng final : public DeviceRecord, public Serviced {
    static_assert(RngConfigChecked<kC>::value);
    using Spec = RngSpec;
    using DeviceSession = Session<Spec, kC.features, T>;
    struct Request {};
    using Queue = Virtqueue<RingOf<Spec, kC.features>, Request, kC.queue_size>;
    static constexpr Duration kInterval = Duration::from_s(kC.interval_s);
    static constexpr Duration kPollEvery = Duration::from_ms(10), kPatience = Duration::from_s(1);

public:
    /// Brings the device up and asks for the first bytes; waits for them at most boot_wait_ms, and only where the CPU
    /// gives none. `name` outlives the driver. Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    [[gnu::cold]] static Result<std::unique_ptr<Rng>> probe(BasicDevice<T> device, std::string_view name) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Rng> driver(new (std::nothrow) Rng(std::move(device), name));
        if (!driver) return fail(Error::no_memory);
        driver->memory_ = TRY(kernel::DmaRegion::allocate(kC.request_bytes));
        TRY(driver->start());
        driver->list();
        if (!cpu_has_entropy()) driver->wait_for_first();
        return driver;
    }
    ~Rng() {
        unlist();
        session_.close();
        // One that never confirmed its reset may write into the buffer for ever: nobody else gets it.
        if (session_.transport().status() != Status{}) memory_.abandon();
    }

    [[gnu::cold]] Instant service(Instant now) override {
        if (dead_) return Instant::never();
        if (!take(now) || session_.wants_reset()) return recover(now) ? next_ : Instant::never();
        if (queue_->in_flight() == 0 && now >= next_) ask(now);
        if (queue_->in_flight() == 0) return next_;
        if (!session_.polled()) return Instant::never();
        return now + (now < asked_ + kPatience ? kPollEvery : kInterval);
    }

    bool polled() const { return session_.polled(); }

    [[gnu::cold]] DeviceInfo info() const override {
        DeviceInfo d = session_.describe();
        d.broken = dead_;
        if (queue_)
            d.queues.try_push_back(
                {"requests", Spec::kRequestQueue, queue_->size(), queue_->in_flight(), queue_->counters()});
        return d;
    }
    [[gnu::cold]] void for_each_value(FunctionRef<void(std::string_view, u64)> visit) const override {
        visit("bytes", bytes_.value());
        visit("requests", requests_.value());
        visit("empty_answers", empty_.value());
    }

private:
    Rng(BasicDevice<T> d, std::string_view name) : session_(std::move(d), name) {}

    [[gnu::cold]] Result<> start() {
        auto h = TRY(session_.begin());
        TRY(session_.bind({.queues = 1, .slow = 0}, on_interrupt, this));
        TRY(session_.connect(h, Spec::kRequestQueue, queue_, {.size = kC.queue_size}));
        dead_ = false;
        TRY(session_.run(std::move(h)));
        ask(kernel::now());
        return {};
    }

    [[gnu::cold]] void ask(Instant now) {
        asked_ = now;
        const Segment s{memory_.addr(), u32(memory_.bytes().size())};
        Request r;
        if (!queue_->add({}, {&s, 1}, r)) return;
        requests_.add();
        (void)queue_->rearm();
        queue_->kick();
    }

    /// What came, if anything. False: the queue broke.
    [[gnu::cold]] bool take(Instant now) {
        while (auto used = queue_->pop()) {
            next_ = now + kInterval;
            bytes_.add(used->written);
            if (used->written == 0)
                empty_.add();
            else
                take_entropy(memory_.bytes().first(used->written));
        }
        return !queue_->broken();
    }

    [[gnu::cold]] void wait_for_first() {
        const Instant deadline = kernel::now() + Duration::from_ms(kC.boot_wait_ms);
        for (Instant now = kernel::now(); now < deadline && bytes_.value() == 0; now = kernel::now()) {
            const Instant again = service(now);
            if (bytes_.value() != 0 || queue_->in_flight() == 0) return;  // answered, or given up
            event_.wait_until(std::min(again, deadline));
        }
    }

    static void on_interrupt(void* self, u32 queues, bool) {
        Rng& r = *static_cast<Rng*>(self);
        if (queues != 0) r.queue_->note_interrupt();
        r.wake();
    }

    [[gnu::cold]] bool recover(Instant now) {
        next_ = now + kInterval;
        if (session_.may_recover() && session_.halt()) {
            queue_->drain([](Request&&) {});
            if (start()) return true;
        }
        session_.give_up();
        dead_ = true;
        return false;
    }

    DeviceSession session_;
    kernel::DmaRegion memory_;
    std::optional<Queue> queue_;
    Instant next_{}, asked_{};  ///< the next request is due then; the last one was made then
    bool dead_ = true;
    Counter bytes_, requests_, empty_;
};

}  // namespace ringlet::virtio
