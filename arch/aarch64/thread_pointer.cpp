// aarch64: variant I. The thread pointer, TPIDR_EL0, points to a control block of 16 bytes, and the variables begin
// after it, at their alignment (ELF for the Arm 64-bit Architecture, "TLS"). The kernel keeps its own pointer in
// TPIDR_EL1.
#include "arch/thread_pointer.hpp"

#include <algorithm>

#include "lib/assert.hpp"

extern "C" {
// The linker script's: `bytes` and `align` are values, not addresses.
extern const std::byte __tls_image[], __tls_image_bytes[], __tls_bytes[], __tls_align[];
}

namespace ringlet::arch {

namespace {

struct Layout {
    usize image = reinterpret_cast<usize>(__tls_image_bytes), bytes = reinterpret_cast<usize>(__tls_bytes);
    usize align = std::max<usize>(reinterpret_cast<usize>(__tls_align), 16);
};

}  // namespace

usize tls_block_bytes() {
    const Layout tls;
    return tls.bytes == 0 ? 0 : 2 * tls.align + tls.bytes;
}

std::uintptr_t tls_block_init(MutableBytes block) {
    const Layout tls;
    ASSERT(block.size() >= tls_block_bytes());
    const auto start = reinterpret_cast<std::uintptr_t>(block.data());
    const std::uintptr_t pointer = align_up(start, std::uintptr_t{tls.align});
    auto* control = reinterpret_cast<std::byte*>(pointer);
    std::fill_n(control, tls.align, std::byte{});
    auto* after_image = std::copy_n(__tls_image, tls.image, control + tls.align);
    std::fill_n(after_image, tls.bytes - tls.image, std::byte{});
    return pointer;
}

void set_thread_pointer(std::uintptr_t pointer) {
    asm volatile("msr tpidr_el0, %0" : : "r"(pointer) : "memory");
}

}  // namespace ringlet::arch
