// What every driver keeps of its device over resets: the transport, what was agreed, and the interrupts (virtio 1.2
// §3.1.1 forwards, §2.1.1 and §3.3 backwards). A driver's start is begin() -> read the configuration -> bind() ->
// connect() each queue -> run(). Its recovery is halt() -> drain the queues -> the same start again, which then insists
// on the features of the first time. Context: thread, unless a function says otherwise; the driver serialises the
// calls.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "drivers/virtio/any_transport.hpp"
#include "drivers/virtio/device_info.hpp"
#include "drivers/virtio/handshake.hpp"
#include "kernel/log.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

template <class Spec, Features<Spec> kF, Transport T> class Session {
public:
    using Hs = Handshake<Spec, kF, T>;
    using Agreed = Negotiated<Spec, kF>;
    /// Resets in a row, without a minute of peace between them, before the device is given up.
    static constexpr u32 kMaxRecoveries = 16;

    /// `name` outlives the session.
    Session(BasicDevice<T> device, std::string_view name)
        : transport_(device.transport), wiring_(std::move(device.wiring)), name_(name) {}
    ~Session() { close(); }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    /// Resets and negotiates. `declined`: optional features to leave out although offered. After the first time only
    /// the same set will do, whatever else is offered then. Errors: unsupported, device_broken.
    [[gnu::cold]] Result<Hs> begin(FeatureBits declined = {}) {
        constexpr FeatureBits kAll{{~u64{0}, ~u64{0}}};
        Hs h = TRY(Hs::begin(transport_, bound_ ? kAll.without(features_.bits()) : declined));
        if (bound_ && !(h.features().bits() == features_.bits())) return fail(Error::unsupported);
        offered_ = h.offered();
        features_ = h.features();
        return h;
    }

    /// Interrupts, before the queues are enabled. `context` is the driver. Errors: device_broken (after a reset the
    /// device does not take its vectors any more).
    [[gnu::cold]] Result<> bind(QueuePlan plan, InterruptSlots::Handler handler, void* context) {
        if (bound_) return interrupts_.bind_again(transport_) ? Result<>{} : fail(Error::device_broken);
        interrupts_.bind(transport_, std::move(wiring_), plan, handler, context, Spec::kName);
        bound_ = true;
        return {};
    }

    /// A queue made, or enabled again: `queue` then keeps its counters. Errors: device_broken, no_memory.
    template <class Queue>
    [[gnu::cold]] Result<> connect(Hs& h, u16 index, std::optional<Queue>& queue, RingOptions options) {
        if (queue) {
            queue->attach(TRY(h.queue_again(index, queue->ring())));
        } else {
            auto made = TRY(h.template queue<typename Queue::RingType>(index, options));
            queue.emplace(std::move(made.first), made.second);
        }
        return {};
    }

    /// DRIVER_OK, then interrupts may come.
    [[gnu::cold]] Result<> run(Hs h) {
        std::move(h).go_live();
        return interrupts_.unmask();
    }

    /// One broken queue alone, where RING_RESET was agreed (§2.6.1): reset, given back token by token to `give_back`,
    /// enabled again; the others go on. Errors: unsupported, device_broken: reset the whole device then.
    /// Context: as the driver's recovery.
    template <class Queue, class F> [[gnu::cold]] Result<> restart_queue(u16 index, Queue& queue, F&& give_back) {
        if (!features_.template has<Common::ring_reset>()) return fail(Error::unsupported);
        TRY(transport_.reset_queue(index));
        queue.drain(give_back);
        if (!interrupts_.bind_queue_again(transport_, u8(index))) return fail(Error::device_broken);
        queue.attach(TRY(transport_.enable_queue(index, queue.size(), queue.ring().addrs())));
        return {};
    }

    /// Interrupts masked, device reset, or kept from memory without its help (PCI). False: it did neither; then it may
    /// still write into what it was given, and that memory must never be given to anybody else.
    [[nodiscard, gnu::cold]] bool halt() {
        interrupts_.mask();
        quiet_ = reset_and_wait(transport_).has_value() || transport_.cut_off();
        return quiet_;
    }
    /// The answer of the last halt(): false means quarantine.
    bool quiet() const { return quiet_; }
    /// Counts a recovery, says so, and is false when there were too many in a row: a device that fails once a day is
    /// worth a reset each time.
    [[nodiscard, gnu::cold]] bool may_recover() {
        kernel::log(kernel::LogLevel::warning, "{}: device broke its queues, resetting it", name_);
        const Instant now = kernel::now();
        if (now - recovered_at_ >= Duration::from_s(60)) recoveries_in_a_row_ = 0;
        recovered_at_ = now;
        ++recoveries_;
        return ++recoveries_in_a_row_ <= kMaxRecoveries;
    }
    /// For ever: the device is halted and says FAILED; the driver answers everything with an error.
    [[gnu::cold]] void give_up() {
        kernel::log(kernel::LogLevel::error, "{}: given up after {} resets", name_, recoveries_);
        (void)halt();
        transport_.set_status(Status::failed);
    }
    /// The end. Every driver calls it first in its destructor, with all its queues: when the device cannot be made
    /// quiet they are abandoned, rings and buffers (DMA memory beside them is the driver's to leak()).
    template <class... Queue> [[gnu::cold]] void close(std::optional<Queue>&... queues) {
        if (std::exchange(closed_, true)) return;
        if (!halt()) {
            kernel::log(kernel::LogLevel::error, "{}: no answer to the reset, its memory is given up", name_);
            (abandon(queues), ...);
        }
        interrupts_.release();
    }
    template <class Queue> static void abandon(std::optional<Queue>& queue) {
        if (queue) queue->abandon();
    }

    /// The device asks to be reset, or is gone from the bus. Context: any.
    bool wants_reset() {
        const Status s = transport_.status();
        return s == Status::gone || any(s, Status::needs_reset);
    }

    std::string_view name() const { return name_; }
    T& transport() { return transport_; }
    ConfigSpace<Spec, kF, T> config() { return {transport_, features_}; }
    FeatureBits offered() const { return offered_; }
    const Agreed& features() const { return features_; }
    template <auto kFeature> constexpr bool has() const { return features_.template has<kFeature>(); }
    u32 recoveries() const { return recoveries_; }
    /// True: nothing can interrupt us; call poll() now and then, from a thread.
    bool polled() const { return interrupts_.mode() == InterruptMode::polling; }
    void poll() { interrupts_.poll(); }

    /// Everything but the queues.
    [[gnu::cold]] DeviceInfo describe() const {
        return {.name = name_,
                .type = Spec::kName,
                .transport = transport_.name(),
                .interrupts = interrupts_.mode(),
                .broken = false,
                .recoveries = recoveries_,
                .offered = offered_,
                .negotiated = features_.bits(),
                .feature_names = Spec::kNames,
                .queues = {}};
    }

private:
    T transport_;
    Wiring wiring_;
    std::string_view name_;
    FeatureBits offered_;
    Agreed features_;
    u32 recoveries_ = 0, recoveries_in_a_row_ = 0;
    Instant recovered_at_;
    bool bound_ = false, closed_ = false, quiet_ = true;
    Interrupts<T> interrupts_;
};

}  // namespace ringlet::virtio
