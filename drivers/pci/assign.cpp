// See assign.hpp.
#include "drivers/pci/assign.hpp"

#include <algorithm>
#include <utility>

#include "drivers/pci/spec.hpp"
#include "kernel/log.hpp"

namespace ringlet::pci {

using namespace spec;
using kernel::LogLevel;

namespace {

using Kind = arch::PciWindow::Kind;
constexpr Kind kKinds[] = {Kind::io, Kind::memory32, Kind::memory64};

/// Larger prefetchable 64-bit BARs go above 4 GiB when there is a window; smaller ones stay within easy
/// reach.
constexpr u64 kLarge = 64_MiB;
constexpr unsigned kMaxShift = 46;  // 64 TiB

constexpr usize index_of(Kind kind) {
    return static_cast<usize>(kind);
}
constexpr u64 granularity(Kind kind) {
    return kind == Kind::io ? 4_KiB : 1_MiB;
}
/// Bus addresses that nobody gets: zero means "not assigned", and legacy devices own the first ports.
constexpr u64 lowest(Kind kind) {
    return kind == Kind::io ? 0x1000 : 1_MiB;
}

void complain(const Function& f, std::string_view what, std::string_view why) {
    const Address a = f.address();
    kernel::log(LogLevel::warning, "pci {:02x}:{:02x}.{}: {} {}", a.bus, a.slot, a.function, what, why);
}

}  // namespace

void Assigner::run() {
    keep();
    if (!firmware_only()) {
        for (const Kind kind : kKinds) {
            // Children follow their parents in the list: backwards, leaves come first.
            if (bus_.functions_.empty()) break;
            Function* f = &bus_.functions_.back();
            for (usize left = bus_.count_; left > 0; --left, f = static_cast<Function*>(f->prev))
                if (f->is_bridge_) compute_need(*f, kind);
            assign(nullptr, kind);
            for (Function& bridge : bus_.functions_)
                if (bridge.is_bridge_ && bridge.windows_[index_of(kind)].bytes != 0) assign(&bridge, kind);
        }
    }
    for (Function& f : bus_.functions_)
        for (unsigned n = 0; n < Function::kBars; ++n)
            if (f.bars_[n].assigned) translate(f, n);
    enable_bridges();
}

// --- What there is to give
// ----------------------------------------------------------------------------------------

bool Assigner::has_host_window(Kind kind) const {
    return std::ranges::any_of(bus_.host_.windows, [&](const auto& w) { return w.kind == kind; });
}

/// A bridge forwards 64-bit addresses only through its prefetchable window.
Kind Assigner::kind_of(const Bar& bar, const Function* bridge) const {
    if (bar.kind == Bar::Kind::io) return Kind::io;
    const bool may_be_high = bar.is_64bit && (bar.prefetchable || bridge == nullptr);
    if (!may_be_high || !has_host_window(Kind::memory64)) return Kind::memory32;
    return bar.bytes >= kLarge || !has_host_window(Kind::memory32) ? Kind::memory64 : Kind::memory32;
}

Assigner::Range Assigner::range_of(const Function* bridge, Kind kind) const {
    if (bridge != nullptr) {
        const auto& w = bridge->windows_[index_of(kind)];
        return {w.base, w.base + w.bytes};
    }
    for (const arch::PciWindow& w : bus_.host_.windows) {
        u64 end;
        if (w.kind != kind || __builtin_add_overflow(w.pci, w.bytes, &end)) continue;
        const Range r{std::max(w.pci, lowest(kind)), kind == Kind::memory64 ? end : std::min(end, u64{4_GiB})};
        if (r.base < r.end) return r;
    }
    return {};
}

bool Assigner::inside_range(const Function* bridge, Kind kind, u64 base, u64 bytes) const {
    const Range r = range_of(bridge, kind);
    return base >= r.base && base < r.end && r.end - base >= bytes;
}

// --- Keeping what the firmware did
// --------------------------------------------------------------------------------

void Assigner::keep() {
    // The list is in order of discovery, so a bridge is judged before everything behind it; on one bus
    // windows are judged before BARs, because more depends on them.
    for (Function& f : bus_.functions_)
        if (f.is_bridge_)
            for (const Kind kind : kKinds) keep_window(f, kind);
    for (Function& f : bus_.functions_)
        for (unsigned n = 0; n < Function::kBars; ++n) keep_bar(f, n);
}

void Assigner::keep_window(Function& f, Kind kind) {
    u64 base = 0, limit = 0;
    if (kind == Kind::io) {
        const u8 low = f.read8(kIoBase), high = f.read8(kIoLimit);
        const bool wide = (low & 0xf) == 1;
        base = (low & 0xf0u) << 8 | (wide ? u64{f.read16(kIoBaseUpper)} << 16 : 0);
        limit = (high & 0xf0u) << 8 | 0xfff | (wide ? u64{f.read16(kIoLimitUpper)} << 16 : 0);
    } else if (kind == Kind::memory32) {
        base = (f.read16(kMemoryBase) & u64{0xfff0}) << 16;
        limit = (f.read16(kMemoryLimit) & u64{0xfff0}) << 16 | 0xfffff;
    } else {
        const u16 low = f.read16(kPrefetchBase), high = f.read16(kPrefetchLimit);
        const bool wide = (low & 0xf) == 1;
        base = (low & u64{0xfff0}) << 16 | (wide ? u64{f.read32(kPrefetchBaseUpper)} << 32 : 0);
        limit = (high & u64{0xfff0}) << 16 | 0xfffff | (wide ? u64{f.read32(kPrefetchLimitUpper)} << 32 : 0);
    }
    // After reset base and limit are zero, which reads as a small window at zero.
    if (base == 0 || limit <= base || limit == ~u64{0}) return;
    const u64 bytes = limit - base + 1;
    const bool memory = kind != Kind::io;
    const bool fits = (firmware_only() && f.parent_ == nullptr) || inside_range(f.parent_, kind, base, bytes) ||
                      (memory && inside_range(f.parent_, Kind::memory32, base, bytes)) ||
                      (memory && inside_range(f.parent_, Kind::memory64, base, bytes));
    if (!fits || overlap(f.parent_, !memory, base, bytes)) return;
    f.windows_[index_of(kind)].base = base;
    f.windows_[index_of(kind)].bytes = bytes;
}

void Assigner::keep_bar(Function& f, unsigned n) {
    Bar& bar = f.bars_[n];
    const u64 address = f.bus_addresses_[n];
    u64 end;
    if (bar.kind == Bar::Kind::none || address == 0 || address % bar.bytes != 0) return;
    if (__builtin_add_overflow(address, bar.bytes, &end)) return;
    const bool io = bar.kind == Bar::Kind::io;
    const bool fits = (firmware_only() && f.parent_ == nullptr) ||
                      (io && inside_range(f.parent_, Kind::io, address, bar.bytes)) ||
                      (!io && inside_range(f.parent_, Kind::memory32, address, bar.bytes)) ||
                      (!io && inside_range(f.parent_, Kind::memory64, address, bar.bytes));
    if (fits && !overlap(f.parent_, io, address, bar.bytes))
        bar.assigned = true;
    else if (firmware_only())
        complain(f, "BAR", "lies where it cannot be reached");
}

std::optional<u64> Assigner::overlap(const Function* bridge, bool io, u64 base, u64 bytes) const {
    std::optional<u64> found;
    const auto look = [&](u64 other, u64 size) {
        if (size != 0 && base < other + size && other < base + bytes) found = other + size;
    };
    for_each_on(bridge, [&](Function& f) {
        for (unsigned n = 0; n < Function::kBars; ++n)
            if (f.bars_[n].assigned && (f.bars_[n].kind == Bar::Kind::io) == io)
                look(f.bus_addresses_[n], f.bars_[n].bytes);
        for (const Kind kind : kKinds)
            if ((kind == Kind::io) == io) look(f.windows_[index_of(kind)].base, f.windows_[index_of(kind)].bytes);
    });
    return found;
}

// --- Handing out
// --------------------------------------------------------------------------------------------------

/// Everything on a bus that wants an address of this kind, the most strictly aligned first.
template <class F> void Assigner::for_each_item(const Function* bridge, Kind kind, F visit) const {
    u64 wanted = 0;  // one bit per alignment that occurs
    for_each_on(bridge, [&](Function& f) {
        for (const Bar& bar : f.bars_)
            if (bar.kind != Bar::Kind::none && !bar.assigned && kind_of(bar, bridge) == kind) wanted |= bar.bytes;
        const auto& w = f.windows_[index_of(kind)];
        if (w.bytes == 0 && w.needed != 0) wanted |= w.alignment;
    });
    for (unsigned shift = kMaxShift; shift > 1; --shift) {
        const u64 align = u64{1} << shift;
        if ((wanted & align) == 0) continue;
        for_each_on(bridge, [&](Function& f) {
            for (unsigned n = 0; n < Function::kBars; ++n) {
                const Bar& bar = f.bars_[n];
                if (bar.kind != Bar::Kind::none && !bar.assigned && bar.bytes == align && kind_of(bar, bridge) == kind)
                    visit(Item{f, n, bar.bytes, align});
            }
            const auto& w = f.windows_[index_of(kind)];
            if (w.bytes == 0 && w.needed != 0 && w.alignment == align) visit(Item{f, kWindow, w.needed, align});
        });
    }
}

/// The bridges behind this one have been computed already.
void Assigner::compute_need(Function& bridge, Kind kind) {
    auto& window = bridge.windows_[index_of(kind)];
    window.needed = 0;
    if (window.bytes != 0) return;
    u64 bytes = 0, align = granularity(kind);
    for_each_item(&bridge, kind, [&](const Item& item) {
        align = std::max(align, item.align);
        // Descending alignments, so each item begins where the previous one ends; 2^46 * 128 * 6 cannot wrap.
        bytes = align_up(bytes, item.align) + item.bytes;
    });
    window.needed = align_up(bytes, granularity(kind));
    window.alignment = align;
}

void Assigner::assign(Function* bridge, Kind kind) {
    const Range range = range_of(bridge, kind);
    u64 cursor = range.base;
    for_each_item(bridge, kind, [&](const Item& item) {
        if (place(item, bridge, kind, cursor)) return;
        complain(item.function, item.number == kWindow ? "bridge window" : "BAR", "does not fit: no addresses left");
        // So that nobody asks again for what is behind it.
        if (item.number == kWindow) item.function.windows_[index_of(kind)].needed = 0;
    });
}

bool Assigner::place(const Item& item, Function* bridge, Kind kind, u64& cursor) {
    const Range range = range_of(bridge, kind);
    for (u64 at = cursor;;) {
        if (at > ~u64{0} - item.align) return false;
        at = align_up(at, item.align);
        if (at < range.base || at >= range.end || range.end - at < item.bytes) return false;
        if (const auto end = overlap(bridge, kind == Kind::io, at, item.bytes)) {
            at = *end;  // strictly ahead: every obstacle is passed once
            continue;
        }
        cursor = at + item.bytes;
        if (item.number == kWindow)
            set_window(item.function, kind, at, item.bytes);
        else
            set_bar(item.function, item.number, at);
        return true;
    }
}

void Assigner::set_bar(Function& f, unsigned n, u64 address) {
    Bar& bar = f.bars_[n];
    const auto at = static_cast<u16>(kBar0 + 4 * n);
    const u16 command = f.read16(kCommand);
    f.change_command(0, kCommandIo | kCommandMemory);
    f.write32(at, static_cast<u32>(address));
    if (bar.is_64bit) f.write32(static_cast<u16>(at + 4), static_cast<u32>(address >> 32));
    const u32 mask = bar.kind == Bar::Kind::io ? 0xfffffffc : 0xfffffff0;
    const bool kept = (f.read32(at) & mask) == static_cast<u32>(address) &&
                      (!bar.is_64bit || f.read32(static_cast<u16>(at + 4)) == static_cast<u32>(address >> 32));
    if ((command & (kCommandIo | kCommandMemory)) != 0) f.write16(kCommand, command);
    if (!kept) {
        complain(f, "BAR", "does not keep its address");
        bar.kind = Bar::Kind::none;
        return;
    }
    bar.assigned = true;
    f.bus_addresses_[n] = address;
}

void Assigner::set_window(Function& f, Kind kind, u64 base, u64 bytes) {
    const u64 limit = base + bytes - 1;
    if (kind == Kind::io) {
        f.write8(kIoBase, static_cast<u8>(base >> 8 & 0xf0));
        f.write8(kIoLimit, static_cast<u8>(limit >> 8 & 0xf0));
        f.write16(kIoBaseUpper, static_cast<u16>(base >> 16));
        f.write16(kIoLimitUpper, static_cast<u16>(limit >> 16));
        // A bridge need not forward I/O at all.
        if ((f.read8(kIoBase) & 0xf0) != (base >> 8 & 0xf0)) return complain(f, "bridge", "forwards no I/O");
    } else if (kind == Kind::memory32) {
        f.write16(kMemoryBase, static_cast<u16>(base >> 16));
        f.write16(kMemoryLimit, static_cast<u16>(limit >> 16 & 0xfff0));
    } else {
        f.write16(kPrefetchBase, static_cast<u16>(base >> 16 & 0xfff0));
        f.write16(kPrefetchLimit, static_cast<u16>(limit >> 16 & 0xfff0));
        f.write32(kPrefetchBaseUpper, static_cast<u32>(base >> 32));
        f.write32(kPrefetchLimitUpper, static_cast<u32>(limit >> 32));
        if (f.read32(kPrefetchBaseUpper) != base >> 32) return complain(f, "bridge", "forwards no 64-bit addresses");
    }
    f.windows_[index_of(kind)].base = base;
    f.windows_[index_of(kind)].bytes = bytes;
}

/// From the bus address in the register to what the CPU uses.
void Assigner::translate(Function& f, unsigned n) {
    Bar& bar = f.bars_[n];
    const u64 address = f.bus_addresses_[n];
    bar.address = PhysAddr(address);
    if (firmware_only()) return;
    bar.assigned = false;
    for (const arch::PciWindow& w : bus_.host_.windows) {
        if ((w.kind == Kind::io) != (bar.kind == Bar::Kind::io)) continue;
        if (address < w.pci || address - w.pci > w.bytes || w.bytes - (address - w.pci) < bar.bytes) continue;
        bar.address = w.cpu + (address - w.pci);
        bar.assigned = true;
        return;
    }
}

/// Windows that nobody opened are closed (base above limit): after reset they would claim addresses near
/// zero.
void Assigner::enable_bridges() {
    for (Function& f : bus_.functions_) {
        if (!f.is_bridge_ || f.secondary_bus_ == 0) continue;
        if (f.windows_[index_of(Kind::io)].bytes == 0) {
            f.write8(kIoBase, 0xf0);
            f.write8(kIoLimit, 0);
            f.write16(kIoBaseUpper, 0);
            f.write16(kIoLimitUpper, 0);
        }
        if (f.windows_[index_of(Kind::memory32)].bytes == 0) {
            f.write16(kMemoryBase, 0xfff0);
            f.write16(kMemoryLimit, 0);
        }
        if (f.windows_[index_of(Kind::memory64)].bytes == 0) {
            f.write16(kPrefetchBase, 0xfff0);
            f.write16(kPrefetchLimit, 0);
            f.write32(kPrefetchBaseUpper, 0);
            f.write32(kPrefetchLimitUpper, 0);
        }
        f.change_command(kCommandIo | kCommandMemory | kCommandMaster, 0);
    }
}

}  // namespace ringlet::pci
