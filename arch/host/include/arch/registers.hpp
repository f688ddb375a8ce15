// What a fault saved; on the host whatever a test puts there.
#pragma once

#include <cstdint>

#include "lib/format.hpp"

namespace ringlet::arch {

struct Registers {
    std::uintptr_t pc = 0, fp = 0, sp = 0;
    std::uintptr_t program_counter() const { return pc; }
    std::uintptr_t frame_pointer() const { return fp; }
    std::uintptr_t stack_pointer() const { return sp; }
    std::uintptr_t return_address() const { return 0; }
};

void describe(const Registers& registers, TextSink sink);

}  // namespace ringlet::arch
