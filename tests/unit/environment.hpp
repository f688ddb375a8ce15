// Numbers that whoever runs a test may set: seeds, rounds. Host tests only.
#pragma once

#include <cstdlib>

#include "lib/types.hpp"

namespace ringlet {

inline u64 environment(const char* name, u64 otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 0);
}

}  // namespace ringlet
