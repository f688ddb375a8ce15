// Walking frame pointers. What of Ringlet is built for speed has none (cmake/flags.cmake) and is left out; callers()
// finds that too. Context: any, faults included.
#pragma once

#include <span>

#include "lib/types.hpp"

namespace ringlet::arch {

/// Return addresses, innermost first; how many were found. Stops at anything implausible: an unaligned, unmapped or
/// not growing frame pointer, a return address outside the text.
usize backtrace(std::uintptr_t frame_pointer, std::span<std::uintptr_t> return_addresses);

[[gnu::always_inline]] inline std::uintptr_t frame_pointer() {
    return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

}  // namespace ringlet::arch
