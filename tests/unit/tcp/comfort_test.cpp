// What makes a connection fit its application and its path: corks, buffers that grow, paths that swallow large
// segments.
#include "harness.hpp"

using namespace tcp_test;

namespace {

constexpr u32 kMss = 1460;

/// A peer with an MSS of 1460 and a round trip of 10 ms.
struct Wide : Harness {
    explicit Wide(Config c = defaults(), usize packets = 128) : Harness(c, packets) {
        to_syn_sent();
        advance(Duration::from_ms(10));
        Segment s = make(0, 1, S | A, 60000);
        s.mss = kMss;
        s.window_scale = u8{7};
        send_raw(s);
        expect(1, 1, A);
        send(1, 1, A, "", 5000);
    }
    u32 mss() { return tcp->info(h)->mss; }
};

}  // namespace

TEST_CASE("A cork holds what is no whole segment until it is pulled, the stream ends, or 200 ms have passed") {
    for (int how = 0; how < 3; ++how) {
        CAPTURE(how);
        Wide t;
        Options o;
        o.cork = true;
        o.no_delay = true;  // the cork wins
        REQUIRE(t.tcp->configure(t.h, o, t.now));
        REQUIRE(t.write("head"));
        t.expect_none();
        REQUIRE(t.write(Harness::text(kMss)));
        t.expect(1, 1, A, kMss);
        t.expect_none();
        if (how == 0) {
            o.cork = false;
            REQUIRE(t.tcp->configure(t.h, o, t.now));
        } else if (how == 1) {
            REQUIRE(t.tcp->shutdown_write(t.h, t.now));
        } else {
            t.send(1, 1 + kMss, A, "", 5000);
            t.advance(Duration::from_ms(199));
            t.expect_none();
            t.advance(Duration::from_ms(10));
        }
        t.expect(1 + kMss, 1, how == 1 ? F | A : A, 4);
        t.expect_none();
        CHECK(t.tcp->stats().zero_window_probes == 0);
    }
}

TEST_CASE("The window offered follows a reader who keeps up, and stays for one who does not") {
    for (const bool keeps_up : {true, false}) {
        Config c = Harness::defaults();
        c.receive_buffer_most = 256 * 1024;
        Wide t(c, 2048);
        u32 seq = 1;
        usize largest = 0;
        for (int round = 0; round < 8; ++round) {
            const u32 promised = u32(t.tcp->info(t.h)->receive_queue);
            (void)promised;
            usize sent = 0;
            while (sent + kMss <= 16384) {  // a window's worth
                t.send(seq, 1, A, Harness::text(kMss), 5000);
                seq += kMss;
                sent += kMss;
            }
            t.advance(Duration::from_ms(keeps_up ? 11 : 100));
            while (t.read().size() != 0) {
            }
            while (auto s = t.next()) largest = std::max<usize>(largest, usize{s->window} << 3);
        }
        if (keeps_up) {
            CHECK(largest > 2 * 16384 - 4096);
            CHECK(largest <= 256 * 1024);
        } else {
            CHECK(largest <= 16384 + 8);
        }
    }
}

TEST_CASE("The send buffer follows the congestion window up to its bound") {
    Config c = Harness::defaults();
    c.send_buffer_most = 100'000;
    Wide t(c, 1024);
    u32 at = 1;
    usize most = 0;
    for (int round = 0; round < 12; ++round) {
        while (t.write(Harness::text(8000))) {
        }
        most = std::max<usize>(most, t.tcp->info(t.h)->send_queue);
        while (auto s = t.next()) at = s->seq + u32(s->data.size());
        t.advance(Duration::from_ms(10));
        t.send(1, at, A, "", 5000);
    }
    CHECK(most == 100'000);
}

TEST_CASE("Large segments that vanish without a word become smaller; after ten minutes they are tried again") {
    Wide t;
    REQUIRE(t.write(Harness::text(5 * kMss)));
    std::string got;
    // The path swallows everything with more than 1000 bytes of text.
    auto carry = [&] {
        while (auto s = t.next()) {
            if (s->data.size() > 1000 || s->seq != 1 + got.size()) continue;
            got += s->data;
        }
    };
    for (int i = 0; i < 40 && got.size() < 5 * kMss; ++i) {
        carry();
        const auto before = got.size();
        t.send(1, u32(1 + before), A, "", 5000);
        carry();
        if (got.size() == before) t.fire();
    }
    CHECK(got == Harness::text(5 * kMss));
    CHECK(t.mss() == 536);
    CHECK(t.tcp->stats().black_holes == 2);
    t.send(1, u32(1 + got.size()), A, "", 5000);
    t.advance(Duration::from_s(601));
    REQUIRE(t.write(Harness::text(kMss)));
    CHECK(t.next()->data.size() == kMss);
    CHECK(t.mss() == kMss);
}

TEST_CASE("Small segments that are lost are no black hole") {
    Wide t;
    REQUIRE(t.write("small"));
    t.drain();
    for (int i = 0; i < 6; ++i) {
        t.fire();
        t.drain();
    }
    CHECK(t.mss() == kMss);
    CHECK(t.tcp->stats().black_holes == 0);
}

TEST_CASE("Urgent bytes stay in the stream; where they end is told (RFC 9293 §3.8.5, RFC 6093)") {
    Wide t;
    (void)t.tcp->next_ready();
    auto urgent = [&](u32 seq, const std::string& data, u16 pointer) {
        Segment s = t.make(seq, 1, A | flag::urg, 5000);
        s.urgent = pointer;
        t.send_raw(s, data);
    };
    CHECK_FALSE(t.tcp->readiness(t.h).urgent);
    urgent(1, "ab", 5);
    CHECK(t.tcp->next_ready() == t.h);  // MUST-32: told when it begins
    CHECK(t.tcp->readiness(t.h).urgent);
    CHECK(t.tcp->info(t.h)->urgent_bytes == 5);  // MUST-33: three are still to come
    urgent(3, "cd", 2);                          // never back
    CHECK(t.tcp->info(t.h)->urgent_bytes == 5);
    CHECK(t.read(3) == "abc");
    CHECK(t.tcp->info(t.h)->urgent_bytes == 2);
    t.send(5, 1, A, "ef", 5000);
    CHECK(t.read() == "def");  // MUST-31: any length, in line
    CHECK_FALSE(t.tcp->readiness(t.h).urgent);
    CHECK(t.tcp->info(t.h)->urgent_bytes == 0);
    urgent(7, "", 0xffff);  // far ahead of anything: only a number
    CHECK(t.tcp->info(t.h)->urgent_bytes == 0xffff);
    urgent(7, "g", 0);  // URG that points at its own first byte says nothing
    CHECK(t.tcp->info(t.h)->urgent_bytes == 0xffff);
}

TEST_CASE("write_urgent() sets URG until it is acknowledged (MUST-30)") {
    Wide t;
    REQUIRE(t.write("plain"));
    Seen s = t.expect(1, 1, A, 5);
    const std::string data = "stop";
    REQUIRE(t.tcp->write_urgent(t.h, std::as_bytes(std::span(data.data(), data.size())), t.now));
    t.send(1, 6, A, "", 5000);
    s = t.expect(6, 1, A | flag::urg, 4);
    CHECK(s.raw.urgent == 4);
    t.fire();
    CHECK(t.expect(6, 1, A | flag::urg, 4).raw.urgent == 4);
    t.send(1, 10, A, "", 5000);
    REQUIRE(t.write("on"));
    t.expect(10, 1, A, 2);
}
