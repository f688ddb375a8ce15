// Numbers a blind attacker must not guess: initial sequence numbers (RFC 6528), timestamp offsets (RFC 7323 §5.4) and
// ephemeral ports (RFC 6056 §3.3.3), all from one per-boot secret. Context: any.
#pragma once

#include <array>

#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"
#include "net/tcp/seq.hpp"

namespace ringlet::net::tcp {

/// One hash per purpose: knowing one tells nothing about another.
enum class Purpose : u8 { table = 1, isn = 2, timestamp = 3, port = 4 };

class Secrets {
public:
    explicit Secrets(const std::array<u8, 16>& secret) { std::memcpy(&key_, secret.data(), sizeof(key_)); }

    /// RFC 6528: ISN = M + F(connection, secret); M counts 4 us.
    SeqNum isn(Endpoint local, Endpoint remote, Instant now) const {
        return SeqNum(static_cast<u32>(hash(Purpose::isn, local, remote)) + static_cast<u32>(now.ns / 4000));
    }
    u32 timestamp_offset(Endpoint local, Endpoint remote) const {
        return static_cast<u32>(hash(Purpose::timestamp, local, remote));
    }
    /// Where the search for an ephemeral port to `remote` begins.
    u32 port_offset(Ipv4Addr local, Endpoint remote) const {
        return static_cast<u32>(hash(Purpose::port, {local, 0}, remote));
    }
    u32 bucket(Endpoint local, Endpoint remote) const {
        return static_cast<u32>(siphash<1, 3>(key_, addresses(local, remote), ports(Purpose::table, local, remote)));
    }

private:
    static u64 addresses(Endpoint l, Endpoint r) { return u64{l.address.value} << 32 | r.address.value; }
    static u64 ports(Purpose p, Endpoint l, Endpoint r) {
        return u64{static_cast<u8>(p)} << 32 | u32{l.port} << 16 | r.port;
    }
    u64 hash(Purpose p, Endpoint l, Endpoint r) const { return siphash(key_, addresses(l, r), ports(p, l, r)); }
    SipKey key_;
};

}  // namespace ringlet::net::tcp
