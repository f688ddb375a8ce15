// The Arm PL011 UART (DDI 0183), as QEMU's `virt` has it: already configured by whoever started us.
#pragma once

#include <optional>
#include <string_view>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/types.hpp"

namespace ringlet {

/// One UART. Output is polled and may come from any context; input is read by whoever handles the interrupt.
class Pl011 {
public:
    /// Maps the registers and looks at the identification. Errors: unsupported (not a PL011), those of
    /// map_device. Context: boot or thread.
    static Result<Pl011> probe(const arch::Serial& serial);

    /// Waits boundedly for room; a UART that never drains loses characters, and is waited for once. Context:
    /// any.
    void put(char c);
    void write(std::string_view text);
    /// The next received character, if there is one. Characters with a framing, parity or break error are
    /// skipped.
    std::optional<char> get();
    /// From now on on_interrupt() has work. Context: thread, after the line is attached.
    void enable_receive_interrupt();
    /// Until enable_receive_interrupt(): what comes stays in the FIFO. Context: any.
    void disable_receive_interrupt();
    /// Acknowledges; true if the interrupt was this device's. Then get() until empty. Context: interrupt.
    bool on_interrupt();

private:
    explicit Pl011(std::uintptr_t base) : base_(base) {}
    std::uintptr_t base_;
    bool stuck_ = false;  ///< the last character found no room: do not wait again until one does
};

}  // namespace ringlet
