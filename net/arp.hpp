// The neighbour cache (RFC 826, RFC 5227's probes, announcements and defence, RFC 1122 §2.3.2): bounded, 4-way
// associative by the address's low bits, so that a lookup compares at most four entries. Packets wait in bounded queues
// for an answer. Context: the network monitor.
#pragma once

#include <array>
#include <optional>
#include <utility>

#include "lib/function_ref.hpp"
#include "lib/time.hpp"
#include "net/config.hpp"
#include "net/headers.hpp"
#include "net/packet_queue.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

class Arp {
public:
    static constexpr usize kSets = 16, kWays = 4;
    static constexpr usize kWaiting = 4;        ///< packets per unresolved neighbour
    static constexpr usize kWaitingTotal = 64;  ///< buffers over all of them: one largest datagram has 45
    static constexpr int kTries = 4;
    static constexpr Duration kRetry = Duration::from_s(1);
    static constexpr Duration kFresh = Duration::from_s(240);  ///< then it is asked again while in use
    static constexpr Duration kLifetime = Duration::from_s(300);
    static constexpr Duration kDefendInterval = Duration::from_s(10);  ///< RFC 5227 §1.1
    static constexpr Duration kAnnounceInterval = Duration::from_s(2);
    static constexpr int kAnnouncements = 2;
    static constexpr Duration kInUse = Duration::from_s(10);  ///< after something was sent to a neighbour
    static constexpr int kProbes = 3;                         ///< RFC 5227 §1.1

    Arp(MacAddr mac, Statistics& stats) : mac_(mac), stats_(stats) {}

    /// The neighbour's MAC when it is known, until the next call; else nullptr. Asks again in the background when the
    /// entry grows old.
    const MacAddr* find(Ipv4Addr address, Instant now);
    /// Keeps `packet` (window = IP header) until `address` answers; drops it, counted, when too many wait.
    void wait_for(Ipv4Addr address, PacketBuffer packet, Instant now);
    /// One received ARP packet, window = behind the Ethernet header.
    void input(const PacketBuffer& packet, const Ipv4Config& self, Instant now);
    void poll(Instant now);
    Instant deadline() const { return deadline_; }
    /// Our hardware address from now on. Nobody is told yet: see announce().
    void set_mac(const MacAddr& mac) { mac_ = mac; }
    /// Our address is `self.address` from now on: forget the neighbours, tell everybody, but not before `tell_at`.
    void address_changed(const Ipv4Config& self, Instant tell_at);

    /// Tells everybody again where `self` is (the host asked: our link moved).
    void announce(const Ipv4Config& self, Instant now);

    enum class Probe : u8 { asking, free, taken };
    /// Is `address` anybody's (RFC 5227 §2.1.1)? Begins to ask, or goes on when the question is the same: kProbes
    /// probes, `interval` apart and one more to wait. `self` has no address meanwhile, or another.
    Probe probe(Ipv4Addr address, Duration interval, Instant now);
    void end_probe() {
        probed_ = {};
        probe_due_ = false;
    }

    /// The next ARP frame to send, complete, as Ethernet frame; needs a packet from `pool`.
    std::optional<PacketBuffer> output(const Ipv4Config& self, PacketPool& pool);
    /// The last one who used our address too, or one that we asked for; nothing yet: seen is 0.
    const AddressConflict& conflict() const { return conflict_; }
    /// True once after a conflict, at most every kDefendInterval.
    bool has_conflict_news() const { return conflict_news_; }
    bool take_conflict_news() { return std::exchange(conflict_news_, false); }

    bool has_output() const { return pending_requests_ != 0 || reply_count_ != 0 || announce_ || probe_due_; }
    struct Resolved {
        PacketBuffer packet;
        MacAddr mac;
    };
    /// A packet whose neighbour has answered.
    std::optional<Resolved> resolved();
    bool has_resolved() const { return resolved_count_ != 0; }
    void for_each(FunctionRef<void(const NeighbourInfo&)> visit) const;
    usize packets_held() const;  ///< buffers; walks them

private:
    enum class State : u8 { free, incomplete, reachable };
    struct Entry {
        Ipv4Addr address;
        MacAddr mac;
        State state = State::free;
        u8 tries = 0;
        bool ask = false;  // a request is due
        Instant changed;   // when the MAC was learnt
        Instant used;      // when something was last sent to it
        Instant next;      // incomplete: the next retry; reachable: when it grows old
        PacketQueue waiting;
    };
    struct Reply {
        MacAddr mac;
        Ipv4Addr address;
    };
    Entry* lookup(Ipv4Addr address);
    /// A place for `address`. What nobody here asked for takes none that is in use: nothing then.
    Entry* claim(Ipv4Addr address, Instant now, bool for_ourselves);
    void note_conflict(Ipv4Addr address, const MacAddr& by, Instant now);
    void learn(Entry& e, const MacAddr& mac, Instant now);
    void ask(Entry& e);
    void release(Entry& e);
    void due(Instant at) {
        if (at < deadline_) deadline_ = at;
    }
    std::optional<PacketBuffer> build(PacketPool& pool, u16 oper, Ipv4Addr sender, const MacAddr& to, Ipv4Addr target);

    MacAddr mac_;
    Statistics& stats_;
    std::array<std::array<Entry, kWays>, kSets> sets_;
    std::array<Reply, 8> replies_{};
    usize reply_count_ = 0;
    u32 pending_requests_ = 0;  // entries with `ask` set
    u32 resolved_count_ = 0;    // packets behind reachable neighbours
    bool announce_ = false;
    int announcements_left_ = 0;
    Instant next_announcement_ = Instant::never();
    std::optional<Instant> defended_;
    AddressConflict conflict_;
    bool conflict_news_ = false;
    Ipv4Addr probed_;  // unspecified: no probe
    bool probe_due_ = false, probe_taken_ = false;
    int probes_left_ = 0;
    Duration probe_interval_;
    Instant next_probe_ = Instant::never();
    Instant deadline_ = Instant::never();
};

}  // namespace ringlet::net
