// Names and time through two services: a name server and a time server on one, the resolver and the clock on the other.
#include "lib/endian.hpp"
#include "net/api/resolver.hpp"
#include "net/api/time_sync.hpp"
#include "tests/unit/net/api_fixture.hpp"

using namespace ringlet;
using namespace ringlet::net;
using namespace ringlet::net::test;

namespace {

/// A name server with one address for every name: "long…" by TCP alone, "slow…" after the first question was lost.
class NameServer {
public:
    explicit NameServer(Service& service)
        : udp_(*UdpSocket::bind(service, {{}, 53})),
          tcp_(*TcpListener::bind(service, 53)), threads_{std::thread([this] { by_udp(); }),
                                                          std::thread([this] { by_tcp(); })} {}
    ~NameServer() {
        stop_ = true;
        for (std::thread& t : threads_) t.join();
    }
    std::atomic<int> asked{0}, asked_by_tcp{0};

private:
    using Data = std::vector<std::byte>;
    static Data answer(Bytes query, bool truncated) {
        Data m(query.begin(), query.end());
        usize at = 12;
        (void)dns::Name::read(query, at);
        m.resize(at + 4);
        m[2] = std::byte{static_cast<u8>(truncated ? 0x83 : 0x81)};
        m[3] = std::byte{0x80};
        m[7] = std::byte{static_cast<u8>(truncated ? 0 : 1)};
        m[11] = std::byte{0};
        const u8 record[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 2};
        for (const u8 b : record)
            if (!truncated) m.push_back(std::byte{b});
        return m;
    }
    void by_udp() {
        std::byte query[512];
        int slow = 0;
        while (!stop_) {
            const auto q = udp_.receive_from(query, Duration::from_ms(50));
            if (!q) continue;
            ++asked;
            const char first = static_cast<char>(query[13]);
            if (first == 's' && slow++ == 0) continue;
            if (!udp_.send_to(q->from, answer(Bytes(query).first(q->size), first == 'l'))) return;
        }
    }
    void by_tcp() {
        while (!stop_) {
            auto c = tcp_.accept(Duration::from_ms(50));
            if (!c) continue;
            c->set_read_timeout(Duration::from_s(5));
            std::byte query[514];
            usize n = 0;
            while (n < 2 || n < 2u + *read_at<be16>(query, 0)) {
                const auto got = c->read(std::span(query).subspan(n));
                if (!got || *got == 0) break;
                n += *got;
            }
            if (n < 14) continue;
            ++asked_by_tcp;
            const Data m = answer(Bytes(query, n).subspan(2), false);
            const be16 length = static_cast<u16>(m.size());
            (void)c->write(std::as_bytes(std::span(&length, 1)));  // in two parts
            (void)c->write(m);
        }
    }
    std::atomic<bool> stop_{false};
    UdpSocket udp_;
    TcpListener tcp_;
    std::thread threads_[2];
};

NameSettings served_by(IpAddr server) {
    NameSettings names;
    names.dns.try_push_back(server);
    names.ntp.try_push_back(server);
    return names;
}

}  // namespace

TEST_CASE("api: names: by UDP, by TCP, again after a loss, once for many threads") {
    Net net(served_by(kB));
    NameResolver names(net.a.service);
    CHECK(names.counters().queries == 0);
    {
        NameServer server(net.b.service);
        const auto plain = names.resolve("www.x.org");
        REQUIRE(plain);
        CHECK((*plain)[0] == IpAddr(kB));
        CHECK(server.asked == 1);
        CHECK(names.resolve("www.x.org"));
        CHECK(server.asked == 1);
        CHECK(names.resolve("long.x.org"));
        CHECK(server.asked_by_tcp == 1);
        const auto slow = kernel::now();
        CHECK(names.resolve("slow.x.org"));
        CHECK((kernel::now() - slow).ms() >= 1000);
        std::vector<std::thread> threads;
        std::atomic<int> good{0};
        const int before = server.asked;
        for (int i = 0; i < 8; ++i)
            threads.emplace_back([&] { good += names.resolve("many.x.org", Family::ipv4).has_value(); });
        for (std::thread& t : threads) t.join();
        CHECK(good == 8);
        CHECK(server.asked == before + 1);
        CHECK(names.resolve("10.1.2.3").value()[0] == IpAddr(Ipv4Addr::of(10, 1, 2, 3)));
        CHECK(names.resolve("no name").error() == Error::invalid);
    }
    // Nobody listens any more: ICMP says so at once.
    const auto start = kernel::now();
    CHECK(names.resolve("www.y.org").error() == Error::unreachable);
    CHECK((kernel::now() - start).ms() < 900);
    // All sockets are gone, the resolver's too.
    usize sockets = 0;
    REQUIRE(net.a.service.for_each_socket([&](const SocketInfo&) { ++sockets; }));
    CHECK(sockets == 0);
}

TEST_CASE("api: names: a server that is not there: the caller's time-out holds") {
    Net net(served_by(Ipv4Addr::of(10, 0, 0, 77)));
    NameResolver names(net.a.service);
    const auto start = kernel::now();
    CHECK(names.resolve("www.x.org", Family::any, Duration::from_ms(100)).error() == Error::timed_out);
    CHECK((kernel::now() - start).ms() < 2000);
    NameResolver without(net.b.service);
    CHECK(without.resolve("www.x.org").error() == Error::unreachable);
}

TEST_CASE("api: the clock is set by a time server, whose lies are passed over") {
    Net net(served_by(kB));
    auto server = UdpSocket::bind(net.b.service, {{}, 123});
    REQUIRE(server);
    constexpr u64 kTruth = 1'900'000'000ull;
    std::thread answers([&] {
        std::byte m[64];
        const auto q = server->receive_from(m, kSoon);
        if (!q || q->size != 48) return;
        std::memcpy(m + 24, m + 40, 8);
        m[0] = std::byte{0x24};
        m[1] = std::byte{1};
        const be64 time = (kTruth + 2'208'988'800ull) << 32;
        std::memcpy(m + 32, &time, 8);
        std::memcpy(m + 40, &time, 8);
        std::byte lie[48];
        std::memcpy(lie, m, 48);
        lie[24] ^= std::byte{1};
        (void)server->send_to(q->from, lie);
        (void)server->send_to(q->from, Bytes(m).first(48));
    });
    TimeSync sync(net.a.service);
    CHECK(sync.wait_until_set(kSoon).error() == Error::not_connected);
    REQUIRE(sync.start());
    CHECK(sync.wait_until_set(kSoon));
    answers.join();
    const u64 wall = kernel::wall_clock_ns() / 1'000'000'000;
    CHECK(wall >= kTruth);
    CHECK(wall < kTruth + 30);
    const auto status = sync.status();
    CHECK(status.refused == 1);
    CHECK(status.good == 1);
    CHECK(status.server == IpAddr(kB));
}
