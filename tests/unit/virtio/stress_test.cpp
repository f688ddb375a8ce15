// Two real threads on real hardware, the driver's half against the device's: both sleep whenever they may. Whether the
// fences are there is for fences.cpp to say; this test runs the whole protocol.
// Not a timing test: it only takes as many rounds as fit into a second, and gives a lost wake-up five seconds to
// arrive.
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/unit/virtio/ring_pair.hpp"

using namespace ringlet;
using Clock = std::chrono::steady_clock;

namespace {

/// An edge that wakes one thread: a doorbell or an interrupt.
struct Edge {
    std::atomic<bool> set{false};
    void raise() { set.store(true, std::memory_order_release); }
    /// False: stopped, or nothing came for five seconds.
    bool wait(const std::atomic<bool>& stop) {
        for (u64 spins = 1; !set.exchange(false, std::memory_order_acquire); ++spins) {
            if (spins % 4096 != 0) continue;
            if (stop.load()) return false;
            std::this_thread::yield();
            if (spins % (4096 * 64) == 0 && began == Clock::time_point{}) began = Clock::now();
            if (began != Clock::time_point{} && Clock::now() - began > std::chrono::seconds(5))
                return lost = true, false;
        }
        began = {};
        return true;
    }
    Clock::time_point began;
    bool lost = false;
};

}  // namespace

TEMPLATE_TEST_CASE("No wake-up is lost between two processors", "[stress][threads]", virtio::SplitRing, virtio::PackedRing) {
    const bool events = GENERATE(true, false);
    device::Pair<TestType> pair({.size = 4, .event_idx = events, .first_index = 65000});
    auto& ring = pair.ring;
    auto& dev = pair.device;
    const virtio::Segment segment = pair.segment();

    Edge doorbell, interrupt;
    std::atomic<bool> stop{false};
    u64 served = 0, kicks = 0, interrupts = 0, rounds = 0;

    std::thread device_thread([&] {
        while (!stop.load(std::memory_order_relaxed)) {
            dev.busy();
            do {
                while (auto chain = dev.take()) {
                    ++served;
                    if (dev.give(chain->id, 7)) ++interrupts, interrupt.raise();
                }
            } while (dev.sleep());
            if (!doorbell.wait(stop)) break;
        }
    });

    const auto end = Clock::now() + std::chrono::milliseconds(500);
    while ((rounds & 255) != 0 || Clock::now() < end) {
        ++rounds;
        if (!ring.push({}, {&segment, 1})) break;
        if (ring.publish()) ++kicks, doorbell.raise();
        bool done = false;
        for (;;) {
            while (ring.pop()) done = true;
            if (done) break;
            if (!ring.rearm() && !interrupt.wait(stop)) break;
            ring.suppress();
        }
        if (!done) break;
    }
    stop = true;
    device_thread.join();
    INFO("event_idx " << events << ", rounds " << rounds << ", kicks " << kicks << ", interrupts " << interrupts);
    // The driver's five seconds may end first although it was the doorbell that got lost.
    CHECK_FALSE(interrupt.lost);
    CHECK_FALSE(doorbell.lost);
    CHECK(served == rounds);
    CHECK_FALSE(ring.broken());
    CHECK(dev.violations.empty());
}
