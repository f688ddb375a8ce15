// The blocking face with real threads: two services joined by a wire whose ends interrupt each other, as NICs do.
#include <catch2/catch.hpp>

#include <arch/host.hpp>
#include <atomic>
#include <map>
#include <thread>
#include <vector>

#include "tests/unit/net/api_fixture.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

/// An event-loop echo server until told to stop; counts what it served.
class EchoServer {
public:
    explicit EchoServer(Service& service) : selector_(service), listener_(*TcpListener::bind(service, 7)) {
        REQUIRE(selector_.add(listener_, 0, Interest::read));
        thread_ = std::thread([this] { run(); });
    }
    ~EchoServer() {
        stop_ = true;
        selector_.wake();
        thread_.join();
    }
    std::atomic<int> finished{0};

private:
    struct Client {
        TcpStream stream;
        std::vector<std::byte> pending;
        bool at_end = false;
    };
    void run() {
        Ready ready[16];
        u64 next = 1;
        while (!stop_) {
            for (const Ready& r : selector_.wait(ready, Instant::never())) {
                if (r.token != 0) {
                    serve(r);
                    continue;
                }
                while (auto s = listener_.try_accept()) {
                    if (!selector_.add(*s, next, Interest::read)) std::abort();
                    clients_.emplace(next++, Client{std::move(*s), {}});
                }
            }
        }
    }
    void serve(const Ready& r) {
        Client& c = clients_.at(r.token);
        std::byte buffer[3000];
        bool gone = false;
        if (r.readable || r.finished) {
            const auto n = c.stream.try_read(buffer);
            if (n && *n == 0)
                c.at_end = true;
            else if (n)
                c.pending.insert(c.pending.end(), buffer, buffer + *n);
            else if (n.error() != Error::would_block)
                gone = true;
        }
        while (!gone && !c.pending.empty()) {
            const auto n = c.stream.try_write(c.pending);
            if (!n) {
                gone = n.error() != Error::would_block;
                break;
            }
            c.pending.erase(c.pending.begin(), c.pending.begin() + static_cast<i64>(*n));
        }
        if (gone || (c.at_end && c.pending.empty())) {
            clients_.erase(r.token);
            ++finished;
            return;
        }
        const Interest wanted = c.at_end ? Interest::write : c.pending.empty() ? Interest::read : Interest::both;
        if (!selector_.modify(c.stream, wanted)) std::abort();
    }
    std::atomic<bool> stop_{false};
    std::map<u64, Client> clients_;
    Selector selector_;
    TcpListener listener_;
    std::thread thread_;
};

}  // namespace

TEST_CASE("api: ping, address, tables") {
    Net net;
    CHECK(net.a.service.wait_for_address(kSoon)->address == kA);
    for (u16 size : {u16{0}, u16{56}, u16{1472}}) {
        const auto r = net.a.service.ping(kB, size, kSoon);
        REQUIRE(r);
        CHECK(r->bytes == size);
        CHECK(r->ttl == 64);
    }
    CHECK(net.a.service.ping(Ipv4Addr::of(10, 0, 0, 77), 8, Duration::from_ms(50)).error() == Error::timed_out);
    CHECK(net.a.service.ping(Ipv4Addr::of(11, 0, 0, 1), 8, kSoon).error() == Error::unreachable);
    usize neighbours = 0;
    REQUIRE(net.a.service.for_each_neighbour([&](const NeighbourInfo&) { ++neighbours; }));
    CHECK(neighbours == 2);
    CHECK(net.a.service.statistics().stack.icmp_reply_in == 3);
}

namespace {

/// Two machines without their threads: the time is ours. The stack of the first is at rest.
struct Alone {
    Alone() {
        a.end.connect(b.end, a.service);
        b.end.connect(a.end, b.service);
        StackConfig config;
        config.addressing = Addressing::fixed;
        config.fixed = {kA, 24, {}, {}};
        core.stack.emplace(config, a.pool, std::span<const InterfaceConfig>());
        core.links[0] = &a.end;
        core.pump_links = net::detail::pump_one<WireEnd>;
        core.watch_link = net::detail::watch_one<WireEnd>;
        core.stack->start(now);
        const auto quiet = [&] { return core.deadline() > now + Duration::from_s(3600); };
        for (int i = 0; i < 1000 && !quiet(); ++i) {  // announcements, duplicate addresses, routers
            (void)core.pump(now);
            now = std::max(now, std::min(core.deadline(), now + Duration::from_s(3600)));
        }
        REQUIRE(quiet());
    }
    void send(std::span<const u8> frame) {
        auto p = b.pool.allocate().value();
        std::memcpy(p.append(frame.size()).data(), frame.data(), frame.size());
        b.end.transmit(std::move(p));
        b.end.flush();
    }
    Machine a{1}, b{2};
    net::detail::Core core;
    Instant now = Instant{} + Duration::from_s(1);
};

}  // namespace

TEST_CASE("api: what an interrupt should have told is found by a second look; then all is quiet") {
    Alone w;
    const u8 question[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0,  0, 0, 0, 2, 8, 6, 0, 1, 8, 0,  6, 4, 0,
                           1,    2,    0,    0,    0,    0,    2, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 10, 0, 0, 1};
    w.send(question);
    (void)w.core.pump(w.now);
    CHECK(w.core.stack->statistics().arp_in == 1);
    CHECK(w.core.second_look == w.now + net::detail::Core::kSecondLook);
    CHECK(w.core.deadline() <= w.core.second_look);
    w.send(question);  // and nobody is told
    w.now = w.core.second_look;
    (void)w.core.pump(w.now);
    CHECK(w.core.stack->statistics().arp_in == 2);
    w.now = w.core.second_look;
    REQUIRE_FALSE(w.now.is_never());
    w.a.end.is_stuck = true;
    (void)w.core.pump(w.now);
    w.now = w.core.second_look;
    REQUIRE_FALSE(w.now.is_never());  // a device that keeps what it should send is not left alone
    w.a.end.is_stuck = false;
    (void)w.core.pump(w.now);
    CHECK(w.core.second_look.is_never());
}

TEST_CASE("api: a round with nothing to send leaves the sending half out, but not for long") {
    Alone w;
    const u8 noise[] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5, 0, 0};  // a type for experiments: no answer
    const auto round = [&] {
        const u64 before = w.a.end.rooms;
        w.send(noise);
        (void)w.core.pump(w.now);
        return w.a.end.rooms - before;
    };
    CHECK(round() == 1);  // the first after a rest
    CHECK(round() == 0);
    CHECK(w.core.stack->statistics().ethernet_unknown_type == 2);
    w.a.end.is_settled = false;
    CHECK(round() == 1);
    w.a.end.is_settled = true;
    CHECK(round() == 0);
    w.core.stack->note_starved(true, w.now);
    CHECK(round() == 1);
    CHECK(round() == 0);
    {
        auto whole = w.a.pool.allocate().value();
        whole.append(8);
        const auto view = w.a.pool.view(whole, 0, 8);
        (void)std::optional<PacketBuffer>(std::move(whole));
        CHECK(round() == 1);  // a buffer that lives only because a device is reading it
    }
    CHECK(round() == 0);
    w.core.stack->announce(w.now);  // something to say
    CHECK(round() == 1);
    w.now = w.core.second_look;
    CHECK(round() == 1);
}

namespace {

/// A socket whose waiters one can see.
struct Seen : UdpSocket {
    explicit Seen(UdpSocket&& socket) : UdpSocket(std::move(socket)) {}
    bool somebody_sleeps(Service& service) {
        auto held = service.lock();  // who waits has given it up
        return !watch_->waiters.empty();
    }
};

struct VirtualClock {
    VirtualClock() { arch::host::use_virtual_clock(Instant{} + Duration::from_s(1)); }
    ~VirtualClock() { arch::host::use_real_clock(); }
};

}  // namespace

TEST_CASE("api: what a round leaves in the device is fetched though who led has what it wants") {
    const VirtualClock time_stands_still;  // no alarm ends a sleep
    Net net;
    UdpSocket from = *UdpSocket::bind(net.a.service, {});
    Seen first(*UdpSocket::bind(net.b.service, {{}, 1})), second(*UdpSocket::bind(net.b.service, {{}, 2}));
    std::byte buffer[8], other[8];
    // Addresses are known after this, and the second look at what has moved is planned: it is the thread's alarm.
    REQUIRE(from.send_to({kB, 1}, text("?")));
    REQUIRE(first.receive_from(buffer, kSoon));
    std::thread leads([&] { CHECK(first.receive_from(buffer, kForever)); });
    while (!first.somebody_sleeps(net.b.service)) std::this_thread::yield();
    std::atomic<bool> arrived{false};
    std::thread waits([&] { arrived = second.receive_from(other, kForever).has_value(); });
    while (!second.somebody_sleeps(net.b.service)) std::this_thread::yield();
    {
        auto held = net.b.service.lock();  // nobody fetches meanwhile
        std::thread sends([&] {
            for (int i = 0; i < kPumpBudget; ++i) CHECK(from.send_to({kB, 1}, text("a")));
            CHECK(from.send_to({kB, 2}, text("b")));
        });
        sends.join();
    }
    leads.join();
    for (int i = 0; i < 500 && !arrived; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(arrived);
    net.b.service.interrupt();  // else it would wait for ever
    waits.join();
}

TEST_CASE("api: streams block, finish, time out, refuse") {
    Net net;
    CHECK(TcpStream::connect(net.a.service, {kB, 81}, kSoon).error() == Error::connection_refused);
    auto listener = TcpListener::bind(net.b.service, 80);
    REQUIRE(listener);
    CHECK(TcpListener::bind(net.b.service, 80).error() == Error::in_use);
    CHECK(listener->try_accept().error() == Error::would_block);
    CHECK(listener->accept(Duration::from_ms(20)).error() == Error::timed_out);
    auto client = TcpStream::connect(net.a.service, {kB, 80}, kSoon);
    REQUIRE(client);
    auto server = listener->accept(kSoon);
    REQUIRE(server);
    std::byte buffer[64];
    server->set_read_timeout(Duration::from_ms(20));
    CHECK(server->read(buffer).error() == Error::timed_out);
    server->set_read_timeout(kSoon);

    std::thread writer([&] { CHECK(client->write(text("hello"))); });
    CHECK(server->read(buffer) == 5u);
    writer.join();
    REQUIRE(client->shutdown_write());
    CHECK(server->read(buffer) == 0u);
    REQUIRE(server->write(text("bye")));
    server->close();
    CHECK_FALSE(server->is_open());
    CHECK(server->read(buffer).error() == Error::closed);
    CHECK(client->read(buffer) == 3u);
    CHECK(client->read(buffer) == 0u);

    // Megabytes both ways at once over one stream, into a reader that the window has to wait for.
    auto c2 = TcpStream::connect(net.a.service, {kB, 80}, kSoon);
    auto s2 = listener->accept(kSoon);
    REQUIRE((c2 && s2));
    std::vector<std::byte> data(2 << 20);
    for (usize i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 >> 3);
    std::atomic<int> good{0};
    auto push = [&](TcpStream& s) { good += s.write(data) && s.shutdown_write(); };
    auto pull = [&](TcpStream& s) {
        std::vector<std::byte> got;
        std::byte part[1999];
        while (true) {
            const auto n = s.read(part);
            if (!n || *n == 0) break;
            got.insert(got.end(), part, part + *n);
        }
        good += got == data;
    };
    std::thread threads[] = {std::thread([&] { push(*c2); }), std::thread([&] { push(*s2); }),
                             std::thread([&] { pull(*c2); }), std::thread([&] { pull(*s2); })};
    for (std::thread& t : threads) t.join();
    CHECK(good == 4);
}

TEST_CASE("api: a stream is read without a copy, and what is lent comes back") {
    Net net;
    auto listener = *TcpListener::bind(net.b.service, 80);
    auto client = *TcpStream::connect(net.a.service, {kB, 80}, kSoon);
    auto server = *listener.accept(kSoon);
    server.set_read_timeout(kSoon);
    CHECK(server.try_take().error() == Error::would_block);
    std::vector<std::byte> data(300'000), got;
    for (usize i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 7 >> 2);
    std::thread writer([&] { CHECK((client.write(data) && client.shutdown_write())); });
    std::optional<ReceivedBytes> kept;
    for (bool ended = false; !ended;) {
        auto part = server.try_take(10'000);
        if (!part && part.error() == Error::would_block) part = server.take(10'000);
        if (!part && part.error() == Error::no_memory) {
            kept.reset();
            continue;
        }
        REQUIRE(part);
        CHECK(part->size() <= 10'000);
        part->for_each([&](Bytes piece) { got.insert(got.end(), piece.begin(), piece.end()); });
        ended = part->size() == 0;
        if (!kept) kept.emplace(std::move(*part));  // held while more arrives: nobody writes into it
    }
    writer.join();
    CHECK(got == data);
    std::vector<std::byte> first;
    if (kept) kept->for_each([&](Bytes piece) { first.insert(first.end(), piece.begin(), piece.end()); });
    CHECK(std::equal(first.begin(), first.end(), data.begin()));
}

TEST_CASE("api: memory is lent to a stream and comes back, or is copied when no device can reach it") {
    Net net;
    TcpListener listener = *TcpListener::bind(net.b.service, 7);
    std::string got;
    std::thread server([&] {
        TcpStream s = *listener.accept();
        std::byte buffer[4096];
        while (const usize n = s.read(buffer).value_or(0)) got.append(reinterpret_cast<char*>(buffer), n);
    });
    TcpStream s = *TcpStream::connect(net.a.service, {kB, 7});
    const MutableBytes memory = net.a.lendable().first(600'000);
    for (usize i = 0; i < memory.size(); ++i) memory[i] = std::byte(i * 7 + i / 251);
    const std::string text(reinterpret_cast<char*>(memory.data()), memory.size());
    AwaitedLoan all, copied, begun;
    REQUIRE(s.lend(memory, &all));
    CHECK(all.wait(Duration::from_s(20)));
    std::ranges::fill(memory, std::byte(0));  // ours again
    std::string heap = text.substr(0, 5000);
    REQUIRE(s.lend(std::as_bytes(std::span(heap)), &copied));
    CHECK(copied.wait(Duration{}));
    std::ranges::fill(heap, '!');
    REQUIRE(s.shutdown_write());
    server.join();
    CHECK(got == text + text.substr(0, 5000));
    CHECK(s.try_lend(memory, &begun).error() == Error::closed);
    CHECK(begun.wait(Duration{}));
    CHECK_FALSE(begun.wait(Duration{}));
}

TEST_CASE("api: udp blocks and times out") {
    Net net;
    auto a = UdpSocket::bind(net.a.service, {});
    auto b = UdpSocket::bind(net.b.service, {{}, 53});
    REQUIRE((a && b));
    std::byte buffer[64];
    CHECK(b->try_receive_from(buffer).error() == Error::would_block);
    CHECK(b->receive_from(buffer, Duration::from_ms(20)).error() == Error::timed_out);
    REQUIRE(a->send_to({kB, 53}, text("question")));
    const auto q = b->receive_from(buffer, kSoon);
    REQUIRE(q);
    CHECK(q->size == 8);
    CHECK(q->from == Endpoint{kA, a->local()->port});
    REQUIRE(b->send_to(q->from, text("answer")));
    CHECK(a->receive_from(buffer, kSoon)->size == 6);
    usize sockets = 0;
    REQUIRE(net.a.service.for_each_socket([&](const SocketInfo& s) { sockets += s.kind == SocketInfo::Kind::udp; }));
    CHECK(sockets == 1);
}

TEST_CASE("api: udp in batches: sent with one kick, taken with one call") {
    Net net;
    auto a = UdpSocket::bind(net.a.service, {});
    auto b = UdpSocket::bind(net.b.service, {{}, 53});
    REQUIRE((a && b));
    REQUIRE(a->connect({kB, 53}));
    REQUIRE(a->send(text("warm")));  // ARP
    std::byte buffers[6][8];
    REQUIRE(b->receive_from(buffers[0], kSoon));
    const OutgoingDatagram out[] = {
        {{}, text("one")}, {{kB, 53}, text("two")}, {{}, text("three")}, {{}, text("four")}};
    const u64 kicks = net.a.end.kicks;
    CHECK(a->send_batch(out) == 4u);
    CHECK(net.a.end.kicks == kicks + 1);
    IncomingDatagram in[6];
    for (usize i = 0; i < 6; ++i) in[i].bytes = std::span(buffers[i]).first(i == 2 ? 2 : 8);
    usize got = 0;
    while (got < 4) {
        const auto n = b->receive_batch(std::span(in).subspan(got), kSoon);
        REQUIRE(n);
        got += *n;
    }
    CHECK(got == 4);
    CHECK(in[2].size == 5);
    CHECK(std::memcmp(buffers[2], "th", 2) == 0);
    CHECK(in[3].from == Endpoint{kA, a->local()->port});
    CHECK(b->receive_batch(in, Duration::from_ms(10)).error() == Error::timed_out);
    const OutgoingDatagram bad[] = {{{}, text("good")}, {{kB, 99}, text("not the peer")}};
    CHECK(a->send_batch(bad) == 1u);
    CHECK(a->send_batch(std::span(bad).subspan(1)).error() == Error::invalid);
    // A closed port is heard of.
    auto c = UdpSocket::bind(net.a.service, {});
    REQUIRE(c->connect({kB, 54}));
    REQUIRE(c->send(text("anybody?")));
    CHECK(c->receive_from(buffers[0], kSoon).error() == Error::connection_refused);
}

TEST_CASE("api: a selector serves many connections, most of them idle") {
    Net net;
    {
        EchoServer server(net.b.service);
        std::vector<TcpStream> idle;
        for (int i = 0; i < 100; ++i) idle.push_back(*TcpStream::connect(net.a.service, {kB, 7}, kSoon));
        std::vector<std::thread> threads;
        std::atomic<int> good{0};
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&, t] {
                for (int i = 0; i < 10; ++i) {
                    auto s = TcpStream::connect(net.a.service, {kB, 7}, kSoon);
                    if (!s) return;
                    s->set_read_timeout(kSoon);
                    std::vector<std::byte> data(static_cast<usize>(1 + i * 700 + t)), got(data.size());
                    for (usize k = 0; k < data.size(); ++k) data[k] = static_cast<std::byte>(k + static_cast<usize>(t));
                    if (!s->write(data)) return;
                    for (usize at = 0; at < got.size();) {
                        const auto n = s->read(std::span(got).subspan(at));
                        if (!n || *n == 0) return;
                        at += *n;
                    }
                    good += got == data;
                }
            });
        }
        for (std::thread& t : threads) t.join();
        CHECK(good == 40);
        idle.clear();
        for (int i = 0; i < 2000 && server.finished != 140; ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        CHECK(server.finished == 140);
    }
}

TEST_CASE("api: one request costs about one kick and one interrupt") {
    Net net;
    EchoServer server(net.b.service);
    auto s = TcpStream::connect(net.a.service, {kB, 7}, kSoon);
    REQUIRE(s);
    s->set_read_timeout(kSoon);
    std::byte buffer[16];
    const u64 kicks = net.b.end.kicks, interrupts = net.b.end.interrupts;
    for (int i = 0; i < 200; ++i) {
        REQUIRE(s->write(text("ping")));
        REQUIRE(s->read(buffer) == 4u);
    }
    // A delayed acknowledgement may slip in when a thread is late; two per request would be a design error.
    CHECK(net.b.end.kicks - kicks < 300);
    CHECK(net.b.end.interrupts - interrupts < 300);
}

TEST_CASE("api: a selector forgets, wakes, times out") {
    Net net;
    Selector selector(net.a.service);
    Ready ready[4];
    CHECK(selector.wait(ready, kernel::now() + Duration::from_ms(20)).empty());
    selector.wake();
    CHECK(selector.wait(ready, Instant::never()).empty());
    auto udp = UdpSocket::bind(net.a.service, {{}, 9});
    REQUIRE(udp);
    REQUIRE(selector.add(*udp, 42, Interest::both));
    CHECK(selector.add(*udp, 42, Interest::both).error() == Error::exists);
    auto got = selector.wait(ready, Instant::never());
    REQUIRE(got.size() == 1);
    CHECK(got[0].token == 42);
    CHECK(got[0].writable);
    CHECK_FALSE(got[0].readable);
    REQUIRE(selector.modify(*udp, Interest::read));
    CHECK(selector.wait(ready, kernel::now() + Duration::from_ms(5)).empty());
    REQUIRE(udp->try_send_to({kA, 9}, text("to myself")));
    got = selector.wait(ready, kernel::now() + kSoon);  // sends, loops back, reports
    REQUIRE(got.size() == 1);
    CHECK(got[0].readable);
    selector.remove(*udp);
    CHECK(selector.wait(ready, kernel::now() + Duration::from_ms(5)).empty());
    CHECK(selector.modify(*udp, Interest::read).error() == Error::not_found);
    REQUIRE(selector.add(*udp, 1, Interest::read));
    udp->close();
    CHECK(selector.wait(ready, kernel::now() + Duration::from_ms(5)).empty());
    // A connection that is refused says so.
    auto s = TcpStream::start_connect(net.a.service, {kB, 999});
    REQUIRE(s);
    REQUIRE(selector.add(*s, 5, Interest::write));
    got = selector.wait(ready, kernel::now() + kSoon);
    REQUIRE(got.size() == 1);
    CHECK(got[0].finished);
}

TEST_CASE("api: without a NIC the loopback works and the rest says why not") {
    std::vector<std::byte> memory(32 * PacketBuffer::kSize);
    PacketPool pool(memory, DmaAddr(0));
    NullLink link;
    Service service;
    CHECK(TcpListener::bind(service, 80).error() == Error::unreachable);
    CHECK(service.interface().ipv4.address.is_unspecified());
    StackConfig config;
    config.addressing = Addressing::none;
    REQUIRE(service.open(link, pool, config));
    CHECK(service.open(link, pool, StackConfig{}).error() == Error::exists);
    std::thread thread([&] { service.run(); });
    CHECK(service.ping(Ipv4Addr::of(127, 0, 0, 1), 100, kSoon));
    CHECK(service.ping(kB, 100, kSoon).error() == Error::unreachable);
    CHECK(service.wait_for_address(Duration::from_ms(10)).error() == Error::timed_out);
    CHECK(service.control([](LinkControl&) { return Result<>{}; }).error() == Error::unsupported);
    auto listener = TcpListener::bind(service, 80);
    auto c = TcpStream::connect(service, {Ipv4Addr::of(127, 0, 0, 1), 80}, kSoon);
    REQUIRE(c);
    CHECK(listener->accept(kSoon));
    service.stop();
    thread.join();
}
