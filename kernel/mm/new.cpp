// Global operator new and delete of an image (the host keeps its own) on the heap, but for the forms of new that must
// not fail: new_throwing.cpp has those. Context: thread.
#include <new>

#include "kernel/mm/new.hpp"

using ringlet::kernel::give_back;
using ringlet::kernel::may_allocate;

namespace {
constexpr std::size_t kAlign = __STDCPP_DEFAULT_NEW_ALIGNMENT__;
}

const std::nothrow_t std::nothrow{};

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
