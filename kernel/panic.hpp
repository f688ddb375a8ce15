// The end of the line: prints `RINGLET PANIC`, the reason, registers and a symbolised stack, then halts, reboots or
// ends the VM as the command line says (panic=halt|reboot|exit; exit is the default under a test).
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet::arch {
struct Registers;
}

namespace ringlet::kernel {

enum class PanicAction : u8 { halt, reboot, end_vm };

/// What arch::end_vm() is given after a panic: 85 as the exit status of QEMU with isa-debug-exit.
inline constexpr u8 kPanicExitStatus = 42;

[[noreturn, gnu::cold]] void panic(std::string_view reason, const arch::Registers* at = nullptr);
void set_panic_action(PanicAction action);

/// The function that contains `address` and the offset into it; empty name when unknown. The name is valid until the
/// next call (one buffer). Context: any, one caller at a time.
struct Symbol {
    std::string_view name;
    u64 offset = 0;
};
Symbol symbolize(std::uintptr_t address);

}  // namespace ringlet::kernel
