// Sense data as tables of bytes (SPC-4 §4.5, Annex F): both formats, every verdict, and data that lies.
#include <catch2/catch.hpp>
#include <random>
#include <vector>

#include "drivers/scsi/sense.hpp"

using namespace ringlet;
using namespace ringlet::scsi;

namespace {

using V = std::vector<u8>;
Bytes as_bytes(const V& v) {
    return {reinterpret_cast<const std::byte*>(v.data()), v.size()};
}
V fixed(u8 key, u8 asc, u8 ascq) {
    return {0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, asc, ascq, 0, 0, 0, 0};
}
V descriptor(u8 key, u8 asc, u8 ascq) {
    return {0x72, key, asc, ascq, 0, 0, 0, 0};
}

}  // namespace

TEST_CASE("Fixed and descriptor sense say the same") {
    V f = fixed(3, 0x11, 0x05);
    f[0] |= 0x80, f[4] = 1, f[6] = 2;
    V d = descriptor(3, 0x11, 0x05);
    d.insert(d.end(), {0x09, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});           // another kind, to be stepped over
    d.insert(d.end(), {0x00, 0x0a, 0x80, 0, 0, 0, 0, 0, 0x00, 0x01, 0x00, 0x02});  // information
    d[7] = u8(d.size() - 8);
    for (const V& v : {f, d}) {
        const auto s = parse_sense(as_bytes(v));
        REQUIRE(s);
        CHECK(s->key == SenseKey::medium_error);
        CHECK(s->code() == 0x1105);
        CHECK(s->information == 0x10002);
        CHECK_FALSE(s->deferred);
        CHECK(describe(*s) == "unrecovered read error");
        CHECK(to_string(s->key) == "medium error");
    }
    f[0] = 0x71, d[0] = 0x73;
    CHECK(parse_sense(as_bytes(f))->deferred);
    CHECK(parse_sense(as_bytes(d))->deferred);
}

TEST_CASE("Cut, empty and unknown sense data") {
    const V v = fixed(6, 0x29, 0);
    for (usize n = 0; n < v.size(); ++n) {
        const auto s = parse_sense(as_bytes(v).first(n));
        CHECK(s.has_value() == (n >= 3));
        if (s) CHECK(s->asc == (n > 12 ? 0x29 : 0));
    }
    V lying = fixed(6, 0x29, 0);
    lying[7] = 255;
    CHECK(parse_sense(as_bytes(lying))->asc == 0x29);
    lying[7] = 0;  // nothing behind byte 7
    CHECK(parse_sense(as_bytes(lying))->asc == 0);
    for (const u8 format : {u8(0x00), u8(0x6f), u8(0x74), u8(0x7f)})
        CHECK_FALSE(parse_sense(as_bytes(V(18, u8(format)))));
    V endless = descriptor(5, 0x24, 0);
    endless[7] = 255;
    endless.insert(endless.end(), {0, 200, 0x80});
    CHECK(parse_sense(as_bytes(endless))->asc == 0x24);
    CHECK_FALSE(parse_sense(as_bytes(endless))->information);
    CHECK(judge(Status::check_condition, {}).error == Error::io);
    CHECK(judge(Status::check_condition, {}).action == Action::fail);
    std::mt19937 rng(1);
    for (int i = 0; i < 100000; ++i) {
        V random(rng() % 100);
        for (u8& b : random) b = u8(rng());
        if (!random.empty()) random[0] = u8(0x70 + rng() % 4);
        const Verdict w = judge(Status(rng()), as_bytes(random));
        if (w.action == Action::done) CHECK_FALSE(w.again);
        if (w.action == Action::fail) CHECK_FALSE(w.again);
    }
}

TEST_CASE("What each sense means to a driver") {
    struct Row {
        u8 key, asc, ascq;
        Action action;
        bool again, patience;
        Error error;
    };
    const Row rows[] = {
        {0, 0x00, 0x00, Action::done, false, false, Error::io},
        {1, 0x17, 0x01, Action::done, false, false, Error::io},  // recovered with retries
        {2, 0x04, 0x01, Action::retry, true, true, Error::io},   // becoming ready
        {2, 0x04, 0x02, Action::fail, false, false, Error::io},  // needs to be started
        {2, 0x3a, 0x00, Action::medium_removed, false, false, Error::not_found},
        {2, 0x05, 0x00, Action::fail, false, false, Error::io},
        {3, 0x11, 0x00, Action::fail, false, false, Error::io},
        {4, 0x44, 0x00, Action::fail, false, false, Error::io},
        {5, 0x20, 0x00, Action::fail, false, false, Error::unsupported},
        {5, 0x24, 0x00, Action::fail, false, false, Error::unsupported},
        {5, 0x26, 0x00, Action::fail, false, false, Error::unsupported},
        {5, 0x21, 0x00, Action::capacity_changed, false, false, Error::invalid},
        {5, 0x25, 0x00, Action::rescan, false, false, Error::device_broken},
        {6, 0x29, 0x00, Action::retry, true, false, Error::io},             // power on, reset
        {6, 0x28, 0x00, Action::capacity_changed, true, false, Error::io},  // new medium
        {6, 0x2a, 0x09, Action::capacity_changed, true, false, Error::io},
        {6, 0x2a, 0x01, Action::capacity_changed, true, false, Error::io},
        {6, 0x3f, 0x0e, Action::rescan, true, false, Error::io},
        {6, 0x3a, 0x00, Action::medium_removed, false, false, Error::not_found},
        {7, 0x27, 0x00, Action::fail, false, false, Error::read_only},
        {7, 0x27, 0x07, Action::fail, false, false, Error::no_space},  // a thin pool is full
        {8, 0x00, 0x00, Action::fail, false, false, Error::io},
        {11, 0x00, 0x00, Action::retry, true, false, Error::io},
        {11, 0x10, 0x01, Action::fail, false, false, Error::io},  // protection information
        {13, 0x00, 0x00, Action::fail, false, false, Error::no_space},
        {14, 0x1d, 0x00, Action::fail, false, false, Error::io},
    };
    for (const Row& r : rows) {
        CAPTURE(unsigned(r.key), unsigned(r.asc), unsigned(r.ascq));
        for (const V& v : {fixed(r.key, r.asc, r.ascq), descriptor(r.key, r.asc, r.ascq)}) {
            const Verdict w = judge(Status::check_condition, as_bytes(v));
            CHECK(w.action == r.action);
            CHECK(w.again == r.again);
            CHECK(w.patience == r.patience);
            if (w.action != Action::done && !w.again) CHECK(w.error == r.error);
        }
    }
}

TEST_CASE("A deferred error ends the command it comes with") {
    V v = fixed(3, 0x0c, 0);
    v[0] = 0x71;
    const Verdict w = judge(Status::check_condition, as_bytes(v));
    CHECK(w.action == Action::fail);
    CHECK(w.error == Error::io);
}

TEST_CASE("Status bytes without sense data") {
    CHECK(judge(Status::good, {}).action == Action::done);
    CHECK(judge(Status::condition_met, {}).action == Action::done);
    for (const Status s : {Status::busy, Status::task_set_full, Status::aca_active}) {
        CHECK(judge(s, {}).again);
        CHECK(judge(s, {}).patience);
    }
    CHECK(judge(Status::task_aborted, {}).again);
    CHECK(judge(Status::reservation_conflict, {}).action == Action::fail);
    CHECK(judge(Status(0xff), {}).action == Action::fail);
    CHECK(to_string(Status::busy) == "busy");
    CHECK(to_string(Status(0xff)) == "unknown status");
}
