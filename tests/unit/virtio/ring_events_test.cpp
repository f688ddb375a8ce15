// Who is notified when: EVENT_IDX of both rings (virtio 1.2 §2.7.10, §2.8.14) for every event there is, positions.
#include <catch2/catch.hpp>

#include "tests/unit/virtio/ring_pair.hpp"

using namespace ringlet;
using device::Pair;
using virtio::PackedRing, virtio::RingOptions, virtio::Segment, virtio::SplitRing;

namespace {

template <class P> void push(P& p, u16 chains, u16 descs = 1) {
    const std::vector<Segment> in(descs, p.segment());
    for (u16 i = 0; i < chains; ++i)
        if (!p.ring.push({}, in)) FAIL("full");
}
template <class P> void complete_all(P& p) {
    while (auto chain = p.device.take()) p.device.give(chain->id, 0);
    while (p.ring.pop()) {
    }
}

}  // namespace

TEST_CASE("The split kick decision follows vring_need_event for all 2^16 events and every batch") {
    Pair<SplitRing> p({.size = 4, .event_idx = true, .first_index = 65530});
    u16 idx = 65530;
    for (u32 event = 0; event < 65536; ++event) {
        const u16 batch = u16(1 + event % 4);
        push(p, batch);
        p.device.split.set_device_event(u16(event));
        // The specification's words (§2.7.10): a notification when idx passes event, i.e. one of the published
        // indices old..new-1 equals event.
        bool wanted = false;
        for (u16 i = 0; i < batch; ++i) wanted |= u16(idx + i) == u16(event);
        const bool kicked = p.ring.publish();
        if (kicked != wanted) FAIL("event " << event << " old " << idx << " batch " << batch);
        idx = u16(idx + batch);
        complete_all(p);
    }
}

TEST_CASE("A nearby event is decided right at every distance from the wrap") {
    Pair<SplitRing> p({.size = 4, .event_idx = true, .first_index = 65530});
    u16 idx = 65530;
    for (u32 round = 0; round < 20000; ++round) {
        const u16 batch = u16(1 + round % 4), event = u16(idx + int(round / 4 % 9) - 3);
        push(p, batch);
        p.device.split.set_device_event(event);
        const bool wanted = u16(event - idx) < batch;
        if (p.ring.publish() != wanted) FAIL("event " << event << " old " << idx << " batch " << batch);
        idx = u16(idx + batch);
        complete_all(p);
    }
}

TEST_CASE("The packed kick decision is right for every event at every place and batch of a small ring") {
    for (const u16 size : std::initializer_list<u16>{1, 2, 3, 7, 8}) {
        Pair<PackedRing> p({.size = size, .event_idx = true});
        u32 at = 0;  // descriptors ever made available; the lap is at / size, the wrap counter 1 in even laps
        for (u32 round = 0; round < 4u * size; ++round) {
            for (u16 batch = 1; batch <= size; ++batch) {
                for (u16 offset = 0; offset < size; ++offset) {
                    for (const u16 wrap : std::initializer_list<u16>{0, 0x8000}) {
                        push(p, batch);
                        p.device.packed_half.set_device_event(u16(offset | wrap));
                        bool wanted = false;
                        for (u32 i = at; i < at + batch; ++i)
                            wanted |= i % size == offset && (i / size % 2 == 0) == (wrap != 0);
                        if (p.ring.publish() != wanted)
                            FAIL("size " << size << " at " << at << " batch " << batch << " event " << offset << wrap);
                        at += batch;
                        complete_all(p);
                    }
                }
            }
            push(p, 1);
            (void)p.ring.publish();
            ++at;
            complete_all(p);
        }
        CHECK(p.device.violations == std::vector<std::string>{});
    }
}

TEST_CASE("The packed kick decision is right for all 2^16 events of the largest ring") {
    for (const u16 size : std::initializer_list<u16>{32768, 32767, 5}) {
        Pair<PackedRing> p({.size = size, .event_idx = true, .first_index = u16(size - 2)});
        u32 at = size - 2u;
        for (u32 event = 0; event < 65536; ++event) {
            const u16 batch = u16(1 + event % 3);
            // Half of the events near the place where it matters.
            const u32 near = at + event % 7 - 3;
            const bool use_near = event % 2 == 0;
            const u16 offset = u16(use_near ? near % size : event & 0x7fff);
            const bool wrap = use_near ? near / size % 2 == 0 : event >> 15 != 0;
            push(p, batch);
            p.device.packed_half.set_device_event(u16(offset | (wrap ? 0x8000 : 0)));
            bool wanted = false;
            for (u32 i = at; i < at + batch; ++i) wanted |= i % size == offset && (i / size % 2 == 0) == wrap;
            const bool kicked = p.ring.publish();
            if (offset < size && kicked != wanted) FAIL("size " << size << " at " << at << " event " << event);
            at += batch;
            complete_all(p);
        }
    }
}

TEMPLATE_TEST_CASE("A device that fell asleep over a batch is told of it later, once", "", SplitRing, PackedRing) {
    const bool events = GENERATE(false, true);
    const u16 size = 8, around = GENERATE(u16{0}, u16{65534});
    Pair<TestType> p({.size = size, .event_idx = events, .first_index = around});
    for (u32 round = 0; round < 3u * size; ++round) {
        push(p, 1);
        CHECK(p.ring.publish());
        p.device.busy();
        const auto seen = p.device.take();
        push(p, 3);
        CHECK_FALSE(p.ring.publish());
        push(p, 2);
        CHECK_FALSE(p.ring.publish());
        CHECK(p.device.sleep());  // it did not look again
        CHECK(p.ring.publish());
        CHECK_FALSE(p.ring.publish());
        p.device.give(seen->id, 0);
        complete_all(p);
        p.device.busy();
        push(p, 1);
        CHECK_FALSE(p.ring.publish());
        complete_all(p);
        CHECK_FALSE(p.device.sleep());
        CHECK_FALSE(p.ring.publish());  // what is back was seen
        push(p, 1);
        CHECK(p.ring.publish());
        complete_all(p);
        CHECK_FALSE(p.device.sleep());
    }
    CHECK(p.device.violations == std::vector<std::string>{});
}

TEMPLATE_TEST_CASE("rearm() reports work that came before it, and interrupts follow it exactly", "", SplitRing,
                   PackedRing) {
    const bool events = GENERATE(false, true);
    Pair<TestType> p({.size = 16, .event_idx = events, .first_index = 65534});
    push(p, 10);
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

TEMPLATE_TEST_CASE("rearm_after() waits for its chains: one interrupt for a batch", "", SplitRing, PackedRing) {
    const u16 descs = GENERATE(u16{1}, u16{3});
    const bool in_order = GENERATE(false, true);
    CAPTURE(descs, in_order);
    Pair<TestType> p({.size = 64, .in_order = in_order, .event_idx = true, .first_index = 65534});
    p.device.one_by_one();
    for (u32 round = 0; round < 200; ++round) {
        const u16 out = u16(1 + round % 20), patience = u16(round % 7 == 0 ? 0xffff : 1 + round % out);
        push(p, out, descs);
        (void)p.ring.publish();
        CHECK_FALSE(p.ring.rearm_after(patience));
        u32 interrupts = 0, last = 0;
        std::vector<u16> ids;
        while (auto chain = p.device.take()) ids.push_back(chain->id);
        for (u32 i = 0; i < out; ++i) {
            const u32 which = in_order ? i : (i * 7 + round) % out;
            u16 id = ids.at(which);
            if (!in_order && std::exchange(ids.at(which), u16{0xffff}) == 0xffff) {  // 7 divides out: take the next
                const auto left = std::find_if(ids.begin(), ids.end(), [](u16 v) { return v != 0xffff; });
                id = std::exchange(*left, u16{0xffff});
            }
            if (p.device.give(id, 0)) ++interrupts, last = i + 1;
        }
        if (interrupts != 1 || last != std::min<u32>(patience, out))
            FAIL("round " << round << ": " << interrupts << " interrupts, at " << last << " of " << out << ", not "
                          << patience);
        CHECK(p.ring.rearm_after(patience));  // something is there
        while (p.ring.pop()) {
        }
        CHECK_FALSE(p.ring.rearm_after(patience));  // nothing in flight: the next one
        push(p, 1, descs);
        (void)p.ring.publish();
        CHECK(p.device.give(p.device.take()->id, 0));
        REQUIRE(p.ring.pop());
    }
    CHECK(p.device.violations == std::vector<std::string>{});
}

TEST_CASE("A position is the avail index, or the next descriptor and its wrap counter") {
    Pair<SplitRing> s({.size = 4, .first_index = 65534});
    CHECK(s.ring.position() == 65534);
    push(s, 3);
    CHECK(s.ring.position() == 65534);
    (void)s.ring.publish();
    CHECK(s.ring.position() == 1);

    Pair<PackedRing> p({.size = 5});
    CHECK(p.ring.position() == 0x8000);
    push(p, 2, 2);
    CHECK(p.ring.position() == 0x8000);
    (void)p.ring.publish();
    CHECK(p.ring.position() == 0x8004);
    complete_all(p);
    push(p, 1);
    (void)p.ring.publish();
    CHECK(p.ring.position() == 0);
    complete_all(p);
    push(p, 5);
    (void)p.ring.publish();
    CHECK(p.ring.position() == 0x8000);
}
