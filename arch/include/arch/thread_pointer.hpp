// Thread-local storage of applications (ELF TLS; psABI and "ELF Handling For Thread-Local Storage" §3). The linker
// script says what a thread's block begins as; where it lies from the thread pointer is the architecture's business.
// The kernel itself has none: in an image without thread_local variables a block takes 0 bytes and the pointer stays 0.
#pragma once

#include <cstdint>

#include "lib/bytes.hpp"

namespace ringlet::arch {

/// Bytes of a thread's block; 0: there is none. The block may begin anywhere.
usize tls_block_bytes();
/// Fills `block` (tls_block_bytes() of them) with the initial values; the thread pointer that belongs to it.
std::uintptr_t tls_block_init(MutableBytes block);
/// From now on thread_local variables are those of `pointer`'s block. Context: interrupts disabled, or the boot thread.
void set_thread_pointer(std::uintptr_t pointer);

}  // namespace ringlet::arch
