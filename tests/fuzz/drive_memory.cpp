// The balloon, entropy and console drivers against the hostile device. Host only.
#include <sys/mman.h>

#include "drivers/virtio/balloon.hpp"
#include "drivers/virtio/console.hpp"
#include "drivers/virtio/rng.hpp"
#include "kernel/port.hpp"
#include "tests/fuzz/drive.hpp"
#include "tests/fuzz/world.hpp"

namespace ringlet::fuzz {

namespace {
constexpr auto kBalloonConfig = device::every_ring<virtio::BalloonConfig>();
constexpr auto kRngConfig = device::every_ring<virtio::RngConfig>();
constexpr auto kConsoleConfig = device::every_ring<virtio::ConsoleConfig>();
}  // namespace

/// The device does not see the pages, only lists of their numbers: what it does to them is its right.
void run_balloon(device::Way way, Script& s) {
    constexpr u64 kRam = 0x2000'0000, kRamBytes = 16_MiB;
    static void* const memory = mmap(reinterpret_cast<void*>(kRam), kRamBytes, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);
    must(memory == reinterpret_cast<void*>(kRam), "no memory for the page allocator");
    const arch::MmioRange ram[] = {{PhysAddr(kRam), kRamBytes}};
    must(kernel::page_allocator_init(ram, {}, PhysAddr(~u64{0})).has_value(), "no page allocator");
    const u64 free_at_start = kernel::page_stats().free_pages;
    World w(way, s, virtio::BalloonSpec::kDeviceId, 5);
    {
        auto made = virtio::Balloon<kBalloonConfig>::probe(w.device(), "balloon0");
        if (!made) return;
        std::unique_ptr<virtio::Balloon<kBalloonConfig>> balloon = std::move(*made);
        std::vector<std::pair<PhysAddr, unsigned>> pages;
        while (!s.done()) {
            switch (s.below(8)) {
            case 0: {
                const unsigned order = s.below(11);
                if (const auto page = kernel::allocate_pages(order)) pages.emplace_back(*page, order);
                break;
            }
            case 1:
                if (pages.empty()) break;
                kernel::free_pages(pages.back().first, pages.back().second);
                pages.pop_back();
                break;
            case 2:
                w.put<u32>(0, s.below(5000)), ++w.dev.generation;
                break;
            case 3:
                w.later(Duration::from_ms(1 + s.number() % 40'000));
                break;
            case 4:
                (void)balloon->service(kernel::now());
                break;
            default:
                w.act();
                break;
            }
        }
        w.dev.behave();
        for (const auto& [page, order] : pages) kernel::free_pages(page, order);
    }
    must(w.dev.ever_stuck || kernel::page_stats().free_pages == free_at_start, "pages were lost");
    must(kernel::page_stats().bad_frees == 0, "pages were freed twice");
}

void run_rng(device::Way way, Script& s) {
    World w(way, s, virtio::RngSpec::kDeviceId, 1);
    arch::host::set_hardware_random(s.byte() % 2 == 0);
    auto made = virtio::Rng<kRngConfig>::probe(w.device(), "rng0");
    arch::host::set_hardware_random(true);
    if (!made) return;
    std::unique_ptr<virtio::Rng<kRngConfig>> rng = std::move(*made);
    while (!s.done()) {
        if (s.byte() % 4 == 0) w.later(Duration::from_ms(1 + s.number() % 400'000));
        (void)rng->service(kernel::now());
        w.act();
    }
    (void)arch::host::take_added_entropy();
}

void run_console(device::Way way, Script& s) {
    World w(way, s, virtio::ConsoleSpec::kDeviceId, 10);
    if (s.byte() % 8 != 0) w.put<u32>(4, 1 + s.below(5));
    constexpr const char* kNames[] = {"hvc0", "a", "b"};
    w.dev.answer = [&](u16 queue, const device::Chain& c) {
        if (queue != virtio::ConsoleSpec::kControlReceive || c.in.empty() || c.in[0].bytes == nullptr) return;
        if (c.in[0].len < 16) return;
        std::memset(c.in[0].bytes, 0, c.in[0].len);
        *reinterpret_cast<virtio::ConsoleSpec::Control*>(c.in[0].bytes) = {
            .id = s.below(5), .event = u16(s.below(9)), .value = u16(s.byte() % 2)};
        c.in[0].bytes[sizeof(virtio::ConsoleSpec::Control)] = std::byte('a' + s.byte() % 2);
    };
    auto made = virtio::Console<kConsoleConfig>::probe(w.device(), "console0");
    if (!made) return;
    std::unique_ptr<virtio::Console<kConsoleConfig>> console = std::move(*made);
    if (s.byte() % 2 == 0) (void)console->attach();
    std::vector<kernel::Port> ports;
    std::byte bytes[300] = {};
    while (!s.done()) {
        switch (s.below(8)) {
        case 0:
            if (auto port = kernel::Port::open(kNames[s.below(3)])) ports.push_back(std::move(*port));
            break;
        case 1:
            if (!ports.empty()) ports.pop_back();
            break;
        case 2:
            for (kernel::Port& p : ports) (void)p.read(std::span(bytes, 1 + s.byte()), kernel::now());
            break;
        case 3:
            for (kernel::Port& p : ports) (void)p.write(std::span(bytes, 1 + s.byte()), kernel::now());
            break;
        case 4:
            console->put("a line for people\n");
            w.later(Duration::from_ms(1 + s.number()));
            break;
        case 5:
            (void)console->service(kernel::now());
            break;
        default:
            w.act();
            break;
        }
    }
    ports.clear();
}

}  // namespace ringlet::fuzz
