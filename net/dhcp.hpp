// The DHCP client (RFC 2131, RFC 2132) as a value: messages and the time go in, messages and a lease come out.
// Every option is checked for its length; a server that lies is ignored and counted. Context: the network monitor.
#pragma once

#include <optional>
#include <string_view>
#include <utility>

#include "lib/bytes.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/config.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

class Dhcp {
public:
    static constexpr usize kMessageBytes = 352;  ///< what we send, padded: at least BOOTP's 300

    struct Lease {
        Ipv4Config ipv4;
        Ipv4Addr server;
        u16 mtu = 0;                           ///< 0: not told
        Instant renew_at, rebind_at, ends_at;  ///< T1, T2, expiry; never for an infinite lease
    };
    struct Outgoing {
        Ipv4Addr source, destination;  ///< ports are 68 and 67
    };

    Dhcp(MacAddr mac, std::string_view hostname, SipKey key, Statistics& stats)
        : mac_(mac), hostname_(hostname.substr(0, 63)), key_(key), stats_(stats) {}

    void start(Instant now);
    void stop();
    /// What is sent from now on carries this address.
    void set_mac(const MacAddr& mac) { mac_ = mac; }
    /// The link came back, maybe to another network: asks whether the lease holds (RFC 2131 §3.2), which goes on being
    /// used meanwhile; without one, discovery begins at once.
    void reconfirm(Instant now);
    /// One UDP payload that came to port 68 from `source` port 67.
    void input(Bytes payload, Ipv4Addr source, Instant now);
    void poll(Instant now);
    Instant deadline() const { return deadline_; }
    /// Writes the message that is due into `to` (kMessageBytes) and says where it goes; nothing when none is due.
    std::optional<Outgoing> output(MutableBytes to, Instant now);
    bool has_output() const { return send_; }

    DhcpState state() const { return state_; }
    const std::optional<Lease>& lease() const { return lease_; }
    /// True once after the lease came, changed or went.
    bool take_change() { return std::exchange(changed_, false); }

private:
    struct Options;
    std::optional<Options> parse(Bytes payload) const;
    void on_offer(const Options& o, Ipv4Addr your_address, Instant now);
    void on_ack(const Options& o, Ipv4Addr your_address, Instant now);
    void on_nak(Instant now);
    void restart(Instant now);
    void lose_lease(Instant now);
    void begin(DhcpState state, Instant now);
    void schedule(Instant now);
    u64 random() { return siphash(key_, ++counter_, entropy_); }

    MacAddr mac_;
    std::string_view hostname_;
    SipKey key_;
    Statistics& stats_;
    DhcpState state_ = DhcpState::off;
    u32 xid_ = 0;
    u64 counter_ = 0, entropy_ = 0;
    unsigned tries_ = 0;
    bool send_ = false, changed_ = false;
    Instant started_;    // of this exchange, for `secs`
    Instant requested_;  // when the REQUEST that an ACK answers was sent: the lease runs from there
    Instant deadline_ = Instant::never();
    Ipv4Addr offered_, offering_server_;
    std::optional<Lease> lease_;
};

}  // namespace ringlet::net
