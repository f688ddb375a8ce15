// Four-level translation tables. SDM vol. 3 §4.5 (structure), §4.10.4 (invalidation), §11.12.4 (types by
// PAT). Context: see arch/paging.hpp.
//
// There is one set of tables: boot/x86_64/entry.S builds a permissive identity map of 4 GiB, paging_init()
// tightens it in place (no entry is ever wrong for the running code), and map()/unmap() edit it. Tables are
// reached at their physical address: RAM is identity-mapped.
#include "arch/paging.hpp"

#include <algorithm>
#include <cstring>

#include "arch/cpu.hpp"
#include "arch/hooks.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/image.hpp"
#include "arch/x86_64/page_tables.hpp"

extern "C" ringlet::u64 early_pml4[512], early_pdpt[512], early_pd[4 * 512];

namespace ringlet::arch {
namespace {

constexpr u64 kPresent = 1, kWrite = 2, kWriteThrough = 8, kCacheDisable = 16, kLarge = 128;
constexpr u64 kNoExecute = u64{1} << 63;
constexpr u64 kAddress = 0x000f'ffff'ffff'f000;
constexpr u64 kBytes[3] = {4_KiB, 2_MiB, 1_GiB};  ///< what an entry of each level covers
constexpr u64 kRam = kPresent | kWrite | kNoExecute;
constexpr u64 kUserHalf = u64{1} << 47;
constexpr u64 kHighestIdentity = 512_GiB;  ///< one PDPT; RAM above is not used

/// PD pages of the boot tables that became free, used before the allocator is asked.
constinit u64 spare_tables[4];
constinit usize spares;

u64* table_at(u64 entry) {
    return reinterpret_cast<u64*>(entry & kAddress);
}
usize index_of(u64 va, int level) {
    return va >> (12 + 9 * level) & 511;
}
bool is_leaf(u64 entry, int level) {
    return level == 0 || (entry & kLarge) != 0;
}
void invalidate(u64 va) {
    asm volatile("invlpg (%0)" : : "r"(va) : "memory");
}
void invalidate_everything() {
    asm volatile("movq %%cr3, %%rax\n\tmovq %%rax, %%cr3" : : : "rax", "memory");
}

Result<u64> new_table() {
    if (spares != 0) {
        const u64 page = spare_tables[--spares];
        std::memset(reinterpret_cast<void*>(page), 0, kPageSize);
        return page;
    }
    return TRY(hooks::allocate_table_page()).raw;
}

/// Replaces the large page in `entry` (at `level`) by a table of the next smaller ones that means the same.
Result<> split(u64& entry, int level) {
    const u64 page = TRY(new_table());
    u64* table = reinterpret_cast<u64*>(page);
    const u64 large = level == 1 ? entry & ~kLarge : entry;  // a 4 KiB entry has no size bit
    for (u64 i = 0; i < 512; ++i) table[i] = large + i * kBytes[level - 1];
    entry = page | kPresent | kWrite;
    return {};
}

/// The entry for `va` at `level`, with the tables above it made and large pages split as needed.
Result<u64*> entry_for(u64 va, int level) {
    u64* table = early_pml4;
    for (int l = 3; l > level; --l) {
        u64& entry = table[index_of(va, l)];
        if ((entry & kPresent) == 0) {
            entry = TRY(new_table()) | kPresent | kWrite;
        } else if (is_leaf(entry, l)) {
            TRY(split(entry, l));
            invalidate(va);
        }
        table = table_at(entry);
    }
    return &table[index_of(va, level)];
}

struct Leaf {
    u64 entry = 0;  ///< 0: not mapped
    int level = 0;  ///< of the leaf, or where the walk ended
};

Leaf find(u64 va) {
    const u64* table = early_pml4;
    for (int level = 3;; --level) {
        const u64 entry = table[index_of(va, level)];
        if ((entry & kPresent) == 0) return {0, level};
        if (level < 3 && is_leaf(entry, level)) return {entry, level};
        table = table_at(entry);
    }
}

bool overlaps(u64 start, u64 end, u64 other_start, u64 other_end) {
    return start < other_end && other_start < end;
}

/// One pass over the RAM list beside one over the entries: both ascend.
class RamCursor {
public:
    explicit RamCursor(std::span<const MmioRange> ram) : ram_(ram) {}
    enum class Cover { none, part, whole };
    Cover cover(u64 start, u64 end) {
        while (!ram_.empty() && ram_[0].base.raw + ram_[0].bytes <= start) ram_ = ram_.subspan(1);
        if (ram_.empty() || ram_[0].base.raw >= end) return Cover::none;
        return ram_[0].base.raw <= start && ram_[0].base.raw + ram_[0].bytes >= end ? Cover::whole : Cover::part;
    }

private:
    std::span<const MmioRange> ram_;
};

/// What one 4 KiB page of the identity map is to be.
u64 page_entry(u64 address, RamCursor& ram) {
    using namespace x86;
    if (address >= at(__image_start) && address < at(__image_end)) {
        if (address < at(__text_end)) return address | kPresent;
        if (address < at(__rodata_end)) return address | kPresent | kNoExecute;
        if (address == at(__boot_stack_guard)) return 0;
        return address | kRam;
    }
    if (address == 0 || ram.cover(address, address + kPageSize) != RamCursor::Cover::whole) return 0;
    return address | kRam;
}

/// Tightens the 2 MiB entries of one PD, which covers the GiB at `base`.
Result<> tighten_directory(u64* directory, u64 base, RamCursor& ram) {
    const u64 image_start = x86::at(__image_start), image_end = x86::at(__image_end);
    for (usize i = 0; i < 512; ++i) {
        const u64 start = base + i * 2_MiB, end = start + 2_MiB;
        const auto cover = ram.cover(start, end);
        const bool special = start == 0 || overlaps(start, end, image_start, image_end);
        if (!special && cover == RamCursor::Cover::none) {
            directory[i] = 0;
        } else if (!special && cover == RamCursor::Cover::whole) {
            directory[i] = start | kRam | kLarge;
        } else {
            const u64 page = TRY(new_table());
            u64* table = reinterpret_cast<u64*>(page);
            for (u64 j = 0; j < 512; ++j) table[j] = page_entry(start + j * kPageSize, ram);
            directory[i] = page | kPresent | kWrite;
        }
    }
    return {};
}

Result<> tighten_gib(u64 base, RamCursor& ram) {
    u64& entry = early_pdpt[base / 1_GiB];
    if ((entry & kPresent) == 0) return {};  // never mapped at boot: RAM beyond what early_map_high() was told
    const auto cover = ram.cover(base, base + 1_GiB);
    if (base != 0 && cover == RamCursor::Cover::none) {
        if (!is_leaf(entry, 2))
            std::memset(table_at(entry), 0, kPageSize);
        else
            entry = 0;
        return {};
    }
    if (base != 0 && cover == RamCursor::Cover::whole && x86::features().gib_pages) {
        const bool of_image = !is_leaf(entry, 2) && base < 4_GiB;
        if (of_image) spare_tables[spares++] = entry & kAddress;
        entry = base | kRam | kLarge;
        // The spare may be overwritten at once: the CPU must not walk through it from a cached upper level.
        if (of_image) invalidate_everything();
        return {};
    }
    if (is_leaf(entry, 2)) TRY(split(entry, 2));
    return tighten_directory(table_at(entry), base, ram);
}

bool aligned(u64 a) {
    return (a & (kPageSize - 1)) == 0;
}

/// Whether [va, va + bytes) is whole pages of the lower half.
bool valid_range(u64 va, u64 bytes) {
    return aligned(va) && aligned(bytes) && bytes != 0 && va < kUserHalf && bytes <= kUserHalf - va;
}

u64 flags_for(Access access, MemoryType type) {
    u64 flags = kPresent;
    if (access == Access::read_write) flags |= kWrite;
    if (access != Access::read_execute) flags |= kNoExecute;
    if (type == MemoryType::device) flags |= kCacheDisable | kWriteThrough;
    return flags;
}

/// 1 when a 2 MiB page fits at this place of a mapping, else 0.
int level_for(u64 va, u64 pa, u64 bytes) {
    return ((va | pa) & (2_MiB - 1)) == 0 && bytes >= 2_MiB ? 1 : 0;
}

/// Maps what is not mapped yet. On failure `done` says how far it came.
Result<> map_missing(u64 va, u64 pa, u64 bytes, u64 flags, u64& done) {
    for (done = 0; done < bytes;) {
        const Leaf leaf = find(va + done);
        if (leaf.entry != 0) {
            done = align_down(va + done, kBytes[leaf.level]) + kBytes[leaf.level] - va;
            continue;
        }
        // A 2 MiB page only where no table exists yet.
        const int level = leaf.level >= 1 ? level_for(va + done, pa + done, bytes - done) : 0;
        u64* entry = TRY(entry_for(va + done, level));
        *entry = (pa + done) | flags | (level == 1 ? kLarge : 0);
        done += kBytes[level];
    }
    done = bytes;
    return {};
}

}  // namespace

Result<> paging_init(std::span<const MmioRange> ram) {
    RamCursor cursor(ram);
    const u64 ram_end = ram.empty() ? 0 : ram.back().base.raw + ram.back().bytes;
    const u64 end = std::min(std::max(ram_end, 4_GiB), kHighestIdentity);
    for (u64 base = 0; base < end; base += 1_GiB) TRY(tighten_gib(base, cursor));
    invalidate_everything();
    return {};
}

Result<> map(std::uintptr_t va, PhysAddr pa, usize bytes, Access access, MemoryType type) {
    const u64 physical_end = x86::features().physical_end;
    if (!valid_range(va, bytes) || !aligned(pa.raw)) return fail(Error::invalid);
    if (pa.raw >= physical_end || bytes > physical_end - pa.raw) return fail(Error::invalid);
    IrqGuard guard;
    for (u64 done = 0; done < bytes;) {
        const Leaf leaf = find(va + done);
        if (leaf.entry != 0) return fail(Error::exists);
        const int level = std::min(leaf.level, 2);
        done = align_down(va + done, kBytes[level]) + kBytes[level] - va;
    }
    u64 done = 0;
    auto result = map_missing(va, pa.raw, bytes, flags_for(access, type), done);
    if (!result && done != 0) (void)unmap(va, done);  // whole entries only: cannot fail
    return result;
}

Result<> unmap(std::uintptr_t va, usize bytes) {
    if (!valid_range(va, bytes)) return fail(Error::invalid);
    IrqGuard guard;
    for (u64 done = 0; done < bytes;) {
        const Leaf leaf = find(va + done);
        const int level = std::min(leaf.level, 2);
        const u64 start = align_down(va + done, kBytes[level]);
        const u64 next = start + kBytes[level] - va;
        if (leaf.entry == 0) {
            done = next;
        } else if (start == va + done && next <= bytes) {
            *TRY(entry_for(va + done, level)) = 0;
            invalidate(va + done);
            done = next;
        } else {
            TRY(entry_for(va + done, level - 1));  // splits the large page; the next turn sees smaller ones
        }
    }
    return {};
}

Result<std::uintptr_t> map_device(PhysAddr pa, usize bytes) {
    const u64 physical_end = x86::features().physical_end;
    if (bytes == 0 || pa.raw >= physical_end || bytes > physical_end - pa.raw) return fail(Error::invalid);
    const u64 start = align_down(pa.raw, u64{kPageSize});
    const u64 end = align_up(pa.raw + bytes, u64{kPageSize});
    // Page 0 stays unmapped whatever a table says, and a device cannot lie in the stack window.
    if (start == 0 || !valid_range(start, end - start)) return fail(Error::invalid);
    if (overlaps(start, end, kStackWindow, kStackWindow + 1_GiB)) return fail(Error::invalid);
    IrqGuard guard;
    u64 done = 0;
    TRY(map_missing(start, start, end - start, flags_for(Access::read_write, MemoryType::device), done));
    return pa.raw;
}

namespace x86 {

bool is_mapped(std::uintptr_t va) {
    return va < kUserHalf && find(va).entry != 0;
}

usize early_tables_needed(PhysAddr end) {
    const u64 gibs = align_up(std::min(end.raw, kHighestIdentity), 1_GiB) / 1_GiB;
    return gibs <= 4 || features().gib_pages ? 0 : gibs - 4;
}

void early_map_high(PhysAddr end, PhysAddr pages) {
    const u64 limit = std::min(end.raw, kHighestIdentity);
    const bool one_gib = features().gib_pages;
    for (u64 base = 4_GiB; base < limit; base += 1_GiB) {
        if (one_gib) {
            early_pdpt[base / 1_GiB] = base | kPresent | kWrite | kLarge;
            continue;
        }
        u64* directory = reinterpret_cast<u64*>(pages.raw);
        for (u64 i = 0; i < 512; ++i) directory[i] = (base + i * 2_MiB) | kPresent | kWrite | kLarge;
        early_pdpt[base / 1_GiB] = pages.raw | kPresent | kWrite;
        pages += kPageSize;
    }
}

}  // namespace x86
}  // namespace ringlet::arch
