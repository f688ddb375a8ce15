// The balloon driver, with the real page allocator, against a model of the device that knows whose each page is.
#include <catch2/catch.hpp>

#include <sys/mman.h>

#include "drivers/virtio/balloon.hpp"
#include "tests/device/balloon_device.hpp"
#include "tests/unit/virtio/bench.hpp"

using namespace ringlet;
using device::BalloonDevice, device::Way;
using Balloon = virtio::Balloon<device::every_ring<virtio::BalloonConfig>()>;
using F = virtio::BalloonSpec::Feature;

namespace {

/// Low enough for 32-bit page numbers and outside the sanitizers' shadows: host addresses are physical ones here.
constexpr u64 kRam = 0x2000'0000, kRamBytes = 64_MiB;

struct World : device::Bench<BalloonDevice> {
    std::unique_ptr<Balloon> balloon;
    u64 free_at_start = 0;

    explicit World(Way way) : Bench(way) {
        arch::host::use_virtual_clock();
        void* memory = mmap(reinterpret_cast<void*>(kRam), kRamBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
        REQUIRE(memory == reinterpret_cast<void*>(kRam));
        const arch::MmioRange ram[] = {{PhysAddr(kRam), kRamBytes}};
        REQUIRE(kernel::page_allocator_init(ram, {}, PhysAddr(~u64{0})));
        arch::host::map_dma_identity(kRam, kRamBytes);
        free_at_start = kernel::page_stats().free_pages;
        dev.ram_base = kRam, dev.ram_bytes = kRamBytes;
    }
    Result<> start() {
        auto r = Balloon::probe(device(), "balloon0");
        if (!r) return fail(r.error());
        balloon = std::move(*r);
        return {};
    }
    ~World() {
        balloon.reset();
        if (!lost) CHECK(kernel::page_stats().free_pages == free_at_start);
        CHECK(kernel::page_stats().bad_frees == 0);
        CHECK(dev.all_violations() == std::vector<std::string>{});
        arch::host::map_dma_identity(0, 0);
        munmap(reinterpret_cast<void*>(kRam), kRamBytes);
        arch::host::use_real_clock();
    }
    void turns(int n = 20) {
        for (int i = 0; i < n; ++i) (void)balloon->service(kernel::now());
    }
    void later(Duration d) {
        arch::host::advance_to(kernel::now() + d);
        turns();
    }
    u64 value(std::string_view name) const {
        u64 found = ~u64{0};
        balloon->for_each_value([&](std::string_view n, u64 v) {
            if (n == name) found = v;
        });
        return found;
    }
    u64 free() const { return kernel::page_stats().free_pages; }
    bool lost = false;  ///< a broken device keeps memory
};

}  // namespace

TEST_CASE("The balloon follows the host up and down, page for page") {
    World w(GENERATE(from_range(std::begin(device::kModernWays), std::end(device::kModernWays))));
    if (GENERATE(true, false)) w.dev.offer(F::must_tell_host);
    if (GENERATE(true, false)) w.dev.offered = w.dev.offered.without(virtio::mask(virtio::Common::event_idx));
    REQUIRE(w.start());
    CHECK_FALSE(w.balloon->info().negotiated.test(30));
    w.turns();
    for (const u32 target : {4096u, 10000u, 1u, 0u, 777u, 13000u, 5u, 1024u, 0u}) {
        w.dev.set_target(target);
        w.turns();
        REQUIRE(w.dev.inside.size() == target);
        CHECK(w.dev.actual == target);
        CHECK(w.value("current") == target);
        CHECK(w.value("desired") == target);
        CHECK(w.free() <= w.free_at_start - target);
        CHECK(w.free() >= w.free_at_start - target - 40);
    }
}

TEST_CASE("Many pages leave with few kicks, interrupts and writes of actual") {
    World w(GENERATE(Way::pci_vectors, Way::pci_line, Way::mmio));
    const bool hold = GENERATE(true, false);
    REQUIRE(w.start());
    w.turns();
    const u64 interrupts = w.dev.interrupts_sent, writes = w.dev.actual_writes;
    w.dev.hold = hold;
    w.dev.set_target(13312);  // 52 MiB: 13 lists, one batch
    for (int i = 0; i < 4; ++i) {
        w.turns();
        w.dev.serve_held();
    }
    w.turns();
    CHECK(w.dev.inside.size() == 13312);
    CHECK(w.dev.requests == 13);
    CHECK(w.dev.queues[0].notified == 1);
    if (w.dev.accepted.test(unsigned(virtio::Common::event_idx)))
        CHECK(w.dev.interrupts_sent - interrupts == 1 + u64(hold));  // the configuration's, and the last request's
    CHECK(w.dev.actual_writes == writes + 1);
}

TEST_CASE("The balloon leaves the kernel its floor, asks caches first, and tries again later") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling));
    REQUIRE(w.start());
    std::vector<PhysAddr> cache;
    for (int i = 0; i < 1000; ++i) cache.push_back(kernel::allocate_pages(0).value());
    kernel::MemorySource source{.give =
                                    [](void* p, usize, kernel::Pressure pressure) {
                                        if (pressure != kernel::Pressure::wanted) return usize{0};
                                        auto& c = *static_cast<std::vector<PhysAddr>*>(p);
                                        for (PhysAddr page : c) kernel::free_pages(page, 0);
                                        return std::exchange(c, {}).size();
                                    },
                                .context = &cache};
    kernel::pressure_register(source);
    w.dev.set_target(~u32{0});
    w.turns();
    const u64 floor = kRamBytes / 4096 / 16;
    CHECK(cache.empty());
    CHECK(w.free() >= floor - 40);
    CHECK(w.free() <= floor + 1);
    w.later(Duration::from_s(2));
    CHECK(w.value("refused") >= 1);
    CHECK(w.free() >= floor - 40);
    CHECK(w.dev.actual == w.dev.inside.size());
    const Instant again = w.balloon->service(kernel::now());
    CHECK(again > kernel::now());
    CHECK(again <= kernel::now() + Duration::from_s(2));
    w.dev.set_target(0);
    w.turns();
    CHECK(w.dev.inside.empty());
    kernel::pressure_unregister(source);
}

TEST_CASE("Allocations that would fail take memory out of the balloon, if that was agreed") {
    World w(GENERATE(Way::pci_vectors, Way::pci_line, Way::mmio));
    const bool agreed = GENERATE(true, false), tell = GENERATE(true, false);
    if (agreed) w.dev.offer(F::deflate_on_oom);
    if (tell) w.dev.offer(F::must_tell_host);
    REQUIRE(w.start());
    w.dev.set_target(12000);
    w.turns();
    REQUIRE(w.dev.inside.size() == 12000);
    std::vector<std::pair<PhysAddr, unsigned>> taken;
    unsigned order = 9;
    u64 pages = 0;
    while (auto block = kernel::allocate_pages(order)) {
        taken.emplace_back(*block, order);
        pages += u64{1} << order;
        for (u64 i = 0; i < 1u << order; ++i) {
            const bool given = w.dev.inside.count(block->raw / 4096 + i) != 0;
            if (given) FAIL("a page that the host has");
        }
        std::memset(reinterpret_cast<void*>(block->raw), 0x5a, kPageSize << order);
        order = unsigned(taken.size() % 10);
    }
    w.turns();
    CHECK((pages > 12000) == agreed);
    CHECK((w.value("oom_deflated") > 10000) == agreed);
    CHECK(w.dev.inside.size() == (agreed ? w.dev.inside.size() : 12000));
    CHECK(w.dev.actual == w.dev.inside.size());
    for (const auto& [base, o] : taken) kernel::free_pages(base, o);
    w.turns();
    if (agreed) CHECK(w.dev.inside.size() < 2000);  // not back at once
    w.later(Duration::from_s(11));
    CHECK(w.dev.inside.size() == 12000);
}

TEST_CASE("A shortage with MUST_TELL_HOST and a silent device ends with an error in bounded time") {
    World w(Way::mmio);
    w.lost = true;
    w.dev.offer(F::deflate_on_oom);
    w.dev.offer(F::must_tell_host);
    REQUIRE(w.start());
    w.dev.set_target(12000);
    w.turns();
    w.dev.hold = true;
    arch::host::use_real_clock();
    std::vector<PhysAddr> taken;
    while (auto page = kernel::allocate_pages(0)) {
        REQUIRE(w.dev.inside.count(page->raw / 4096) == 0);
        taken.push_back(*page);
    }
    w.dev.serve_held();
    w.turns();
    CHECK(kernel::allocate_pages(0));  // what was under way has come
    for (PhysAddr page : taken) kernel::free_pages(page, 0);
    arch::host::use_virtual_clock(kernel::now());
}

TEST_CASE("Statistics are sent at the start and whenever the host asks") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    REQUIRE(w.start());
    w.turns();
    for (int i = 0; i < 5; ++i) {
        REQUIRE(w.dev.stats_chain);
        REQUIRE(w.dev.stats.size() == 10);
        for (u16 tag = 0; tag < 10; ++tag) CHECK(w.dev.stats[tag].tag == tag);
        CHECK(w.dev.stats[4].val == w.free() * kPageSize);
        CHECK(w.dev.stats[5].val == kernel::page_stats().total_pages * kPageSize);
        CHECK(w.dev.stats[6].val >= w.dev.stats[4].val);
        w.dev.stats.clear();
        w.dev.want_statistics();
        w.turns();
    }
    CHECK(w.value("stats") == 6);
}

TEST_CASE("Free memory is reported once, isolated meanwhile, on either numbering of the queues") {
    World w(GENERATE(Way::pci_vectors, Way::pci_line, Way::mmio));
    w.dev.offer(F::page_reporting);
    if (GENERATE(true, false)) w.dev.offer(F::free_page_hint);
    w.dev.number_queues(GENERATE(true, false));
    REQUIRE(w.start());
    w.turns();
    CHECK(w.dev.reported_bytes >= kRamBytes - 4_MiB);
    const u64 first = w.dev.reported_bytes;
    w.later(Duration::from_s(3));
    CHECK(w.dev.reported_bytes == first);
    const PhysAddr used = kernel::allocate_pages(9).value();
    std::memset(reinterpret_cast<void*>(used.raw), 0x5a, 2_MiB);
    w.later(Duration::from_s(3));
    CHECK(*reinterpret_cast<u8*>(used.raw + 12345) == 0x5a);
    CHECK(w.dev.reported_bytes == first);
    kernel::free_pages(used, 9);
    w.turns();
    CHECK(w.dev.reported_bytes == first);  // not more often than every two seconds
    w.later(Duration::from_s(3));
    CHECK(w.dev.reported_bytes > first);
    CHECK(w.dev.reported_bytes <= first + 4_MiB);
    // While a report is under way nobody else can have its blocks.
    kernel::free_pages(kernel::allocate_pages(11).value(), 11);
    w.dev.hold = true;
    w.later(Duration::from_s(3));
    REQUIRE(w.dev.held.size() == 1);
    std::vector<std::pair<u64, u64>> isolated;
    for (const device::Piece& p : w.dev.held[0].second.in) isolated.emplace_back(reinterpret_cast<u64>(p.bytes), p.len);
    std::vector<PhysAddr> all;
    arch::host::use_real_clock();
    while (auto page = kernel::allocate_pages(0)) {
        all.push_back(*page);
        for (const auto& [base, bytes] : isolated) {
            const bool within = page->raw >= base && page->raw < base + bytes;
            if (within) FAIL("a page that is being reported");
        }
    }
    arch::host::use_virtual_clock(kernel::now());
    w.dev.serve_held();
    w.turns();
    for (PhysAddr page : all) kernel::free_pages(page, 0);
}

TEST_CASE("Hints begin with the host's command, end with STOP, and the pages come back when it is done") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    w.dev.offer(F::free_page_hint);
    w.dev.number_queues(true);
    REQUIRE(w.start());
    w.turns();
    CHECK(w.dev.commands.empty());
    w.dev.set_command(0x80000000);
    w.turns();
    CHECK(w.dev.commands == std::vector<u32>{0x80000000, 0});
    u64 bytes = 0;
    for (const auto& [base, len] : w.dev.hints) {
        CHECK((base >= kRam && base + len <= kRam + kRamBytes));
        bytes += len;
    }
    CHECK(bytes > kRamBytes / 2);
    CHECK(w.free() < kRamBytes / 4096 / 8);
    SECTION("DONE") {
        w.dev.set_command(1);
        w.turns();
    }
    SECTION("a shortage") {
        CHECK(kernel::allocate_pages(10).has_value());
        w.free_at_start -= 1024;
    }
    CHECK(w.free() > w.free_at_start - 40);
}

TEST_CASE("Pages keep their poison: the host is told of it, or is not told of free pages") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    const bool told = GENERATE(true, false), poisoned = GENERATE(true, false);
    if (poisoned) kernel::poison::start();
    if (told) w.dev.offer(F::page_poison);
    w.dev.offer(F::page_reporting);
    w.dev.number_queues(true);
    REQUIRE(w.start());
    CHECK(w.dev.accepted.test(unsigned(F::page_poison)) == (told && poisoned));
    CHECK(w.dev.accepted.test(unsigned(F::page_reporting)) == (told || !poisoned));
    CHECK(w.dev.poison == (told && poisoned ? kernel::poison::kPattern : 0));
    w.later(Duration::from_s(3));
    CHECK((w.dev.reported_bytes > 0) == (told || !poisoned));
    w.dev.set_target(8000);  // these come back as zeroes
    w.turns();
    REQUIRE(w.dev.inside.size() == 8000);
    w.dev.set_target(0);
    w.turns();
    const u64 damaged = kernel::poison::damaged();
    std::vector<PhysAddr> all;
    arch::host::use_real_clock();
    while (auto page = kernel::allocate_pages(0)) all.push_back(*page);
    arch::host::use_virtual_clock(kernel::now());
    CHECK(all.size() > 15000);
    CHECK(kernel::poison::damaged() == damaged);
    for (PhysAddr page : all) kernel::free_pages(page, 0);
    kernel::poison::stop();
}

TEST_CASE("A balloon device that lies is reset; memory stays whole") {
    World w(GENERATE(from_range(std::begin(device::kModernWays), std::end(device::kModernWays))));
    w.dev.offer(F::deflate_on_oom);
    REQUIRE(w.start());
    w.dev.set_target(5000);
    w.turns();
    w.dev.hold = true;
    w.dev.set_target(9000);
    w.turns();
    REQUIRE(!w.dev.held.empty());
    device::RingDevice& ring = w.dev.queues[0].ring;
    SECTION("an id never given") {
        w.dev.complete(0, 15, 0);
    }
    SECTION("an id out of range") {
        ring.put(60000, 0), ring.publish_used(u16(ring.used_idx - 1));
    }
    SECTION("an id twice") {
        const u16 id = w.dev.held[0].second.id;
        ring.put(id, 0), ring.put(id, 0), ring.publish_used(u16(ring.used_idx - 2));
    }
    SECTION("used.idx jumps") {
        ring.set_used_idx(1000);
    }
    SECTION("DEVICE_NEEDS_RESET") {
        w.dev.needs_reset();
    }
    w.dev.hold = false;
    w.turns(2);
    CHECK(w.balloon->info().recoveries == 1);
    w.dev.inside.clear();  // what it believed is forgotten with the reset; a page counted as lent stays so here
    w.turns();
    CHECK(w.value("current") == 9000);
    CHECK(w.dev.actual == 9000);
    for (int i = 0; i < 30 && !w.balloon->info().broken; ++i) w.dev.needs_reset(), w.turns(2);
    CHECK(w.balloon->info().broken);
    CHECK(w.balloon->service(kernel::now()).is_never());
    CHECK(kernel::relieve_pressure(1, kernel::Pressure::exhausted) == 0);
}

TEST_CASE("A balloon device that is gone from the bus keeps what it had, and asks for nothing more") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    w.lost = true;
    w.dev.offer(F::deflate_on_oom);
    REQUIRE(w.start());
    w.dev.set_target(4096);
    w.turns();
    w.dev.absent = true;
    w.dev.interrupt_config();
    CHECK(w.balloon->service(kernel::now()).is_never());
    CHECK(w.balloon->info().broken);
    CHECK(kernel::relieve_pressure(1, kernel::Pressure::exhausted) == 0);
    w.dev.absent = false;
}

TEST_CASE("What is under way to a balloon device that never resets is never used again") {
    World w(Way::mmio);
    w.lost = true;
    REQUIRE(w.start());
    w.dev.hold = true;
    w.dev.set_target(8000);
    w.turns();
    const u64 free = w.free();
    w.dev.never_resets = true;
    w.dev.needs_reset();
    w.turns();
    CHECK(w.balloon->info().broken);
    w.balloon.reset();
    CHECK(w.free() <= free + 40);
}
