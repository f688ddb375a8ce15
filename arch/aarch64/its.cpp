// The GICv3 interrupt translation service: MSIs of PCI devices become LPIs. IHI 0069H §5 (LPIs, tables,
// commands), §12.18-12.19 (registers). Context: thread or boot with interrupts disabled (the facade's guard);
// its_set_enabled() in any context, so every use of the command queue holds interrupts off.
//
// Memory: one block of 64 KiB (GICR_PENDBASER wants that alignment) holds the pending table, the
// configuration table, the command queue, the collection table and, in what is left, the first part of the
// device table.
#include <array>

#include "arch/barrier.hpp"
#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/paging.hpp"
#include "gic.hpp"

namespace ringlet::arch {

namespace {

namespace gits {
constexpr u32 kControl = 0x0000, kType = 0x0008, kCommandBase = 0x0080, kCommandWrite = 0x0088, kCommandRead = 0x0090,
              kBase0 = 0x0100, kTranslater = 0x1'0040;
constexpr u32 kEnabled = 1u << 0, kQuiescent = 1u << 31;
constexpr u64 kFrameBytes = 0x2'0000;
constexpr u64 kValid = u64{1} << 63, kIndirect = u64{1} << 62;
// Inner shareable, write-back with read and write allocation: where the hardware differs it says so on
// reading.
constexpr u64 kShareable = u64{1} << 10, kCacheable = u64{7} << 59;
enum TableType : u32 { kDevices = 1, kCollections = 4 };
enum Command : u8 { kMapd = 0x08, kMapc = 0x09, kMapti = 0x0a, kInv = 0x0c, kDiscard = 0x0f, kSync = 0x05 };
}  // namespace gits

// GICR_PROPBASER / PENDBASER: attributes at other places than in GITS_*BASER.
constexpr u64 kRedistributorAttributes = u64{7} << 7 | u64{1} << 10;
constexpr u64 kPendingTableZero = u64{1} << 62;
constexpr u64 kPropertyIdBits = 13;  // 2^14 INTIDs: the least there may be with LPIs, 8192 of them

constexpr u64 kPendingOffset = 0, kPropertyOffset = 0x1000, kQueueOffset = 0x3000, kCollectionOffset = 0x4000,
              kDeviceOffset = 0x5000, kBlockBytes = 0x1'0000;
constexpr u32 kQueueBytes = 0x1000, kCommandBytes = 32;
constexpr u32 kMaxDevices = 32, kMaxEvents = 32, kMaxLpis = 256;

struct Device {
    u32 id = 0;
    u32 events = 0;  // bit per event in use
    u64 itt = 0;
};
struct Lpi {
    u8 device = 0;
    u8 event = 0;
    bool used = false;
};

struct Its {
    std::uintptr_t base = 0;  // 0: absent
    u64 block = 0;
    u64 target = 0;  // the redistributor as commands name it, in place (bits 51:16)
    u32 write = 0;
    u32 device_ids = 0;    // of the flat part or, with two levels, altogether
    u32 ids_per_page = 0;  // two levels
    u8 entry_bytes = 0;    // of an ITT
    u8 device_count = 0;
    bool two_levels = false;
    std::array<Device, kMaxDevices> devices{};
    std::array<Lpi, kMaxLpis> lpis{};
};
constinit Its its;

u64* words(u64 address) {
    return reinterpret_cast<u64*>(address);
}

// Adds one command and waits, boundedly, until the ITS has taken it.
Result<> command(u64 word0, u64 word1, u64 word2) {
    u64* slot = words(its.block + kQueueOffset + its.write);
    slot[0] = word0;
    slot[1] = word1;
    slot[2] = word2;
    slot[3] = 0;
    its.write = (its.write + kCommandBytes) % kQueueBytes;
    mmio_write<u64>(its.base + gits::kCommandWrite,
                    its.write);  // ordered after the slot by mmio_write's barrier
    const bool taken =
        wait_until([] { return (mmio_read<u64>(its.base + gits::kCommandRead) & 0xf'ffe0) == its.write; });
    if (!taken) return fail(Error::device_broken);
    return {};
}

Result<> synchronise() {
    return command(gits::kSync, 0, its.target);
}

Result<> invalidate(const Lpi& lpi) {
    TRY(command(gits::kInv | u64{its.devices[lpi.device].id} << 32, lpi.event, 0));
    return synchronise();
}

u8* property_of(u32 lpi) {
    return reinterpret_cast<u8*>(its.block + kPropertyOffset) + (lpi - kFirstLpi);
}

// Registers refuse what they do not support and show what they took instead: compare.
Result<> set_table(u32 index, u64 address, u64 bytes, u64 flags) {
    const std::uintptr_t reg = its.base + gits::kBase0 + index * 8;
    const u64 pages = bytes / kPageSize - 1;
    const u64 wanted = gits::kValid | flags | gits::kCacheable | address | gits::kShareable | pages;  // 4 KiB pages
    mmio_write<u64>(reg, wanted);
    const u64 got = mmio_read<u64>(reg);
    const u64 compared = gits::kValid | gits::kIndirect | 0xffff'ffff'f000 | u64{3} << 8 | 0xff;
    if (((got ^ wanted) & compared) != 0) return fail(Error::unsupported);
    return {};
}

Result<> device_table(u32 index, u64 properties, u64 device_bits) {
    const u64 entry = (properties >> 48 & 0x1f) + 1;
    its.ids_per_page = static_cast<u32>(kPageSize / entry);
    // Two levels: one page of pointers reaches 512 pages of entries, which are allocated as devices appear.
    const std::uintptr_t reg = its.base + gits::kBase0 + index * 8;
    mmio_write<u64>(reg, gits::kIndirect);
    its.two_levels = (mmio_read<u64>(reg) & gits::kIndirect) != 0;
    const u64 bytes = its.two_levels ? kPageSize : kBlockBytes - kDeviceOffset;
    const u64 reach = its.two_levels ? u64{512} * its.ids_per_page : bytes / entry;
    const u64 ids = u64{1} << device_bits;
    its.device_ids = static_cast<u32>(reach < ids ? reach : ids);
    return set_table(index, its.block + kDeviceOffset, bytes, its.two_levels ? gits::kIndirect : 0);
}

Result<> set_tables(u64 type) {
    const u64 device_bits = (type >> 13 & 0x1f) + 1;
    bool devices = false, collections = (type >> 24 & 0xff) != 0;  // HCC: collections held inside
    for (u32 i = 0; i < 8; ++i) {
        const u64 properties = mmio_read<u64>(its.base + gits::kBase0 + i * 8);
        switch (properties >> 56 & 7) {
        case gits::kDevices:
            TRY(device_table(i, properties, device_bits));
            devices = true;
            break;
        case gits::kCollections:
            TRY(set_table(i, its.block + kCollectionOffset, kPageSize, 0));
            collections = true;
            break;
        default:
            break;
        }
    }
    if (!devices || !collections) return fail(Error::unsupported);
    return {};
}

Result<> lpis_on() {
    const std::uintptr_t r = gic.redistributor;
    if ((mmio_read<u32>(r + gicr::kControl) & gicr::kEnableLpis) != 0) return fail(Error::in_use);  // cannot be undone
    mmio_write<u64>(r + gicr::kPropertyBase,
                    (its.block + kPropertyOffset) | kRedistributorAttributes | kPropertyIdBits);
    mmio_write<u64>(r + gicr::kPendingBase,
                    (its.block + kPendingOffset) | kRedistributorAttributes | kPendingTableZero);
    mmio_write<u32>(r + gicr::kControl, mmio_read<u32>(r + gicr::kControl) | gicr::kEnableLpis);
    device_fence();
    return {};
}

Result<> start(u64 type, u64 gicr_type) {
    mmio_write<u32>(its.base + gits::kControl, 0);
    const auto quiet = [] { return (mmio_read<u32>(its.base + gits::kControl) & gits::kQuiescent) != 0; };
    if (!wait_until(quiet)) return fail(Error::device_broken);
    its.block = TRY(hooks::allocate_contiguous(kBlockBytes)).raw;
    if (its.block % kBlockBytes != 0) return fail(Error::no_memory);
    TRY(set_tables(type));
    TRY(lpis_on());
    mmio_write<u64>(its.base + gits::kCommandBase, gits::kValid | gits::kCacheable | (its.block + kQueueOffset) |
                                                       gits::kShareable | (kQueueBytes / kPageSize - 1));
    mmio_write<u64>(its.base + gits::kCommandWrite, 0);
    mmio_write<u32>(its.base + gits::kControl, gits::kEnabled);
    // GITS_TYPER.PTA: commands name a redistributor by its address, else by GICR_TYPER's processor number.
    const bool by_address = (type & (1u << 19)) != 0;
    its.target = by_address ? gic.redistributor & ~u64{0xffff} : (gicr_type >> 8 & 0xffff) << 16;
    TRY(command(gits::kMapc, 0, gits::kValid | its.target));  // collection 0 is this CPU
    return synchronise();
}

// The page of entries for `id` must be there before the first MAPD (two levels).
Result<> provide_entries(u32 id) {
    if (!its.two_levels) return {};
    u64& pointer = words(its.block + kDeviceOffset)[id / its.ids_per_page];
    if ((pointer & gits::kValid) != 0) return {};
    const PhysAddr page = TRY(hooks::allocate_table_page());
    pointer = page.raw | gits::kValid;
    device_fence();
    return {};
}

Result<u8> device_for(u32 id) {
    for (u8 i = 0; i < its.device_count; ++i)
        if (its.devices[i].id == id) return i;
    if (its.device_count == kMaxDevices || id >= its.device_ids) return fail(Error::no_space);
    TRY(provide_entries(id));
    // A page holds kMaxEvents entries of up to 128 bytes; an ITT is 256-byte aligned.
    if (its.entry_bytes > kPageSize / kMaxEvents) return fail(Error::unsupported);
    const PhysAddr itt = TRY(hooks::allocate_table_page());
    constexpr u64 kEventBits = 5;
    if (const auto mapped = command(gits::kMapd | u64{id} << 32, kEventBits - 1, gits::kValid | itt.raw); !mapped) {
        hooks::free_table_page(itt);
        return fail(mapped.error());
    }
    its.devices[its.device_count] = {.id = id, .events = 0, .itt = itt.raw};
    return its.device_count++;
}

Lpi* lpi_entry(u32 lpi) {
    if (its.base == 0 || lpi < kFirstLpi || lpi - kFirstLpi >= kMaxLpis) return nullptr;
    Lpi& entry = its.lpis[lpi - kFirstLpi];
    return entry.used ? &entry : nullptr;
}

}  // namespace

Result<> its_init(const MmioRange& registers, u64 gicr_type) {
    constexpr u64 kPhysicalLpis = 1u << 0;
    if (registers.bytes < gits::kFrameBytes || (gicr_type & kPhysicalLpis) == 0) return fail(Error::unsupported);
    // LPIs need at least 14 bits of INTID from the distributor: GICD_TYPER.IDbits.
    if ((mmio_read<u32>(gic.distributor + gicd::kType) >> 19 & 0x1f) < kPropertyIdBits) return fail(Error::unsupported);
    its.base = TRY(map_device(registers.base, gits::kFrameBytes));
    const u64 type = mmio_read<u64>(its.base + gits::kType);
    its.entry_bytes = static_cast<u8>((type >> 4 & 0xf) + 1);
    const auto started = (type & kPhysicalLpis) != 0 ? start(type, gicr_type) : fail(Error::unsupported);
    if (!started) its.base = 0;
    return started;
}

bool its_present() {
    return its.base != 0;
}

Result<IrqId> its_allocate(u32 device_id, MsiMessage& out) {
    const u8 index = TRY(device_for(device_id));
    Device& device = its.devices[index];
    if (device.events == ~u32{0}) return fail(Error::no_space);
    u32 n = 0;
    while (n < kMaxLpis && its.lpis[n].used) ++n;
    if (n == kMaxLpis) return fail(Error::no_space);
    const u32 lpi = kFirstLpi + n;
    const auto event = static_cast<u8>(__builtin_ctz(~device.events));
    *property_of(lpi) = (kDefaultPriority & 0xfc) | 2 | 1;  // bit 1 is RES1, bit 0 enables
    device_fence();
    TRY(command(gits::kMapti | u64{device_id} << 32, u64{lpi} << 32 | event, 0));
    its.lpis[n] = {.device = index, .event = event, .used = true};
    device.events |= 1u << event;
    TRY(invalidate(its.lpis[n]));
    out = {.address = its.base + gits::kTranslater, .data = event};
    return IrqId{lpi};
}

void its_free(u32 lpi) {
    Lpi* entry = lpi_entry(lpi);
    if (entry == nullptr) return;
    its_set_enabled(lpi, 0);
    Device& device = its.devices[entry->device];
    // An ITS that does not answer keeps the number: it might still deliver it.
    if (!command(gits::kDiscard | u64{device.id} << 32, entry->event, 0) || !synchronise()) return;
    device.events &= ~(1u << entry->event);
    entry->used = false;
}

void its_set_enabled(u32 lpi, u8 enabled) {
    const IrqGuard guard;
    const Lpi* entry = lpi_entry(lpi);
    if (entry == nullptr) return;
    *property_of(lpi) = static_cast<u8>((kDefaultPriority & 0xfc) | 2 | (enabled & 1));
    device_fence();
    static_cast<void>(invalidate(*entry));  // a dead ITS delivers nothing: masked is true, unmasked is hopeless
}

}  // namespace ringlet::arch
