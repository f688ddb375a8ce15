// Bytes on the wire or on the disk. Alignment 1, so that headers may overlay any buffer. Context: any.
#pragma once

#include <bit>
#include <concepts>

#include "lib/types.hpp"

namespace ringlet {

static_assert(std::endian::native == std::endian::little, "virtio 1.x and ext4 are little-endian; so are we");

template <std::unsigned_integral T, std::endian E> class [[gnu::packed]] Endian {
    T raw_{};
    static constexpr T swap(T v) {
        if constexpr (E == std::endian::native || sizeof(T) == 1)
            return v;
        else if constexpr (sizeof(T) == 2)
            return __builtin_bswap16(v);
        else if constexpr (sizeof(T) == 4)
            return __builtin_bswap32(v);
        else
            return __builtin_bswap64(v);
    }

public:
    constexpr Endian() = default;
    constexpr Endian(T v) : raw_(swap(v)) {}
    constexpr operator T() const { return swap(raw_); }
};

using le16 = Endian<u16, std::endian::little>;
using le32 = Endian<u32, std::endian::little>;
using le64 = Endian<u64, std::endian::little>;
using be16 = Endian<u16, std::endian::big>;
using be32 = Endian<u32, std::endian::big>;
using be64 = Endian<u64, std::endian::big>;
static_assert(sizeof(be32) == 4 && alignof(be32) == 1 && sizeof(le64) == 8);

}  // namespace ringlet
