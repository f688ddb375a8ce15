// Everything between a socket and the wire at once, in virtual time: TCP over IPv4 and IPv6, the pump with its quick
// rounds and second looks, the driver, its rings, and an emulator that leaves fences out (docs/virtio.md), while frames
// are lost, doubled, damaged and overtaken. The application sleeps until it is told. RINGLET_WIRE_SEEDS=n runs n seeds
// (default 8), RINGLET_WIRE_SEED=s repeats one.
#include <queue>
#include <random>

#include "net/api/service.hpp"
#include "net/ipv6.hpp"
#include "tests/unit/environment.hpp"
#include "tests/unit/net/fixture.hpp"
#include "tests/unit/virtio/net_world.hpp"

using namespace ringlet;
using device::Way;
using net::tcp::Handle, net::tcp::Tcp;

namespace {

struct Quality {
    double loss, duplicate, reorder, corrupt;
    double forgets;  ///< how often a ring's two sides miss each other where they could
};
constexpr Quality kQualities[] = {
    {0, 0, 0, 0, 0.3}, {0.01, 0.01, 0.05, 0.005, 0.05}, {0.05, 0.01, 0.05, 0.005, 0.02}, {0.12, 0, 0.02, 0, 0}};

std::byte noise(u64 i) {
    return std::byte(i * 0x9e3779b97f4a7c15ull >> 56);
}

/// One end of a conversation: sends `total` bytes and reads as many, or reads only when it has sent all back.
struct Talker {
    Talker(Tcp& t, bool e) : tcp(t), echoes(e) {}
    Tcp& tcp;
    const bool echoes;
    std::optional<Handle> h;
    usize total = 0, written = 0, read = 0, wrong = 0;
    std::deque<std::byte> pending;
    bool ended = false, finished = false;
    std::optional<Error> error;

    /// As far as it goes without waiting.
    void run(Instant now) {
        if (!h || over()) return;
        for (bool moved = true; moved && !error;) moved = pull(now) | push(now);
        if (!finished && !error && (echoes ? ended && pending.empty() : written == total))
            finished = tcp.shutdown_write(*h, now).has_value();
    }
    bool over() const { return error || (ended && finished); }

private:
    bool pull(Instant now) {
        std::byte buffer[4000];
        if (ended || !pending.empty()) return false;
        const auto n = tcp.read(*h, buffer, now);
        if (!n) return note(n.error());
        ended = *n == 0;
        for (usize i = 0; i < *n; ++i) wrong += buffer[i] != noise(read + i);
        read += *n;
        if (echoes) pending.insert(pending.end(), buffer, buffer + *n);
        return *n != 0;
    }
    bool push(Instant now) {
        std::byte buffer[5000];
        usize n = std::min(sizeof buffer, echoes ? pending.size() : total - written);
        if (n == 0) return false;
        for (usize i = 0; i < n; ++i) buffer[i] = echoes ? pending[i] : noise(written + i);
        const auto done = tcp.write(*h, {buffer, n}, now);
        if (!done) return note(done.error());
        if (echoes) pending.erase(pending.begin(), pending.begin() + long(*done));
        written += *done;
        return *done != 0;
    }
    bool note(Error e) {
        if (e != Error::would_block && e != Error::not_connected) error = e;
        return false;
    }
};

net::StackConfig config(u8 n) {
    net::StackConfig c = net::test::Host::config(n);
    c.ipv6 = &net::make_ipv6;
    c.fixed6.address = *net::IpAddr::parse(n == 1 ? "2001:db8:9::1" : "2001:db8:9::2");
    c.tcp.time_wait = Duration::from_s(2);
    // Small enough that both directions come to a halt while one of them repairs a loss.
    c.tcp.send_buffer_bytes = c.tcp.send_buffer_most = 16384;
    c.tcp.receive_buffer_bytes = c.tcp.receive_buffer_most = 16384;
    return c;
}

class Simulation : net::detail::Observer {
public:
    Simulation(Way way, const Quality& q, u64 seed)
        : Observer{[](Observer& self) { static_cast<Simulation&>(self).roused_ = true; }}, quality_(q), random_(seed),
          world_(way), peer_(config(2), 400) {
        arch::host::use_virtual_clock(now_);
        REQUIRE(world_.start({.csum_disable = true}));
        auto ours = config(1);
        ours.mac = world_.nic->mac();
        core_.stack.emplace(ours, world_.pool, std::span<const net::InterfaceConfig>());
        core_.links[0] = world_.nic.get();
        core_.pump_links = net::detail::pump_one<Nic>;
        core_.watch_link = net::detail::watch_one<Nic>;
        core_.stack->start(now_);
        watch_.observer = this;
    }
    ~Simulation() {
        core_.stack.reset();
        arch::host::use_real_clock();
    }

    /// `bytes` there and back; `serves`: the machine with the driver answers.
    void talk(const char* to, bool serves, usize bytes) {
        const bool v6 = std::string_view(to).find(':') != std::string_view::npos;
        run_for(Duration::from_s(v6 ? 3 : 1));  // duplicate addresses are looked for before they are used
        net::Stack &server = serves ? *core_.stack : peer_.stack, &client = serves ? peer_.stack : *core_.stack;
        const auto listener = *server.tcp().listen({{}, 7}, 4);
        Talker asks(client.tcp(), false), answers(server.tcp(), true);
        asks.total = bytes;
        const auto h = client.connect({*net::IpAddr::parse(to), 7}, now_);
        REQUIRE(h);
        asks.h = *h;
        ours_ = serves ? &answers : &asks;
        theirs_ = serves ? &asks : &answers;
        core_.stack->tcp().set_user_data(serves ? listener : *h, &watch_);
        listener_ = listener, accepts_ = &server;
        roused_ = true;
        const Instant limit = now_ + Duration::from_s(60);
        while (!(asks.over() && answers.over())) {
            if (now_ >= limit) describe();
            REQUIRE(now_ < limit);
            step(limit);
        }
        CHECK((!asks.error && !answers.error));
        CHECK((asks.read == bytes && answers.read == bytes && asks.wrong + answers.wrong == 0));
        client.tcp().close(*asks.h, now_);
        server.tcp().close(*answers.h, now_);
        server.tcp().close(listener, now_);
        ours_ = theirs_ = nullptr, accepts_ = nullptr;
        run_for(Duration::from_s(130));
        CHECK(client.tcp().connections() + server.tcp().connections() == 0);
    }
    u64 forgotten = 0;

private:
    using World = device::NetWorld<virtio::NetConfig{}>;
    using Nic = virtio::Net<World::kC>;
    struct Frame {
        Instant at;
        u64 order;
        bool to_us;
        net::test::Frame bytes;
        bool operator<(const Frame& o) const { return std::tie(o.at, o.order) < std::tie(at, order); }
    };

    bool chance(double p) { return std::uniform_real_distribution<>(0, 1)(random_) < p; }
    void run_for(Duration d) {
        for (const Instant end = now_ + d; now_ < end;) step(end);
    }

    void step(Instant end) {
        machine();
        peer_.stack.poll(now_);
        if (theirs_ != nullptr) accept_and_run(*theirs_, peer_.stack);
        while (auto f = peer_.output(now_)) carry(true, std::move(*f));
        Instant next = std::min({end, peer_.stack.deadline(), core_.deadline()});
        if (!frames_.empty()) next = std::min(next, frames_.top().at);
        now_ = std::max(now_ + Duration::from_us(1), next);
        arch::host::advance_to(now_);
        for (; !frames_.empty() && frames_.top().at <= now_; frames_.pop()) {
            const Frame& f = frames_.top();
            if (f.to_us)
                (void)world_.dev.receive(f.bytes);
            else
                peer_.input(f.bytes, now_);
        }
    }

    /// The machine with the driver: its network runs when it was interrupted or its alarm went off, its application
    /// when it was told.
    void machine() {
        if (world_.nic->polled()) world_.nic->poll(), world_.wakes = 1;
        while (std::exchange(world_.wakes, 0) != 0 || now_ >= core_.deadline() || roused_) {
            round();
            if (!std::exchange(roused_, false) || ours_ == nullptr) continue;
            accept_and_run(*ours_, *core_.stack);
            if (core_.stack->has_output() || core_.stack->is_starved()) round();
        }
        for (const auto& s : std::exchange(world_.dev.sent, {})) carry(false, s.frame);
    }
    void round() {
        auto& transmit = world_.dev.queues[1].ring;
        const bool forgets = chance(quality_.forgets);
        if (forgets) transmit.busy();  // it looks for itself, so that the driver rings no bell, ...
        const usize before = world_.dev.sent.size();
        if (core_.pump(now_)) world_.wakes = 1;
        if (forgets && transmit.sleep() && world_.dev.sent.size() == before) ++forgotten;  // ... and falls asleep
        if (!frames_.empty() && frames_.top().to_us && !core_.second_look.is_never() && chance(quality_.forgets)) {
            const int wakes = world_.wakes;  // the next frame comes while the driver asks for interrupts
            const auto deaf = std::exchange(world_.dev.send_message, [](u16) {});
            (void)world_.dev.receive(frames_.top().bytes);
            world_.dev.send_message = deaf;
            forgotten += world_.wakes == wakes;
            frames_.pop();
        }
    }
    void accept_and_run(Talker& t, net::Stack& stack) {
        if (!t.h && accepts_ == &stack)
            if (auto h = stack.tcp().accept(listener_)) {
                t.h = *h;
                if (&t == ours_) stack.tcp().set_user_data(*h, &watch_);
            }
        t.run(now_);
    }

    void carry(bool to_us, net::test::Frame f) {
        if (chance(quality_.loss)) return;
        if (chance(quality_.corrupt)) {
            const usize at = 14 + random_() % (f.size() - 14);
            if (f[12] != 8 || f[13] != 6) f[at] ^= u8(1u << random_() % 8);
        }
        const i64 us = 50 + (chance(quality_.reorder) ? 5000 : 0);
        const int copies = chance(quality_.duplicate) ? 2 : 1;
        for (int i = 0; i < copies; ++i) frames_.push({now_ + Duration::from_us(us), order_++, to_us, f});
    }

    void describe() {
        for (net::Stack* stack : {&*core_.stack, &peer_.stack})
            stack->tcp().for_each([&](const net::tcp::Info& i) {
                UNSCOPED_INFO((stack == &peer_.stack ? "peer " : "ours ")
                              << to_string(i.state) << " sendq " << i.send_queue << " recvq " << i.receive_queue
                              << " wnd " << i.send_window << " cwnd " << i.congestion_window << " retransmissions "
                              << i.retransmissions);
            });
        UNSCOPED_INFO("deadline in " << (core_.deadline().is_never() ? -1 : (core_.deadline() - now_).ns) << " ns");
    }

    Quality quality_;
    std::mt19937_64 random_;
    Instant now_{1'000'000'000};
    World world_;
    net::test::Host peer_;
    net::detail::Core core_;
    net::detail::Watch watch_;
    bool roused_ = false;
    Talker *ours_ = nullptr, *theirs_ = nullptr;
    net::Stack* accepts_ = nullptr;
    Handle listener_;
    u64 order_ = 0;
    std::priority_queue<Frame> frames_;
};

}  // namespace

TEST_CASE("Over a bad wire, and a device that forgets fences, every byte arrives in time") {
    const u64 one = environment("RINGLET_WIRE_SEED", 0), seeds = one != 0 ? one : environment("RINGLET_WIRE_SEEDS", 8);
    u64 forgotten = 0;
    for (u64 seed = one != 0 ? one : 1; seed <= seeds; ++seed) {
        for (const Quality& q : kQualities) {
            INFO("seed " << seed << ", loss " << q.loss);
            const bool v6 = (seed & 1) != 0, serves = (seed & 2) != 0;
            Simulation s(Way::pci_vectors, q, seed);
            s.talk(v6 ? (serves ? "2001:db8:9::1" : "2001:db8:9::2") : (serves ? "10.0.0.1" : "10.0.0.2"), serves,
                   400'000);
            forgotten += s.forgotten;
        }
    }
    CHECK(forgotten > seeds);
}
