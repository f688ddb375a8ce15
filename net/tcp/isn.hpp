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
enum class Purpose : u8 { table = 1, start = 2, port = 4, cookie = 5 };

class Secrets {
public:
    explicit Secrets(const std::array<u8, 16>& secret) {
        std::memcpy(&key_, secret.data(), sizeof(key_));
        for (usize i = 0; i < table_.size(); ++i) table_[i] = siphash(key_, i, u64{static_cast<u8>(Purpose::table)});
    }

    /// What a connection's numbers begin with: the two halves of one hash, of which neither tells about the other.
    struct Start {
        u32 sequence, timestamp;
    };
    Start start(const Endpoint& local, const Endpoint& remote) const {
        const u64 h = hash(Purpose::start, local, remote);
        return {static_cast<u32>(h), static_cast<u32>(h >> 32)};
    }
    /// RFC 6528: ISN = M + F(connection, secret); M counts 4 us.
    static SeqNum isn(u32 start, Instant now) { return SeqNum(start + static_cast<u32>(now.ns / 4000)); }
    /// Where the search for an ephemeral port to `remote` begins.
    u32 port_offset(IpAddr local, const Endpoint& remote) const {
        return static_cast<u32>(hash(Purpose::port, {local, 0, 0}, remote));
    }
    /// Proof of having seen our answer to a SYN with sequence number `irs`, and of `what` it said (RFC 4987 §3.6).
    u32 cookie(const Endpoint& local, const Endpoint& remote, SeqNum irs, u64 what) const {
        return static_cast<u32>(siphash(key_, hash(Purpose::cookie, local, remote), what << 32 | irs.raw()));
    }
    /// A bucket of the connection table, once per segment. Pairwise multilinear hashing (strongly universal: Lemire and
    /// Kaser, 2014) of nine words: who knows neither the keys nor the buckets can do no better than guess.
    u32 bucket(const Endpoint& local, const Endpoint& remote) const {
        const auto l = local.address.words(), r = remote.address.words();
        const u64 ports = u32{local.port} << 16 | remote.port;
        u64 sum = table_[0] + (table_[1] + ports) * table_[2];
        usize k = 3;
        for (const u64 w : {l[0], l[1], r[0], r[1]}) {
            sum += (table_[k] + static_cast<u32>(w)) * (table_[k + 1] + (w >> 32));
            k += 2;
        }
        return static_cast<u32>(sum >> 32);
    }

private:
    u64 hash(Purpose p, const Endpoint& l, const Endpoint& r) const {
        const auto a = l.address.words(), b = r.address.words();
        return siphash(key_, {a[0], a[1], b[0], b[1], u64{static_cast<u8>(p)} << 32 | u32{l.port} << 16 | r.port});
    }
    SipKey key_;
    std::array<u64, 11> table_;
};

}  // namespace ringlet::net::tcp
