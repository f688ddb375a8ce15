// The CRC32C instructions of FEAT_CRC32 (Arm ARM C6.2). Internal to arch; only where ID_AA64ISAR0_EL1 has them.
#pragma once

#include "arch/crc32c_loop.hpp"

namespace ringlet::arch {

struct Crc32c {
    static u32 step(u32 crc, u64 word) {
        asm(".arch_extension crc\n\tcrc32cx %w0, %w0, %1" : "+r"(crc) : "r"(word));
        return crc;
    }
    static u32 step(u32 crc, u32 word) {
        asm(".arch_extension crc\n\tcrc32cw %w0, %w0, %w1" : "+r"(crc) : "r"(word));
        return crc;
    }
    static u32 step(u32 crc, u8 word) {
        asm(".arch_extension crc\n\tcrc32cb %w0, %w0, %w1" : "+r"(crc) : "r"(word));
        return crc;
    }
};

}  // namespace ringlet::arch
