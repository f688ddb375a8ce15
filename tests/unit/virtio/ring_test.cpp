// The split ring against the device's half: sizes, orders, wraps, lies. Virtio 1.2 §2.7.
#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <set>

#include "drivers/virtio/split_ring.hpp"
#include "tests/device/ring_device.hpp"

using namespace ringlet;
using virtio::RingOptions, virtio::Segment, virtio::SplitRing;

namespace {

struct Pair {
    SplitRing ring;
    device::RingDevice device;
    kernel::DmaRegion memory;

    explicit Pair(RingOptions o)
        : ring(SplitRing::create(o).value()), memory(kernel::DmaRegion::allocate(65536).value()) {
        const auto where = ring.addrs();
        device.start(o.size, where.desc, where.driver, where.device, o.event_idx, o.first_index);
    }
    Segment segment(u32 len = 64, usize offset = 0) { return {memory.addr(offset), len}; }
};

}  // namespace

TEST_CASE("A split ring takes the sizes of the layout and no others") {
    for (u32 n = 0; n <= 40000; ++n) {
        const bool power = n != 0 && n <= 32768 && (n & (n - 1)) == 0;
        if (SplitRing::valid_size(u16(n)) != power) FAIL(n);
    }
    CHECK_FALSE(SplitRing::create({.size = 48}));
    CHECK_FALSE(SplitRing::create({.size = 0}));
}

TEST_CASE("Every chain comes back exactly once, out of order, at every size and over the wrap") {
    std::mt19937 engine(20261122);
    const auto rng = [&] { return u32(engine()); };
    for (u32 size = 1; size <= 32768; size *= 2) {
        for (const bool events : {false, true}) {
            for (const u16 tables : {u16{0}, u16{3}}) {
                CAPTURE(size, events, tables);
                Pair p({.size = u16(size),
                        .event_idx = events,
                        .indirect_tables = tables,
                        .indirect_entries = 8,
                        .indirect_above = 2,
                        .first_index = 65500});
                std::vector<device::Chain> at_device;
                std::map<u16, u32> in_flight;  // id -> writable bytes
                u32 pushed = 0, popped = 0, waiting = 0;
                bool awake = p.device.sleep();
                const u32 goal = std::max<u32>(300, size + size / 8);
                while (popped < goal) {
                    const u32 batch = rng() % (size > 1000 ? 4000 : 6);
                    for (u32 i = 0; i < batch && pushed < goal; ++i) {
                        std::vector<Segment> out(rng() % 3), in(1 + rng() % 3);
                        u32 writable = 0;
                        for (auto& s : out) s = p.segment(1 + rng() % 100);
                        for (auto& s : in) s = p.segment(1 + rng() % 100), writable += s.len;
                        if (out.size() + in.size() > p.ring.max_segments()) continue;
                        const auto id = p.ring.push(out, in);
                        if (!id) break;
                        REQUIRE(in_flight.emplace(*id, writable).second);
                        ++pushed, ++waiting;
                    }
                    if (waiting != 0 && rng() % 2 == 0) {
                        if (p.ring.publish()) awake = true;
                        waiting = 0;
                    }
                    REQUIRE((awake || !p.device.has_work()));  // a kick is never lost
                    if (awake) {
                        p.device.busy();
                        while (auto chain = p.device.take()) at_device.push_back(*chain);
                        awake = p.device.sleep();
                    }
                    for (u32 i = rng() % u32(at_device.size() + 1); i != 0; --i) {
                        std::swap(at_device[rng() % at_device.size()], at_device.back());
                        REQUIRE(at_device.back().writable() == in_flight.at(at_device.back().id));
                        p.device.give(at_device.back().id, at_device.back().writable());
                        at_device.pop_back();
                    }
                    while (const auto done = p.ring.pop()) {
                        REQUIRE(in_flight.at(done->id) == done->written);
                        in_flight.erase(done->id);
                        ++popped;
                    }
                    REQUIRE(p.ring.in_flight() == in_flight.size());
                }
                CHECK(p.ring.free() == size);
                CHECK_FALSE(p.ring.broken());
                CHECK(p.ring.bad_used() == 0);
                CHECK(p.device.violations == std::vector<std::string>{});
            }
        }
    }
}

TEST_CASE("The kick decision follows vring_need_event for all 2^16 events and every batch") {
    Pair p({.size = 4, .event_idx = true, .first_index = 65530});
    auto* avail_event = reinterpret_cast<u16*>(arch::host::dma_to_pointer(p.ring.addrs().device + (4 + 8 * 4), 2));
    u16 idx = 65530;
    for (u32 event = 0; event < 65536; ++event) {
        const u16 batch = u16(1 + event % 4);
        for (u16 i = 0; i < batch; ++i) {
            const Segment s = p.segment();
            REQUIRE(p.ring.push({&s, 1}, {}));
        }
        __atomic_store_n(avail_event, u16(event), __ATOMIC_RELAXED);
        // The specification's words (§2.7.10): a notification when idx passes event, i.e. one of the published
        // indices old..new-1 equals event.
        bool wanted = false;
        for (u16 i = 0; i < batch; ++i) wanted |= u16(idx + i) == u16(event);
        const bool kicked = p.ring.publish();
        if (kicked != wanted) FAIL("event " << event << " old " << idx << " batch " << batch);
        idx = u16(idx + batch);
        while (auto chain = p.device.take()) p.device.give(chain->id, 0);
        while (p.ring.pop()) {
        }
    }
}

TEST_CASE("A nearby event is decided right at every distance from the wrap") {
    Pair p({.size = 4, .event_idx = true, .first_index = 65530});
    auto* avail_event = reinterpret_cast<u16*>(arch::host::dma_to_pointer(p.ring.addrs().device + (4 + 8 * 4), 2));
    u16 idx = 65530;
    for (u32 round = 0; round < 20000; ++round) {
        const u16 batch = u16(1 + round % 4), event = u16(idx + int(round / 4 % 9) - 3);
        for (u16 i = 0; i < batch; ++i) {
            const Segment s = p.segment();
            REQUIRE(p.ring.push({&s, 1}, {}));
        }
        __atomic_store_n(avail_event, event, __ATOMIC_RELAXED);
        const bool wanted = u16(event - idx) < batch;
        if (p.ring.publish() != wanted) FAIL("event " << event << " old " << idx << " batch " << batch);
        idx = u16(idx + batch);
        while (auto chain = p.device.take()) p.device.give(chain->id, 0);
        while (p.ring.pop()) {
        }
    }
}

TEST_CASE("A lying device breaks the ring and touches nothing") {
    const bool events = GENERATE(false, true);
    Pair p({.size = 8, .event_idx = events});
    const Segment s = p.segment(100);
    const u16 first = p.ring.push({}, {&s, 1}).value();
    const u16 second = p.ring.push({}, {&s, 1}).value();
    (void)p.ring.publish();
    REQUIRE(p.device.take());
    REQUIRE(p.device.take());

    SECTION("an id outside the ring") {
        p.device.put(60000, 1), p.device.publish_used(0);
    }
    SECTION("an id with high bits set") {
        p.device.put(0x10000u | first, 1), p.device.publish_used(0);
    }
    SECTION("an id that was never given") {
        p.device.put(7, 1), p.device.publish_used(0);
    }
    SECTION("the same id twice") {
        p.device.put(first, 1), p.device.put(first, 1), p.device.publish_used(0);
        REQUIRE(p.ring.pop()->id == first);
    }
    SECTION("used.idx jumps ahead") {
        p.device.put(first, 1), p.device.put(second, 1);
        p.device.set_used_idx(3);
    }
    SECTION("used.idx jumps back") {
        p.device.set_used_idx(65535);
    }
    CHECK_FALSE(p.ring.pop());
    CHECK(p.ring.broken());
    CHECK(p.ring.bad_used() == 1);
    CHECK_FALSE(p.ring.pop());
    CHECK_FALSE(p.ring.push({}, {&s, 1}));
    CHECK_FALSE(p.ring.rearm());
    p.ring.reset();
    CHECK_FALSE(p.ring.broken());
    CHECK(p.ring.free() == 8);
    CHECK(p.ring.push({}, {&s, 1}));
}

TEST_CASE("A chain that was pushed but not published cannot come back") {
    Pair p({.size = 8});
    const Segment s = p.segment(100);
    const u16 id = p.ring.push({}, {&s, 1}).value();
    p.device.give(id, 1);
    CHECK_FALSE(p.ring.pop());
    CHECK(p.ring.broken());
}

TEST_CASE("An absurd length is clamped to what was writable, and counted") {
    Pair p({.size = 8});
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

TEST_CASE("Descriptors rewritten by the device do not reach the free list") {
    Pair p({.size = 8, .indirect_tables = 2, .indirect_entries = 4, .indirect_above = 3});
    std::set<u16> ids;
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
    CHECK(p.device.violations.empty());
}

TEST_CASE("Long chains use an indirect table while there is one") {
    Pair p({.size = 4, .indirect_tables = 2, .indirect_entries = 10});
    const std::vector<Segment> in(10, p.segment(8)), too_long(11, p.segment(8));
    CHECK_FALSE(p.ring.push({}, too_long));
    REQUIRE(p.ring.push({}, in));
    REQUIRE(p.ring.push({}, in));
    CHECK(p.ring.free() == 2);
    CHECK_FALSE(p.ring.push({}, in));  // no table left, and 10 > 2
    REQUIRE(p.ring.push({}, {in.data(), 2}));
    CHECK(p.ring.free() == 0);
    (void)p.ring.publish();
    CHECK(p.device.take()->indirect);
    CHECK(p.device.take()->indirect);
    CHECK_FALSE(p.device.take()->indirect);
    CHECK(p.device.violations.empty());
}

TEST_CASE("rearm() reports work that came before it, and interrupts follow it exactly") {
    const bool events = GENERATE(false, true);
    Pair p({.size = 16, .event_idx = events, .first_index = 65534});
    const Segment s = p.segment();
    for (int i = 0; i < 10; ++i) REQUIRE(p.ring.push({}, {&s, 1}));
    (void)p.ring.publish();
    p.ring.suppress();
    CHECK_FALSE(p.device.give(p.device.take()->id, 1));
    CHECK_FALSE(p.device.give(p.device.take()->id, 1));
    CHECK(p.ring.rearm());
    REQUIRE(p.ring.pop());
    REQUIRE(p.ring.pop());
    CHECK_FALSE(p.ring.rearm());
    CHECK(p.device.give(p.device.take()->id, 1));
    p.ring.suppress();
    CHECK_FALSE(p.device.give(p.device.take()->id, 1));
}

#ifdef RINGLET_SHARED_HOOK_ENABLED
namespace {
struct Hooked {
    Pair* pair = nullptr;
    std::vector<std::pair<u16, u32>> seen;
    bool inside = false;
};
Hooked hooked;
void run_device() {
    if (hooked.inside) return;
    hooked.inside = true;
    while (auto chain = hooked.pair->device.take()) {
        hooked.seen.push_back({chain->id, chain->writable()});
        hooked.pair->device.give(chain->id, chain->writable());
    }
    hooked.inside = false;
}
}  // namespace

TEST_CASE("A device that runs after every single store sees only finished chains") {
    const u16 tables = GENERATE(u16{0}, u16{2});
    Pair p({.size = 8, .event_idx = true, .indirect_tables = tables, .indirect_entries = 4, .first_index = 65531});
    hooked = {.pair = &p, .seen = {}};
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
    REQUIRE(hooked.seen.size() == sizes.size());
    for (usize i = 0; i < sizes.size(); ++i) REQUIRE(hooked.seen[i].second == sizes[i]);
    CHECK(p.device.violations.empty());
}
#endif
