// The forms of operator new that never return nullptr. Ringlet itself has no use for them: an image without an
// application's own has no std::bad_alloc either, and so no unwinder. Context: thread.
#include <new>

#include "kernel/mm/new.hpp"

using ringlet::kernel::must_allocate;

namespace {
constexpr std::size_t kAlign = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
}

void* operator new(std::size_t n) {
    return must_allocate(n, kAlign);
}
void* operator new[](std::size_t n) {
    return must_allocate(n, kAlign);
}
void* operator new(std::size_t n, std::align_val_t a) {
    return must_allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
    return must_allocate(n, static_cast<std::size_t>(a));
}
