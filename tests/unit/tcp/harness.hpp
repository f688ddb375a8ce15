// One Tcp, a scripted peer, and a clock that only the test moves. The peer speaks in segments relative to its own and
// our initial sequence numbers, so that the tests read like the RFC's figures.
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "net/checksum.hpp"
#include "net/tcp/tcp.hpp"

namespace tcp_test {

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::tcp;

inline const Ipv4Addr kUs = Ipv4Addr::of(10, 0, 2, 15), kPeer = Ipv4Addr::of(10, 0, 2, 2);
inline constexpr u16 kPort = 80, kPeerPort = 40000;
inline constexpr u32 kPeerIsn = 0xffff'ff00;  // wraps soon in every test

/// Buffers, and the proof at the end that all of them came home.
struct TestPool {
    explicit TestPool(usize count)
        : memory(static_cast<std::byte*>(std::aligned_alloc(64, count * PacketBuffer::kSize))),
          pool({memory, count * PacketBuffer::kSize}, DmaAddr(0)) {}
    ~TestPool() {
        CHECK(pool.free() == pool.total());
        CHECK(pool.free_views() == pool.total() / 2);
        std::free(memory);
    }
    /// The device's name for any memory, if all of it is as far from it as the pool is.
    DmaAddr name(const void* p) const { return DmaAddr(reinterpret_cast<u64>(p) - reinterpret_cast<u64>(memory)); }
    std::byte* memory;
    PacketPool pool;
};

constexpr u8 F = flag::fin, S = flag::syn, R = flag::rst, P = flag::psh, A = flag::ack;

/// What arrived from us: sequence numbers relative to the two ISNs.
struct Seen {
    u32 seq = 0, ack = 0;
    u8 flags = 0;
    u16 window = 0;
    std::string data;
    Segment raw;
};

inline std::string show(const Seen& s) {
    std::string f;
    for (auto [bit, name] : {std::pair{S, 'S'}, {F, 'F'}, {R, 'R'}, {P, 'P'}, {A, 'A'}})
        if (s.flags & bit) f += name;
    return f + " seq=" + std::to_string(s.seq) + " ack=" + std::to_string(s.ack) +
           " len=" + std::to_string(s.data.size()) + " wnd=" + std::to_string(s.window);
}

struct Harness {
    TestPool buffers;
    Config config;
    std::unique_ptr<Tcp> tcp;
    Instant now{1'000'000'000'000};
    Handle listener{}, h{};
    u32 our_isn = 0;  // learnt from our SYN
    u32 peer_isn = kPeerIsn;
    u16 peer_port = kPeerPort;
    u16 our_port = kPort;

    static Config defaults() {
        Config c;
        c.send_buffer_bytes = 16384;
        c.receive_buffer_bytes = 16384;
        c.send_buffer_most = c.receive_buffer_most = 0;  // they stay
        c.secret = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
        return c;
    }
    explicit Harness(Config c = defaults(), usize packets = 128)
        : buffers(packets), config(c), tcp(std::make_unique<Tcp>(c, buffers.pool)) {}

    static std::string text(usize n, char first = 'a') {
        std::string s(n, ' ');
        for (usize i = 0; i < n; ++i) s[i] = static_cast<char>(first + i % 23);
        return s;
    }

    // --- the peer ---
    Segment make(u32 seq, u32 ack, u8 flags, u16 window = 8192) const {
        Segment s;
        s.local = {kPeer, peer_port};
        s.remote = {kUs, our_port};
        s.seq = SeqNum(peer_isn + seq);
        s.ack = SeqNum((flags & A) ? our_isn + ack : 0);
        s.flags = flags;
        s.window = window;
        return s;
    }
    void send_raw(const Segment& s, const std::string& data = "") {
        const Bytes bytes = std::as_bytes(std::span(data.data(), data.size()));
        auto p = build(buffers.pool, s, {&bytes, 1}, TxChecksum::complete);
        REQUIRE(p);
        tcp->input(s.local.address, s.remote.address, std::move(*p), now);
    }
    void send(u32 seq, u32 ack, u8 flags, const std::string& data = "", u16 window = 8192) {
        send_raw(make(seq, ack, flags, window), data);
    }
    std::optional<Seen> next() {
        auto o = tcp->output(now);
        if (!o) return std::nullopt;
        const MutableBytes d = o->packet.data();
        CHECK(o->packet.headroom() >= 60);
        if (!config.tx_checksum_offload) CHECK(checksum_ok(o->source, o->destination, d));
        auto s = parse(o->source, o->destination, d);
        REQUIRE(s);
        Seen seen;
        seen.raw = *s;
        if (s->flags & S) our_isn = s->seq.raw();
        seen.seq = s->seq.raw() - our_isn;
        seen.ack = (s->flags & A) ? s->ack.raw() - peer_isn : 0;
        seen.flags = s->flags;
        seen.window = s->window;
        seen.data.assign(reinterpret_cast<const char*>(d.data()) + s->header_bytes, s->length);
        return seen;
    }
    /// Exactly this comes next; PSH is not compared.
    Seen expect(u32 seq, u32 ack, u8 flags, usize length = 0) {
        auto s = next();
        INFO("expected flags=" << int(flags) << " seq=" << seq << " ack=" << ack << " len=" << length);
        REQUIRE(s);
        INFO("got " << show(*s));
        CHECK((s->flags & ~P) == flags);
        CHECK(s->seq == seq);
        CHECK(s->ack == ack);
        CHECK(s->data.size() == length);
        return *s;
    }
    void expect_none() {
        auto s = next();
        INFO((s ? show(*s) : std::string()));
        CHECK_FALSE(s);
    }
    void drain() {
        while (next()) {
        }
    }
    void advance(Duration d) {
        now = now + d;
        tcp->poll(now);
    }

    /// On to the next timer that makes us say something (a deadline may come early).
    void fire() {
        for (int i = 0; i < 10 && !tcp->has_output(); ++i) {
            REQUIRE_FALSE(tcp->deadline().is_never());
            now = std::max(now, tcp->deadline());
            tcp->poll(now);
        }
    }

    // --- our application ---
    std::string read(usize n = 65536) {
        std::string s(n, '\0');
        auto r = tcp->read(h, std::as_writable_bytes(std::span(s.data(), n)), now);
        if (!r) return "";
        s.resize(*r);
        return s;
    }
    Result<usize> read_result() {
        std::byte b[1];
        return tcp->read(h, b, now);
    }
    Result<usize> write(const std::string& s) {
        return tcp->write(h, std::as_bytes(std::span(s.data(), s.size())), now);
    }
    State state() {
        State found = State::closed;
        tcp->for_each([&](const Info& i) {
            if (i.state != State::listen) found = i.state;
        });
        return found;
    }

    // --- roads to each state (RFC 9293 figure 5) ---
    void listen(u16 backlog = 8) {
        auto l = tcp->listen({{}, kPort}, backlog);
        REQUIRE(l);
        listener = *l;
    }
    void to_syn_received() {
        listen();
        send(0, 0, S);
        expect(0, 1, S | A);
        CHECK(state() == State::syn_received);
    }
    void to_established() {
        to_syn_received();
        send(1, 1, A);
        expect_none();
        auto a = tcp->accept(listener);
        REQUIRE(a);
        h = *a;
        CHECK(state() == State::established);
    }
    Seen to_syn_sent() {
        auto c = tcp->connect({kUs, kPort}, {kPeer, kPeerPort}, now);
        REQUIRE(c);
        h = *c;
        Seen syn = expect(0, 0, S);
        CHECK(state() == State::syn_sent);
        return syn;
    }
    void to_fin_wait_1() {
        to_established();
        REQUIRE(tcp->shutdown_write(h, now));
        expect(1, 1, F | A);
        CHECK(state() == State::fin_wait_1);
    }
    void to_fin_wait_2() {
        to_fin_wait_1();
        send(1, 2, A);
        expect_none();
        CHECK(state() == State::fin_wait_2);
    }
    void to_closing() {
        to_fin_wait_1();
        send(1, 1, F | A);
        expect(2, 2, A);
        CHECK(state() == State::closing);
    }
    void to_time_wait() {
        to_fin_wait_2();
        send(1, 2, F | A);
        expect(2, 2, A);
        CHECK(state() == State::time_wait);
    }
    void to_close_wait() {
        to_established();
        send(1, 1, F | A);
        expect(1, 2, A);
        CHECK(state() == State::close_wait);
    }
    void to_last_ack() {
        to_close_wait();
        REQUIRE(tcp->shutdown_write(h, now));
        expect(1, 2, F | A);
        CHECK(state() == State::last_ack);
    }
    void to(State s) {
        switch (s) {
        case State::listen:
            listen();
            break;
        case State::syn_sent:
            to_syn_sent();
            break;
        case State::syn_received:
            to_syn_received();
            break;
        case State::established:
            to_established();
            break;
        case State::fin_wait_1:
            to_fin_wait_1();
            break;
        case State::fin_wait_2:
            to_fin_wait_2();
            break;
        case State::close_wait:
            to_close_wait();
            break;
        case State::closing:
            to_closing();
            break;
        case State::last_ack:
            to_last_ack();
            break;
        case State::time_wait:
            to_time_wait();
            break;
        case State::closed:
            break;
        }
    }
};

inline const State kAllStates[] = {State::closed,      State::listen,     State::syn_sent,   State::syn_received,
                                   State::established, State::fin_wait_1, State::fin_wait_2, State::close_wait,
                                   State::closing,     State::last_ack,   State::time_wait};

}  // namespace tcp_test
