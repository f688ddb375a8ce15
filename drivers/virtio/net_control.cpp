// Commands of the network device's control queue, virtio 1.3 §5.1.6.5. Context: thread, under the network monitor.
#include "drivers/virtio/net_control.hpp"

#include <bit>
#include <cstring>
#include <utility>

#include "kernel/log.hpp"
#include "kernel/random.hpp"
#include "lib/assert.hpp"

namespace ringlet::virtio {

namespace {
constinit NetControl* first_control = nullptr;
constexpr u32 kOurHashes = NetControlSpec::kHashIpv4 | NetControlSpec::kHashTcpv4 | NetControlSpec::kHashUdpv4 |
                           NetControlSpec::kHashIpv6 | NetControlSpec::kHashTcpv6 | NetControlSpec::kHashUdpv6;
constexpr u8 kNoAnswer = 0xff;
}  // namespace

NetControl* NetControl::find(std::string_view device) {
    for (NetControl* c = first_control; c != nullptr; c = c->next_)
        if (c->device_ == device) return c;
    return nullptr;
}

void NetControl::list() {
    for (NetControl* c = first_control; c != nullptr; c = c->next_)
        if (c == this) return;
    next_ = std::exchange(first_control, this);
}

NetControl::~NetControl() {
    for (NetControl** at = &first_control; *at != nullptr; at = &(*at)->next_) {
        if (*at != this) continue;
        *at = next_;
        return;
    }
}

Result<> NetControl::prepare() {
    if (!memory_.bytes().empty()) return {};
    memory_ = TRY(kernel::DmaRegion::allocate(kBytes));
    kernel::random_fill({reinterpret_cast<std::byte*>(key_.data()), key_.size()});
    return {};
}

void NetControl::visit_values(FunctionRef<void(std::string_view name, u64 value)> visit) const {
    visit("ctrl_commands", commands_.value());
    visit("ctrl_refused", refused_.value());
    visit("ctrl_bad_answers", bad_answers_.value());
    visit("ctrl_timeouts", timeouts_.value());
}

net::LinkAbilities NetControl::abilities() const {
    return {.modes = has(Feature::ctrl_rx),
            .more_modes = has(Feature::ctrl_rx_extra),
            .vlans = has(Feature::ctrl_vlan),
            .address = has(Feature::ctrl_mac_addr),
            .pairs = has(Feature::mq) || has(Feature::rss),
            .steering = has(Feature::rss),
            .coalescing = has(Feature::notf_coal),
            .queue_coalescing = has(Feature::vq_notf_coal),
            .most_pairs = abilities_.pairs};
}

// --- one command -----------------------------------------------------------------------------------------------------

void NetControl::begin(u8 class_id, u8 command) {
    length_ = 0;
    put(S::Header{class_id, command});
}

void NetControl::put(const void* bytes, usize n) {
    ASSERT(length_ + n <= kAnswerAt);  // our own arithmetic: the longest are the MAC table and RSS
    std::memcpy(memory_.bytes().data() + length_, bytes, n);
    length_ += n;
}

Result<> NetControl::send(usize result_bytes) {
    auto* ack = reinterpret_cast<volatile u8*>(memory_.bytes().data() + kAnswerAt);
    *ack = kNoAnswer;
    commands_.add();
    const auto done = send_(driver_, {memory_.addr(), u32(length_)}, {memory_.addr(kAnswerAt), u32(1 + result_bytes)});
    if (!done) {
        if (done.error() == Error::timed_out) timeouts_.add();
        return done;
    }
    const u8 answer = *ack;
    if (answer == S::kOk) return {};
    if (answer == S::kErr) return refused_.add(), fail(Error::io);
    return bad_answers_.add(), fail(Error::io);
}

/// While everything is set again: a refusal is not the end of the device, silence is.
Result<> NetControl::tolerate(Result<> r, std::string_view what) {
    if (r || r.error() != Error::io) return r;
    kernel::log(kernel::LogLevel::warning, "{}: the device refused {}", device_, what);
    return {};
}

// --- what is let through ---------------------------------------------------------------------------------------------

Result<> NetControl::send_rx_mode(const RxMode& mode, bool overflow, bool all) {
    const bool was = mode_.promiscuous || overflow_, now = mode.promiscuous || overflow;
    if (has(Feature::ctrl_rx)) {
        // Always after a reset: devices start promiscuous, for drivers that know no filters.
        if (all || was != now) TRY(rx_switch(S::kRxPromisc, now));
        if (all || mode.all_multicast != mode_.all_multicast) TRY(rx_switch(S::kRxAllMulti, mode.all_multicast));
    }
    if (!has(Feature::ctrl_rx_extra)) return {};
    const struct {
        u8 command;
        bool was, now;
    } extra[] = {{S::kRxAllUni, mode_.all_unicast, mode.all_unicast},
                 {S::kRxNoMulti, mode_.no_multicast, mode.no_multicast},
                 {S::kRxNoUni, mode_.no_unicast, mode.no_unicast},
                 {S::kRxNoBcast, mode_.no_broadcast, mode.no_broadcast}};
    for (const auto& e : extra)
        if (all ? e.now : e.was != e.now) TRY(rx_switch(e.command, e.now));
    return {};
}

Result<> NetControl::set_rx_mode(const RxMode& mode) {
    const bool extra = mode.all_unicast || mode.no_multicast || mode.no_unicast || mode.no_broadcast;
    if (!has(Feature::ctrl_rx) || (extra && !has(Feature::ctrl_rx_extra))) return fail(Error::unsupported);
    TRY(send_rx_mode(mode, overflow_, false));
    mode_ = mode;
    return {};
}

Result<> NetControl::send_macs() {
    begin(S::kMac, S::kMacTableSet);
    put(le32(unicast_));
    put(macs_.data(), usize{unicast_} * sizeof(net::MacAddr));
    put(le32(multicast_));
    put(macs_.data() + unicast_, usize{multicast_} * sizeof(net::MacAddr));
    return send();
}

Result<> NetControl::set_mac_filter(std::span<const net::MacAddr> addresses) {
    if (!has(Feature::ctrl_rx)) return fail(Error::unsupported);
    const auto before = macs_;
    const u16 unicast = unicast_, multicast = multicast_;
    const bool overflow = addresses.size() > kMaxMacs;
    unicast_ = multicast_ = 0;
    for (const bool group : {false, true}) {
        for (const net::MacAddr& a : overflow ? addresses.first(0) : addresses) {
            if (a.is_multicast() != group) continue;
            macs_[unicast_ + multicast_] = a;
            ++(group ? multicast_ : unicast_);
        }
    }
    auto done = send_macs();
    if (done) done = send_rx_mode(mode_, overflow, false);
    if (done) {
        overflow_ = overflow;
    } else {
        macs_ = before;
        unicast_ = unicast;
        multicast_ = multicast;
    }
    return done;
}

Result<> NetControl::send_vlan(u16 id, bool on) {
    return run(S::kVlan, on ? S::kVlanAdd : S::kVlanDel, le16(id));
}

Result<> NetControl::set_vlan(u16 id, bool on) {
    if (!has(Feature::ctrl_vlan)) return fail(Error::unsupported);
    if (id > kMaxVlan) return fail(Error::invalid);
    if (has_vlan(id) == on) return {};
    TRY(send_vlan(id, on));
    vlans_[id / 64] ^= u64{1} << id % 64;
    return {};
}

Result<> NetControl::set_mac(const net::MacAddr& mac) {
    if (!has(Feature::ctrl_mac_addr)) return fail(Error::unsupported);
    if (mac.is_multicast() || mac == net::MacAddr{}) return fail(Error::invalid);
    TRY(run(S::kMac, S::kMacAddrSet, mac));
    mac_ = mac;
    return {};
}

Result<> NetControl::acknowledge_announcement() {
    if (!has(Feature::guest_announce)) return fail(Error::unsupported);
    begin(S::kAnnounce, S::kAnnounceAck);
    return send();
}

// --- which queue -----------------------------------------------------------------------------------------------------

Result<> NetControl::send_rss() {
    const u16 entries =
        table_entries_ != 0 ? table_entries_ : std::bit_floor(std::min(abilities_.rss_table, kRssEntries));
    if (entries == 0) return fail(Error::unsupported);
    begin(S::kMq, S::kMqRssConfig);
    put(le32(abilities_.hash_types & kOurHashes));
    put(le16(u16(entries - 1)));
    put(le16(0));  // what has no hash goes to the first pair
    for (u16 i = 0; i < entries; ++i) put(le16(table_entries_ != 0 ? u16(table_[i]) : u16(i % pairs_)));
    put(le16(pairs_));
    const u8 key = u8(std::min<usize>(abilities_.rss_key, key_.size()));
    put(key);
    put(key_.data(), key);
    return send();
}

/// What the negotiated features and the number of pairs ask for; nothing for a fresh device with one pair.
Result<> NetControl::send_steering() {
    const bool hash = has(Feature::hash_report);
    if (has(Feature::rss)) return pairs_ > 1 || hash || table_entries_ != 0 ? send_rss() : Result<>{};
    if (has(Feature::mq) && (pairs_ > 1 || abilities_.pairs > 1)) TRY(run(S::kMq, S::kMqPairsSet, le16(pairs_)));
    if (!hash) return {};
    begin(S::kMq, S::kMqHashConfig);
    put(le32(abilities_.hash_types & kOurHashes));
    put(std::array<le16, 4>{});
    const u8 key = u8(std::min<usize>(abilities_.rss_key, key_.size()));
    put(key);
    put(key_.data(), key);
    return send();
}

Result<> NetControl::set_pairs(u16 pairs) {
    if (!has(Feature::mq) && !has(Feature::rss)) return fail(Error::unsupported);
    if (pairs == 0 || pairs > abilities_.pairs) return fail(Error::invalid);
    const u16 before = std::exchange(pairs_, pairs);
    const u16 table = table_entries_;
    if (pairs < before) table_entries_ = 0;  // it may name pairs that are off now
    const auto done = has(Feature::rss) ? send_rss() : send_steering();
    if (done) {
        wanted_pairs_ = pairs;
    } else {
        pairs_ = before;
        table_entries_ = table;
    }
    return done;
}

Result<> NetControl::set_rss_table(std::span<const u8> pairs) {
    if (!has(Feature::rss)) return fail(Error::unsupported);
    if (pairs.size() > std::min(abilities_.rss_table, kRssEntries)) return fail(Error::invalid);
    if (!pairs.empty() && !std::has_single_bit(pairs.size())) return fail(Error::invalid);
    for (const u8 p : pairs)
        if (p >= pairs_) return fail(Error::invalid);
    const auto before = table_;
    const u16 entries = std::exchange(table_entries_, u16(pairs.size()));
    for (usize i = 0; i < pairs.size(); ++i) table_[i] = pairs[i];
    const auto done = send_rss();
    if (!done) {
        table_ = before;
        table_entries_ = entries;
    }
    return done;
}

// --- how often, and in which form ------------------------------------------------------------------------------------

Result<> NetControl::send_coalescing(u8 command, Coalescing c) {
    return run(S::kNotfCoal, command, S::Coalescing{c.packets, c.microseconds});
}

Result<> NetControl::set_coalescing(Coalescing rx, Coalescing tx) {
    if (!has(Feature::notf_coal)) return fail(Error::unsupported);
    const u8 commands[] = {S::kCoalRxSet, S::kCoalTxSet};
    const Coalescing wanted[] = {rx, tx};
    for (u16 i = 0; i < 2; ++i) {
        TRY(send_coalescing(commands[i], wanted[i]));
        coalescing_[i] = wanted[i];
        for (u16 q = i; q < kMaxQueues; q = u16(q + 2)) queue_coalescing_[q].reset();  // overridden for all of them
    }
    return {};
}

Result<> NetControl::send_queue_coalescing(u16 queue, Coalescing c) {
    return run(S::kNotfCoal, S::kCoalVqSet, S::QueueCoalescing{queue, 0, {c.packets, c.microseconds}});
}

Result<> NetControl::set_queue_coalescing(u16 queue, Coalescing c) {
    if (!has(Feature::vq_notf_coal)) return fail(Error::unsupported);
    if (queue >= 2 * abilities_.pairs || queue >= kMaxQueues) return fail(Error::invalid);
    TRY(send_queue_coalescing(queue, c));
    queue_coalescing_[queue] = c;
    return {};
}

Result<Coalescing> NetControl::queue_coalescing(u16 queue) {
    if (!has(Feature::vq_notf_coal)) return fail(Error::unsupported);
    if (queue >= 2 * abilities_.pairs || queue >= kMaxQueues) return fail(Error::invalid);
    begin(S::kNotfCoal, S::kCoalVqGet);
    put(std::array<le16, 2>{queue, 0});
    S::Coalescing answer;
    TRY(send(sizeof answer));
    std::memcpy(&answer, memory_.bytes().data() + kAnswerAt + 1, sizeof answer);
    return Coalescing{answer.max_packets, answer.max_usecs};
}

Result<> NetControl::set_guest_offloads(u64 features) {
    if (!has(Feature::ctrl_guest_offloads)) return fail(Error::unsupported);
    using F = Feature;
    const FeatureBits known =
        mask(F::guest_csum, F::guest_tso4, F::guest_tso6, F::guest_ecn, F::guest_uso4, F::guest_uso6, F::guest_ufo);
    if ((features & ~(known.word[0] & abilities_.features.word[0])) != 0) return fail(Error::invalid);
    TRY(run(S::kGuestOffloads, S::kGuestOffloadsSet, le64(features)));
    offloads_ = features;
    return {};
}

// --- all of it again -------------------------------------------------------------------------------------------------

Result<> NetControl::apply(const NetAbilities& abilities) {
    abilities_ = abilities;
    pairs_ = std::min(wanted_pairs_ != 0 ? wanted_pairs_ : abilities.pairs, abilities.pairs);
    if (has(Feature::mq) || has(Feature::rss) || has(Feature::hash_report)) {
        const u64 before = refused_.value() + bad_answers_.value();
        TRY(tolerate(send_steering(), "its queue pairs"));
        if (refused_.value() + bad_answers_.value() != before) pairs_ = 1;
    }
    if (mac_) TRY(tolerate(run(S::kMac, S::kMacAddrSet, *mac_), "the address"));
    if (has(Feature::ctrl_rx)) {
        TRY(tolerate(send_rx_mode(mode_, overflow_, true), "the receive mode"));
        if (unicast_ + multicast_ != 0) TRY(tolerate(send_macs(), "the address filter"));
    }
    for (u16 id = 0; id <= kMaxVlan; ++id) {
        if (vlans_[id / 64] == 0)
            id |= 63;
        else if (has_vlan(id))
            TRY(tolerate(send_vlan(id, true), "a VLAN"));
    }
    if (coalescing_[0]) TRY(tolerate(send_coalescing(S::kCoalRxSet, *coalescing_[0]), "coalescing"));
    if (coalescing_[1]) TRY(tolerate(send_coalescing(S::kCoalTxSet, *coalescing_[1]), "coalescing"));
    for (u16 q = 0; q < kMaxQueues && q < 2 * abilities.pairs; ++q)
        if (queue_coalescing_[q]) TRY(tolerate(send_queue_coalescing(q, *queue_coalescing_[q]), "coalescing"));
    if (offloads_) TRY(tolerate(run(S::kGuestOffloads, S::kGuestOffloadsSet, le64(*offloads_)), "offloads"));
    return {};
}

}  // namespace ringlet::virtio
