// What the heap and its caches know of small blocks: the sizes, and the slab that a slot lies in. Only kernel/mm/
// includes this.
#pragma once

#include <iterator>

#include "lib/list.hpp"
#include "lib/types.hpp"

namespace ringlet::kernel {

inline constexpr u16 kClasses[] = {16,  32,  48,  64,  80,  96,  112, 128, 160,  192,  224,
                                   256, 320, 384, 448, 512, 576, 672, 800, 1008, 1344, 2016};
inline constexpr usize kClassCount = std::size(kClasses);
inline constexpr usize kLargestClass = kClasses[kClassCount - 1];
inline constexpr u32 kSlabMagic = 0x51ab'c0de;
inline constexpr usize kFirstSlot = 64;

struct Slab : ListNode<> {
    u32 magic = kSlabMagic;
    u8 size_class = 0;
    u16 used = 0, capacity = 0;
    u64 free[4] = {};  ///< bit set: the slot is free
};
static_assert(sizeof(Slab) <= kFirstSlot && (kPageSize - kFirstSlot) / kClasses[0] <= 256);

// kClasses index by (bytes + 15) / 16, built by the compiler.
struct ClassTable {
    u8 index[kLargestClass / 16 + 1] = {};
    constexpr ClassTable() {
        for (usize i = 0, c = 0; i < std::size(index); ++i) {
            while (i * 16 > kClasses[c]) ++c;
            index[i] = static_cast<u8>(c);
        }
    }
};
inline constexpr ClassTable kClassTable;

/// offset / size without a division: exact for every offset in a page.
struct Reciprocals {
    u32 of[kClassCount] = {};
    constexpr Reciprocals() {
        for (usize c = 0; c < kClassCount; ++c) of[c] = (1u << 20) / kClasses[c] + 1;
    }
    constexpr usize quotient(usize offset, usize size_class) const { return offset * of[size_class] >> 20; }
    constexpr bool exact() const {
        for (usize c = 0; c < kClassCount; ++c)
            for (usize offset = 0; offset < kPageSize; offset += 16)
                if (quotient(offset, c) != offset / kClasses[c]) return false;
        return true;
    }
};
inline constexpr Reciprocals kReciprocals;
static_assert(kReciprocals.exact());

struct SlotRef {
    Slab* slab = nullptr;
    usize slot = 0;
};

// The slot that begins at `p`; no slab if there is none or it is not allocated.
inline SlotRef find_slot(const void* p) {
    const auto address = reinterpret_cast<std::uintptr_t>(p);
    auto* slab = reinterpret_cast<Slab*>(align_down<std::uintptr_t>(address, kPageSize));
    if (slab->magic != kSlabMagic || slab->size_class >= kClassCount) return {};
    const usize offset = address % kPageSize - kFirstSlot;
    if (address % kPageSize < kFirstSlot || offset % 16 != 0) return {};
    const usize slot = kReciprocals.quotient(offset, slab->size_class);
    if (slot * kClasses[slab->size_class] != offset || slot >= slab->capacity) return {};
    if ((slab->free[slot / 64] >> (slot % 64) & 1) != 0) return {};
    return {slab, slot};
}

}  // namespace ringlet::kernel
