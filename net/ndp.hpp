// IPv6 neighbours (RFC 4861 §5, §7, Appendix C): who is at which hardware address, and is he still. Bounded, 4-way
// associative with a keyed hash. What nobody asked for (solicitations, advertisements of routers) may only take the
// place of entries that nobody is using, so a flood of made-up neighbours displaces none that matters. Packets wait in
// bounded queues for an answer. Knows addresses, not packets' formats: net/ipv6.cpp reads and writes those.
// Context: the network monitor.
#pragma once

#include <array>
#include <optional>

#include "lib/function_ref.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/config.hpp"
#include "net/packet_queue.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

class Ndp {
public:
    static constexpr usize kSets = 16, kWays = 4;
    static constexpr usize kWaiting = 4;        ///< packets per unresolved neighbour
    static constexpr usize kWaitingTotal = 64;  ///< buffers over all of them: one largest datagram has 45
    static constexpr u8 kTries = 3;             ///< MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT (§10)
    static constexpr Duration kRetransmit = Duration::from_s(1);
    static constexpr Duration kReachable = Duration::from_s(30);
    static constexpr Duration kDelayFirstProbe = Duration::from_s(5);

    Ndp(SipKey key, Statistics& stats) : key_(key), stats_(stats) {}

    /// The neighbour's hardware address when it is known; starts a probe when it has not been confirmed for long.
    std::optional<MacAddr> find(const IpAddr& neighbour, Instant now);
    /// Keeps `packet` until `neighbour` answers; drops it, counted, when too many wait.
    void wait_for(const IpAddr& neighbour, PacketBuffer packet, Instant now);
    /// A solicitation, router message or redirect says that `neighbour` is at `mac` (§7.2.3, §6.2.6, §8.3): STALE.
    void heard_of(const IpAddr& neighbour, const MacAddr& mac, Instant now);
    struct Advertisement {
        IpAddr target;
        std::optional<MacAddr> mac;
        bool solicited = false, override = false, router = false;
    };
    /// §7.2.5. What was not asked for is ignored.
    void on_advertisement(const Advertisement& a, Instant now);
    /// The neighbour did not answer any probe and nothing is known of it.
    bool is_unreachable(const IpAddr& neighbour, Instant now) const;

    struct Solicitation {
        IpAddr target;
        std::optional<MacAddr> to;  ///< nothing: the solicited-node group
    };
    std::optional<Solicitation> next_solicitation();
    bool has_solicitation() const { return pending_ != 0; }
    struct Resolved {
        PacketBuffer packet;
        MacAddr mac;
    };
    /// A packet whose neighbour is known now.
    std::optional<Resolved> resolved();
    bool has_resolved() const { return resolved_count_ != 0; }
    /// A packet whose neighbour will never answer, for an ICMP error to whoever sent it.
    std::optional<PacketBuffer> failed() { return failed_.pop_front(); }

    void poll(Instant now);
    Instant deadline() const { return deadline_; }
    /// The link came back or is another one: forget everybody.
    void clear();
    void for_each(FunctionRef<void(const NeighbourInfo&)> visit) const;
    usize packets_held() const;  ///< buffers; walks them

private:
    enum class State : u8 { free, incomplete, reachable, stale, delay, probe, failed };
    struct Entry {
        IpAddr address;
        MacAddr mac;
        State state = State::free;
        u8 tries = 0;
        bool ask = false;  // a solicitation is due
        Instant used;      // when it was last looked up or made
        Instant next;      // when the state ends
        PacketQueue waiting;
    };
    std::array<Entry, kWays>& set_of(const IpAddr& a);
    const Entry* lookup(const IpAddr& a) const { return const_cast<Ndp*>(this)->lookup(a); }
    Entry* lookup(const IpAddr& a);
    Entry* claim(const IpAddr& a, Instant now, bool for_ourselves);
    void enter(Entry& e, State state, Instant until);
    void ask(Entry& e);
    void release(Entry& e);
    void flush(Entry& e);

    SipKey key_;
    Statistics& stats_;
    std::array<std::array<Entry, kWays>, kSets> sets_;
    u32 pending_ = 0;           // entries with `ask` set
    usize resolved_count_ = 0;  // packets behind resolved neighbours
    Instant deadline_ = Instant::never();
    PacketQueue failed_;
};

}  // namespace ringlet::net
