#include "arch/crc32c.hpp"

#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/crc32c_step.hpp"
#include "lib/crc32c.hpp"

namespace ringlet::arch {

u32 crc32c(u32 crc, Bytes bytes) {
    return x86::features().crc32 ? crc32c_loop<x86::Crc32c>(crc, bytes) : ringlet::crc32c(crc, bytes);
}

}  // namespace ringlet::arch
