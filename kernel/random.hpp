// Random numbers: ChaCha20 with fast key erasure, seeded at boot from the CPU (RDRAND, RNDR) and jitter, reseeded from
// them every 1024 requests, and from the entropy device (drivers/virtio/rng.hpp) when there is one.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet::kernel {

void random_init();
void random_add_entropy(Bytes bytes);  ///< context: thread
void random_fill(MutableBytes to);     ///< context: any
u64 random_u64();

}  // namespace ringlet::kernel
