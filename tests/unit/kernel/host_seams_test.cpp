// The fake machine and the light kernel that other rooms' tests stand on.
#include <catch2/catch.hpp>

#include <arch/clock.hpp>
#include <arch/cpu.hpp>
#include <arch/host.hpp>
#include <arch/irq.hpp>
#include <arch/mmio.hpp>
#include <arch/port.hpp>
#include <thread>
#include <vector>

#include "kernel/irq/irq.hpp"
#include "kernel/log.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/sched/event.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sched/wait_queue.hpp"
#include "kernel/sync/spinlock.hpp"

using namespace ringlet;
using namespace ringlet::kernel;

namespace {

struct FakeDevice : arch::host::MmioHandler {
    u64 last_offset = 0, last_value = 0;
    unsigned last_width = 0;
    u64 read(u64 offset, unsigned width) override { return 0x1122'3344'5566'7788 + offset + width; }
    void write(u64 offset, unsigned width, u64 value) override {
        last_offset = offset;
        last_width = width;
        last_value = value;
    }
};

IrqResult count(void* context) {
    ++*static_cast<int*>(context);
    return IrqResult::handled;
}

}  // namespace

TEST_CASE("MMIO and ports reach the registered device with offset and width") {
    FakeDevice device;
    arch::host::register_mmio(0xfe00'0000, 0x1000, device);
    CHECK(arch::mmio_read<u16>(0xfe00'0010) == 0x7788 + 0x10 + 2);
    arch::mmio_write<u32>(0xfe00'0ffc, 7);
    CHECK((device.last_offset == 0xffc && device.last_width == 4 && device.last_value == 7));
    arch::host::unregister_mmio(0xfe00'0000);
    CHECK(arch::port_in8(0x70) == 0xff);
    CHECK(arch::port_in32(0xcf8) == 0xffff'ffff);
    arch::host::register_ports(0xcf8, 8, device);
    arch::port_out8(0xcff, 9);
    CHECK((device.last_offset == 7 && device.last_width == 1 && device.last_value == 9));
    arch::host::unregister_ports(0xcf8);
}

TEST_CASE("An interrupt waits while it is masked or interrupts are off") {
    int handled = 0;
    arch::MsiMessage message;
    auto id = arch::allocate_msi(8, message);
    REQUIRE(id);
    REQUIRE(irq_request(*id, count, &handled, "test"));
    CHECK(arch::host::deliver(message));
    CHECK(handled == 1);
    {
        arch::IrqGuard off;
        CHECK(arch::host::deliver(message));
        CHECK(handled == 1);
    }
    CHECK(handled == 2);
    arch::mask(*id);
    CHECK(arch::host::deliver(message));
    CHECK(handled == 2);
    arch::unmask(*id);
    CHECK(handled == 3);
    irq_release(*id, count, &handled);
    arch::free_msi(*id);
    CHECK_FALSE(arch::host::deliver(message));
    CHECK_FALSE(arch::host::deliver({0x1000, 1}));
    CHECK(handled == 3);
}

TEST_CASE("A DMA address is not a pointer and is checked against live regions") {
    {
        auto region = DmaRegion::allocate(5000, 16);
        REQUIRE(region);
        const auto as_pointer = DmaAddr(reinterpret_cast<std::uintptr_t>(region->bytes().data()));
        CHECK(region->addr().raw % kPageSize == 0);
        CHECK(arch::host::dma_to_pointer(region->addr(100), 4900) == region->bytes().data() + 100);
        CHECK(arch::host::dma_to_pointer(region->addr(100), 4901) == nullptr);
        CHECK(arch::host::dma_to_pointer(as_pointer, 1) == nullptr);
        CHECK(arch::host::dma_to_pointer(region->addr(0) - 1, 1) == nullptr);
        auto other = std::move(*region);
        CHECK(arch::host::live_dma_regions() == 1);
        CHECK(arch::host::dma_to_pointer(other.addr(), 1) != nullptr);
    }
    CHECK(arch::host::live_dma_regions() == 0);
}

TEST_CASE("Spinlocks guard plain memory, and Guarded hands it out", "[threads]") {
    Guarded<int, Rank::inode, Spinlock> count{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 5000; ++i) ++*count.lock();
        });
    for (auto& t : threads) t.join();
    CHECK(*count.lock() == 4 * 5000);
}

TEST_CASE("Mutexes and wait queues: nobody misses what changed before it slept", "[threads]") {
    struct Box {
        int items = 0, taken = 0;
    };
    Guarded<Box, Rank::fs, Mutex> box;
    WaitQueue changed;
    constexpr int kItems = 2000;
    const auto take = [&] {
        for (int i = 0; i < kItems; ++i) {
            auto b = box.lock();
            changed.wait(b, [&] { return b->items != 0; });
            --b->items, ++b->taken;
        }
    };
    const auto give = [&] {
        for (int i = 0; i < kItems; ++i) {
            ++box.lock()->items;
            changed.wake_all();
        }
    };
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; ++t) threads.emplace_back(take), threads.emplace_back(give);
    for (auto& t : threads) t.join();
    const Box end = *box.lock();
    CHECK((end.items == 0 && end.taken == 2 * kItems));
}

TEST_CASE("Events are sticky, consumed by a wait, and time out") {
    Event event;
    event.set();
    event.wait();
    CHECK_FALSE(event.is_set());
    CHECK_FALSE(event.wait_until(arch::monotonic_now() + Duration::from_ms(5)));
    std::thread setter([&] { event.set(); });
    CHECK(event.wait_until(Instant::never()));
    setter.join();
}

TEST_CASE("A virtual deadline passes when the virtual clock does") {
    arch::host::use_virtual_clock(Instant{1000});
    Event event;
    std::thread mover([] { arch::host::advance_to(Instant{5000}); });
    CHECK_FALSE(event.wait_until(Instant{5000}));
    mover.join();
    arch::host::use_real_clock();
}

TEST_CASE("Guarded mutexes and wait queues work between real threads") {
    Guarded<int, Rank::service, Mutex> value{0};
    WaitQueue changed;
    auto worker = ThreadHandle::spawn({.name = "adder"}, [&] {
        for (int i = 0; i < 1000; ++i) {
            auto held = value.lock();
            ++*held;
            changed.wake_one();
        }
    });
    REQUIRE(worker);
    {
        auto held = value.lock();
        changed.wait(held, [&] { return *held == 1000; });
        CHECK(*held == 1000);
        const Instant soon = arch::monotonic_now() + Duration::from_ms(2);
        CHECK_FALSE(changed.wait_until(held, soon, [&] { return *held != 1000; }));
    }
    worker->join();
    Guarded<int, Rank::device, Spinlock> spun{5};
    {
        auto held = spun.lock();
        CHECK_FALSE(arch::interrupts_enabled());
    }
    CHECK(arch::interrupts_enabled());
}
