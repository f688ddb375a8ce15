// Global operator new and delete of the image (the host keeps its own). Plain new cannot fail: it panics.
// Context: thread.
#include <new>

#include "kernel/mm/heap.hpp"
#include "kernel/panic.hpp"

using ringlet::kernel::heap_allocate;
using ringlet::kernel::heap_free;

namespace {

void* must_allocate(std::size_t bytes, std::size_t align) {
    void* p = heap_allocate(bytes, align);
    if (p == nullptr) ringlet::kernel::panic("out of memory in operator new");
    return p;
}

constexpr std::size_t kDefaultAlign = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

namespace std {
const nothrow_t nothrow{};
}

void* operator new(std::size_t n) {
    return must_allocate(n, kDefaultAlign);
}
void* operator new[](std::size_t n) {
    return must_allocate(n, kDefaultAlign);
}
void* operator new(std::size_t n, std::align_val_t a) {
    return must_allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a) {
    return must_allocate(n, static_cast<std::size_t>(a));
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    return heap_allocate(n, kDefaultAlign);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
    return heap_allocate(n, kDefaultAlign);
}
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return heap_allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return heap_allocate(n, static_cast<std::size_t>(a));
}

void operator delete(void* p) noexcept {
    heap_free(p);
}
void operator delete[](void* p) noexcept {
    heap_free(p);
}
void operator delete(void* p, std::size_t) noexcept {
    heap_free(p);
}
void operator delete[](void* p, std::size_t) noexcept {
    heap_free(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
    heap_free(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
    heap_free(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    heap_free(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    heap_free(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
    heap_free(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
    heap_free(p);
}
