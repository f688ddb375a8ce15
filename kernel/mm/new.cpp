// Global operator new and delete of an image (the host keeps its own): all their forms, on the heap. Compiled twice,
// with and without exceptions, because what happens when memory is out differs (kernel/mm/new.hpp). Context: thread.
#include "kernel/mm/new.hpp"

#include <new>

using ringlet::kernel::give_back;
using ringlet::kernel::may_allocate;
using ringlet::kernel::must_allocate;

namespace {
constexpr std::size_t kAlign = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
}

const std::nothrow_t std::nothrow{};

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
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    return may_allocate(n, kAlign);
}
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept {
    return may_allocate(n, kAlign);
}
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return may_allocate(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
    return may_allocate(n, static_cast<std::size_t>(a));
}

void operator delete(void* p) noexcept {
    give_back(p);
}
void operator delete[](void* p) noexcept {
    give_back(p);
}
void operator delete(void* p, std::size_t) noexcept {
    give_back(p);
}
void operator delete[](void* p, std::size_t) noexcept {
    give_back(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
    give_back(p);
}
void operator delete[](void* p, std::align_val_t) noexcept {
    give_back(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
    give_back(p);
}
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept {
    give_back(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
    give_back(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
    give_back(p);
}
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept {
    give_back(p);
}
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept {
    give_back(p);
}
