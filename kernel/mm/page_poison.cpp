#include "kernel/mm/page_poison.hpp"

#include <algorithm>
#include <atomic>
#include <span>

#include "kernel/log.hpp"
#include "kernel/mm/page_allocator.hpp"

namespace ringlet::kernel::poison {

namespace {

constinit std::atomic<u64> found{0};
constexpr u64 kWord = u64{kPattern} << 32 | kPattern;

std::span<u64> words(PhysAddr base, u64 pages) {
    return {reinterpret_cast<u64*>(base.raw), pages * kPageSize / sizeof(u64)};
}

}  // namespace

constinit bool on = false;

void fill(PhysAddr base, u64 pages) {
    std::ranges::fill(words(base, pages), kWord);
}

bool intact(PhysAddr base, u64 pages) {
    const auto all = words(base, pages);
    const auto bad = std::ranges::find_if(all, [](u64 w) { return w != kWord; });
    if (bad == all.end()) return true;
    found.fetch_add(1, std::memory_order_relaxed);
    log(LogLevel::error, "free memory was written to at 0x{:x}: {:x}; {} pages are not used any more",
        reinterpret_cast<u64>(&*bad), *bad, pages);
    return false;
}

void start() {
    // Everything is taken, filled, and given back: no other way leads to what is free.
    struct Taken {
        Taken* next;
        unsigned order;
    };
    Taken* taken = nullptr;
    while (const auto block = take_largest_block(kMaxOrder)) {
        auto* link = reinterpret_cast<Taken*>(block->base.raw);
        *link = {taken, block->order};
        taken = link;
    }
    on = true;
    while (taken != nullptr) {
        const auto [next, order] = *taken;
        free_pages(PhysAddr(reinterpret_cast<u64>(taken)), order);
        taken = next;
    }
}

void stop() {
    on = false;
}

std::optional<u32> pattern() {
    return on ? std::optional(kPattern) : std::nullopt;
}

u64 damaged() {
    return found.load(std::memory_order_relaxed);
}

}  // namespace ringlet::kernel::poison
