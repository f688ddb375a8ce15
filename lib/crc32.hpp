// CRC-32 (IEEE 802.3), as GPT headers use it. Small and slow: a few KiB once at boot. Context: any.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet {

/// Continues the *finished* value `crc` (0 to begin) over `bytes`; inversions included.
/// crc32(0, "123456789") = 0xcbf43926.
constexpr u32 crc32(u32 crc, Bytes bytes) {
    crc = ~crc;
    for (std::byte b : bytes) {
        crc ^= static_cast<u32>(b);
        for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb8'8320u : 0u);
    }
    return ~crc;
}

}  // namespace ringlet
