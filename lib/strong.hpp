// Distinct integers: a DmaAddr is not a PhysAddr is not a pointer. Context: any.
#pragma once

#include <compare>
#include <concepts>

#include "lib/types.hpp"

namespace ringlet {

/// One integer with only the operators that make sense for an address or an ordinal:
/// value + count, value - value, comparison.
template <class Tag, std::integral Rep> struct Strong {
    Rep raw{};
    constexpr Strong() = default;
    constexpr explicit Strong(Rep r) : raw(r) {}
    friend constexpr auto operator<=>(Strong, Strong) = default;
    friend constexpr Strong operator+(Strong a, Rep n) { return Strong(static_cast<Rep>(a.raw + n)); }
    friend constexpr Strong operator-(Strong a, Rep n) { return Strong(static_cast<Rep>(a.raw - n)); }
    friend constexpr Rep operator-(Strong a, Strong b) { return static_cast<Rep>(a.raw - b.raw); }
    constexpr Strong& operator+=(Rep n) {
        raw = static_cast<Rep>(raw + n);
        return *this;
    }
};

using PhysAddr = Strong<struct PhysTag, u64>;  ///< what the MMU sees
using DmaAddr = Strong<struct DmaTag, u64>;    ///< what a device is told
using Lba = Strong<struct LbaTag, u64>;        ///< 512-byte sector of a block device
using BlockNo = Strong<struct BlockTag, u64>;  ///< filesystem block
using InodeNo = Strong<struct InodeTag, u32>;

}  // namespace ringlet
