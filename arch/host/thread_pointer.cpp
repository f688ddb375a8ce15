// The host's own runtime has thread-local storage; the kernel's threads on it share their carrier's.
#include "arch/thread_pointer.hpp"

namespace ringlet::arch {

usize tls_block_bytes() {
    return 0;
}
std::uintptr_t tls_block_init(MutableBytes) {
    return 0;
}
void set_thread_pointer(std::uintptr_t) {}

}  // namespace ringlet::arch
