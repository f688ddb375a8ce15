// The 16550A UART (National Semiconductor PC16550D data sheet), at ports or in memory. 115200 baud, 8N1,
// FIFOs on.
#pragma once

#include <optional>
#include <string_view>

#include "arch/platform.hpp"
#include "lib/result.hpp"
#include "lib/types.hpp"

namespace ringlet {

/// One UART. Output is polled and may come from any context; input is read by whoever handles the interrupt.
class Ns16550 {
public:
    /// Maps the registers if they are in memory, checks that something answers, sets the line up.
    /// Errors: unsupported (not this kind), not_found (nobody there), those of map_device. Context: boot or
    /// thread.
    static Result<Ns16550> probe(const arch::Serial& serial);

    /// Waits boundedly for room; a UART that never drains loses the character. Context: any.
    void put(char c);
    void write(std::string_view text);
    /// The next received character, if there is one. Characters with a framing, parity or break error are
    /// skipped.
    std::optional<char> get();
    /// From now on on_interrupt() has work. Context: thread, after the line is attached.
    void enable_receive_interrupt();
    /// Until enable_receive_interrupt(): what comes stays in the FIFO. Context: any.
    void disable_receive_interrupt();
    /// True if the interrupt was this device's. Then get() until empty, which is what silences it. Context:
    /// interrupt.
    bool on_interrupt();

private:
    Ns16550(const arch::Serial& serial, std::uintptr_t base)
        : base_(base), shift_(serial.register_shift), ports_(serial.kind == arch::SerialKind::ns16550_port) {}
    u8 read(u8 index) const;
    void write_register(u8 index, u8 value) const;
    bool wait_for_room();

    std::uintptr_t base_;
    u8 shift_;
    bool ports_;
    bool stuck_ = false;         ///< it did not drain in time: asked only once per character until it does
    std::optional<char> early_;  ///< came before probe()
    u8 room_ = 1;                ///< characters that fit once the transmitter is empty
};

}  // namespace ringlet
