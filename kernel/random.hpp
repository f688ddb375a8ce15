// Random numbers: ChaCha20 with fast key erasure, seeded from the CPU, jitter, and whatever drivers add.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet::kernel {

void random_init();
void random_add_entropy(Bytes bytes);  ///< context: thread
void random_fill(MutableBytes to);     ///< context: any
u64 random_u64();

}  // namespace ringlet::kernel
