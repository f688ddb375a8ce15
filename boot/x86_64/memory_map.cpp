// See memory_map.hpp.
#include "boot/x86_64/memory_map.hpp"

#include <algorithm>

namespace ringlet::boot {
namespace {

struct Span {
    u64 start, end;
    bool empty() const { return start >= end; }
};

Span span_of(const MemoryMapEntry& e, u64 limit) {
    const u64 end = e.size > ~u64{0} - e.addr ? ~u64{0} : e.addr + e.size;
    return {e.addr, std::min(end, limit)};
}

/// Adds whole pages of `s`, which lies above all that is in the list; when the list is full, the smallest
/// range gives way.
void add(RamList& list, Span s) {
    s.end = align_down(s.end, u64{kPageSize});
    if (s.start > ~u64{0} - kPageSize) return;
    s.start = std::max(align_up(s.start, u64{kPageSize}), u64{kPageSize});
    if (s.empty()) return;
    if (!list.empty()) {
        auto& last = list[list.size() - 1];
        if (s.start == last.base.raw + last.bytes) {
            last.bytes += s.end - s.start;
            return;
        }
    }
    if (list.full()) {
        auto* smallest =
            std::min_element(list.begin(), list.end(), [](const auto& a, const auto& b) { return a.bytes < b.bytes; });
        if (smallest->bytes >= s.end - s.start) return;
        std::move(smallest + 1, list.end(), smallest);
        list.pop_back();
    }
    (void)list.try_push_back({PhysAddr{s.start}, s.end - s.start});
}

/// Adds `rest` without what entries of other types cover. `from` ascends, so one walk from the left does it.
void add_unclaimed(RamList& list, std::span<const MemoryMapEntry> from, Span rest, u64 limit) {
    for (const MemoryMapEntry& other : from) {
        if (other.type == kMemoryMapRam || rest.empty()) continue;
        const Span taken = span_of(other, limit);
        if (taken.empty() || taken.end <= rest.start || taken.start >= rest.end) continue;
        if (taken.start > rest.start) add(list, {rest.start, taken.start});
        rest.start = taken.end;
    }
    add(list, rest);
}

}  // namespace

RamList usable_ram(std::span<MemoryMapEntry> from, u64 limit) {
    RamList list;
    std::sort(from.begin(), from.end(), [](const auto& a, const auto& b) { return a.addr < b.addr; });
    Span ram{0, 0};
    for (const MemoryMapEntry& entry : from) {
        if (entry.type != kMemoryMapRam) continue;
        const Span next = span_of(entry, limit);
        if (next.start <= ram.end) {
            ram.end = std::max(ram.end, next.end);
            continue;
        }
        add_unclaimed(list, from, ram, limit);
        ram = next;
    }
    add_unclaimed(list, from, ram, limit);
    return list;
}

}  // namespace ringlet::boot
