// The image's own instructions where the host has them, so that the tests see them.
#include "arch/crc32c.hpp"

#include "lib/crc32c.hpp"

#if defined(__x86_64__)
#include "arch/x86_64/crc32c_step.hpp"
#elif defined(__aarch64__)
#include <sys/auxv.h>

#include "arch/aarch64/crc32c_step.hpp"
#endif

namespace ringlet::arch {

u32 crc32c(u32 crc, Bytes bytes) {
#if defined(__x86_64__)
    static const bool has_it = __builtin_cpu_supports("sse4.2") != 0;
    if (has_it) return crc32c_loop<x86::Crc32c>(crc, bytes);
#elif defined(__aarch64__)
    static const bool has_it = (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
    if (has_it) return crc32c_loop<Crc32c>(crc, bytes);
#endif
    return ringlet::crc32c(crc, bytes);
}

}  // namespace ringlet::arch
