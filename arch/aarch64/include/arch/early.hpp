// aarch64: before there is anything else. Context: boot CPU.
#pragma once

#include "lib/types.hpp"

namespace ringlet::arch {

/// Vectors, fault stack, FP, time origin. Called first thing by boot/aarch64.
void cpu_init();
/// To the PL011 at 0x0900'0000 where `virt` has it, while that page is mapped as a device. Waits boundedly.
void early_put(char c);
/// Stirs boot-time entropy (the DTB's rng-seed) into the stack-protector canary. Only from code that never
/// returns.
void mix_stack_canary(u64 entropy);

}  // namespace ringlet::arch
