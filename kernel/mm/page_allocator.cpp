// The buddy allocator. One zone per RAM region; per zone and order a BitTree of free blocks and a bitmap of
// allocated ones, indexed from the zone's base, which is aligned to the zone's largest order so that blocks
// are naturally aligned. Context: any (spinlock).
#include "kernel/mm/page_allocator.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernel/mm/bit_tree.hpp"
#include "kernel/mm/page_poison.hpp"
#include "kernel/mm/pressure.hpp"
#include "kernel/sync/spinlock.hpp"
#include "lib/assert.hpp"

namespace ringlet::kernel {

namespace {

constexpr usize kMaxZones = 64;
constexpr u64 kMaxPage = u64{1} << 40;  // 4 PiB: more than any CPU addresses, and no sum here overflows

struct PageRange {
    u64 first = 0, end = 0;
};

struct Zone {
    u64 base = 0;  ///< page number of index 0; aligned to 2^max_order
    u64 span = 0;  ///< indices are below it
    unsigned max_order = 0;
    u32 nonempty = 0;  ///< bit k: some block of order k is free
    u64* bits = nullptr;
    u32 free_count[kMaxOrder + 1] = {};
    u32 free_at[kMaxOrder + 1] = {}, allocated_at[kMaxOrder + 1] = {};  ///< word offsets into bits
    u32 reported_at = 0;                                                ///< a bit for each 2^kReportOrder pages

    BitTree free_set(unsigned order) const { return {bits + free_at[order], usize{span >> order}}; }
    bool allocated(u64 index, unsigned order) const {
        const u64 i = index >> order;
        return (bits[allocated_at[order] + i / 64] >> (i % 64) & 1) != 0;
    }
    void flip_allocated(u64 index, unsigned order) {
        const u64 i = index >> order;
        bits[allocated_at[order] + i / 64] ^= u64{1} << (i % 64);
    }
    void insert(u64 index, unsigned order) {
        free_set(order).insert(index >> order);
        nonempty |= 1u << order;
        ++free_count[order];
    }
    void erase(u64 index, unsigned order) {
        free_set(order).erase(index >> order);
        if (--free_count[order] == 0) nonempty &= ~(1u << order);
    }
    /// The host knows, or no longer, that the contents of these pages are not needed.
    void mark_reported(u64 index, unsigned order, bool known) {
        const u64 end = ((index + (u64{1} << order) - 1) >> kReportOrder) + 1;
        for (u64 i = index >> kReportOrder; i < end; ++i) {
            u64& word = bits[reported_at + i / 64];
            word = known ? word | u64{1} << (i % 64) : word & ~(u64{1} << (i % 64));
        }
    }
    bool reported(u64 index) const {
        const u64 i = index >> kReportOrder;
        return (bits[reported_at + i / 64] >> (i % 64) & 1) != 0;
    }
    /// The order of the free block that page `index` lies in, if it is at least `least`.
    std::optional<unsigned> free_block_of(u64 index, unsigned least) const {
        for (unsigned k = least; k <= max_order; ++k)
            if (free_set(k).contains(index >> k)) return k;
        return std::nullopt;
    }
    /// Allocates the block of 2^order pages at `index` out of the free block of 2^k that it lies in.
    void carve(u64 index, unsigned order, unsigned k) {
        erase(index >> k << k, k);
        while (k > order) {
            --k;
            insert(((index >> k) ^ 1) << k, k);
        }
        flip_allocated(index, order);
        mark_reported(index, order, false);
    }
    /// Puts a block (neither free nor allocated now) on the free sets, merged with its free buddies.
    void release(u64 index, unsigned order) {
        while (order < max_order) {
            const u64 buddy = index ^ (u64{1} << order);
            if (!free_set(order).contains(buddy >> order)) break;
            erase(buddy, order);
            index &= ~(u64{1} << order);
            ++order;
        }
        insert(index, order);
    }
    /// True when the allocator knows this page as free or allocated.
    bool owns(u64 index) const {
        for (unsigned k = 0; k <= max_order; ++k)
            if ((index >> k) < (span >> k) && (free_set(k).contains(index >> k) || allocated(index, k))) return true;
        return false;
    }
};

struct Allocator {
    Zone* zones = nullptr;
    usize zone_count = 0;
    u64 limit = 0;  ///< page number; blocks that end below it are handed out first
    u64 total = 0, free = 0, bad_frees = 0;

    Zone* zone_of(u64 page) const {
        for (usize i = 0; i < zone_count; ++i)
            if (page >= zones[i].base && page - zones[i].base < zones[i].span) return &zones[i];
        return nullptr;
    }
    std::optional<u64> allocate(unsigned order);
    std::optional<u64> allocate_below(unsigned order, u64 below);
    /// False: it was not allocated, and bad_frees counts.
    bool release(u64 page, unsigned order);
    void add(PageRange range);
    std::optional<PageBlock> take_largest(unsigned max_order);
    std::optional<PageBlock> take_unreported(unsigned max_order);
};

constinit Guarded<Allocator, Rank::page_allocator, Spinlock> allocator;

std::optional<u64> Allocator::allocate_below(unsigned order, u64 below) {
    for (usize z = 0; z < zone_count; ++z) {
        Zone& zone = zones[z];
        for (u32 orders = zone.nonempty >> order << order; orders != 0; orders &= orders - 1) {
            const unsigned k = static_cast<unsigned>(std::countr_zero(orders));
            const u64 index = u64{zone.free_set(k).lowest()} << k;
            if (zone.base + index + (u64{1} << order) > below) continue;
            zone.carve(index, order, k);
            free -= u64{1} << order;
            return zone.base + index;
        }
    }
    return std::nullopt;
}

std::optional<u64> Allocator::allocate(unsigned order) {
    auto page = allocate_below(order, limit);
    return page ? page : allocate_below(order, kMaxPage);
}

bool Allocator::release(u64 page, unsigned order) {
    Zone* zone = zone_of(page);
    const u64 index = zone != nullptr ? page - zone->base : 0;
    if (zone == nullptr || order > zone->max_order || index % (u64{1} << order) != 0 ||
        (index >> order) >= (zone->span >> order) || !zone->allocated(index, order)) {
        ++bad_frees;
        return false;
    }
    zone->flip_allocated(index, order);
    zone->release(index, order);
    free += u64{1} << order;
    return true;
}

std::optional<PageBlock> Allocator::take_largest(unsigned max_order) {
    Zone* best = nullptr;
    unsigned best_order = 0;
    for (usize z = zone_count; z-- != 0;) {
        if (zones[z].nonempty == 0) continue;
        const unsigned order = std::min(max_order, static_cast<unsigned>(std::bit_width(zones[z].nonempty)) - 1);
        if (best != nullptr && order <= best_order) continue;
        best = &zones[z];
        best_order = order;
    }
    if (best == nullptr) return std::nullopt;
    const unsigned k = static_cast<unsigned>(std::countr_zero(best->nonempty >> best_order)) + best_order;
    const u64 index = u64{best->free_set(k).lowest()} << k;
    best->carve(index, best_order, k);
    free -= u64{1} << best_order;
    return PageBlock{PhysAddr((best->base + index) * kPageSize), best_order};
}

// A walk over one bit for each 2 MiB: short, and only a free block costs more than its bit.
std::optional<PageBlock> Allocator::take_unreported(unsigned max_order) {
    for (usize z = 0; z < zone_count; ++z) {
        Zone& zone = zones[z];
        if (zone.nonempty >> kReportOrder == 0) continue;
        for (u64 index = 0; index < zone.span; index += u64{1} << kReportOrder) {
            if (zone.reported(index)) continue;
            const auto k = zone.free_block_of(index, kReportOrder);
            if (!k) continue;
            const unsigned order = std::min(*k, max_order);
            const u64 first = index >> order << order;
            zone.carve(first, order, *k);
            free -= u64{1} << order;
            return PageBlock{PhysAddr((zone.base + first) * kPageSize), order};
        }
    }
    return std::nullopt;
}

// Pages of one region that nobody has yet, as the largest aligned blocks.
void Allocator::add(PageRange range) {
    Zone* zone = zone_of(range.first);
    if (zone == nullptr) return;
    u64 at = range.first - zone->base;
    const u64 end = std::min(range.end - zone->base, zone->span);
    while (at < end) {
        const unsigned aligned = at == 0 ? kMaxOrder : static_cast<unsigned>(std::countr_zero(at));
        const unsigned fits = static_cast<unsigned>(std::bit_width(end - at)) - 1;
        const unsigned order = std::min({aligned, fits, zone->max_order});
        zone->release(at, order);
        at += u64{1} << order;
        free += u64{1} << order;
        total += u64{1} << order;
    }
}

PageRange inwards(const arch::MmioRange& r) {
    const u64 end = r.base.raw + r.bytes < r.base.raw ? ~u64{0} : r.base.raw + r.bytes;
    const u64 first = (r.base.raw / kPageSize) + (r.base.raw % kPageSize != 0);
    return {std::max<u64>(first, 1), std::min(end / kPageSize, kMaxPage)};
}

PageRange outwards(const arch::MmioRange& r) {
    const u64 end = r.base.raw + r.bytes < r.base.raw ? ~u64{0} : r.base.raw + r.bytes;
    return {r.base.raw / kPageSize, end / kPageSize + (end % kPageSize != 0)};
}

/// Calls `use(PageRange)` for each part of `range` outside `reserved` and `also`, ascending; stops when it
/// returns true.
template <class Use>
void for_each_hole(PageRange range, std::span<const arch::MmioRange> reserved, PageRange also, Use use) {
    u64 at = range.first;
    while (at < range.end) {
        u64 next_start = range.end, skip_to = at;
        auto consider = [&](PageRange taken) {
            if (taken.first >= taken.end || taken.end <= at) return;
            if (taken.first <= at)
                skip_to = std::max(skip_to, taken.end);
            else
                next_start = std::min(next_start, taken.first);
        };
        for (const auto& r : reserved)
            if (r.bytes != 0) consider(outwards(r));
        consider(also);
        if (skip_to != at) {
            at = skip_to;
        } else {
            if (use(PageRange{at, next_start})) return;
            at = next_start;
        }
    }
}

struct Layout {
    FixedVector<PageRange, kMaxZones> ranges;
    usize bytes = 0;  ///< bookkeeping: the zones and their bitmaps

    static Zone zone(PageRange r) {
        Zone z;
        z.max_order = std::min<unsigned>(kMaxOrder, static_cast<unsigned>(std::bit_width(r.end - r.first)) - 1);
        z.base = align_down(r.first, u64{1} << z.max_order);
        z.span = r.end - z.base;
        return z;
    }
    /// Assigns the words of each bitmap; returns how many there are.
    static usize place(Zone& z) {
        usize at = 0;
        for (unsigned k = 0; k <= z.max_order; ++k) {
            const usize blocks = static_cast<usize>(z.span >> k);
            z.free_at[k] = static_cast<u32>(at);
            at += BitTree::words(blocks);
            z.allocated_at[k] = static_cast<u32>(at);
            at += (blocks + 63) / 64;
        }
        z.reported_at = static_cast<u32>(at);
        at += static_cast<usize>(((z.span >> kReportOrder) + 64) / 64);
        return at;
    }
    void measure() {
        bytes = 0;
        for (const PageRange& r : ranges) {
            Zone z = zone(r);
            bytes += sizeof(Zone) + place(z) * sizeof(u64);
        }
    }
};

Layout plan(std::span<const arch::MmioRange> ram) {
    Layout layout;
    u64 above = 0;
    for (const auto& region : ram) {
        const PageRange r = inwards(region);
        if (r.first >= r.end || r.first < above) continue;
        if (!layout.ranges.try_push_back(r)) break;
        above = r.end;
    }
    layout.measure();
    return layout;
}

std::optional<PageRange> place_bookkeeping(const Layout& layout, std::span<const arch::MmioRange> reserved, u64 limit) {
    const u64 pages = (layout.bytes + kPageSize - 1) / kPageSize;
    std::optional<PageRange> found;
    for (const PageRange& r : layout.ranges) {
        for_each_hole({r.first, std::min(r.end, limit)}, reserved, {}, [&](PageRange hole) {
            if (hole.end - hole.first >= pages) found = PageRange{hole.first, hole.first + pages};
            return found.has_value();
        });
        if (found) break;
    }
    return found;
}

}  // namespace

Result<> page_allocator_init(std::span<const arch::MmioRange> ram, std::span<const arch::MmioRange> reserved,
                             PhysAddr mapped_limit) {
    Layout layout = plan(ram);
    const u64 limit = std::min(mapped_limit.raw / kPageSize, kMaxPage);
    auto home = place_bookkeeping(layout, reserved, limit);
    while (!home && layout.ranges.size() > 1) {  // too little mapped memory to describe all of it: use less
        layout.ranges.pop_back();
        layout.measure();
        home = place_bookkeeping(layout, reserved, limit);
    }
    if (!home || layout.ranges.empty()) return fail(Error::no_memory);

    auto* const memory = reinterpret_cast<std::byte*>(home->first * kPageSize);
    std::memset(memory, 0, layout.bytes);
    auto held = allocator.lock();
    *held = Allocator{};
    held->limit = limit;
    held->zones = reinterpret_cast<Zone*>(memory);
    u64* bits = reinterpret_cast<u64*>(memory + layout.ranges.size() * sizeof(Zone));
    for (const PageRange& r : layout.ranges) {
        Zone& zone = *std::construct_at(&held->zones[held->zone_count++], Layout::zone(r));
        zone.bits = bits;
        bits += Layout::place(zone);
    }
    for (const PageRange& r : layout.ranges)
        for_each_hole(r, reserved, *home, [&](PageRange hole) {
            held->add(hole);
            return false;
        });
    return {};
}

namespace {

/// Asks for memory back a few times; gives up when nobody has any, or when what came was of no use.
template <class Attempt> Result<PhysAddr> allocate_under_pressure(u64 pages, Attempt attempt) {
    constexpr int kRounds = 8;
    for (int round = 0; round < kRounds; ++round) {
        if (const std::optional<u64> page = attempt()) {
            const PhysAddr base(*page * kPageSize);
            if (!poison::on || poison::intact(base, pages)) [[likely]]
                return base;
            continue;
        }
        if (relieve_pressure(pages, Pressure::exhausted) == 0) break;
    }
    return fail(Error::no_memory);
}

std::optional<u64> allocate_run(usize pages) {
    const unsigned order = static_cast<unsigned>(std::bit_width(pages - 1));
    auto held = allocator.lock();
    const auto first = held->allocate(order);
    if (!first || std::has_single_bit(pages)) return first;
    // Replace the one allocated block by one per set bit of `pages`, largest first, and free the tail.
    Zone& zone = *held->zone_of(*first);
    u64 at = *first - zone.base;
    zone.flip_allocated(at, order);
    const u64 end = at + (u64{1} << order);
    for (unsigned k = order; k-- != 0;) {
        if ((pages >> k & 1) == 0) continue;
        zone.flip_allocated(at, k);
        at += u64{1} << k;
    }
    held->free += end - at;
    while (at < end) {
        const unsigned k = static_cast<unsigned>(std::countr_zero(at));
        zone.release(at, k);
        at += u64{1} << k;
    }
    return first;
}

}  // namespace

Result<PhysAddr> allocate_pages(unsigned order) {
    if (order > kMaxOrder) return fail(Error::no_memory);
    return allocate_under_pressure(u64{1} << order, [order] { return allocator.lock()->allocate(order); });
}

void free_pages(PhysAddr base, unsigned order) {
    if (poison::on && allocation_order(base) == order) [[unlikely]]
        poison::fill(base, u64{1} << order);
    auto held = allocator.lock();
    if (base.raw % kPageSize != 0 || order > kMaxOrder)
        ++held->bad_frees;
    else
        held->release(base.raw / kPageSize, order);
}

Result<PhysAddr> allocate_page_run(usize pages) {
    if (pages == 0 || pages > (usize{1} << kMaxOrder)) return fail(Error::no_memory);
    return allocate_under_pressure(pages, [pages] { return allocate_run(pages); });
}

void free_page_run(PhysAddr base, usize pages) {
    for (unsigned k = kMaxOrder + 1; k-- != 0;) {
        if ((pages >> k & 1) == 0) continue;
        free_pages(base, k);
        base += u64{kPageSize} << k;
    }
}

std::optional<unsigned> allocation_order(PhysAddr base) {
    auto held = allocator.lock();
    const u64 page = base.raw / kPageSize;
    const Zone* zone = held->zone_of(page);
    if (zone == nullptr) return std::nullopt;
    const u64 index = page - zone->base;
    for (unsigned k = 0; k <= zone->max_order && index % (u64{1} << k) == 0; ++k)
        if ((index >> k) < (zone->span >> k) && zone->allocated(index, k)) return k;
    return std::nullopt;
}

bool is_ram(PhysAddr base, usize bytes) {
    const u64 first = base.raw / kPageSize, last = (base.raw + (bytes == 0 ? 0 : bytes - 1)) / kPageSize;
    auto held = allocator.lock();
    const Zone* zone = held->zone_of(first);
    return zone != nullptr && last >= first && zone == held->zone_of(last);
}

void donate_pages(arch::MmioRange range) {
    const PageRange r = inwards(range);
    auto held = allocator.lock();
    for (u64 page = r.first; page < r.end; ++page) {
        Zone* zone = held->zone_of(page);
        if (zone == nullptr || zone->owns(page - zone->base)) {
            ++held->bad_frees;
            if (zone == nullptr) return;  // the rest is no better; do not walk an absurd range
        } else {
            if (poison::on) poison::fill(PhysAddr(page * kPageSize), 1);
            held->add({page, page + 1});
        }
    }
}

PageStats page_stats() {
    auto held = allocator.lock();
    PageStats stats{.total_pages = held->total,
                    .free_pages = held->free,
                    .bad_frees = held->bad_frees,
                    .damaged = poison::damaged()};
    for (usize z = 0; z < held->zone_count; ++z)
        for (unsigned k = 0; k <= kMaxOrder; ++k) stats.free_blocks[k] += held->zones[z].free_count[k];
    return stats;
}

std::optional<PageBlock> take_largest_block(unsigned max_order) {
    return allocator.lock()->take_largest(std::min(max_order, kMaxOrder));
}

PageBlock split_block(PageBlock& block) {
    auto held = allocator.lock();
    const u64 page = block.base.raw / kPageSize;
    Zone* zone = held->zone_of(page);
    ASSERT(zone != nullptr && block.order > 0 && zone->allocated(page - zone->base, block.order));
    zone->flip_allocated(page - zone->base, block.order);
    --block.order;
    const PageBlock upper{block.base + (u64{kPageSize} << block.order), block.order};
    zone->flip_allocated(page - zone->base, block.order);
    zone->flip_allocated(page - zone->base + block.pages(), block.order);
    return upper;
}

std::optional<PageBlock> take_unreported_block(unsigned max_order) {
    return allocator.lock()->take_unreported(std::clamp(max_order, kReportOrder, kMaxOrder));
}

void return_reported(PageBlock block) {
    auto held = allocator.lock();
    const u64 page = block.base.raw / kPageSize;
    if (!held->release(page, block.order) || block.order < kReportOrder) return;
    Zone& zone = *held->zone_of(page);
    zone.mark_reported(page - zone.base, block.order, true);
}

}  // namespace ringlet::kernel
