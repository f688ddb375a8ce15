// Network device driver, virtio 1.3 §5.1: satisfies net::Link. One or more pairs of a receive and a transmit queue and
// a control queue; no allocation per packet, no copy. Received buffers come from the PacketPool and go to the stack by
// move. Context: everything under the network monitor, except on_interrupt(): an interrupt only suppresses and wakes.
//
// Frames while the link is down: what is in the transmit queues already is the device's to drop, nothing more is sent
// (TCP keeps its data), and received frames are delivered as always.
// Control commands are answered while the caller waits: their queue needs no interrupt and has none.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <new>
#include <optional>

#include "drivers/virtio/any_ring.hpp"
#include "drivers/virtio/net_config.hpp"
#include "drivers/virtio/net_control.hpp"
#include "drivers/virtio/net_frames.hpp"
#include "drivers/virtio/net_limits.hpp"
#include "drivers/virtio/net_pair.hpp"
#include "drivers/virtio/session.hpp"
#include "drivers/virtio/virtqueue.hpp"
#include "kernel/random.hpp"
#include "kernel/time/clock.hpp"
#include "net/link.hpp"
#include "net/packet_queue.hpp"

namespace ringlet::virtio {

/// Waits for a control command, with a bound: true when `done()` became true. Context: thread.
bool wait_for_answer(FunctionRef<bool()> done);

template <NetConfig kC = NetConfig{}, Transport T = AnyTransport> class Net final : public DeviceRecord {
    static_assert(NetConfigChecked<kC>::value);
    using Spec = NetSpec;
    using Feature = Spec::Feature;
    using DeviceSession = Session<Spec, kC.features, T>;
    using Hs = typename DeviceSession::Hs;
    using Ring = RingOf<Spec, kC.features>;
    static constexpr u16 kEthernetHeader = 14;
    static constexpr u16 kMostMtu = u16(net::PacketBuffer::kSize - net::PacketBuffer::kHeadroom - kEthernetHeader);
    /// What the stack sends even when the link says less: every IPv4 host takes it (RFC 791). Above Spec::kLeastMtu.
    static constexpr u16 kLeastMtu = 576;
    /// Of a receive buffer for 64 KiB, when merged frames come without MRG_RXBUF: buffers in it, and how many are
    /// posted.
    static constexpr u16 kBigFragments = 65'536 / net::PacketBuffer::kSize + 2, kBigBuffers = 4;
    static constexpr usize kLeastPoolForBig = 2 * kBigBuffers * kBigFragments;
    static constexpr Duration kTransmitPatience = Duration::from_s(5);  ///< as FreeBSD's and Linux's watchdogs

    static constexpr bool lists(Feature f) { return kC.features.lists(f); }
    static constexpr bool kControls = lists(Feature::ctrl_vq);
    static constexpr bool kSteers = lists(Feature::mq) || lists(Feature::rss);
    static constexpr bool kLargeReceive = lists(Feature::guest_tso4) || lists(Feature::guest_tso6) ||
                                          lists(Feature::guest_uso4) || lists(Feature::guest_uso6);

public:
    /// Called when there is work: the network service sets its Event. Context: interrupt.
    using Wake = void (*)(void* context);

    /// Brings the device up; on success it runs. `pool` and `name` outlive the driver.
    /// Errors: unsupported, device_broken, no_memory. Context: thread, at boot.
    [[gnu::cold]] static Result<std::unique_ptr<Net>> probe(BasicDevice<T> device, net::PacketPool& pool,
                                                            std::string_view name, Wake wake, void* wake_context,
                                                            const NetTunables& tunables = {}) {
        if (device.transport.device_type() != Spec::kDeviceId) return fail(Error::invalid);
        std::unique_ptr<Net> driver(new (std::nothrow)
                                        Net(std::move(device), pool, name, wake, wake_context, tunables));
        if (!driver) return fail(Error::no_memory);
        TRY(driver->start());
        driver->list();
        if constexpr (kControls) driver->control_.list();
        return driver;
    }
    ~Net() {
        unlist();
        session_.close();
        if (session_.quiet()) return;
        for (Pair& pair : pairs_) {
            DeviceSession::abandon(pair.rx);
            DeviceSession::abandon(pair.tx);
        }
        if constexpr (kControls) {
            DeviceSession::abandon(control_queue_);
            control_.quarantine();
        }
    }

    // net::Link. What pump() asks for in every round is a part of it: each has one caller.
    net::MacAddr mac() const {
        if constexpr (kControls)
            if (control_.mac()) return *control_.mac();
        return mac_;
    }
    u16 mtu() const { return mtu_; }
    net::Offloads offloads() const {
        return {.tx_checksum = rules_.host_csum,
                .rx_checksum = rules_.guest_csum,
                .tso4 = rules_.host_tso4,
                .tso6 = rules_.host_tso6,
                .uso = rules_.host_uso,
                .ecn = rules_.host_ecn,
                .guest_tso = rules_.large_frames(),
                .max_gso_bytes = tunables_.tso_maxlen,
                .max_fragments = max_fragments_};
    }
    bool changed() {
        look_at_config();
        return std::exchange(untold_, false);
    }
    bool carrier() {
        look_at_config();
        return link_up_ && !dead_;
    }

    [[gnu::always_inline]] std::optional<net::PacketBuffer> receive() {
        if (dead_) return std::nullopt;
        if constexpr (kC.max_pairs == 1) return pairs_[0].receive();
        for (u16 i = 0; i < open_pairs(); ++i) {  // those that are switched off may still hold a frame
            Pair& pair = pairs_[next_rx_];
            next_rx_ = u16(next_rx_ + 1 < open_pairs() ? next_rx_ + 1 : 0);
            if (auto p = pair.receive()) return p;
        }
        return std::nullopt;
    }

    [[gnu::always_inline]] u16 room() {
        if (dead_) return 0;
        const u16 active = active_pairs();
        for (u16 i = 0; i < open_pairs(); ++i)
            if (wants_reap(pairs_[i])) reap(pairs_[i]);
        for (u16 i = active; i < open_pairs(); ++i)  // switched off: nothing may be sent there any more (§5.1.6.5.5)
            while (auto p = pairs_[i].held.pop_front()) pairs_[0].held.push_back(std::move(*p));
        u16 least = 0xffff;
        for (u16 i = 0; i < active; ++i) least = std::min(least, pairs_[i].room(count_));
        return least;
    }

    /// A device that has frames of ours and gives none back for five seconds is reset, by the next flush() or rearm();
    /// not again before it has given something back, as the host may just have nowhere to put frames.
    bool watch(Instant now) {
        bool out = false;
        for (u16 i = 0; i < open_pairs() && !dead_; ++i) {
            reap(pairs_[i]);
            pairs_[i].rx->kick();  // only if it missed the last one
            out |= pairs_[i].tx->in_flight() != 0;
        }
        if (!out || !link_up_ || !reset_may_help_) {
            stalled_at_ = Instant::never();
            return false;
        }
        if (stalled_at_.is_never()) stalled_at_ = now;
        if (now - stalled_at_ < kTransmitPatience) return true;
        count_.add(NetCount::tx_timeouts);
        reset_may_help_ = false;
        needs_reset_ = true;
        stalled_at_ = Instant::never();
        return true;
    }

    [[gnu::always_inline]] void transmit(net::PacketBuffer p) {
        Pair& pair = pairs_[kC.max_pairs > 1 && active_pairs() > 1 ? flow_hash(p.data()) % active_pairs() : 0];
        const net::PacketMeta meta = p.meta();
        Spec::HashHeader h{};
        if (meta.checksum == net::PacketMeta::Checksum::partial) {
            if (session_.template has<Feature::csum>()) {
                pair.sent.add(TxCount::csum);
            } else {
                complete_checksum(p);
                p.meta().checksum = net::PacketMeta::Checksum::none;
                count_.add(NetCount::tx_csum_software);
            }
        }
        if (!fill_header(h, p.meta(), rules_)) return count_.add(NetCount::tx_dropped);
        if (meta.gso != net::PacketMeta::Gso::none) pair.sent.add(TxCount::tso);
        pair.sent.add(TxCount::opackets);
        pair.sent.add(TxCount::obytes, p.total_size());
        if ((p.data()[0] & std::byte{1}) != std::byte{0}) pair.sent.add(TxCount::omcasts);
        if (header_bytes() == sizeof(Spec::Header)) [[likely]]
            std::memcpy(p.push_bytes(sizeof(Spec::Header)).data(), &h,
                        sizeof(Spec::Header));  // a fixed size is no call
        else
            std::memcpy(p.push_bytes(header_bytes()).data(), &h, header_bytes());
        if (dead_) return count_.add(NetCount::tx_dropped);
        if (!pair.held.empty() || !pair.add(p)) pair.hold(std::move(p), count_);
    }

    [[gnu::always_inline]] void flush() {
        if (dead_ || (broken() && !recover())) return;
        for (u16 i = 0; i < open_pairs(); ++i) {
            Pair& pair = pairs_[i];
            if (refill(pair)) pair.rx->kick();
            pair.tx->kick();
        }
    }

    [[gnu::always_inline]] bool rearm(net::Arm what) {
        look_at_config();
        if (dead_) return false;
        if (broken()) return recover();
        if (!session_.polled()) stirred_.store(false, std::memory_order_relaxed);  // before the rings are armed
        bool work = false;
        for (u16 i = 0; i < open_pairs(); ++i) {
            Pair& pair = pairs_[i];
            if (what == net::Arm::rx_and_tx && pair.tx->rearm()) work = true, pair.sent.add(TxCount::rescheduled);
            if (pair.rx->rearm()) work = true, pair.received.add(RxCount::rescheduled);
        }
        if (work) stirred_.store(true, std::memory_order_relaxed);
        return work || broken();
    }
    bool silent() const { return !stirred_.load(std::memory_order_relaxed) && !broken(); }
    bool settled() const {
        for (u16 i = 0; i < open_pairs(); ++i)
            if (pairs_[i].is_behind() || wants_refill(pairs_[i])) return false;
        return true;
    }

    bool take_announce() {
        if constexpr (kControls && lists(Feature::guest_announce)) {
            if (!std::exchange(announce_, false)) return false;
            (void)control_.acknowledge_announcement();  // refused: it asks again
            return true;
        }
        return false;
    }

    /// Modes, filters, steering, coalescing; nullptr when the device has no control queue. Under the network monitor.
    NetControl* control() {
        if constexpr (kControls)
            if (session_.template has<Feature::ctrl_vq>()) return &control_;
        return nullptr;
    }

    /// True: nothing can interrupt us; call poll() now and then, from a thread.
    bool polled() const { return session_.polled(); }
    void poll() { session_.poll(); }

    [[gnu::cold]] DeviceInfo info() const override {
        DeviceInfo d = session_.describe();
        d.broken = dead_;
        for (u16 i = 0; i < open_pairs_; ++i) {
            const Pair& p = pairs_[i];
            if (p.rx) d.queues.try_push_back({"rx", u16(2 * i), p.rx->size(), p.rx->in_flight(), p.rx->counters()});
            if (p.tx) d.queues.try_push_back({"tx", u16(2 * i + 1), p.tx->size(), p.tx->in_flight(), p.tx->counters()});
        }
        if constexpr (kControls) {
            const auto& q = control_queue_;
            if (q) d.queues.try_push_back({"control", control_index_, q->size(), q->in_flight(), q->counters()});
        }
        return d;
    }
    [[gnu::cold]] void for_each_value(FunctionRef<void(std::string_view name, u64 value)> visit) const override {
        visit("mtu", mtu_);
        visit("link_up", link_up_);
        if constexpr (lists(Feature::speed_duplex)) {
            if (speed_ <= Spec::kMostSpeed) visit("speed_mbps", speed_);
            if (duplex_ <= 1) visit("full_duplex", duplex_);
        }
        if constexpr (kSteers) {
            visit("max_vq_pairs", device_pairs_);
            visit("req_vq_pairs", open_pairs_);
            visit("act_vq_pairs", active_pairs());
        }
        visit_counters(count_, visit);
        for (u16 i = 0; i < open_pairs_; ++i) {
            visit_counters(pairs_[i].received, i, visit);
            visit_counters(pairs_[i].sent, i, visit);
        }
        if constexpr (kControls) control_.visit_values(visit);
    }
    u64 value(NetCount which) const { return count_.value(which); }

private:
    using Pair = NetPair<kC, Ring>;
    struct Command {};  ///< the token of a control command: there is one at a time
    using ControlQueue = Virtqueue<Ring, Command, 4>;
    struct Nothing {
        template <class... A> explicit Nothing(A&&...) {}
    };

    Net(BasicDevice<T> d, net::PacketPool& pool, std::string_view name, Wake wake, void* context,
        const NetTunables& tunables)
        : session_(std::move(d), name), pool_(pool), wake_(wake), wake_context_(context), tunables_(tunables),
          control_(name, &Net::send_command, this) {}

    // --- starting, also after a reset -----------------------------------------------------------------------------

    /// The first start and, with the queues there already, every later one.
    [[gnu::cold]] Result<> start() {
        Hs h = TRY(negotiate());
        TRY(read_mac(h));
        rules_ = FrameRules::of(session_.features().bits());
        const NetAbilities abilities =
            TRY(read_abilities<kC.features>(h.config(), session_.features().bits(), open_pairs_));
        TRY(session_.bind({.queues = u8(2 * open_pairs_), .slow = 0}, on_interrupt, this));
        for (u16 i = 0; i < open_pairs_; ++i) TRY(connect(h, i));
        posted_ = kLargeReceive && big_buffers() ? kBigBuffers : std::min(kC.rx_buffers, pairs_[0].rx->size());
        refill_at_ = u16(posted_ - posted_ / 4);
        if constexpr (kControls) {
            if (session_.template has<Feature::ctrl_vq>()) {
                TRY(control_.prepare());
                TRY(session_.connect(h, control_index_, control_queue_, {.size = 4}));
                control_queue_->suppress();
            }
        }
        stir_config();
        dead_ = false;
        TRY(session_.run(std::move(h)));
        for (u16 i = 0; i < open_pairs_; ++i) {
            refill(pairs_[i]);
            pairs_[i].rx->kick();
        }
        if constexpr (kControls) {
            if (session_.template has<Feature::ctrl_vq>()) {
                TRY(control_.apply(abilities));
                if (made_up_mac_ && !control_.mac()) (void)control_.set_mac(mac_);  // so that it can filter
            }
        }
        return {};
    }

    /// The device's own address. Where it has none, or one that no host can have, a random local one: until the end,
    /// resets included.
    [[gnu::cold]] Result<> read_mac(Hs& h) {
        const std::optional<std::array<u8, 6>> told = TRY(as_optional(h.config().read(Spec::kMac)));
        const net::MacAddr address{told.value_or(std::array<u8, 6>{})};
        if (address != net::MacAddr{} && !address.is_multicast()) {
            mac_ = address;
            made_up_mac_ = false;
        } else if (!std::exchange(made_up_mac_, true)) {
            kernel::random_fill(std::as_writable_bytes(std::span(mac_.octets)));
            mac_.octets[0] = u8((mac_.octets[0] & 0xfc) | 2);  // locally administered, not a group
            kernel::log(kernel::LogLevel::warning, "{}: the device has no usable address, a random one is used",
                        session_.name());
        }
        return {};
    }

    [[gnu::cold]] Result<> connect(Hs& h, u16 index) {
        Pair& pair = pairs_[index];
        RingOptions rx{.size = kC.rx_size}, tx{.size = kC.tx_size};
        if constexpr (kLargeReceive) {
            if (big_buffers()) {
                rx.indirect_tables = kBigBuffers;
                rx.indirect_entries = kBigFragments;
            }
        }
        if constexpr (kC.tx_fragments > 1) {
            tx.indirect_tables = kC.tx_tables;
            tx.indirect_entries = kC.tx_fragments;
        }
        TRY(session_.connect(h, u16(2 * index), pair.rx, rx));
        TRY(session_.connect(h, u16(2 * index + 1), pair.tx, tx));
        pair.tx->suppress();
        pair.assembly.reset(rules_, count_);
        max_fragments_ = std::min(kC.tx_fragments, pair.tx->ring().max_segments());
        return {};
    }

    /// What the device says of itself may ask for a second negotiation, with less.
    [[gnu::cold]] Result<Hs> negotiate() {
        FeatureBits declined = tunables_.declined();
        if (kC.max_pairs == 1) declined = declined | mask(Feature::mq);
        for (unsigned attempts = 0; attempts < 4; ++attempts) {
            auto h = session_.begin(declined);  // a dropped one has written FAILED before the next begins
            if (!h) return h;
            const FeatureBits more = TRY(read_limits(*h));
            if (!more.any()) return h;
            declined = declined | more;
        }
        return fail(Error::unsupported);
    }

    /// An MTU that our buffers cannot hold, or that we would exceed, must not be accepted (§5.1.4.2).
    [[gnu::cold]] Result<FeatureBits> read_limits(Hs& h) {
        FeatureBits more;
        mtu_ = 1500;
        if constexpr (lists(Feature::mtu)) {
            const std::optional<u16> told = TRY(as_optional(h.config().read(Spec::kMtu)));
            if (told && (*told < kLeastMtu || *told > kMostMtu)) {
                kernel::log(kernel::LogLevel::warning, "{}: MTU {} not accepted", session_.name(), *told);
                more = more | mask(Feature::mtu);
            } else if (told) {
                mtu_ = *told;
            }
        }
        device_pairs_ = 1;
        if constexpr (kSteers) {
            if (const auto told = TRY(read_max_pairs<kC.features>(h.config()))) device_pairs_ = *told;
            if (device_pairs_ == 0 || device_pairs_ > Spec::kMostPairs) {
                kernel::log(kernel::LogLevel::warning, "{}: {} queue pairs not believed", session_.name(),
                            device_pairs_);
                more = more | mask(Feature::mq, Feature::rss);
            }
        }
        if constexpr (kLargeReceive) {
            const auto f = FrameRules::of(h.features().bits());
            if (f.large_frames() && !f.merge && pool_.total() < kLeastPoolForBig) more = more | kGuestLarge;
        }
        control_index_ = Spec::control_queue(device_pairs_);
        const u16 wanted = tunables_.pairs(kC.max_pairs);
        open_pairs_ = std::min(wanted, device_pairs_);
        return more;
    }
    static constexpr FeatureBits kGuestLarge =
        mask(Feature::guest_tso4, Feature::guest_tso6, Feature::guest_ecn, Feature::guest_uso4, Feature::guest_uso6);

    // --- frames ---------------------------------------------------------------------------------------------------

    u16 header_bytes() const {
        if constexpr (lists(Feature::hash_report)) return rules_.header_bytes;
        if constexpr (!kC.features.required.contains(Common::version_1)) return rules_.header_bytes;
        return sizeof(Spec::Header);
    }
    u16 open_pairs() const { return kC.max_pairs == 1 ? u16{1} : open_pairs_; }
    u16 active_pairs() const {
        if constexpr (kControls && kC.max_pairs > 1) return control_.pairs();
        return 1;
    }

    bool big_buffers() const { return kLargeReceive && rules_.large_frames() && !rules_.merge; }
    /// What was sent is fetched in batches, but at once where memory is waited for.
    bool wants_reap(const Pair& pair) const {
        return pair.tx->free() <= pair.tx->size() - pair.tx->size() / 4 || !pair.held.empty() || pool_.orphans() != 0 ||
               pool_.overdue() != 0 || pool_.free() < pool_.total() / 8;
    }
    void reap(Pair& pair) {
        if (!pair.reap()) return;
        stalled_at_ = Instant::never();
        reset_may_help_ = true;
    }
    bool wants_refill(const Pair& pair) const { return pair.rx->in_flight() <= refill_at_; }
    /// In batches, so that one kick serves many buffers. True: that kick is due.
    bool refill(Pair& pair) { return wants_refill(pair) && post_buffers(pair); }
    bool post_buffers(Pair& pair) {
        const u16 before = pair.rx->in_flight();
        while (pair.rx->in_flight() < posted_ && post_buffer(pair)) {
        }
        return pair.rx->in_flight() != before;
    }
    bool post_buffer(Pair& pair) {
        auto p = pool_.allocate();
        if (!p) return count_.add(NetCount::mbuf_alloc_failed), false;
        p->window(net::PacketBuffer::kHeadroom - header_bytes(), net::PacketBuffer::kSize);
        if constexpr (kLargeReceive)
            if (big_buffers()) return post_big(pair, std::move(*p));
        const Segment s{p->dma(), u32(p->size())};
        return pair.rx->add({}, {&s, 1}, *p);
    }
    /// One buffer for a frame of 64 KiB. Half of the pool is left to others.
    [[gnu::cold]] bool post_big(Pair& pair, net::PacketBuffer p) {
        while (p.fragments() < kBigFragments) {
            auto more = pool_.free() > pool_.total() / 2 ? pool_.allocate() : std::nullopt;
            if (!more) return count_.add(NetCount::mbuf_alloc_failed), false;
            more->window(0, net::PacketBuffer::kSize);
            p.append_fragment(std::move(*more));
        }
        std::array<Segment, kBigFragments> pieces;
        const usize n = gather(p, pieces);
        return pair.rx->add({}, {pieces.data(), n}, p);
    }

    static void on_interrupt(void* self, u32 queues, bool config) {
        Net& n = *static_cast<Net*>(self);
        for (u16 i = 0; i < n.open_pairs(); ++i, queues >>= 2) {
            Pair& pair = n.pairs_[i];
            if (queues & 1u << Spec::kReceiveQueue) {
                pair.rx->note_interrupt();
                pair.rx->suppress();
                pair.rx_signalled.store(true, std::memory_order_relaxed);
            }
            if (queues & 1u << Spec::kTransmitQueue) {
                pair.tx->note_interrupt();
                pair.tx->suppress();
                pair.tx_signalled.store(true, std::memory_order_relaxed);
            }
        }
        if (config) n.config_changed_.store(true, std::memory_order_relaxed);
        // After the suppressing: rearm() does it the other way round.
        n.stirred_.store(true, std::memory_order_release);
        n.wake_(n.wake_context_);
    }

    // --- the control queue, the configuration, recovery -----------------------------------------------------------

    /// NetControl::Send. A device that does not answer is reset by the next flush() or rearm().
    static Result<> send_command(void* self, Segment command, Segment answer) {
        Net& n = *static_cast<Net*>(self);
        if constexpr (kControls) {
            auto& queue = n.control_queue_;
            Command token;
            if (n.dead_ || n.needs_reset_ || !queue || !queue->add({&command, 1}, {&answer, 1}, token))
                return fail(Error::device_broken);
            queue->kick();
            const bool answered = wait_for_answer([&] { return queue->pop().has_value() || queue->broken(); });
            n.stir_config();
            n.wake_(n.wake_context_);  // a new address for the stack, or a reset
            if (answered && !queue->broken()) return {};
            n.needs_reset_ = true;
            return fail(queue->broken() ? Error::device_broken : Error::timed_out);
        }
        return fail(Error::unsupported);
    }

    /// The next pump() looks at the configuration, or finds that the driver has started or given up.
    void stir_config() {
        config_changed_.store(true, std::memory_order_relaxed);
        stirred_.store(true, std::memory_order_relaxed);
    }
    void look_at_config() {
        if (config_changed_.load(std::memory_order_relaxed)) [[unlikely]]
            read_config();
    }
    [[gnu::cold]] void read_config() {
        untold_ = true;  // whoever looks: rearm() does, too
        if (dead_ || !config_changed_.exchange(false, std::memory_order_relaxed)) return;
        if (session_.wants_reset()) {
            needs_reset_ = true;
            return;
        }
        const bool was_up = std::exchange(link_up_, true);
        if constexpr (lists(Feature::status)) {
            const auto read = as_optional(session_.config().read(Spec::kStatus));
            const std::optional<u16> told = read ? *read : std::nullopt;
            if (told) link_up_ = (*told & Spec::kStatusLinkUp) != 0;
            if constexpr (kControls && lists(Feature::guest_announce)) {
                if (told && (*told & Spec::kStatusAnnounce) != 0 && session_.template has<Feature::guest_announce>()) {
                    announce_ = true;
                    count_.add(NetCount::announcements);
                }
            }
        }
        if (was_up != link_up_) count_.add(NetCount::link_changes);
        if constexpr (lists(Feature::speed_duplex)) {
            const auto speed = as_optional(session_.config().read(Spec::kSpeed));
            const auto duplex = as_optional(session_.config().read(Spec::kDuplex));
            speed_ = speed ? speed->value_or(~u32{0}) : ~u32{0};
            duplex_ = duplex ? duplex->value_or(0xff) : 0xff;
        }
    }

    bool broken() const {
        if (needs_reset_) return true;
        for (u16 i = 0; i < open_pairs(); ++i)
            if (pairs_[i].rx->broken() || pairs_[i].tx->broken()) return true;
        return false;
    }

    /// Reset, the same features again, empty queues. What was in flight is lost: a network may lose packets.
    [[gnu::cold]] bool recover() {
        const bool allowed = session_.may_recover();
        needs_reset_ = false;
        if (allowed && halt() && start()) return true;
        session_.give_up();
        dead_ = true;
        stir_config();
        return false;
    }
    /// False: the device did not confirm its reset; what it holds is never given to anybody else.
    [[gnu::cold]] bool halt() {
        if (!session_.halt()) return false;
        const auto drop = [](net::PacketBuffer&&) {};
        for (u16 i = 0; i < open_pairs_; ++i) {
            pairs_[i].rx->drain(drop);
            pairs_[i].tx->drain(drop);
            pairs_[i].held.clear();
        }
        if constexpr (kControls)
            if (control_queue_) control_queue_->drain([](Command&&) {});
        return true;
    }

    DeviceSession session_;
    net::PacketPool& pool_;
    Wake wake_;
    void* wake_context_;
    NetTunables tunables_;
    FrameRules rules_;
    net::MacAddr mac_;
    u16 mtu_ = 1500, max_fragments_ = 1;
    u16 open_pairs_ = 1, device_pairs_ = 1, next_rx_ = 0, control_index_ = 0;
    u16 posted_ = 0, refill_at_ = 0;  ///< receive buffers per pair, and how few are left when more are posted
    bool link_up_ = true, needs_reset_ = false, announce_ = false;
    bool dead_ = true;    ///< not running, or given up
    bool untold_ = true;  ///< the configuration was read since changed() was asked
    bool made_up_mac_ = false, reset_may_help_ = true;
    Instant stalled_at_ = Instant::never();  ///< since when no transmission came back, as watch() saw it
    std::atomic<bool> config_changed_{false};
    std::atomic<bool> stirred_{true};  ///< an interrupt came, or rearm() found something: see silent()
    u32 speed_ = ~u32{0};              ///< Mbit/s; beyond kMostSpeed: unknown
    u8 duplex_ = 0xff;                 ///< 1: full; beyond 1: unknown
    CounterSet<NetCount> count_;
    std::array<Pair, kC.max_pairs> pairs_;
    std::conditional_t<kControls, std::optional<ControlQueue>, Nothing> control_queue_;
    std::conditional_t<kControls, NetControl, Nothing> control_;
};
static_assert(net::Link<Net<>>);

}  // namespace ringlet::virtio
