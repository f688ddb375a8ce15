// Final translation tables. Arm ARM D8.3 (descriptors), D8.14 (maintenance). See paging.hpp.
//
// A descriptor only ever goes from invalid to valid (map) or from valid to invalid (unmap): break-before-make
// holds by construction. The early map is tagged nG with ASID 0 and the final one runs under ASID 1, so that
// not even the switch between them can leave two sizes of the same page in the TLB.
#include "arch/paging.hpp"

#include "arch/hooks.hpp"
#include "internal.hpp"
#include "sysreg.hpp"

namespace ringlet::arch {

namespace {

constexpr u64 kValid = 1, kTableOrPage = 2, kAccessed = 1u << 10, kReadOnly = 1u << 7, kInnerShareable = 3u << 8,
              kOuterShareable = 2u << 8, kNormal = 1u << 2, kDevice = 0u << 2, kPxn = u64{1} << 53, kUxn = u64{1} << 54;
constexpr u64 kAddressMask = 0x0000'ffff'ffff'f000;
constexpr std::uintptr_t kLimit = std::uintptr_t{1} << 48;
constexpr u64 kAsid = u64{1} << 48;
constexpr u64 kWxn = 1u << 19;
constexpr std::uintptr_t kVirtUart = 0x0900'0000;

using Table = u64;
constinit Table* root = nullptr;

// Level 3 maps 4 KiB, level 2 2 MiB, level 1 1 GiB; level 0 holds tables only.
constexpr unsigned shift_of(unsigned level) {
    return 39 - 9 * level;
}
constexpr usize index_at(std::uintptr_t va, unsigned level) {
    return (va >> shift_of(level)) & 511;
}

Table* table_at(u64 entry) {
    return reinterpret_cast<Table*>(entry & kAddressMask);
}
bool is_table(u64 entry, unsigned level) {
    return level < 3 && (entry & 3) == (kValid | kTableOrPage);
}

u64 attributes(Access access, MemoryType type) {
    u64 a = kValid | kAccessed | kUxn;
    a |= type == MemoryType::normal ? kNormal | kInnerShareable : kDevice | kOuterShareable;
    if (access != Access::read_write) a |= kReadOnly;
    if (access != Access::read_execute) a |= kPxn;
    return a;
}

void put(Table* at, u64 entry) {
    __atomic_store_n(at, entry, __ATOMIC_RELAXED);
}

// The entry that covers `va`: at which level it was found.
struct Found {
    Table* entry;
    unsigned level;
};
Found find(std::uintptr_t va) {
    Table* table = root;
    for (unsigned level = 0;; ++level) {
        Table* entry = &table[index_at(va, level)];
        if (!is_table(*entry, level)) return {entry, level};
        table = table_at(*entry);
    }
}

Result<Table*> entry_for(std::uintptr_t va, unsigned target) {
    Table* table = root;
    for (unsigned level = 0; level < target; ++level) {
        Table* entry = &table[index_at(va, level)];
        if ((*entry & kValid) == 0) {
            const PhysAddr page = TRY(hooks::allocate_table_page());
            asm volatile("dsb ishst" ::: "memory");  // the walker must see the zeroes before the table
            put(entry, page.raw | kValid | kTableOrPage);
        }
        table = table_at(*entry);
    }
    return &table[index_at(va, target)];
}

bool overlaps(u64 a, u64 a_bytes, u64 b, u64 b_bytes) {
    return a < b + b_bytes && b < a + a_bytes;
}

bool valid_range(std::uintptr_t va, u64 pa, usize bytes) {
    return bytes != 0 && (va | pa | bytes) % kPageSize == 0 && va < kLimit && bytes <= kLimit - va && pa < kLimit &&
           bytes <= kLimit - pa;
}

bool any_mapped(std::uintptr_t va, usize bytes) {
    for (const std::uintptr_t end = va + bytes; va < end;) {
        const Found f = find(va);
        if ((*f.entry & kValid) != 0) return true;
        const u64 step = u64{1} << shift_of(f.level);
        va = align_down<std::uintptr_t>(va, step) + step;
    }
    return false;
}

unsigned best_level(std::uintptr_t va, u64 pa, u64 bytes) {
    for (unsigned level = 1; level < 3; ++level) {
        const u64 size = u64{1} << shift_of(level);
        // An empty table from earlier mappings may hang there: then go on inside it.
        if (((va | pa) & (size - 1)) == 0 && bytes >= size) {
            const Found f = find(va);
            if (f.level <= level && (*f.entry & kValid) == 0) return level;
        }
    }
    return 3;
}

void finish_stores() {
    asm volatile("dsb ishst\n\tisb" ::: "memory");
}

// A run of entries in one table at a time: walking down again for each of 512 pages would dominate the boot.
Result<> map_unchecked(std::uintptr_t va, u64 pa, u64 bytes, u64 attrs) {
    while (bytes != 0) {
        const unsigned level = best_level(va, pa, bytes);
        const auto entry = entry_for(va, level);
        if (!entry) {
            finish_stores();
            return fail(entry.error());
        }
        const u64 size = u64{1} << shift_of(level);
        const usize left_in_table = 512 - index_at(va, level);
        // Above level 3 the next entry may want another level: one at a time.
        const usize run = level < 3 ? 1 : bytes / size < left_in_table ? bytes / size : left_in_table;
        for (usize i = 0; i < run; ++i) put(*entry + i, (pa + i * size) | attrs | (level == 3 ? kTableOrPage : 0));
        va += run * size;
        pa += run * size;
        bytes -= run * size;
    }
    finish_stores();
    return {};
}

// Identity-maps what of [start, end) is not page 0.
Result<> map_ram(u64 start, u64 end, Access access) {
    if (start < kPageSize) start = kPageSize;
    if (start >= end) return {};
    return map(start, PhysAddr(start), end - start, access, MemoryType::normal);
}

Result<> map_region(const MmioRange& range) {
    const u64 start = align_up<u64>(range.base.raw, kPageSize);
    const u64 end = align_down<u64>(range.base.raw + range.bytes, kPageSize);
    if (range.base.raw >= kLimit || range.bytes > kLimit - range.base.raw) return fail(Error::invalid);
    if (start >= end) return {};
    if (overlaps(start, end - start, kStackWindow, 1_GiB)) return fail(Error::unsupported);
    const u64 text = address_of(__text_start), rodata = address_of(__rodata_start), data = address_of(__data_start);
    if (text < start || text >= end) return map_ram(start, end, Access::read_write);
    TRY(map_ram(start, text, Access::read_write));
    TRY(map_ram(text, rodata, Access::read_execute));
    TRY(map_ram(rodata, data, Access::read_only));
    const u64 guard = address_of(__boot_stack_guard), stack = address_of(__boot_stack_bottom);
    if (stack > end) return fail(Error::invalid);
    TRY(map_ram(data, guard, Access::read_write));
    return map_ram(stack, end, Access::read_write);
}

void switch_to(const Table* tables) {
    RINGLET_WRITE_SYSREG("ttbr0_el1", reinterpret_cast<u64>(tables) | kAsid);
    isb();
    RINGLET_WRITE_SYSREG("sctlr_el1", RINGLET_READ_SYSREG("sctlr_el1") | kWxn);
    asm volatile("isb\n\ttlbi vmalle1\n\tdsb nsh\n\tisb" ::: "memory");
}

}  // namespace

Result<> paging_init(std::span<const MmioRange> ram) {
    const PhysAddr page = TRY(hooks::allocate_table_page());
    root = table_at(page.raw);
    for (const MmioRange& range : ram) TRY(map_region(range));
    if ((*find(address_of(__text_start)).entry & kValid) == 0) return fail(Error::invalid);  // we are not in RAM?
    static_cast<void>(map_device(PhysAddr(kVirtUart), kPageSize));  // early_put goes on working
    switch_to(root);
    return {};
}

Result<> map(std::uintptr_t va, PhysAddr pa, usize bytes, Access access, MemoryType type) {
    if (root == nullptr || !valid_range(va, pa.raw, bytes)) return fail(Error::invalid);
    if (any_mapped(va, bytes)) return fail(Error::exists);
    return map_unchecked(va, pa.raw, bytes, attributes(access, type));
}

Result<> unmap(std::uintptr_t va, usize bytes) {
    if (root == nullptr || !valid_range(va, 0, bytes)) return fail(Error::invalid);
    const std::uintptr_t end = va + bytes;
    for (std::uintptr_t at = va; at < end;) {  // look first, so that an error changes nothing
        const Found f = find(at);
        const u64 size = u64{1} << shift_of(f.level);
        if ((*f.entry & kValid) == 0 || at % size != 0 || size > end - at) return fail(Error::not_found);
        at += size;
    }
    for (std::uintptr_t at = va; at < end;) {
        const Found f = find(at);
        put(f.entry, 0);
        asm volatile("dsb ishst\n\ttlbi vaae1is, %0" ::"r"((at >> 12) & 0xfff'ffff'ffff) : "memory");
        at += u64{1} << shift_of(f.level);
    }
    asm volatile("dsb ish\n\tisb" ::: "memory");
    return {};
}

Result<std::uintptr_t> map_device(PhysAddr pa, usize bytes) {
    if (root == nullptr || bytes == 0 || pa.raw >= kLimit || bytes > kLimit - pa.raw) return fail(Error::invalid);
    const u64 start = align_down<u64>(pa.raw, kPageSize), end = align_up<u64>(pa.raw + bytes, kPageSize);
    if (start == 0) return fail(Error::invalid);  // page 0 stays unmapped
    if (overlaps(start, end - start, kStackWindow, 1_GiB)) return fail(Error::exists);
    const u64 wanted = attributes(Access::read_write, MemoryType::device);
    // Already there page by page, as a device, or not at all; anything else is somebody's RAM.
    for (u64 at = start; at < end;) {
        const Found f = find(at);
        const u64 size = u64{1} << shift_of(f.level), base = align_down<u64>(at, size);
        const u64 next = base + size < end ? base + size : end;
        if ((*f.entry & kValid) == 0)
            TRY(map_unchecked(at, at, next - at, wanted));
        else if ((*f.entry & ~(kAddressMask | kTableOrPage)) != wanted || (*f.entry & kAddressMask) != base)
            return fail(Error::exists);
        at = next;
    }
    return static_cast<std::uintptr_t>(pa.raw);
}

}  // namespace ringlet::arch
