// Bounds-checked reading of foreign bytes (tables, packets, disk blocks). Context: any.
#pragma once

#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "lib/types.hpp"

namespace ringlet {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// A copy of the T at `offset`, or nothing when it does not lie wholly inside. Never overflows.
template <class T>
requires std::is_trivially_copyable_v<T> std::optional<T> read_at(Bytes from, usize offset) {
    if (offset > from.size() || from.size() - offset < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, from.data() + offset, sizeof(T));
    return value;
}

/// The `length` bytes at `offset`, or nothing when they do not lie wholly inside. Never overflows.
inline std::optional<Bytes> slice(Bytes from, u64 offset, u64 length) {
    if (offset > from.size() || from.size() - offset < length) return std::nullopt;
    return from.subspan(static_cast<usize>(offset), static_cast<usize>(length));
}

}  // namespace ringlet
