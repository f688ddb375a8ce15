// A device that lies to a ring of either layout: it breaks the queue or gets a clamp, and touches nothing else.
#include <catch2/catch.hpp>

#include <random>
#include <set>

#include "tests/unit/virtio/ring_pair.hpp"

using namespace ringlet;
using device::Pair;
using virtio::PackedRing, virtio::RingOptions, virtio::Segment, virtio::SplitRing;

TEMPLATE_TEST_CASE("A lying device breaks the ring and touches nothing", "", SplitRing, PackedRing) {
    const bool events = GENERATE(false, true), in_order = GENERATE(false, true);
    const RingOptions o{.size = 8, .in_order = in_order, .event_idx = events};
    Pair<TestType> p(o);
    const Segment s = p.segment(100);
    const u16 first = p.ring.push({}, {&s, 1}).value();
    const u16 second = p.ring.push({}, {&s, 1}).value();
    (void)p.ring.publish();
    REQUIRE(p.device.take());
    REQUIRE(p.device.take());

    SECTION("an id outside the ring") {
        p.device.put(60000, 1), p.device.publish();
    }
    SECTION("an id that was never given") {
        p.device.put(7, 1), p.device.publish();
    }
    SECTION("the same id twice") {
        p.device.put(first, 1), p.device.put(first, 1), p.device.publish();
        REQUIRE(p.ring.pop()->id == first);
    }
    SECTION("the id of a chain that is not published yet") {
        const u16 third = p.ring.push({}, {&s, 1}).value();
        p.device.put(third, 1), p.device.publish();
    }
    SECTION("more than is in flight") {
        if (device::kIsPacked<TestType>) {
            p.device.jump(5);  // the ids are the driver's own: the third descriptor's is nobody's
            REQUIRE(p.ring.pop()->id == first);
            REQUIRE(p.ring.pop()->id == second);
        } else {
            p.device.put(first, 1), p.device.put(second, 1);
            p.device.jump(1);
        }
    }
    if (!device::kIsPacked<TestType>) {
        SECTION("an id with high bits set") {
            p.device.put(0x10000u | first, 1), p.device.publish();
        }
        SECTION("used.idx jumps back") {
            p.device.jump(65535);
        }
        if (in_order) {
            SECTION("a batch that used.idx does not cover") {
                p.device.put(second, 1), p.device.publish();
            }
        }
    }
    CHECK_FALSE(p.ring.pop());
    CHECK(p.ring.broken());
    CHECK(p.ring.bad_used() == 1);
    CHECK_FALSE(p.ring.pop());
    CHECK_FALSE(p.ring.push({}, {&s, 1}));
    CHECK_FALSE(p.ring.rearm());
    CHECK_FALSE(p.ring.rearm_after(3));
    p.ring.reset();
    CHECK_FALSE(p.ring.broken());
    CHECK(p.ring.free() == 8);
    CHECK(p.ring.push({}, {&s, 1}));
}

TEST_CASE("A descriptor marked with the wrong wrap counter is not used") {
    const bool in_order = GENERATE(false, true);
    Pair<PackedRing> p({.size = 8, .in_order = in_order});
    const Segment s = p.segment(100);
    const u16 id = p.ring.push({}, {&s, 1}).value();
    (void)p.ring.publish();
    REQUIRE(p.device.take());
    p.device.packed_half.wrong_wrap(id, 1);
    CHECK_FALSE(p.ring.pop());
    CHECK_FALSE(p.ring.rearm());
    CHECK_FALSE(p.ring.broken());  // silence, and no more than that
    CHECK(p.ring.in_flight() == 1);
}

TEST_CASE("A lie told to an idle packed ring is seen before the next chain covers it") {
    Pair<PackedRing> p({.size = 8});
    const Segment s = p.segment(100);
    for (u16 chains = 0; chains < 11; ++chains) {  // also in the second lap
        const u16 id = p.ring.push({}, {&s, 1}).value();
        (void)p.ring.publish();
        REQUIRE(p.device.take());
        p.device.put(id, 1), p.device.publish();
        REQUIRE(p.ring.pop());
    }
    p.device.put(3, 1), p.device.publish();
    CHECK_FALSE(p.ring.push({}, {&s, 1}));
    CHECK(p.ring.broken());
    CHECK(p.ring.bad_used() == 1);
}

TEMPLATE_TEST_CASE("A chain that was pushed but not published cannot come back", "", SplitRing, PackedRing) {
    Pair<TestType> p({.size = 8});
    const Segment s = p.segment(100);
    const u16 id = p.ring.push({}, {&s, 1}).value();
    p.device.put(id, 1), p.device.publish();
    CHECK_FALSE(p.ring.pop());
    CHECK(p.ring.broken());
}

TEMPLATE_TEST_CASE("A chain that the device keeps for long is not taken for an unpublished one", "", SplitRing,
                   PackedRing) {
    // More chains pass it than a 16-bit number counts.
    Pair<TestType> p({.size = 8, .first_index = 65500});
    const Segment s = p.segment(100);
    const u16 kept = p.ring.push({}, {&s, 1}).value();
    (void)p.ring.publish();
    REQUIRE(p.device.take()->id == kept);
    for (u32 i = 0; i < 65534; ++i) {
        if (!p.ring.push({}, {&s, 1})) FAIL("full");
        (void)p.ring.publish();
        p.device.give(p.device.take()->id, 1);
        if (!p.ring.pop()) FAIL("nothing back");
    }
    for (int i = 0; i < 4; ++i) REQUIRE(p.ring.push({}, {&s, 1}));
    p.device.give(kept, 1);
    CHECK(p.ring.pop()->id == kept);
}

TEMPLATE_TEST_CASE("An absurd length is clamped to what was writable, and counted", "", SplitRing, PackedRing) {
    const bool in_order = GENERATE(false, true);
    Pair<TestType> p({.size = 8, .in_order = in_order});
    const Segment in[] = {p.segment(100), p.segment(28)}, out = p.segment(16);
    REQUIRE(p.ring.push({&out, 1}, in));
    REQUIRE(p.ring.push({&out, 1}, {}));
    (void)p.ring.publish();
    for (int i = 0; i < 2; ++i) p.device.give(p.device.take()->id, 0xffff'ffff);
    CHECK(p.ring.pop()->written == 128);
    CHECK(p.ring.pop()->written == 0);
    CHECK(p.ring.bad_used() == 2);
    CHECK_FALSE(p.ring.broken());
}

TEMPLATE_TEST_CASE("Descriptors rewritten by the device do not reach the free list", "", SplitRing, PackedRing) {
    Pair<TestType> p({.size = 8, .indirect_tables = 2, .indirect_entries = 4, .indirect_above = 3});
    for (int round = 0; round < 200; ++round) {
        const Segment in[] = {p.segment(10), p.segment(20), p.segment(30)};
        const auto a = p.ring.push({}, in), b = p.ring.push({}, {in, 2});
        REQUIRE((a && b));
        (void)p.ring.publish();
        const u16 ida = p.device.take()->id, idb = p.device.take()->id;
        p.device.scribble_descriptors(u8(round));
        p.device.give(idb, 30);
        p.device.give(ida, 60);
        CHECK(p.ring.pop()->id == *b);
        CHECK(p.ring.pop()->id == *a);
        REQUIRE(p.ring.free() == 8);
    }
    CHECK(p.device.violations == std::vector<std::string>{});
}

TEMPLATE_TEST_CASE("Random bytes written by the device break nothing but the queue", "", SplitRing, PackedRing) {
    std::mt19937 engine(20261125);
    const auto rng = [&] { return u32(engine()); };
    u32 broke = 0, came = 0;
    for (u32 round = 0; round < 3000; ++round) {
        const RingOptions o{.size = u16(1u << rng() % 5),
                            .in_order = rng() % 2 == 0,
                            .event_idx = rng() % 2 == 0,
                            .indirect_tables = u16(rng() % 3),
                            .indirect_entries = 4,
                            .first_index = u16(65530 + rng() % 6)};
        Pair<TestType> p(o);
        const auto where = p.ring.addrs();
        const usize bytes = TestType::footprint(o.size);
        std::byte* memory = arch::host::dma_to_pointer(where.desc, bytes);
        std::set<u16> out;
        for (u32 step = 0; step < 60; ++step) {
            const Segment in[] = {p.segment(10), p.segment(20), p.segment(30)};
            for (u32 i = rng() % 3; i != 0; --i) {
                if (const auto id = p.ring.push({}, {in, 1 + rng() % 3})) REQUIRE(out.insert(*id).second);
            }
            (void)p.ring.publish();
            if (!out.empty() && rng() % 2 == 0) {  // something true, so that it goes on for a while
                p.device.put(rng() % 8 != 0 ? *out.begin() : rng() % o.size, rng() % 100), p.device.publish();
            }
            for (u32 i = rng() % 16 == 0 ? 2 : 0; i != 0; --i) {
                const usize at = rng() % (bytes - 1);
                memory[at] = std::byte(rng() % 2 == 0 ? rng() : rng() % o.size);
                if (device::kIsPacked<TestType> && rng() % 2 == 0) {  // the flags of some descriptor, used
                    const usize flags = usize{16} * (rng() % o.size) + 14;
                    const u16 used = rng() % 2 == 0 ? 0x8080 : 0;
                    std::memcpy(memory + flags, &used, 2);
                }
            }
            while (const auto done = p.ring.pop()) {
                if (out.erase(done->id) != 1 || done->written > 60) FAIL("a chain that was not out, or too long");
                ++came;
            }
            if (p.ring.in_flight() != out.size()) FAIL("lost");
            (void)p.ring.rearm_after(u16(rng()));
            if (p.ring.broken()) {
                ++broke;
                p.ring.reset();
                p.start(o);
                out.clear();
            }
        }
    }
    CHECK(broke > 1000);
    CHECK(came > 1000);
}
