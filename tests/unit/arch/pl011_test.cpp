// The PL011 driver against a model of the UART: set-up, polled output into a FIFO that fills, input with
// errors, the interrupt, a transmitter that never drains, something else at that address.
#include "drivers/serial/pl011.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <string>

#include "arch/host.hpp"

using namespace ringlet;

namespace {

/// DDI 0183 as far as software can see it. Checks what a driver must not do.
class Uart : public arch::host::MmioHandler {
public:
    u64 read(u64 offset, unsigned width) override {
        REQUIRE(width == 4);
        switch (offset) {
        case 0x00: {
            if (received.empty()) return 0;
            const u32 c = received.front();
            received.pop_front();
            return c;
        }
        case 0x18:
            return flags();
        case 0x40:
            return status & mask;
        case 0xfe0:
            return part;
        case 0xfe4:
            return 0x10;
        default:
            return 0;
        }
    }
    void write(u64 offset, unsigned width, u64 value) override {
        REQUIRE(width == 4);
        switch (offset) {
        case 0x00:
            REQUIRE((control & 0x101) == 0x101);  // enabled for transmission
            REQUIRE(in_fifo < 16);                // else a character is lost on the wire
            ++in_fifo;
            sent += static_cast<char>(value);
            break;
        case 0x2c:
            REQUIRE((control & 1) == 0);  // §3.3.7: not while enabled
            line_control = static_cast<u32>(value);
            break;
        case 0x30:
            control = static_cast<u32>(value);
            break;
        case 0x38:
            mask = static_cast<u32>(value);
            break;
        case 0x44:
            status &= ~static_cast<u32>(value);
            break;
        default:
            break;
        }
    }

    std::string sent;
    std::deque<u32> received;  // with its error bits
    u32 part = 0x11, control = 0x301, line_control = 0, mask = 0x7ff, status = 0;
    int in_fifo = 0, flag_reads = 0;
    bool stuck = false;

private:
    u32 flags() {
        ++flag_reads;
        if (!stuck && flag_reads % 3 == 0) in_fifo = 0;
        if (stuck) in_fifo = 16;
        return (received.empty() ? 0x10u : 0u) | (in_fifo == 16 ? 0x20u : 0u);
    }
};

struct Machine {
    Machine() { arch::host::register_mmio(where.address, 0x1000, uart); }
    ~Machine() { arch::host::unregister_mmio(where.address); }
    Uart uart;
    arch::Serial where{.kind = arch::SerialKind::pl011, .address = 0x900'0000, .line = {}};
};

}  // namespace

TEST_CASE("PL011: set up as 8N1 with FIFOs, interrupts off") {
    Machine m;
    auto uart = Pl011::probe(m.where);
    REQUIRE(uart);
    REQUIRE(m.uart.line_control == 0x70);
    REQUIRE(m.uart.control == 0x301);
    REQUIRE(m.uart.mask == 0);
    uart->put('x');
    uart->write("yz");
    REQUIRE(m.uart.sent == "xyz");
}

TEST_CASE("PL011: long output waits for room and loses nothing") {
    Machine m;
    auto uart = Pl011::probe(m.where).value();
    const std::string text(1000, 'q');
    uart.write(text);
    REQUIRE(m.uart.sent == text);
}

TEST_CASE("PL011: input in order, broken characters skipped, the interrupt acknowledged") {
    Machine m;
    auto uart = Pl011::probe(m.where).value();
    REQUIRE_FALSE(uart.get());
    m.uart.received = {'a', 0x100 | '?', 0x200 | '?', 0x400, 'b'};
    m.uart.status = 0x50;
    REQUIRE_FALSE(uart.on_interrupt());  // masked
    uart.enable_receive_interrupt();
    m.uart.status = 0x50;
    REQUIRE(uart.on_interrupt());
    REQUIRE(m.uart.status == 0);
    REQUIRE(uart.get() == 'a');
    REQUIRE(uart.get() == 'b');
    REQUIRE_FALSE(uart.get());
    REQUIRE_FALSE(uart.on_interrupt());
}

TEST_CASE("PL011: a transmitter that never drains costs a bounded time, once") {
    Machine m;
    auto uart = Pl011::probe(m.where).value();
    m.uart.stuck = true;
    uart.put('b');
    m.uart.flag_reads = 0;
    uart.write(std::string(100, 'c'));
    REQUIRE(m.uart.flag_reads <= 100);
    m.uart.stuck = false;
    for (int i = 0; i < 5; ++i) uart.put('d');
    REQUIRE(m.uart.sent.ends_with("d"));
}

TEST_CASE("PL011: endless noise does not hold the reader") {
    Machine m;
    auto uart = Pl011::probe(m.where).value();
    m.uart.received.assign(100'000, 0x400);
    REQUIRE_FALSE(uart.get());
    REQUIRE(m.uart.received.size() > 99'000);
}

TEST_CASE("PL011: something else, or another kind") {
    Machine m;
    m.uart.part = 0x12;
    REQUIRE(Pl011::probe(m.where).error() == Error::unsupported);
    m.where.kind = arch::SerialKind::ns16550_mmio;
    REQUIRE(Pl011::probe(m.where).error() == Error::unsupported);
}
