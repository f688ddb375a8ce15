// CRC-32C by the CPU's own instructions, where it has them. Context: any.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet::arch {

/// ringlet::crc32c(crc, bytes) (lib/crc32c.hpp), faster where CPUID or the ID register says that it can be.
u32 crc32c(u32 crc, Bytes bytes);

}  // namespace ringlet::arch
