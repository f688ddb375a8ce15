// Network device driver, virtio 1.2 §5.1: satisfies net::Link. One receive and one transmit queue, one descriptor per
// packet, no allocation per packet, no copy. Received buffers come from the PacketPool and go to the stack by move.
// Context: everything under the network monitor, except on_interrupt(): an interrupt only suppresses and wakes.
#pragma once

#include <atomic>
#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/session.hpp"
#include "drivers/virtio/spec/net.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "net/link.hpp"

namespace ringlet::virtio {

/// How a network driver is built: a template argument.
struct NetConfig {
    using Feature = NetSpec::Feature;
    Features<NetSpec> features{
        .required = {Common::version_1, Feature::mac},
        .optional = {Common::event_idx, Feature::mtu, Feature::status, Feature::csum, Feature::guest_csum}};
    u16 rx_size = 64, tx_size = 64;  ///< ring entries
    u16 rx_buffers = 64;             ///< packets kept posted for reception, at most rx_size
};

/// What a device header says about a received frame's checksum, believed only when it lies inside the frame.
net::PacketMeta received_meta(const NetSpec::Header& header, usize frame_bytes);
/// Finishes a checksum in software that the stack left for the device: only when the device cannot.
void complete_checksum(MutableBytes frame, const net::PacketMeta& meta);

template <NetConfig kC> struct NetConfigChecked {
    using Feature = NetSpec::Feature;
    static_assert(FeaturesChecked<NetSpec, kC.features>::value);
    static_assert(RingSizeChecked<NetSpec, kC.features, kC.rx_size>::value);
    static_assert(RingSizeChecked<NetSpec, kC.features, kC.tx_size>::value);
    static_assert(kC.rx_buffers > 0 && kC.rx_buffers <= kC.rx_size,
                  "rx_buffers must lie between 1 and the size of the receive ring");
    static_assert(kC.features.required.contains(Feature::mac), "MAC must be required: the driver has no other address");
    static_assert(!kC.features.lists(Feature::guest_tso4) && !kC.features.lists(Feature::guest_tso6) &&
                      !kC.features.lists(Feature::guest_ufo) && !kC.features.lists(Feature::host_tso4) &&
                      !kC.features.lists(Feature::host_tso6) && !kC.features.lists(Feature::host_ufo),
                  "segmentation offload cannot be listed: this driver moves one frame per buffer");
    static constexpr bool value = true;
};

template <NetConfig kC = NetConfig{}, Transport T = AnyTransport> class Net final : public DeviceRecord {
    static_assert(NetConfigChecked<kC>::value);
    using Spec = NetSpec;
    using Feature = Spec::Feature;
    using Header = Spec::Header;
    using DeviceSession = Session<Spec, kC.features, T>;
    using Hs = typename DeviceSession::Hs;
    using Ring = RingOf<Spec, kC.features>;
    static constexpr usize kBegin = net::PacketBuffer::kHeadroom - sizeof(Header);
    static constexpr u16 kEthernetHeader = 14;
    static constexpr u16 kMostMtu = u16(net::PacketBuffer::kSize - net::PacketBuffer::kHeadroom - kEthernetHeader);
    static constexpr QueuePlan kPlan{.queues = 2, .slow = 0};

public:
    /// Called when there is work: the network service sets its Event. Context: interrupt.
    using Wake = void (*)(void* context);

    /// Brings the device up; on success it runs. `pool` and `name` outlive the driver.
    /// Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    [[gnu::cold]] static Result<std::unique_ptr<Net>> probe(BasicDevice<T> device, net::PacketPool& pool,
                                                            std::string_view name, Wake wake, void* wake_context) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Net> driver(new (std::nothrow) Net(std::move(device), pool, name, wake, wake_context));
        if (!driver) return fail(Error::no_memory);
        TRY(driver->start());
        driver->list();
        return driver;
    }
    ~Net() {
        unlist();
        session_.close();
    }

    // net::Link
    net::MacAddr mac() const { return mac_; }
    u16 mtu() const { return mtu_; }
    net::Offloads offloads() const {
        return {.tx_checksum = session_.template has<Feature::csum>(),
                .rx_checksum = session_.template has<Feature::guest_csum>()};
    }
    bool carrier() {
        look_at_config();
        return link_up_ && !dead_;
    }

    std::optional<net::PacketBuffer> receive() {
        if (dead_) return std::nullopt;
        while (auto used = rx_->pop()) {
            rx_signalled_.store(false, std::memory_order_relaxed);
            if (accept(used->token, used->written)) return std::move(used->token);
            rx_dropped_.add();
        }
        if (rx_signalled_.exchange(false, std::memory_order_relaxed)) rx_->note_spurious();
        return std::nullopt;
    }

    u16 room() {
        if (dead_) return 0;
        bool reaped = false;
        while (tx_->pop()) reaped = true;
        const bool signalled = tx_signalled_.exchange(false, std::memory_order_relaxed);
        if (signalled && !reaped) tx_->note_spurious();
        if (reaped) tx_->suppress();  // keeps the EVENT_IDX hint behind the device
        return tx_->broken() ? u16{0} : tx_->free();
    }

    void transmit(net::PacketBuffer p) {
        const net::PacketMeta meta = p.meta();
        Header h{};
        if (meta.checksum == net::PacketMeta::Checksum::partial) {
            if (session_.template has<Feature::csum>()) {
                h.flags = Spec::kHdrNeedsCsum;
                h.csum_start = meta.csum_start;
                h.csum_offset = meta.csum_offset;
            } else {
                complete_checksum(p.data(), meta);
            }
        }
        std::memcpy(p.template push<Header>(), &h, sizeof h);
        const Segment s{p.dma(), u32(p.size())};
        if (dead_ || !tx_->add({&s, 1}, {}, p)) tx_dropped_.add();  // only a queue that broke meanwhile refuses
    }

    void flush() {
        if (dead_ || (broken() && !recover())) return;
        refill();
        rx_->kick();
        tx_->kick();
    }

    bool rearm(net::Arm what) {
        look_at_config();
        if (dead_) return false;
        if (broken()) return recover();
        const bool tx = what == net::Arm::rx_and_tx && tx_->rearm();
        const bool rx = rx_->rearm();
        return rx || tx || broken();
    }

    bool take_announce() { return false; }

    /// Fewer buffers are posted than the low-water mark: call flush() when buffers come back to the pool.
    bool rx_starved() const { return !dead_ && rx_->in_flight() < kC.rx_buffers / 2; }
    /// True: nothing can interrupt us; call poll() now and then, from a thread.
    bool polled() const { return session_.polled(); }
    void poll() { session_.poll(); }

    [[gnu::cold]] DeviceInfo info() const override {
        DeviceInfo d = session_.describe();
        d.broken = dead_;
        if (rx_) d.queues.try_push_back({"rx", Spec::kReceiveQueue, rx_->size(), rx_->in_flight(), rx_->counters()});
        if (tx_) d.queues.try_push_back({"tx", Spec::kTransmitQueue, tx_->size(), tx_->in_flight(), tx_->counters()});
        return d;
    }
    u64 rx_dropped() const { return rx_dropped_.value(); }
    u64 tx_dropped() const { return tx_dropped_.value(); }

private:
    using RxQueue = Virtqueue<Ring, net::PacketBuffer, kC.rx_size>;
    using TxQueue = Virtqueue<Ring, net::PacketBuffer, kC.tx_size>;

    Net(BasicDevice<T> d, net::PacketPool& pool, std::string_view name, Wake wake, void* context)
        : session_(std::move(d), name), pool_(pool), wake_(wake), wake_context_(context) {}

    /// The first start and, with the queues there already, every later one.
    [[gnu::cold]] Result<> start() {
        Hs h = TRY(negotiate());
        mac_.octets = TRY(h.config().read(Spec::kMac));
        TRY(session_.bind(kPlan, on_interrupt, this));
        TRY(session_.connect(h, Spec::kReceiveQueue, rx_, {.size = kC.rx_size}));
        TRY(session_.connect(h, Spec::kTransmitQueue, tx_, {.size = kC.tx_size}));
        tx_->suppress();
        config_changed_.store(true, std::memory_order_relaxed);
        dead_ = false;
        TRY(session_.run(std::move(h)));
        refill();
        rx_->kick();
        return {};
    }

    /// An MTU that our buffers cannot hold must not be accepted (§5.1.4.2); an impossible one is not believed.
    [[gnu::cold]] Result<Hs> negotiate() {
        for (const FeatureBits declined : {FeatureBits{}, mask(Feature::mtu)}) {
            auto h = session_.begin(declined);  // a dropped one has written FAILED before the next begins
            if (!h) return h;
            mtu_ = 1500;
            if constexpr (kC.features.lists(Feature::mtu)) {
                const std::optional<u16> told = TRY(h->config().read(Spec::kMtu));
                if (told && (*told < Spec::kLeastMtu || *told > kMostMtu)) {
                    kernel::log(kernel::LogLevel::warning, "{}: MTU {} not accepted", session_.name(), *told);
                    continue;
                }
                if (told) mtu_ = *told;
            }
            return h;
        }
        return fail(Error::unsupported);
    }

    /// A frame out of a buffer that the device gave back: the window set, the metadata checked.
    bool accept(net::PacketBuffer& p, u32 written) {
        if (skip_ != 0) return --skip_, false;
        if (written < sizeof(Header) + kEthernetHeader) return false;
        Header h;
        std::memcpy(&h, p.data().data(), sizeof h);
        const usize frame = written - sizeof h;
        p.window(net::PacketBuffer::kHeadroom, net::PacketBuffer::kHeadroom + frame);
        p.meta() = {};
        if (session_.template has<Feature::guest_csum>()) p.meta() = received_meta(h, frame);
        if (session_.template has<Feature::mrg_rxbuf>() && h.num_buffers > 1) {
            skip_ = u16(std::min<u32>(h.num_buffers, kC.rx_size) - 1);  // larger than any frame we asked for
            return false;
        }
        return true;
    }

    void refill() {
        // In batches, so that one kick serves many buffers.
        if (rx_->in_flight() > kC.rx_buffers - kC.rx_buffers / 4) return;
        while (rx_->in_flight() < std::min(kC.rx_buffers, rx_->size())) {
            auto p = pool_.allocate();
            if (!p) return;
            p->window(kBegin, net::PacketBuffer::kSize);
            const Segment s{p->dma(), u32(p->size())};
            if (!rx_->add({}, {&s, 1}, *p)) return;
        }
    }

    static void on_interrupt(void* self, u32 queues, bool config) {
        Net& n = *static_cast<Net*>(self);
        if (queues & 1u << Spec::kReceiveQueue) {
            n.rx_->note_interrupt();
            n.rx_->suppress();
            n.rx_signalled_.store(true, std::memory_order_relaxed);
        }
        if (queues & 1u << Spec::kTransmitQueue) {
            n.tx_->note_interrupt();
            n.tx_->suppress();
            n.tx_signalled_.store(true, std::memory_order_relaxed);
        }
        if (config) n.config_changed_.store(true, std::memory_order_relaxed);
        n.wake_(n.wake_context_);
    }

    void look_at_config() {
        if (dead_ || !config_changed_.exchange(false, std::memory_order_relaxed)) return;
        if (session_.wants_reset()) {
            needs_reset_ = true;
            return;
        }
        link_up_ = true;
        if constexpr (kC.features.lists(Feature::status)) {
            const auto told = session_.config().read(Spec::kStatus);
            if (told && std::optional<u16>(*told)) link_up_ = (*std::optional<u16>(*told) & Spec::kStatusLinkUp) != 0;
        }
    }

    bool broken() const { return needs_reset_ || rx_->broken() || tx_->broken(); }

    /// Reset, the same features again, empty queues. What was in flight is lost: a network may lose packets.
    [[gnu::cold]] bool recover() {
        const bool allowed = session_.may_recover();
        needs_reset_ = false;
        if (allowed && halt() && start()) return true;
        session_.give_up();
        dead_ = true;
        return false;
    }
    /// False: the device did not confirm its reset; what it holds is never given to anybody else.
    [[gnu::cold]] bool halt() {
        if (!session_.halt()) return false;
        const auto drop = [](net::PacketBuffer&&) {};
        if (rx_) rx_->drain(drop);
        if (tx_) tx_->drain(drop);
        skip_ = 0;
        return true;
    }

    DeviceSession session_;
    net::PacketPool& pool_;
    Wake wake_;
    void* wake_context_;
    net::MacAddr mac_;
    u16 mtu_ = 1500;
    u16 skip_ = 0;  ///< buffers that still belong to a merged frame being dropped
    bool link_up_ = true, needs_reset_ = false;
    bool dead_ = true;  ///< not running, or given up
    std::atomic<bool> rx_signalled_{false}, tx_signalled_{false}, config_changed_{false};
    Counter rx_dropped_, tx_dropped_;
    std::optional<RxQueue> rx_;
    std::optional<TxQueue> tx_;
};
static_assert(net::Link<Net<>>);

}  // namespace ringlet::virtio
