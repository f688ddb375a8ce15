// System registers by name; arch/aarch64 only. Registers that the assembler does not know go by their S-name.
#pragma once

#include "lib/types.hpp"

#define RINGLET_READ_SYSREG(name)                                                                                      \
    ({                                                                                                                 \
        ::ringlet::u64 sysreg_value_;                                                                                  \
        asm volatile("mrs %0, " name : "=r"(sysreg_value_)::"memory");                                                 \
        sysreg_value_;                                                                                                 \
    })
#define RINGLET_WRITE_SYSREG(name, value) asm volatile("msr " name ", %0" ::"r"(::ringlet::u64{value}) : "memory")

namespace ringlet::arch {

inline void isb() {
    asm volatile("isb" ::: "memory");
}

}  // namespace ringlet::arch
