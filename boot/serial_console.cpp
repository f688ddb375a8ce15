#include "boot/serial_console.hpp"

#include <optional>

#include "arch/cpu.hpp"
#include "arch/early.hpp"
#include "arch/irq.hpp"
#include "drivers/serial/ns16550.hpp"
#include "drivers/serial/pl011.hpp"
#include "kernel/console.hpp"
#include "kernel/irq/irq.hpp"
#include "kernel/log.hpp"
#include "kernel/sched/thread.hpp"

namespace ringlet::boot {

namespace {

/// One driver as the console. Static because log and panic write from any context, for ever.
template <class Port> struct SerialConsole {
    static inline constinit std::optional<Port> port{};

    static void write(std::string_view text) { port->write(text); }
    /// Until the device is empty, or the ring full: then the device keeps the rest, and what does not fit there
    /// waits with the sender. With interrupts off.
    static void drain() {
        while (!kernel::console_input_full()) {
            const auto c = port->get();
            if (!c) return;
            kernel::console_input(*c);
        }
        port->disable_receive_interrupt();
    }
    /// What is in the FIFO already will not interrupt: drained by hand, after the interrupt is enabled.
    static void listen() {
        const arch::IrqGuard off;
        port->enable_receive_interrupt();
        drain();
    }
    static kernel::IrqResult on_interrupt(void*) {
        if (!port->on_interrupt()) return kernel::IrqResult::not_mine;
        drain();
        return kernel::IrqResult::handled;
    }
    static Result<> start_output(const arch::Serial& serial) {
        port.emplace(TRY(Port::probe(serial)));
        kernel::console_attach(write);
        return {};
    }
    static Result<> start_input(const arch::Serial& serial) {
        if (!serial.line) return start_polling();
        const arch::IrqId id = TRY(arch::attach_line(*serial.line));
        TRY(kernel::irq_request(id, on_interrupt, nullptr, "serial"));
        kernel::console_on_room(listen);
        listen();
        return {};
    }
    static Result<> start_polling() {
        auto poller = TRY(kernel::ThreadHandle::spawn({.name = "serial", .stack_bytes = 8192}, [] {
            for (;;) {
                {
                    const arch::IrqGuard off;
                    drain();
                }
                kernel::sleep_for(Duration::from_ms(10));
            }
        }));
        poller.detach();
        return {};
    }
};

}  // namespace

void start_early_console() {
    kernel::console_attach([](std::string_view text) {
        for (const char c : text) arch::early_put(c);
    });
}

Result<> start_console_output(const arch::Serial& serial) {
    switch (serial.kind) {
    case arch::SerialKind::ns16550_port:
    case arch::SerialKind::ns16550_mmio:
        return SerialConsole<Ns16550>::start_output(serial);
    case arch::SerialKind::pl011:
        return SerialConsole<Pl011>::start_output(serial);
    case arch::SerialKind::none:
        break;
    }
    return fail(Error::not_found);
}

Result<> start_console_input(const arch::Serial& serial) {
    switch (serial.kind) {
    case arch::SerialKind::ns16550_port:
    case arch::SerialKind::ns16550_mmio:
        return SerialConsole<Ns16550>::start_input(serial);
    case arch::SerialKind::pl011:
        return SerialConsole<Pl011>::start_input(serial);
    case arch::SerialKind::none:
        break;
    }
    return fail(Error::not_found);
}

}  // namespace ringlet::boot
