// Both rings against the device's half: sizes, orders, wraps, tables, IN_ORDER. Virtio 1.2 §2.7, §2.8.
#include <catch2/catch.hpp>

#include <functional>
#include <random>

#include "tests/unit/virtio/ring_pair.hpp"

using namespace ringlet;
using device::Pair;
using virtio::EitherRing, virtio::PackedRing, virtio::RingOptions, virtio::Segment, virtio::SplitRing;

TEST_CASE("A ring takes the sizes and the layout that are its own and no others") {
    for (u32 n = 0; n <= 65535; ++n) {
        const bool power = n != 0 && n <= 32768 && (n & (n - 1)) == 0;
        if (SplitRing::valid_size(u16(n)) != power || EitherRing::valid_size(u16(n)) != power) FAIL(n);
        if (PackedRing::valid_size(u16(n)) != (n != 0 && n <= 32768)) FAIL(n);
    }
    CHECK_FALSE(SplitRing::create({.size = 48}));
    CHECK_FALSE(SplitRing::create({.size = 0}));
    CHECK_FALSE(SplitRing::create({.size = 64, .packed = true}));
    CHECK(PackedRing::create({.size = 48, .packed = true}));
    CHECK_FALSE(PackedRing::create({.size = 0, .packed = true}));
    CHECK_FALSE(PackedRing::create({.size = 32769, .packed = true}));
    CHECK_FALSE(PackedRing::create({.size = 64}));
    CHECK_FALSE(EitherRing::create({.size = 48, .packed = true}));
    for (const bool packed : {false, true}) {
        auto made = EitherRing::create({.size = 64, .packed = packed});
        REQUIRE(made);
        const EitherRing moved(std::move(*made));
        CHECK(moved.packed() == packed);
        CHECK(moved.size() == 64);
    }
}

namespace {

/// Random batches, random completion, kicks only when the driver says so.
template <class R> void random_traffic(const RingOptions& o, std::mt19937& engine, u32 goal, bool one_by_one = false) {
    CAPTURE(o.size, o.packed, o.in_order, o.event_idx, o.indirect_tables, o.first_index, one_by_one);
    const auto rng = [&] { return u32(engine()); };
    Pair<R> p(o);
    if (one_by_one) p.device.one_by_one();
    std::vector<device::Chain> at_device;
    constexpr u32 kNone = ~0u;
    std::vector<u32> in_flight(o.size, kNone);  // writable bytes by id
    std::vector<u16> pushed_ids, popped_ids;
    u32 pushed = 0, popped = 0, waiting = 0;
    bool awake = p.device.sleep();
    while (popped < goal) {
        const u32 batch = rng() % (o.size > 1000 ? 4000 : 6);
        for (u32 i = 0; i < batch && pushed < goal; ++i) {
            std::vector<Segment> out(rng() % 3), in(rng() % 3);
            u32 writable = 0;
            if (out.empty() && in.empty()) in.resize(1);
            for (auto& s : out) s = p.segment(1 + rng() % 100);
            for (auto& s : in) s = p.segment(1 + rng() % 100), writable += s.len;
            if (out.size() + in.size() > p.ring.max_segments()) continue;
            const auto id = p.ring.push(out, in);
            if (!id) break;
            if (std::exchange(in_flight.at(*id), writable) != kNone) FAIL("id " << *id << " given out twice");
            pushed_ids.push_back(*id);
            ++pushed, ++waiting;
        }
        if (waiting != 0 && rng() % 2 == 0) {
            if (p.ring.publish()) awake = true;
            if (o.size <= 1000 && p.ring.position() != p.device.avail_position()) FAIL("position");
            waiting = 0;
        }
        if (!awake && p.device.has_work()) FAIL("a kick was lost");
        if (awake) {
            p.device.busy();
            while (auto chain = p.device.take()) at_device.push_back(*chain);
            awake = p.device.sleep();
        }
        for (u32 i = rng() % u32(at_device.size() + 1); i != 0; --i) {
            std::swap(at_device[rng() % at_device.size()], at_device.back());
            if (at_device.back().writable() != in_flight.at(at_device.back().id)) FAIL("another chain");
            p.device.give(at_device.back().id, at_device.back().writable());
            at_device.pop_back();
        }
        while (const auto done = p.ring.pop()) {
            if (std::exchange(in_flight.at(done->id), kNone) != done->written) FAIL("another length");
            popped_ids.push_back(done->id);
            ++popped;
            if (rng() % 4 == 0) break;  // in the middle of a batch, too
        }
        if (p.ring.in_flight() != pushed - popped || p.ring.broken()) FAIL("broken");
    }
    CHECK(p.ring.free() == o.size);
    CHECK_FALSE(p.ring.broken());
    CHECK(p.ring.bad_used() == 0);
    CHECK(p.device.violations == std::vector<std::string>{});
    if (o.in_order) CHECK(pushed_ids == popped_ids);
}

template <class R> void every_option(u16 size, std::mt19937& engine, u32 goal) {
    for (const bool in_order : {false, true}) {
        for (const bool events : {false, true}) {
            for (const u16 tables : {u16{0}, u16{3}}) {
                if (size > 1000 && in_order == events) continue;  // the large ones take long
                random_traffic<R>({.size = size,
                                   .packed = device::kIsPacked<R>,
                                   .in_order = in_order,
                                   .event_idx = events,
                                   .indirect_tables = tables,
                                   .indirect_entries = 8,
                                   .indirect_above = 2,
                                   .first_index = u16(65500 + engine() % 36)},
                                  engine, goal, in_order && tables == 0 && events);
            }
        }
    }
}

}  // namespace

TEST_CASE("Every chain comes back exactly once, out of order, at every size and over the wrap") {
    std::mt19937 engine(20261122);
    for (u32 size = 1; size <= 32768; size *= size < 1024 ? 2 : 32) {
        const u32 goal = size > 1000 ? size + size / 8 : 300;
        every_option<SplitRing>(u16(size), engine, goal);
        every_option<PackedRing>(u16(size), engine, goal);
    }
}

TEST_CASE("A packed ring of any size: all of the small ones, some of the others") {
    std::mt19937 engine(20261123);
    for (u16 size = 1; size <= 40; ++size) every_option<PackedRing>(size, engine, 250);
    for (const u16 size : std::initializer_list<u16>{100, 255, 257, 1000, 3001, 32767})
        every_option<PackedRing>(size, engine, size + size / 8 + 100u);
}

TEST_CASE("A ring of either layout behaves as the layout that was chosen") {
    std::mt19937 engine(20261124);
    for (const bool packed : {false, true}) {
        random_traffic<EitherRing>({.size = 16, .packed = packed, .event_idx = true, .first_index = 65530}, engine,
                                   500);
    }
}

TEMPLATE_TEST_CASE("With IN_ORDER one used entry tells of a whole batch", "", SplitRing, PackedRing) {
    Pair<TestType> p({.size = 8, .in_order = true, .event_idx = true, .first_index = 65533});
    for (int round = 0; round < 50; ++round) {
        std::vector<u16> ids;
        for (u32 i = 0; i < 3; ++i) {
            const Segment out = p.segment(10), in[] = {p.segment(100 + i), p.segment(5)};
            ids.push_back(p.ring.push({&out, 1}, {in, i}).value());
        }
        (void)p.ring.publish();
        std::vector<u16> at_device;
        while (auto chain = p.device.take()) at_device.push_back(chain->id);
        REQUIRE(at_device == ids);
        CHECK_FALSE(p.device.give(ids[1], 101));  // the oldest is not done
        CHECK_FALSE(p.device.give(ids[2], 77));
        CHECK_FALSE(p.ring.pop());
        p.device.give(ids[0], 0);
        // A short length is told, so that it has to be the last of its batch; the others were used completely.
        for (const auto& [id, written] : {std::pair(ids[0], 0u), std::pair(ids[1], 101u), std::pair(ids[2], 77u)}) {
            CHECK(p.ring.rearm());
            const auto done = p.ring.pop();
            REQUIRE(done);
            CHECK(done->id == id);
            CHECK(done->written == written);
        }
        CHECK_FALSE(p.ring.pop());
        CHECK_FALSE(p.ring.rearm());
        REQUIRE(p.ring.free() == 8);
    }
    CHECK(p.ring.bad_used() == 0);
    CHECK(p.device.violations == std::vector<std::string>{});
}

TEMPLATE_TEST_CASE("Long chains use an indirect table while there is one", "", SplitRing, PackedRing) {
    Pair<TestType> p({.size = 8, .indirect_tables = 2, .indirect_entries = 7});
    const std::vector<Segment> in(7, p.segment(8)), longer(8, p.segment(8)), too_long(9, p.segment(8));
    CHECK_FALSE(p.ring.push({}, too_long));
    REQUIRE(p.ring.push({}, in));
    REQUIRE(p.ring.push({}, in));
    CHECK(p.ring.free() == 6);
    CHECK_FALSE(p.ring.push({}, in));  // no table left, and 7 > 6
    CHECK_FALSE(p.ring.push({}, longer));
    REQUIRE(p.ring.push({}, {in.data(), 6}));
    CHECK(p.ring.free() == 0);
    CHECK_FALSE(p.ring.push({}, {in.data(), 1}));
    (void)p.ring.publish();
    for (const bool indirect : {true, true, false}) {
        const auto chain = p.device.take();
        REQUIRE(chain);
        CHECK(chain->indirect == indirect);
        CHECK(chain->in.size() == (indirect ? 7 : 6));
        p.device.give(chain->id, 1);
    }
    while (p.ring.pop()) {
    }
    CHECK(p.ring.free() == 8);
    REQUIRE(p.ring.push({}, longer));  // too long for a table, not for the ring
    (void)p.ring.publish();
    CHECK_FALSE(p.device.take()->indirect);
    CHECK(p.device.violations == std::vector<std::string>{});
}

TEMPLATE_TEST_CASE("No chain is longer than its queue, not even in a table", "", SplitRing, PackedRing) {
    Pair<TestType> p({.size = 4, .indirect_tables = 2, .indirect_entries = 10});
    const std::vector<Segment> in(5, p.segment(8));
    CHECK(p.ring.max_segments() == 4);
    CHECK_FALSE(p.ring.push({}, in));
    REQUIRE(p.ring.push({}, {in.data(), 4}));
    (void)p.ring.publish();
    CHECK(p.device.take()->indirect);
    CHECK(p.device.violations == std::vector<std::string>{});
}

TEMPLATE_TEST_CASE("After a reset a ring is as new", "", SplitRing, PackedRing) {
    const RingOptions o{.size = 8, .event_idx = true, .indirect_tables = 1, .indirect_entries = 4};
    Pair<TestType> p(o);
    for (int round = 0; round < 20; ++round) {
        const Segment in[] = {p.segment(10), p.segment(20), p.segment(30)};
        REQUIRE(p.ring.push({}, in));
        REQUIRE(p.ring.push({}, in));
        REQUIRE(p.ring.push({}, {in, 1}));
        (void)p.ring.publish();
        REQUIRE(p.device.take()->writable() == 60);
        REQUIRE(p.device.take()->writable() == 60);
        p.device.give(p.device.take()->id, 10);
        REQUIRE(p.ring.pop());
        REQUIRE(p.ring.push({}, {in, 2}));  // and one that was never published
        p.ring.reset();
        CHECK(p.ring.free() == 8);
        CHECK(p.ring.in_flight() == 0);
        p.start(o);
        CHECK_FALSE(p.device.has_work());
        CHECK_FALSE(p.ring.pop());
        CHECK(p.ring.position() == p.device.avail_position());
    }
    CHECK(p.device.violations == std::vector<std::string>{});
}

#ifdef RINGLET_SHARED_HOOK_ENABLED
namespace {
std::function<void()> device_step;
bool inside = false;
void run_device() {
    if (std::exchange(inside, true)) return;
    device_step();
    inside = false;
}
}  // namespace

TEMPLATE_TEST_CASE("A device that runs after every single store sees only finished chains", "", SplitRing, PackedRing) {
    const u16 tables = GENERATE(u16{0}, u16{2});
    const bool in_order = GENERATE(false, true);
    Pair<TestType> p({.size = 8,
                      .in_order = in_order,
                      .event_idx = true,
                      .indirect_tables = tables,
                      .indirect_entries = 4,
                      .first_index = 65531});
    std::vector<u32> seen;
    device_step = [&] {
        while (auto chain = p.device.take()) {
            seen.push_back(chain->writable());
            p.device.give(chain->id, chain->writable());
        }
    };
    shared_store_hook = run_device;
    std::vector<u32> sizes;
    for (u32 round = 0; round < 100; ++round) {
        for (u32 k = 0; k < 1 + round % 3; ++k) {
            const Segment in[] = {p.segment(1 + round), p.segment(7)}, out = p.segment(3);
            REQUIRE(p.ring.push({&out, 1}, {in, 1 + k % 2}));
            sizes.push_back(k % 2 == 0 ? 1 + round : 8 + round);
        }
        (void)p.ring.publish();
        p.ring.suppress();
        usize popped = 0;
        while (p.ring.pop()) ++popped;
        (void)p.ring.rearm();
        REQUIRE(popped == 1 + round % 3);
    }
    shared_store_hook = nullptr;
    CHECK(seen == sizes);
    CHECK(p.device.violations == std::vector<std::string>{});
}
#endif
