// Two Tcp instances and a seeded, hostile network in virtual time. Whatever it does, bytes arrive once and in order,
// every connection ends, memory stays bounded and every buffer comes home. RINGLET_NETSIM_SEEDS=n runs n seeds per
// profile (default 2: a few seconds); RINGLET_NETSIM_SEED=s repeats one; "[long]" is the long run (docs/testing.md).
#include <catch2/catch.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <vector>

#include "net/tcp/tcp.hpp"
#include "tests/unit/environment.hpp"
#include "tests/unit/net/cut.hpp"

namespace {

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::tcp;

struct Profile {
    const char* name;
    double loss = 0, duplicate = 0, reorder = 0, corrupt = 0;
    i64 delay_us = 500, jitter_us = 0;
    usize pool = 256, window = 32768;
    u32 connections = 4;
    usize bytes = 200'000;
    bool slow_reader = false;
    u32 gso = 0;       ///< bytes of the largest segment the sender's link cuts
    double merge = 0;  ///< how many large segments arrive merged, over several buffers
    usize send_buffer = 32768;
    usize most = 0;         ///< to which both buffers may grow
    double icmp = -1;       ///< the path's MTU changes all the time; how often it says so when a frame was too large
    bool flaps = false;     ///< the link goes down and up again; every other time nobody notices
    bool plain = false;     ///< the path takes SACK and timestamps out of SYNs
    i64 think_s = 0;        ///< a writer rests up to this long between two writes
    i64 patience_s = 3600;  ///< until all must be over
};

using Random = std::mt19937_64;
bool chance(Random& r, double p) {
    return std::uniform_real_distribution<>(0, 1)(r) < p;
}
u64 below(Random& r, u64 n) {
    return std::uniform_int_distribution<u64>(0, n - 1)(r);
}

std::byte expected(u64 stream, u64 i) {
    u64 x = (stream * 0x9e3779b97f4a7c15ull) ^ (i * 0xff51afd7ed558ccdull);
    return static_cast<std::byte>(x >> 29);
}

struct Memory {
    explicit Memory(usize n) : bytes(n * PacketBuffer::kSize), pool({bytes.data(), bytes.size()}, DmaAddr(0)) {}
    std::vector<std::byte> bytes;
    PacketPool pool;
};

/// Bytes that are lent, and gone with their loan.
struct Lent : Loan {
    Lent(std::vector<std::byte>&& b, u64& n) : Loan(over), bytes(std::move(b)), alive(n) { ++alive; }
    static void over(Loan& l) {
        auto& self = static_cast<Lent&>(l);
        --self.alive;
        delete &self;
    }
    std::vector<std::byte> bytes;
    u64& alive;
};

struct Stream {
    Handle h;
    u64 id_out, id_in;
    u64 sent = 0, received = 0, total;
    bool finished_writing = false, peer_finished = false;
    Instant rests_until{};
    std::optional<Error> error{};
};

struct Host {
    Memory memory;
    Tcp tcp;
    Ipv4Addr address;
    std::vector<Stream> streams;
    Host(const Config& c, usize packets, Ipv4Addr a) : memory(packets), tcp(c, memory.pool), address(a) {}
};

class Simulation {
public:
    Simulation(const Profile& p, u64 seed)
        : profile_(p), random_(seed), a_(config(p, 1), p.pool, Ipv4Addr::of(10, 0, 0, 1)),
          b_(config(p, 2), p.pool, Ipv4Addr::of(10, 0, 0, 2)) {}

    void run() {
        listener_ = *b_.tcp.listen({{}, 80}, static_cast<u16>(std::max(64u, profile_.connections)));
        for (u32 i = 0; i < profile_.connections; ++i) {
            auto h = a_.tcp.connect({a_.address, 0}, {b_.address, 80}, now_);
            REQUIRE(h);
            const u16 port = a_.tcp.info(*h)->local.port;
            a_.streams.push_back(
                {.h = *h, .id_out = port * 2u, .id_in = port * 2u + 1, .total = 1 + below(random_, profile_.bytes)});
        }
        const Instant limit = now_ + Duration::from_s(profile_.patience_s);
        if (profile_.flaps) flap_at_ = now_ + Duration::from_ms(200);
        while (!done()) {
            REQUIRE(now_ < limit);
            step();
        }
        for (Host* h : {&a_, &b_}) {
            CHECK(h->memory.pool.free() == h->memory.pool.total());
            CHECK(h->memory.pool.free_views() == h->memory.pool.total() / 2);
            CHECK(h->tcp.packets_held() == 0);
        }
        CHECK(opened_ == profile_.connections);
        CHECK(loans_ == 0);
        if (profile_.gso != 0) CHECK(a_.tcp.stats().gso_out + b_.tcp.stats().gso_out != 0);
        CHECK((large_ != 0) == (profile_.merge != 0));
        if (profile_.icmp >= 0) CHECK(too_large_ != 0);
    }
    Instant elapsed() const { return now_; }
    double connection_hours() const { return connection_seconds_ / 3600; }

private:
    struct Frame {
        Instant at;
        u64 order;
        Host* to;
        IpAddr source, destination;
        std::vector<std::byte> bytes;
        u16 merged = 0;  // segment size of a merged frame
        bool operator<(const Frame& o) const { return std::tie(o.at, o.order) < std::tie(at, order); }
    };

    static Config config(const Profile& p, u8 who) {
        Config c;
        c.receive_buffer_bytes = p.window;
        c.send_buffer_bytes = p.send_buffer;
        c.send_buffer_most = c.receive_buffer_most = p.most;
        c.gso_bytes = p.gso;
        c.tx_checksum_offload = p.gso != 0;
        c.fragments = p.gso != 0 ? 36 : 1;
        c.secret.fill(who);
        c.time_wait = Duration::from_s(5);
        c.orphan_timeout = Duration::from_s(600);
        c.give_up = Duration::from_s(1200);
        c.max_connections = std::max(512u, p.connections + 64);
        c.max_half_open = std::max(128u, p.connections);
        c.syn_timeout = Duration::from_s(600);
        return c;
    }

    bool done() {
        return a_.streams.empty() && b_.streams.empty() && opened_ == profile_.connections && frames_.empty() &&
               a_.tcp.connections() == 0 && b_.tcp.connections() == 0;
    }

    /// The carrier, or only the path, goes away or comes back.
    void flap() {
        down_ = !down_;
        if (down_) noticed_ = !noticed_;
        if (noticed_)
            for (Host* h : {&a_, &b_}) h->tcp.set_link(!down_, now_);
        const bool over = opened_ == profile_.connections && a_.streams.empty() && b_.streams.empty();
        flap_at_ = over && !down_ ? Instant::never() : now_ + Duration::from_ms(1 + i64(below(random_, 2500)));
    }

    void step() {
        if (flap_at_ <= now_) flap();
        for (Host* h : {&a_, &b_}) {
            h->tcp.poll(now_);
            application(*h);
            while (auto o = h->tcp.output(now_)) carry(*h, *o);
            CHECK(h->tcp.packets_held() <= h->memory.pool.total() / 8 * 7);
            while (h->tcp.next_ready()) {
            }
        }
        Instant next = std::min(a_.tcp.deadline(), b_.tcp.deadline());
        if (!frames_.empty()) next = std::min(next, frames_.top().at);
        next = std::min(next, flap_at_);
        if (profile_.think_s != 0)
            for (Host* h : {&a_, &b_})
                for (const Stream& s : h->streams)
                    if (s.rests_until > now_) next = std::min(next, s.rests_until);
        if (profile_.slow_reader && !(a_.streams.empty() && b_.streams.empty()))
            next = std::min(next, now_ + Duration::from_ms(30));
        if (next.is_never() && done()) return;
        if (next.is_never()) describe();
        REQUIRE_FALSE(next.is_never());  // somebody waits for something that will never come
        connection_seconds_ += double((std::max(next, now_) - now_).ns) / 1e9 * a_.tcp.connections();
        now_ = std::max(next, now_);
        if (next <= now_) stuck_ = next == last_ ? stuck_ + 1 : 0;
        last_ = next;
        REQUIRE(stuck_ < 10'000);
        while (!frames_.empty() && frames_.top().at <= now_) {
            const Frame& f = frames_.top();
            // A NIC without buffers drops.
            auto p = test::scatter(f.to->memory.pool, f.bytes, f.merged != 0 ? 60 + below(random_, 1500) : 2048 - 128,
                                   1 + below(random_, 2048));
            if (p) {
                if (f.merged != 0) p->meta().gso_size = f.merged;
                if (f.merged != 0) p->meta().checksum = PacketMeta::Checksum::verified;
                f.to->tcp.input_of_batch(f.source, f.destination, std::move(*p), now_);
            }
            frames_.pop();
        }
    }

    void describe() {
        for (Host* h : {&a_, &b_}) {
            h->tcp.for_each([&](const Info& i) {
                UNSCOPED_INFO((h == &a_ ? "a " : "b ") << to_string(i.state) << " port " << i.local.port << " sendq "
                                                       << i.send_queue << " recvq " << i.receive_queue << " wnd "
                                                       << i.send_window << " cwnd " << i.congestion_window);
            });
            for (Stream& s : h->streams)
                UNSCOPED_INFO((h == &a_ ? "a" : "b") << " stream " << s.id_in << " sent " << s.sent << "/" << s.total
                                                     << " received " << s.received << " eof " << s.peer_finished);
        }
        UNSCOPED_INFO("opened " << opened_);
    }

    void carry(Host& from, Tcp::Outgoing& o) {
        Host& to = &from == &a_ ? b_ : a_;
        if (o.packet.meta().gso != PacketMeta::Gso::none && chance(random_, profile_.merge)) {
            large_ += 1;
            frames_.push({now_ + Duration::from_us(profile_.delay_us), order_++, &to, o.source, o.destination,
                          test::joined(o.packet), o.packet.meta().gso_size});
            return;
        }
        for (auto& bytes : test::cut(o.packet, 0, o.source, o.destination)) {
            if (profile_.plain) make_plain(bytes, o);
            if (profile_.icmp < 0 || fits(from, bytes, o)) carry(to, o, std::move(bytes));
        }
    }

    /// False: the frame is larger than the path takes just now. Its sender may be told.
    bool fits(Host& from, const std::vector<std::byte>& bytes, const Tcp::Outgoing& o) {
        if (now_ >= mtu_until_) {
            constexpr u16 kMtus[] = {1500, 1500, 1400, 1280, 600};
            mtu_ = too_large_ == 0 ? u16{1280} : kMtus[below(random_, std::size(kMtus))];
            mtu_until_ = now_ + Duration::from_ms(20 + i64(below(random_, chance(random_, 0.2) ? 5000 : 300)));
        }
        if (bytes.size() + 20 <= mtu_) return true;
        ++too_large_;
        const auto s = parse(o.destination, o.source, bytes);
        if (s && chance(random_, profile_.icmp))
            from.tcp.on_unreachable({o.source, s->remote.port}, {o.destination, s->local.port}, s->seq,
                                    Unreachable::fragmentation_needed, mtu_, now_);
        return false;
    }
    /// A middlebox that does not like SACK and timestamps.
    static void make_plain(std::vector<std::byte>& b, const Tcp::Outgoing& o) {
        if ((b[13] & std::byte{flag::syn}) == std::byte{}) return;
        const usize end = usize(b[12]) >> 4 << 2;
        for (usize at = 20; at < end;) {
            const u8 kind = u8(b[at]);
            const usize length = kind <= 1 ? 1 : usize(b[at + 1]);
            if (kind == 4 || kind == 8) std::fill_n(b.begin() + long(at), length, std::byte{1});
            at += length;
        }
        b[16] = b[17] = std::byte{};
        InternetSum sum = InternetSum::pseudo_header(o.source, o.destination, 6, b.size());
        sum.add(b);
        const be16 field = sum.checksum();
        std::memcpy(b.data() + 16, &field, 2);
    }

    void carry(Host& to, Tcp::Outgoing& o, std::vector<std::byte> whole) {
        if (down_) return;
        if (chance(random_, profile_.loss)) return;
        const int copies = chance(random_, profile_.duplicate) ? 2 : 1;
        for (int i = 0; i < copies; ++i) {
            i64 us =
                profile_.delay_us + (profile_.jitter_us ? static_cast<i64>(below(random_, profile_.jitter_us)) : 0);
            if (chance(random_, profile_.reorder)) us += static_cast<i64>(below(random_, 20'000));
            std::vector<std::byte> bytes = whole;
            if (chance(random_, profile_.corrupt))
                bytes[below(random_, bytes.size())] ^= std::byte(1 << below(random_, 8));
            frames_.push({now_ + Duration::from_us(us), order_++, &to, o.source, o.destination, std::move(bytes), 0});
        }
    }

    void application(Host& h) {
        if (&h == &b_) {
            while (auto c = b_.tcp.accept(listener_)) {
                const u16 port = b_.tcp.info(*c)->remote.port;
                b_.streams.push_back({.h = *c,
                                      .id_out = port * 2u + 1,
                                      .id_in = port * 2u,
                                      .total = 1 + below(random_, profile_.bytes)});
                ++opened_;
            }
        }
        for (usize i = 0; i < h.streams.size();) {
            Stream& s = h.streams[i];
            pump_out(h, s);
            if (!profile_.slow_reader || chance(random_, 0.3)) pump_in(h, s);
            if (s.error)
                FAIL("stream " << s.id_in << " error " << int(*s.error) << " sent " << s.sent << "/" << s.total);
            if (s.finished_writing && s.peer_finished) {
                h.tcp.close(s.h, now_);
                h.streams.erase(h.streams.begin() + static_cast<std::ptrdiff_t>(i));
            } else {
                ++i;
            }
        }
    }

    void pump_out(Host& h, Stream& s) {
        while (s.sent < s.total) {
            if (now_ < s.rests_until) return;
            std::vector<std::byte> chunk(std::min<u64>(s.total - s.sent, 1 + below(random_, 9000)));
            for (usize i = 0; i < chunk.size(); ++i) chunk[i] = expected(s.id_out, s.sent + i);
            auto n = write(h, s, std::move(chunk));
            if (!n) {
                if (n.error() != Error::would_block) s.error = n.error();
                return;
            }
            REQUIRE(*n != 0);
            s.sent += *n;
            if (profile_.think_s != 0)
                s.rests_until = now_ + Duration::from_ms(i64(below(random_, u64(profile_.think_s) * 1000)));
        }
        if (s.finished_writing) return;
        auto r = h.tcp.shutdown_write(s.h, now_);
        if (!r) s.error = r.error();
        s.finished_writing = true;
    }

    /// By a copy, or lent.
    Result<usize> write(Host& h, const Stream& s, std::vector<std::byte> chunk) {
        if (chance(random_, 0.5)) return h.tcp.write(s.h, chunk, now_);
        auto* lent = new Lent(std::move(chunk), loans_);
        const u64 distance = u64(lent->bytes.data()) - u64(h.memory.bytes.data());
        const auto n = h.tcp.lend(s.h, lent->bytes, DmaAddr(distance), lent, now_);
        lent->drop();
        return n;
    }

    void pump_in(Host& h, Stream& s) {
        std::byte buffer[4096];
        for (int rounds = 0; rounds < (profile_.slow_reader ? 1 : 100); ++rounds) {
            const usize want = 1 + below(random_, sizeof(buffer));
            auto n = h.tcp.read(s.h, MutableBytes(buffer, want), now_);
            if (!n) {
                if (n.error() != Error::would_block && n.error() != Error::not_connected) s.error = n.error();
                return;
            }
            if (*n == 0) {
                s.peer_finished = true;
                return;
            }
            for (usize i = 0; i < *n; ++i)
                if (buffer[i] != expected(s.id_in, s.received + i))
                    FAIL("wrong byte " << s.received + i << " of stream " << s.id_in);
            s.received += *n;
        }
    }

    u64 loans_ = 0;  ///< not over; above the hosts, which end them
    Profile profile_;
    Random random_;
    Instant now_{1'000'000'000}, last_{};
    int stuck_ = 0;
    Host a_, b_;
    Handle listener_;
    u32 opened_ = 0;
    u64 order_ = 0, large_ = 0, too_large_ = 0;
    u16 mtu_ = 1500;
    Instant mtu_until_{}, flap_at_ = Instant::never();
    bool down_ = false, noticed_ = false;
    double connection_seconds_ = 0;
    std::priority_queue<Frame> frames_;
};

const Profile kProfiles[] = {
    {.name = "clean"},
    {.name = "loss 1 %", .loss = 0.01},
    {.name = "loss 10 %", .loss = 0.10, .bytes = 60'000},
    {.name = "loss 20 %", .loss = 0.20, .bytes = 20'000},
    {.name = "duplicates", .duplicate = 0.3},
    {.name = "reordering", .reorder = 0.3},
    {.name = "corruption", .corrupt = 0.05, .bytes = 60'000},
    {.name = "everything",
     .loss = 0.05,
     .duplicate = 0.05,
     .reorder = 0.1,
     .corrupt = 0.02,
     .jitter_us = 3000,
     .bytes = 60'000},
    {.name = "long fat", .loss = 0.001, .delay_us = 80'000, .window = 65536, .bytes = 400'000},
    {.name = "growing buffers", .loss = 0.001, .delay_us = 20'000, .pool = 1024, .bytes = 900'000, .most = 262'144},
    {.name = "large segments", .loss = 0.005, .window = 65536, .gso = 65535, .send_buffer = 65536},
    {.name = "large segments, many lost", .loss = 0.08, .reorder = 0.1, .bytes = 60'000, .gso = 20'000},
    {.name = "merged", .loss = 0.01, .window = 65536, .gso = 65535, .merge = 0.7, .send_buffer = 131'072},
    {.name = "merged, poor pool",
     .loss = 0.02,
     .reorder = 0.05,
     .pool = 48,
     .window = 16384,
     .bytes = 60'000,
     .slow_reader = true,
     .gso = 65535,
     .merge = 0.5},
    {.name = "MTU changes, said", .loss = 0.005, .delay_us = 5'000, .icmp = 1},
    {.name = "MTU changes, sometimes said", .loss = 0.005, .delay_us = 5'000, .bytes = 60'000, .icmp = 0.3},
    {.name = "black holes", .delay_us = 5'000, .bytes = 60'000, .icmp = 0},
    {.name = "flaps", .loss = 0.01, .reorder = 0.02, .delay_us = 20'000, .flaps = true},
    {.name = "no SACK, no timestamps", .loss = 0.03, .reorder = 0.03, .bytes = 60'000, .plain = true},
    {.name = "no SACK, large segments",
     .loss = 0.01,
     .duplicate = 0.02,
     .window = 65536,
     .gso = 65535,
     .send_buffer = 65536,
     .plain = true},
    {.name = "slow reader", .loss = 0.01, .bytes = 100'000, .slow_reader = true},
    {.name = "poor pool",
     .loss = 0.02,
     .pool = 24,
     .window = 4096,
     .connections = 6,
     .bytes = 30'000,
     .slow_reader = true},
    {.name = "many", .loss = 0.02, .reorder = 0.05, .pool = 128, .window = 8192, .connections = 40, .bytes = 8'000},
};

}  // namespace

TEST_CASE("Bytes arrive once and in order, every connection ends, every buffer comes home") {
    const u64 only = environment("RINGLET_NETSIM_SEED", 0);
    const u64 seeds = only != 0 ? 1 : environment("RINGLET_NETSIM_SEEDS", 2);
    for (const Profile& p : kProfiles) {
        for (u64 i = 0; i < seeds; ++i) {
            const u64 seed = only != 0 ? only : 20'261'122 + i;
            INFO("profile " << p.name << ", RINGLET_NETSIM_SEED=" << seed);
            Simulation(p, seed).run();
        }
    }
}

TEST_CASE("Connection-hours: connections that mostly wait", "[.][long]") {
    const u64 seed = environment("RINGLET_NETSIM_SEED", 1);
    const u64 hours = environment("RINGLET_NETSIM_HOURS", 1000);
    double done = 0;
    for (u64 round = 0; done < 1000.0 * double(hours); ++round) {
        INFO("RINGLET_NETSIM_SEED=" << seed + round);
        Profile p{.name = "hours", .loss = 0.02, .duplicate = 0.01, .reorder = 0.02, .corrupt = 0.01};
        p.delay_us = 40'000;
        p.pool = 1024;
        p.window = 16384;
        p.connections = 100;
        p.bytes = 400'000;
        p.think_s = 7200;
        p.patience_s = 3600 * 24 * 365;
        Simulation s(p, seed + round);
        s.run();
        done += s.connection_hours();
    }
    std::printf("%.0f connection-hours\n", done);
}
