// Whose code lies at an address. The linker scripts keep apart what is the system's (Ringlet from the POSIX calls
// down), what everybody calls (the C and C++ libraries, copying of memory), and the rest, the application's. Context:
// any.
#pragma once

#include <cstdint>

#include "lib/types.hpp"

namespace ringlet::arch {

enum class CodeOwner : u8 { system, library, application };

/// Anything that is no code counts as the application's: only there a bad pointer is called. In an image whose system
/// is optimised at link time, and so is not kept apart, all is the system's.
CodeOwner code_owner(std::uintptr_t address);

}  // namespace ringlet::arch
