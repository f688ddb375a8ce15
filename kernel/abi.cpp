// What the compiler and the header-only parts of libstdc++ call by name in an image without a C++ runtime:
// each is the end. Not on the host. Context: any.
#include <cstddef>

#include "kernel/mm/heap.hpp"
#include "kernel/mm/new.hpp"
#include "kernel/panic.hpp"
#include "lib/assert.hpp"

using ringlet::kernel::panic;

void ringlet::assert_failed(const char* what) {
    panic(what);
}

extern "C" {
[[noreturn]] void __stack_chk_fail() {
    panic("stack smashing: a function's canary was overwritten");
}
[[noreturn]] void __cxa_pure_virtual() {
    panic("pure virtual function called");
}
[[noreturn]] void __cxa_deleted_virtual() {
    panic("deleted virtual function called");
}
[[noreturn]] void abort() {
    panic("abort() called");
}
int __cxa_atexit(void (*)(void*), void*, void*) {
    return 0;
}  // an image never exits
void* __dso_handle = nullptr;

// libgcc's, which std::popcount and std::has_single_bit call on a plain x86_64.
int __popcountdi2(unsigned long x) {
    x -= x >> 1 & 0x5555'5555'5555'5555;
    x = (x & 0x3333'3333'3333'3333) + (x >> 2 & 0x3333'3333'3333'3333);
    x = (x + (x >> 4)) & 0x0f0f'0f0f'0f0f'0f0f;
    return static_cast<int>(x * 0x0101'0101'0101'0101 >> 56);
}
}

void* ringlet::kernel::must_allocate(std::size_t bytes, std::size_t align) {
    void* p = heap_allocate(bytes, align);
    if (p == nullptr) panic("out of memory in operator new");
    return p;
}
void ringlet::kernel::give_back(void* p) noexcept {
    heap_free(p);
}
void* ringlet::kernel::may_allocate(std::size_t bytes, std::size_t align) noexcept {
    return heap_allocate(bytes, align);
}

namespace std {

[[noreturn]] void __throw_length_error(const char* what) {
    panic(what);
}
[[noreturn]] void __throw_logic_error(const char* what) {
    panic(what);
}
[[noreturn]] void __throw_out_of_range(const char* what) {
    panic(what);
}
[[noreturn]] void __throw_out_of_range_fmt(const char* what, ...) {
    panic(what);
}
[[noreturn]] void __throw_invalid_argument(const char* what) {
    panic(what);
}
[[noreturn]] void __throw_bad_alloc() {
    panic("std::bad_alloc");
}
[[noreturn]] void __throw_bad_array_new_length() {
    panic("std::bad_array_new_length");
}
[[noreturn]] void __throw_bad_function_call() {
    panic("std::bad_function_call");
}
[[noreturn]] void __throw_system_error(int) {
    panic("std::system_error");
}
[[noreturn]] void __glibcxx_assert_fail(const char*, int, const char*, const char* condition) noexcept {
    panic(condition != nullptr ? condition : "libstdc++ assertion");
}
[[noreturn]] void terminate() noexcept {
    panic("std::terminate() called");
}

}  // namespace std
