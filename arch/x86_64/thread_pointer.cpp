// x86_64: variant II. The variables end where the thread pointer, the base of FS, points; there lies its own address
// (System V AMD64 ABI §3.4.6), with which code reaches them without reading the base.
#include "arch/thread_pointer.hpp"

#include <algorithm>

#include "arch/x86_64/cpuid.hpp"
#include "lib/assert.hpp"

extern "C" {
// The linker script's: `bytes` and `align` are values, not addresses.
extern const std::byte __tls_image[], __tls_image_bytes[], __tls_bytes[], __tls_align[];
}

namespace ringlet::arch {

namespace {

constexpr usize kControlBytes = 64;  ///< from the thread pointer on: its own address, the rest unused

struct Layout {
    usize image = reinterpret_cast<usize>(__tls_image_bytes), bytes = reinterpret_cast<usize>(__tls_bytes);
    usize align = std::max<usize>(reinterpret_cast<usize>(__tls_align), 16);
    usize below() const { return align_up(bytes, align); }
};

}  // namespace

usize tls_block_bytes() {
    const Layout tls;
    return tls.bytes == 0 ? 0 : tls.align + tls.below() + kControlBytes;
}

std::uintptr_t tls_block_init(MutableBytes block) {
    const Layout tls;
    ASSERT(block.size() >= tls_block_bytes());
    const auto start = reinterpret_cast<std::uintptr_t>(block.data());
    const std::uintptr_t pointer = align_up(start, std::uintptr_t{tls.align}) + tls.below();
    auto* variables = reinterpret_cast<std::byte*>(pointer - tls.below());
    auto* after_image = std::copy_n(__tls_image, tls.image, variables);
    std::fill_n(after_image, tls.below() - tls.image + kControlBytes, std::byte{});
    *reinterpret_cast<std::uintptr_t*>(pointer) = pointer;
    return pointer;
}

void set_thread_pointer(std::uintptr_t pointer) {
    x86::write_msr(x86::kMsrFsBase, pointer);
}

}  // namespace ringlet::arch
