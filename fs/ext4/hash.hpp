// The name hashes of indexed directories (Linux fs/ext4/hash.c describes them; half MD4, TEA, and the legacy
// one).
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet::fs::ext4 {

/// `version` as in DxRootInfo (0..2), plus 3 where characters count as unsigned. None for an unknown version.
/// Bit 0 of a hash is always clear: in an index it marks a collision chain that continues.
std::optional<u32> name_hash(u8 version, std::span<const u32, 4> seed, std::string_view name);

}  // namespace ringlet::fs::ext4
