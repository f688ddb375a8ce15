// See ranges.hpp.
#include "boot/ranges.hpp"

namespace ringlet::boot {

namespace {

struct Interval {
    u64 from = 0, to = 0;  // [from, to), page-aligned
};

Interval inwards(arch::MmioRange r) {
    u64 end;
    if (__builtin_add_overflow(r.base.raw, r.bytes, &end) || r.base.raw > ~u64{0} - kPageSize) return {};
    return {align_up(r.base.raw, u64{kPageSize}), align_down(end, u64{kPageSize})};
}

arch::MmioRange range_of(Interval i) {
    return {PhysAddr(i.from), i.to - i.from};
}
Interval interval_of(arch::MmioRange r) {
    return {r.base.raw, r.base.raw + r.bytes};
}

}  // namespace

bool add_ram(BootInfo& info, arch::MmioRange range) {
    Interval added = inwards(range);
    if (added.from >= added.to) return true;
    // Swallow every range that overlaps or touches, then insert the union in order.
    FixedVector<arch::MmioRange, 64> kept;
    bool inserted = false, room = true;
    const auto keep = [&](Interval i) { room &= kept.try_push_back(range_of(i)); };
    for (const arch::MmioRange& r : info.ram) {
        const Interval old = interval_of(r);
        if (old.to < added.from) {
            keep(old);
        } else if (old.from > added.to) {
            if (!inserted) keep(added);
            inserted = true;
            keep(old);
        } else {
            added = {old.from < added.from ? old.from : added.from, old.to > added.to ? old.to : added.to};
        }
    }
    if (!inserted) keep(added);
    if (room) info.ram = kept;
    return room;
}

bool reserve(BootInfo& info, arch::MmioRange range) {
    u64 end;
    if (range.bytes == 0 || __builtin_add_overflow(range.base.raw, range.bytes, &end)) return true;
    if (end > ~u64{0} - kPageSize) return true;
    const u64 from = align_down(range.base.raw, u64{kPageSize});
    return info.reserved.try_push_back({PhysAddr(from), align_up(end, u64{kPageSize}) - from});
}

bool in_ram(const BootInfo& info, arch::MmioRange range) {
    u64 end;
    if (__builtin_add_overflow(range.base.raw, range.bytes, &end)) return false;
    for (const arch::MmioRange& r : info.ram)
        if (range.base >= r.base && end <= r.base.raw + r.bytes) return true;
    return false;
}

}  // namespace ringlet::boot
