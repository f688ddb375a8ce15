// The DHCP client (RFC 2131) as a value: messages and the time go in, messages and a lease come out. dhcp_message.hpp
// has the bytes. A server that lies is ignored and counted. Whether an address is free is asked by others (ARP):
// address_to_probe(), probed(). Context: the network monitor.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "lib/bytes.hpp"
#include "lib/parse.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/dhcp_message.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

class Dhcp {
public:
    static constexpr usize kMessageBytes = dhcp::Question::kBytes;    ///< of every message we send
    static constexpr Duration kDeclineWait = Duration::from_s(10);    ///< RFC 2131 §3.1 5
    static constexpr Duration kReleaseWait = Duration::from_ms(200);  ///< for the RELEASE to leave

    struct Lease {
        Ipv4Config ipv4;
        Ipv4Addr server;
        NetworkHints hints;
        Instant renew_at, rebind_at, ends_at;  ///< T1, T2, expiry; never for an infinite lease
    };
    struct Outgoing {
        Ipv4Addr source, destination;  ///< ports are 68 and 67
    };

    Dhcp(MacAddr mac, std::string_view hostname, SipKey key, Statistics& stats)
        : mac_(mac), hostname_(substring(hostname, 0, 63)), key_(key), stats_(stats) {}

    void start(Instant now);
    /// Forgets the lease without a word.
    void stop();
    /// Gives the lease back (RFC 2131 §4.4.6); the address goes, and the client stops, kReleaseWait later. Without a
    /// lease it stops at once.
    void release(Instant now);
    /// Asks for a new end of the lease now, not only at T1. Without a lease nothing changes.
    void renew(Instant now);
    /// What is sent from now on carries this address.
    void set_mac(const MacAddr& mac) { mac_ = mac; }
    /// The link came back, maybe to another network (INIT-REBOOT): asks whether the lease holds (RFC 2131 §3.2), which
    /// goes on being used meanwhile; without one, discovery begins at once.
    void reconfirm(Instant now);

    /// One UDP payload that came to port 68 from port 67.
    void input(Bytes payload, Instant now);
    /// The address that must be free before it is used, while that is unknown.
    std::optional<Ipv4Addr> address_to_probe() const;
    /// What became of it: nobody has it, or somebody does and the server hears of it (DECLINE).
    void probed(bool is_free, Instant now);
    void poll(Instant now);
    Instant deadline() const { return deadline_; }
    /// Writes the message that is due into `to` (kMessageBytes) and says where it goes; nothing when none is due.
    std::optional<Outgoing> output(MutableBytes to, Instant now);
    bool has_output() const { return due_ != dhcp::MessageType::none; }

    DhcpState state() const { return state_; }
    const std::optional<Lease>& lease() const { return lease_; }
    /// True once after the lease came, changed or went.
    bool take_change() { return std::exchange(changed_, false); }

private:
    void on_offer(const dhcp::Answer& a, Instant now);
    void on_ack(const dhcp::Answer& a, Instant now);
    void on_nak(Instant now);
    bool is_usable(const dhcp::Answer& a) const;
    Lease make_lease(const dhcp::Answer& a) const;
    void bind(const Lease& next, Instant now);
    void restart(Instant at);
    void lose_lease();
    void begin(DhcpState state, Instant now);
    void schedule(Instant now);
    Instant backoff(Instant now);
    u64 random() { return siphash(key_, ++counter_, entropy_); }

    MacAddr mac_;
    std::string_view hostname_;
    SipKey key_;
    Statistics& stats_;
    DhcpState state_ = DhcpState::off;
    dhcp::MessageType due_ = dhcp::MessageType::none;  // what output() sends
    u32 xid_ = 0;
    u64 counter_ = 0, entropy_ = 0;
    unsigned tries_ = 0;
    bool changed_ = false;
    Instant started_;    // of this exchange, for `secs`
    Instant requested_;  // when the REQUEST that an ACK answers was sent: the lease runs from there
    Instant deadline_ = Instant::never();
    Ipv4Addr offered_, offering_server_;      // offered_ outlives its lease: it is asked for again
    std::optional<Lease> lease_, candidate_;  // in use; acknowledged, but maybe somebody else's
};

}  // namespace ringlet::net
