// The CRC32 instruction of SSE4.2 (SDM vol. 2). Internal to arch; only where CPUID has it.
#pragma once

#include "arch/crc32c_loop.hpp"

namespace ringlet::arch::x86 {

struct Crc32c {
    static u32 step(u32 crc, u64 word) {
        u64 wide = crc;
        asm("crc32q %1, %0" : "+r"(wide) : "rm"(word));
        return static_cast<u32>(wide);
    }
    static u32 step(u32 crc, u32 word) {
        asm("crc32l %1, %0" : "+r"(crc) : "rm"(word));
        return crc;
    }
    static u32 step(u32 crc, u8 word) {
        asm("crc32b %1, %0" : "+r"(crc) : "qm"(word));
        return crc;
    }
};

}  // namespace ringlet::arch::x86
