#include "arch/crc32c.hpp"

#include "arch/aarch64/crc32c_step.hpp"
#include "internal.hpp"
#include "lib/crc32c.hpp"

namespace ringlet::arch {

u32 crc32c(u32 crc, Bytes bytes) {
    return has_crc32 ? crc32c_loop<Crc32c>(crc, bytes) : ringlet::crc32c(crc, bytes);
}

}  // namespace ringlet::arch
