// aarch64: variant I. The thread pointer, TPIDR_EL0, points to a control block of 16 bytes, and the variables begin
// after it, at their alignment (ELF for the Arm 64-bit Architecture, "TLS"). The kernel keeps its own pointer in
// TPIDR_EL1.
#include "arch/thread_pointer.hpp"

#include <algorithm>

#include "arch/tls_image.hpp"
#include "lib/assert.hpp"

namespace ringlet::arch {

usize tls_block_bytes() {
    const TlsImage tls;
    return tls.bytes == 0 ? 0 : 2 * tls.align + tls.bytes;
}

std::uintptr_t tls_block_init(MutableBytes block) {
    const TlsImage tls;
    ASSERT(block.size() >= tls_block_bytes());
    const auto start = reinterpret_cast<std::uintptr_t>(block.data());
    const std::uintptr_t pointer = align_up(start, std::uintptr_t{tls.align});
    auto* control = reinterpret_cast<std::byte*>(pointer);
    std::fill_n(control, tls.align, std::byte{});
    tls.place(control + tls.align, tls.bytes);
    return pointer;
}

void set_thread_pointer(std::uintptr_t pointer) {
    asm volatile("msr tpidr_el0, %0" : : "r"(pointer) : "memory");
}

}  // namespace ringlet::arch
