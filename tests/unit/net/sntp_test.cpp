// SNTP in virtual time: what is believed, what the clock is told, when it asks again. And the wall clock as a value.
#include <catch2/catch.hpp>

#include <random>
#include <string>
#include <vector>

#include "kernel/time/wall_clock.hpp"
#include "lib/endian.hpp"
#include "net/sntp.hpp"
#include "tests/fuzz/parsers.hpp"

using namespace ringlet;
using namespace ringlet::net;

namespace {

constexpr u64 kSecond = 1'000'000'000;
constexpr u64 kBoot = 1'800'000'000 * kSecond;  // true time when our uptime was 0
constexpr IpAddr kFirst = Ipv4Addr::of(10, 0, 0, 1), kSecondServer = Ipv4Addr::of(10, 0, 0, 2);

u64 ntp(u64 unix_ns) {
    return (unix_ns / kSecond + 2'208'988'800) << 32 | ((unix_ns % kSecond) << 32) / kSecond;
}

/// A client, its clock that is wrong by `error`, and a server whose clock is right.
struct Bench {
    Sntp s{SipKey{7, 8}};
    Instant now{5 * kSecond};
    i64 error = 0;  // of our wall clock; negative: it is late
    std::array<std::byte, 48> request, answer;
    IpAddr asked;

    explicit Bench(std::vector<IpAddr> servers = {kFirst}) { s.set_servers(servers, now); }
    u64 truth() const { return kBoot + now.ns; }
    u64 wall() const { return truth() + static_cast<u64>(error); }
    /// Runs to the next request.
    void next() {
        for (int i = 0; i < 100; ++i) {
            s.poll(now);
            if (const auto to = s.output(request, now)) {
                asked = *to;
                return;
            }
            REQUIRE_FALSE(s.deadline().is_never());
            now = std::max(now, s.deadline());
        }
        FAIL("it asks nothing");
    }
    /// What an honest server would say: 5 ms there, 1 ms inside, 5 ms back.
    void prepare() {
        answer.fill({});
        answer[0] = std::byte{0x24};
        answer[1] = std::byte{2};
        std::memcpy(answer.data() + 24, request.data() + 40, 8);
        now = now + Duration::from_ms(5);
        put(32, ntp(truth()));
        now = now + Duration::from_ms(1);
        put(40, ntp(truth()));
        now = now + Duration::from_ms(5);
    }
    void put(usize at, u64 v) {
        const be64 wire = v;
        std::memcpy(answer.data() + at, &wire, 8);
    }
    void deliver() { s.input(answer, wall(), now); }
    std::optional<Sntp::Correction> exchange() {
        next();
        prepare();
        deliver();
        return s.take_correction();
    }
};

i64 off(i64 a, i64 b) {
    return a < b ? b - a : a - b;
}

}  // namespace

TEST_CASE("sntp: the request gives nothing away; the first answer sets the clock") {
    Bench b;
    b.error = -static_cast<i64>(b.truth());  // we know nothing
    b.next();
    CHECK(b.asked == kFirst);
    CHECK(b.request[0] == std::byte{0x23});
    for (usize i = 1; i < 40; ++i) CHECK(b.request[i] == std::byte{0});
    const u64 nonce = *read_at<be64>(b.request, 40);
    b.prepare();
    b.deliver();
    const auto c = b.s.take_correction();
    REQUIRE(c);
    CHECK(c->how == Sntp::Correction::How::step);
    CHECK(off(static_cast<i64>(c->unix_ns), static_cast<i64>(b.truth())) < 1000);
    CHECK(c->at == b.now);
    CHECK_FALSE(b.s.take_correction());
    const auto status = b.s.status();
    CHECK(status.synchronised);
    CHECK(status.stratum == 2);
    CHECK(status.delay.ms() == 10);
    CHECK((status.next - b.now).ms() == 64'000);
    b.next();
    CHECK(*read_at<be64>(b.request, 40) != nonce);
}

TEST_CASE("sntp: answers that cannot be right are not believed, and the right one still is") {
    struct Case {
        const char* why;
        void (*spoil)(Bench&);
    };
    const Case cases[] = {
        {"another nonce", [](Bench& b) { b.answer[24] ^= std::byte{1}; }},
        {"no nonce", [](Bench& b) { b.put(24, 0); }},
        {"a client's mode", [](Bench& b) { b.answer[0] = std::byte{0x23}; }},
        {"a broadcast", [](Bench& b) { b.answer[0] = std::byte{0x25}; }},
        {"version 2", [](Bench& b) { b.answer[0] = std::byte{0x14}; }},
        {"version 5", [](Bench& b) { b.answer[0] = std::byte{0x2c}; }},
        {"unsynchronised", [](Bench& b) { b.answer[0] = std::byte{0xe4}; }},
        {"stratum 16", [](Bench& b) { b.answer[1] = std::byte{16}; }},
        {"a kiss of an unknown kind", [](Bench& b) { b.answer[1] = std::byte{0}; }},
        {"no transmit time", [](Bench& b) { b.put(40, 0); }},
        {"no receive time", [](Bench& b) { b.put(32, 0); }},
        {"sent before it was received", [](Bench& b) { b.put(40, ntp(b.truth() - kSecond)); }},
        {"longer inside than we waited", [](Bench& b) { b.put(32, ntp(b.truth() - kSecond)); }},
        {"a root too far away", [](Bench& b) { b.answer[5] = std::byte{4}; }},
        {"a dispersion too large", [](Bench& b) { b.answer[9] = std::byte{2}; }},
        {"all ones at the root", [](Bench& b) { std::memset(b.answer.data() + 4, 0xff, 8); }},
    };
    for (const Case& c : cases) {
        INFO(c.why);
        Bench b;
        b.next();
        b.prepare();
        const auto good = b.answer;
        c.spoil(b);
        b.deliver();
        CHECK_FALSE(b.s.take_correction());
        CHECK(b.s.is_waiting());
        CHECK(b.s.status().refused == 1);
        b.answer = good;
        for (usize n = 0; n < 48; ++n) b.s.input(Bytes(good).first(n), b.wall(), b.now);
        CHECK_FALSE(b.s.take_correction());
        b.deliver();
        CHECK(b.s.take_correction());
        b.deliver();  // once more: a replay
        CHECK_FALSE(b.s.take_correction());
    }
}

TEST_CASE("sntp: small errors are slewed, the pause grows while the clock is steady") {
    Bench b;
    REQUIRE(b.exchange());
    b.error = -30'000'000;
    auto c = b.exchange();
    REQUIRE(c);
    CHECK(c->how == Sntp::Correction::How::slew);
    CHECK(off(c->offset_ns, 30'000'000) < 1000);
    CHECK((b.s.status().next - b.now).ms() == 64'000);  // too large to relax
    b.error = 1'000'000;
    std::vector<i64> pauses;
    for (int i = 0; i < 6; ++i) {
        c = b.exchange();
        REQUIRE(c);
        CHECK(off(c->offset_ns, -1'000'000) < 1000);
        pauses.push_back((b.s.status().next - b.now).ms() / 1000);
    }
    CHECK(pauses == std::vector<i64>{128, 256, 512, 1024, 1024, 1024});
}

TEST_CASE("sntp: once set, the clock jumps only when a second answer confirms it") {
    Bench b;
    REQUIRE(b.exchange());
    b.error = -10 * static_cast<i64>(kSecond);
    CHECK_FALSE(b.exchange());
    CHECK((b.s.status().next - b.now).ms() == 16'000);
    SECTION("confirmed") {
        const auto c = b.exchange();
        REQUIRE(c);
        CHECK(c->how == Sntp::Correction::How::step);
    }
    SECTION("contradicted: it was one lie") {
        b.error = 500'000;
        CHECK(b.exchange()->how == Sntp::Correction::How::slew);
        b.error = -10 * static_cast<i64>(kSecond);
        CHECK_FALSE(b.exchange());  // and doubt begins afresh
    }
    SECTION("another jump: doubted again") {
        b.error = 3600 * static_cast<i64>(kSecond);
        CHECK_FALSE(b.exchange());
        CHECK(b.exchange());
    }
}

TEST_CASE("sntp: silence: the next server at once, the same one only after 16 s, and ever later") {
    Bench b({kFirst, kSecondServer});
    std::vector<i64> at;
    const Instant start = b.now;
    for (int i = 0; i < 8; ++i) {
        b.next();
        CHECK(b.asked == (i % 2 == 0 ? kFirst : kSecondServer));
        at.push_back((b.now - start).ms() / 1000);
    }
    CHECK(at == std::vector<i64>{0, 3, 22, 25, 60, 63, 130, 133});
    for (int i = 0; i < 40; ++i) b.next();
    const Instant before = b.now;
    b.next();
    b.next();
    CHECK((b.now - before).ms() / 1000 <= 1024 + 6);
    CHECK(b.s.status().sent == 50);
    b.prepare();
    b.deliver();
    CHECK(b.s.take_correction());
}

TEST_CASE("sntp: kisses of death: less often, or never again") {
    Bench b({kFirst, kSecondServer});
    auto kiss = [&](const char* code) {
        b.next();
        b.prepare();
        b.answer[1] = std::byte{0};
        std::memcpy(b.answer.data() + 12, code, 4);
        b.deliver();
        CHECK_FALSE(b.s.take_correction());
    };
    kiss("RATE");
    CHECK((b.s.status().next - b.now).ms() == 128'000);
    kiss("DENY");
    for (int i = 0; i < 5; ++i) {
        b.next();
        CHECK(b.asked == kSecondServer);
    }
    kiss("RSTR");
    CHECK(b.s.deadline().is_never());
    // Other servers, another chance; the same again are no news.
    const IpAddr same[] = {kFirst, kSecondServer}, other[] = {kSecondServer};
    b.s.set_servers(same, b.now);
    CHECK(b.s.deadline().is_never());
    b.s.set_servers(other, b.now);
    CHECK(b.exchange());
    b.s.set_servers({}, b.now);
    CHECK(b.s.deadline().is_never());
    b.s.poll(b.now);
    CHECK_FALSE(b.s.output(b.request, b.now));
}

TEST_CASE("sntp: times of the next era are understood") {
    Bench b;
    b.next();
    b.prepare();
    const u64 then = (u64{1} << 32) * kSecond - 2'208'988'800 * kSecond + 86400 * kSecond;  // a day after 2036-02-07
    b.put(32, (86400ull << 32));
    b.put(40, (86400ull << 32) + (1 << 20));
    b.deliver();
    const auto c = b.s.take_correction();
    REQUIRE(c);
    CHECK(c->unix_ns / kSecond == then / kSecond);
}

TEST_CASE("sntp: random answers, seed 4330") {
    const unsigned seed = 4330;
    std::mt19937 random(seed);
    for (u32 round = 0; round < 5'000; ++round) {
        std::vector<u8> bytes(48 * (1 + random() % 8));
        for (u8& b : bytes) b = static_cast<u8>(random() % 2 == 0 ? random() : random() % 4 == 0 ? 0x24 : 0);
        for (usize i = 0; i < bytes.size(); i += 48) bytes[i] = random() % 2 == 0 ? 0x24 : bytes[i];
        CAPTURE(seed, round);
        fuzz::sntp_message(bytes);
    }
}

TEST_CASE("wall clock: steps at once, slews at 500 millionths, never runs backwards") {
    using kernel::WallClock;
    WallClock w;
    CHECK(w.at(Instant{5}) == 0);
    w.slew(1000, Instant{5});
    CHECK(w.at(Instant{5}) == 0);
    w.step(kBoot, Instant{0});
    CHECK(w.at(Instant{7}) == kBoot + 7);
    for (const i64 amount : {i64{100'000'000}, i64{-100'000'000}}) {
        WallClock c;
        c.step(kBoot, Instant{0});
        c.slew(amount, Instant{0});
        CHECK(c.at(Instant{kSecond}) == kBoot + kSecond + static_cast<u64>(amount > 0 ? 500'000 : -500'000));
        u64 last = 0;
        for (u64 t = 0; t <= 300; ++t) {
            const u64 at = c.at(Instant{t * kSecond});
            CHECK(at > last);
            last = at;
        }
        CHECK(last == kBoot + 300 * kSecond + static_cast<u64>(amount));
        // Another correction takes over where the first one is.
        c.slew(amount, Instant{300 * kSecond});
        c.slew(0, Instant{301 * kSecond});
        CHECK(c.at(Instant{400 * kSecond}) ==
              kBoot + 400 * kSecond + static_cast<u64>(amount + (amount > 0 ? 500'000 : -500'000)));
    }
    w.step(0, Instant{9});
    CHECK(w.at(Instant{10}) == 0);
}
