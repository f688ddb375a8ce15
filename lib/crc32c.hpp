// CRC-32C (Castagnoli, RFC 3720 §12.1), as ext4 metadata and iSCSI use it. Context: any.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet {

/// Continues `crc` over `bytes`. The raw remainder, as ext4 wants it: start with ~0u, no final inversion.
/// The usual check value is ~crc32c(~0u, "123456789") = 0xe3069283.
u32 crc32c(u32 crc, Bytes bytes);

}  // namespace ringlet
