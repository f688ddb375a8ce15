// Stacks on a wire that lives in one process, with virtual time. Every Host checks the conservation of packets.
#pragma once

#include <catch2/catch.hpp>

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "net/checksum.hpp"
#include "net/stack.hpp"
#include "tests/unit/net/cut.hpp"

namespace ringlet::net::test {

using Frame = std::vector<u8>;

inline Bytes bytes_of(const Frame& f) {
    return std::as_bytes(std::span(f));
}

struct Host {
    std::vector<std::byte> memory;
    PacketPool pool;
    Stack stack;

    static StackConfig config(u8 n, Offloads offloads = {}) {
        StackConfig c;
        c.addressing = Addressing::fixed;
        c.fixed = {Ipv4Addr::of(10, 0, 0, n), 24, Ipv4Addr::of(10, 0, 0, 254), {}};
        c.mac = {{2, 0, 0, 0, 0, n}};
        c.secret[0] = n;
        c.probe_interval = {};  // whoever tests probing says so
        c.offloads = offloads;
        return c;
    }
    explicit Host(const StackConfig& c, usize packets = 64)
        : memory(packets * PacketBuffer::kSize), pool(memory, DmaAddr(0x10'0000)), stack(c, pool) {
        stack.start({});
    }
    explicit Host(u8 n) : Host(config(n)) {}
    ~Host() { check_conservation(); }

    void check_conservation() const {
        CHECK(pool.free() + stack.packets_held() == pool.total());
        CHECK(stack.others_are_known());
    }

    void input(const Frame& f, Instant now) {
        auto p = pool.allocate();
        if (!p) return;
        p->window(PacketBuffer::kHeadroom, PacketBuffer::kHeadroom);
        REQUIRE(f.size() <= p->tailroom());
        if (!f.empty()) std::memcpy(p->append(f.size()).data(), f.data(), f.size());
        stack.input(std::move(*p), now);
    }
    /// The next frame on the wire: offloads are the device's work and done here.
    std::optional<Frame> output(Instant now) {
        if (on_the_wire.empty()) {
            auto p = stack.output(now);
            if (!p) return std::nullopt;
            if (p->meta().gso != PacketMeta::Gso::none) ++large_out;
            CHECK(p->fragments() <= std::max<u16>(stack.interface().offloads.max_fragments, 1));
            for (const auto& bytes : cut(*p, 34)) {
                Frame f(bytes.size());
                std::memcpy(f.data(), bytes.data(), bytes.size());
                on_the_wire.push_back(std::move(f));
            }
        }
        Frame f = std::move(on_the_wire.front());
        on_the_wire.pop_front();
        return f;
    }
    /// A merged frame: `headers` bytes and some payload in the first buffer, the rest in others.
    void input_merged(const Frame& f, u16 gso_size, PacketMeta::Checksum checksum, Instant now) {
        auto p = scatter(pool, bytes_of(f), std::min<usize>(f.size(), 1900), 2048);
        REQUIRE(p);
        p->meta().gso = PacketMeta::Gso::tcp4;
        p->meta().gso_size = gso_size;
        p->meta().checksum = checksum;
        stack.input(std::move(*p), now);
    }
    std::deque<Frame> on_the_wire;
    u32 large_out = 0;
    std::vector<Frame> output_all(Instant now) {
        std::vector<Frame> all;
        while (auto f = output(now)) all.push_back(std::move(*f));
        return all;
    }
};

/// Two hosts, back to back; `tap` sees every frame and may drop it (false).
struct Pair {
    Host a, b;
    Instant now = Instant{1};
    std::function<bool(const Frame&)> tap = [](const Frame&) { return true; };

    Pair() : Pair(Host::config(1), Host::config(2)) {}
    Pair(const StackConfig& ca, const StackConfig& cb, usize packets = 64) : a(ca, packets), b(cb, packets) {
        settle();
    }

    void settle() {
        for (int i = 0; i < 1000; ++i) {
            bool moved = false;
            a.stack.poll(now);
            b.stack.poll(now);
            while (auto f = a.output(now)) moved = true, deliver(*f, b);
            while (auto f = b.output(now)) moved = true, deliver(*f, a);
            if (!moved) {
                a.check_conservation();
                b.check_conservation();
                return;
            }
        }
        FAIL("the two hosts never stop talking");
    }
    void advance(Duration d) {
        const Instant end = now + d;
        while (now < end) {
            Instant next = std::min(a.stack.deadline(), b.stack.deadline());
            if (next <= now) next = now + Duration::from_us(1);
            now = next < end ? next : end;
            settle();
        }
    }

private:
    void deliver(const Frame& f, Host& to) {
        if (tap(f)) to.input(f, now);
    }
};

// --- frames by hand -------------------------------------------------------------------------------------------------

inline void put16(Frame& f, usize at, u32 v) {
    f[at] = static_cast<u8>(v >> 8);
    f[at + 1] = static_cast<u8>(v);
}
inline void put32(Frame& f, usize at, u32 v) {
    put16(f, at, v >> 16);
    put16(f, at + 2, v & 0xffff);
}
inline u32 take16(const Frame& f, usize at) {
    return static_cast<u32>(f[at] << 8 | f[at + 1]);
}
inline u32 take32(const Frame& f, usize at) {
    return take16(f, at) << 16 | take16(f, at + 2);
}

inline Frame ethernet(MacAddr to, MacAddr from, u16 type, const Frame& payload) {
    Frame f(14);
    std::memcpy(f.data(), to.octets.data(), 6);
    std::memcpy(f.data() + 6, from.octets.data(), 6);
    put16(f, 12, type);
    f.insert(f.end(), payload.begin(), payload.end());
    return f;
}

inline Frame arp(u16 op, MacAddr sha, Ipv4Addr spa, MacAddr tha, Ipv4Addr tpa) {
    Frame f{0, 1, 8, 0, 6, 4, 0, 0};
    put16(f, 6, op);
    f.insert(f.end(), sha.octets.begin(), sha.octets.end());
    f.resize(18);
    put32(f, 14, spa.value);
    f.insert(f.end(), tha.octets.begin(), tha.octets.end());
    f.resize(28);
    put32(f, 24, tpa.value);
    return f;
}

inline void fix_ip_checksum(Frame& ip) {
    put16(ip, 10, 0);
    put16(ip, 10, internet_checksum(bytes_of(ip).first((ip[0] & 15) * 4u)));
}

inline Frame ipv4(u8 protocol, Ipv4Addr source, Ipv4Addr destination, const Frame& payload, const Frame& options = {}) {
    Frame f(20 + options.size());
    f[0] = static_cast<u8>(0x40 | f.size() / 4);
    put16(f, 2, static_cast<u32>(f.size() + payload.size()));
    f[8] = 64;
    f[9] = protocol;
    put32(f, 12, source.value);
    put32(f, 16, destination.value);
    std::copy(options.begin(), options.end(), f.begin() + 20);
    fix_ip_checksum(f);
    f.insert(f.end(), payload.begin(), payload.end());
    return f;
}

inline Frame udp(u16 from, u16 to, const Frame& payload) {
    Frame f(8);
    put16(f, 0, from);
    put16(f, 2, to);
    put16(f, 4, static_cast<u32>(8 + payload.size()));  // checksum 0: none
    f.insert(f.end(), payload.begin(), payload.end());
    return f;
}

inline Frame icmp_echo(u16 id, u16 sequence, usize payload) {
    Frame f(8 + payload);
    f[0] = 8;
    put16(f, 4, id);
    put16(f, 6, sequence);
    for (usize i = 0; i < payload; ++i) f[8 + i] = static_cast<u8>(i * 3);
    put16(f, 2, internet_checksum(bytes_of(f)));
    return f;
}

inline constexpr MacAddr kPeerMac{{2, 0, 0, 0, 0, 9}};
inline constexpr Ipv4Addr kPeer = Ipv4Addr::of(10, 0, 0, 9);
inline constexpr MacAddr kOurMac{{2, 0, 0, 0, 0, 1}};
inline constexpr Ipv4Addr kOurs = Ipv4Addr::of(10, 0, 0, 1);

/// Makes `h` know the peer, so that answers go out at once; swallows the announcements.
inline void introduce_peer(Host& h, Instant now) {
    h.stack.poll(now);
    h.input(ethernet(kOurMac, kPeerMac, 0x0806, arp(1, kPeerMac, kPeer, {}, kOurs)), now);
    h.output_all(now);
}

}  // namespace ringlet::net::test
