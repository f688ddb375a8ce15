// Context: the network monitor.
#include "net/ping.hpp"

#include "net/headers.hpp"

namespace ringlet::net {
namespace {

std::byte pattern(usize i) {
    return static_cast<std::byte>(i * 7 + 1);
}

}  // namespace

Pings::Ping* Pings::find(u32 id) {
    for (Ping& p : pings_)
        if (id != 0 && p.id == id) return &p;
    return nullptr;
}

Pings::Ping* Pings::find(const IpAddr& peer, u16 ident, u16 sequence) {
    for (Ping& p : pings_)
        if (p.id != 0 && !p.unsent && !p.result && p.ident == ident && p.sequence == sequence && p.to == peer)
            return &p;
    return nullptr;
}

Result<u32> Pings::start(const IpAddr& to, u16 bytes, u16 scope) {
    for (Ping& p : pings_) {
        if (p.id != 0) continue;
        p = {};
        p.id = next_++;
        if (next_ == 0) next_ = 1;
        const u64 r = siphash(key_, p.id, 5);  // an answer proves that the request was seen
        p.ident = static_cast<u16>(r);
        p.sequence = static_cast<u16>(r >> 16);
        p.to = to;
        p.bytes = bytes;
        p.scope = scope;
        p.unsent = true;
        ++unsent_;
        return p.id;
    }
    return fail(Error::no_space);
}

Result<Pings::Reply> Pings::result(u32 ping) {
    Ping* p = find(ping);
    if (p == nullptr) return fail(Error::invalid);
    if (!p->result) return fail(Error::would_block);
    const auto result = *p->result;
    cancel(ping);
    return result;
}

void Pings::cancel(u32 ping) {
    Ping* p = find(ping);
    if (p == nullptr) return;
    if (p->unsent) --unsent_;
    *p = {};
}

std::optional<Pings::Outgoing> Pings::output(PacketPool& pool, Instant now) {
    for (Ping& ping : pings_) {
        if (!ping.unsent) continue;
        auto p = pool.allocate();
        if (!p) {
            ++stats_.no_packet;
            return std::nullopt;
        }
        ping.unsent = false;
        --unsent_;
        ping.sent = now;
        auto* h = reinterpret_cast<IcmpHeader*>(p->append(sizeof(IcmpHeader)).data());
        *h = {};
        h->id = ping.ident;
        h->sequence = ping.sequence;
        const MutableBytes payload = p->append(ping.bytes);
        for (usize i = 0; i < payload.size(); ++i) payload[i] = pattern(i);
        ++stats_.icmp_echo_sent;
        return Outgoing{std::move(*p), ping.to, ping.scope, ping.id};
    }
    return std::nullopt;
}

void Pings::answered(const IpAddr& from, u16 ident, u16 sequence, Bytes payload, u8 ttl, Instant now) {
    Ping* p = find(from, ident, sequence);
    bool good = p != nullptr && p->bytes == payload.size();
    for (usize i = 0; good && i < payload.size(); ++i) good = payload[i] == pattern(i);
    if (!good) {
        ++stats_.icmp_reply_unmatched;
        return;
    }
    p->result = Reply{now - p->sent, ttl, p->bytes};
    ++stats_.icmp_reply_in;
    changed_ = true;
}

void Pings::failed(const IpAddr& to, u16 ident, u16 sequence) {
    if (Ping* p = find(to, ident, sequence)) failed(p->id);
}

void Pings::failed(u32 id) {
    Ping* p = find(id);
    if (p == nullptr) return;
    if (std::exchange(p->unsent, false)) --unsent_;
    p->result = fail(Error::unreachable);
    changed_ = true;
}

}  // namespace ringlet::net
