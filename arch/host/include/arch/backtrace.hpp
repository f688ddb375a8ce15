// Walking frame pointers on the host. Each word is read through the kernel, so that garbage ends the walk and
// not the test. Context: any.
#pragma once

#include <cstdint>
#include <span>

#include "lib/types.hpp"

namespace ringlet::arch {

usize backtrace(std::uintptr_t frame_pointer, std::span<std::uintptr_t> return_addresses);
[[gnu::always_inline]] inline std::uintptr_t frame_pointer() {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

}  // namespace ringlet::arch
