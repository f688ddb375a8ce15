// x86_64: variant II. The variables end where the thread pointer, the base of FS, points; there lies its own address
// (System V AMD64 ABI §3.4.6), with which code reaches them without reading the base.
#include "arch/thread_pointer.hpp"

#include "arch/tls_image.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "lib/assert.hpp"

namespace ringlet::arch {

namespace {

constexpr usize kControlBytes = 64;  ///< from the thread pointer on: its own address, the rest unused

/// Bytes from the first variable to the thread pointer.
usize below(const TlsImage& tls) {
    return align_up(tls.bytes, tls.align);
}

}  // namespace

usize tls_block_bytes() {
    const TlsImage tls;
    return tls.bytes == 0 ? 0 : tls.align + below(tls) + kControlBytes;
}

std::uintptr_t tls_block_init(MutableBytes block) {
    const TlsImage tls;
    ASSERT(block.size() >= tls_block_bytes());
    const auto start = reinterpret_cast<std::uintptr_t>(block.data());
    const std::uintptr_t pointer = align_up(start, std::uintptr_t{tls.align}) + below(tls);
    tls.place(reinterpret_cast<std::byte*>(pointer - below(tls)), below(tls) + kControlBytes);
    *reinterpret_cast<std::uintptr_t*>(pointer) = pointer;
    return pointer;
}

void set_thread_pointer(std::uintptr_t pointer) {
    x86::write_msr(x86::kMsrFsBase, pointer);
}

}  // namespace ringlet::arch
