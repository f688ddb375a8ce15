// What operator new and delete come down to. Two of them: kernel/abi.cpp for images without the C++ library,
// posix/memory.cpp and posix/operator_new.cpp for those with it. Context: thread.
#pragma once

#include <cstddef>

namespace ringlet::kernel {

/// Never nullptr: without memory it panics, or throws std::bad_alloc.
void* must_allocate(std::size_t bytes, std::size_t align);
/// What operator delete does; nullptr: nothing.
void give_back(void* p) noexcept;
/// nullptr when memory is out.
void* may_allocate(std::size_t bytes, std::size_t align) noexcept;

}  // namespace ringlet::kernel
