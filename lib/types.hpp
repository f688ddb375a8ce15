// Fixed-width integer names used everywhere. Context: any.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringlet {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using usize = std::size_t;

inline constexpr usize kPageSize = 4096;

constexpr u64 operator""_KiB(unsigned long long n) {
    return n << 10;
}
constexpr u64 operator""_MiB(unsigned long long n) {
    return n << 20;
}
constexpr u64 operator""_GiB(unsigned long long n) {
    return n << 30;
}

/// Rounds `value` up to a multiple of `align`, a power of two. The caller rules out overflow.
template <class T> constexpr T align_up(T value, T align) {
    return static_cast<T>((value + align - 1) & ~(align - 1));
}
template <class T> constexpr T align_down(T value, T align) {
    return static_cast<T>(value & ~(align - 1));
}

}  // namespace ringlet
