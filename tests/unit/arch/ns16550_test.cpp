// The 16550 driver against a model of the chip: set-up, polled output in FIFO-sized pieces, input with
// errors, the interrupt, a transmitter that never drains, a port where nobody is.
#include "drivers/serial/ns16550.hpp"

#include <catch2/catch.hpp>
#include <deque>
#include <string>

#include "arch/host.hpp"

using namespace ringlet;
using namespace std::string_literals;

namespace {

/// PC16550D as far as software can see it. Checks what a driver must not do.
class Chip : public arch::host::MmioHandler {
public:
    explicit Chip(unsigned shift) : shift_(shift) {}
    u64 read(u64 offset, unsigned width) override {
        REQUIRE(width == 1);
        switch (offset >> shift_) {
        case 0: {
            if (received.empty()) return 0;
            const auto c = received.front().first;
            received.pop_front();
            return static_cast<u8>(c);
        }
        case 2:
            return static_cast<u64>((fifo_ ? 0xc0 : 0) | (pending() ? 0x04 : 0x01));
        case 3:
            return line_control;
        case 5:
            return line_status();
        case 7:
            return scratch_;
        default:
            return 0;
        }
    }
    void write(u64 offset, unsigned width, u64 value) override {
        REQUIRE(width == 1);
        const bool divisor = (line_control & 0x80) != 0;
        switch (offset >> shift_) {
        case 0:
            if (divisor) {
                divisor_latch = static_cast<unsigned>((divisor_latch & 0xff00) | value);
                break;
            }
            REQUIRE(in_fifo_ < (fifo_ ? 16 : 1));  // else a character is lost on the wire
            ++in_fifo_;
            sent += static_cast<char>(value);
            break;
        case 1:
            if (divisor)
                divisor_latch = static_cast<unsigned>((divisor_latch & 0xff) | value << 8);
            else
                interrupt_enable = static_cast<u8>(value);
            break;
        case 2:
            if (fifo_ != (has_fifo && (value & 1) != 0)) received.clear();  // §8.4: the switch empties both
            fifo_ = has_fifo && (value & 1) != 0;
            break;
        case 3:
            line_control = static_cast<u8>(value);
            break;
        case 4:
            modem_control = static_cast<u8>(value);
            break;
        case 7:
            scratch_ = static_cast<u8>(value);
            break;
        default:
            break;
        }
    }
    bool pending() const { return (interrupt_enable & 1) != 0 && !received.empty(); }

    std::string sent;
    std::deque<std::pair<char, u8>> received;  // with its error bits
    unsigned divisor_latch = 0;
    u8 interrupt_enable = 0xff, line_control = 0, modem_control = 0;
    bool has_fifo = true, stuck = false;
    int status_reads = 0;

private:
    u64 line_status() {
        ++status_reads;
        if (!stuck && status_reads % 3 == 0) in_fifo_ = 0;
        u8 status = in_fifo_ == 0 ? 0x60 : 0;
        if (!received.empty()) status = static_cast<u8>(status | 1 | received.front().second);
        return status;
    }
    unsigned shift_;
    u8 scratch_ = 0;
    bool fifo_ = false;
    int in_fifo_ = 0;
};

struct Machine {
    explicit Machine(arch::SerialKind kind, u8 shift = 0) : chip(shift), ports(kind == arch::SerialKind::ns16550_port) {
        where.kind = kind;
        where.address = ports ? 0x3f8 : 0x900'0000;
        where.register_shift = shift;
        if (ports)
            arch::host::register_ports(0x3f8, 8, chip);
        else
            arch::host::register_mmio(where.address, usize{8} << shift, chip);
    }
    ~Machine() {
        if (ports)
            arch::host::unregister_ports(0x3f8);
        else
            arch::host::unregister_mmio(where.address);
    }
    Chip chip;
    arch::Serial where;
    bool ports;
};

}  // namespace

TEST_CASE("set up as 115200 8N1, interrupts off, at ports and in memory") {
    for (auto [kind, shift] : {std::pair{arch::SerialKind::ns16550_port, u8{0}},
                               {arch::SerialKind::ns16550_mmio, u8{0}},
                               {arch::SerialKind::ns16550_mmio, u8{2}}}) {
        Machine m(kind, shift);
        auto uart = Ns16550::probe(m.where);
        REQUIRE(uart);
        REQUIRE(m.chip.divisor_latch == 1);
        REQUIRE(m.chip.line_control == 3);
        REQUIRE(m.chip.interrupt_enable == 0);
        REQUIRE((m.chip.modem_control & 0x0b) == 0x0b);
        uart->put('x');
        uart->write("yz");
        REQUIRE(m.chip.sent == "xyz");
    }
}

TEST_CASE("a character that came before the driver is not lost") {
    Machine m(arch::SerialKind::ns16550_port);
    m.chip.received.push_back({'e', 0});
    auto uart = Ns16550::probe(m.where);
    REQUIRE(uart);
    m.chip.received.push_back({'f', 0});
    REQUIRE(uart->get() == 'e');
    REQUIRE(uart->get() == 'f');
    REQUIRE_FALSE(uart->get());
}

TEST_CASE("long output loses nothing, with and without a FIFO") {
    for (bool fifo : {true, false}) {
        Machine m(arch::SerialKind::ns16550_port);
        m.chip.has_fifo = fifo;
        auto uart = Ns16550::probe(m.where).value();
        const std::string text(1000, 'q');
        uart.write(text);
        REQUIRE(m.chip.sent == text);
    }
}

TEST_CASE("input: characters in order, broken ones skipped, the interrupt acknowledged by reading") {
    Machine m(arch::SerialKind::ns16550_port);
    auto uart = Ns16550::probe(m.where).value();
    REQUIRE_FALSE(uart.get());
    REQUIRE_FALSE(uart.on_interrupt());
    m.chip.received = {{'a', 0}, {'?', 0x08}, {'?', 0x04}, {'\0', 0x10}, {'b', 0}};
    REQUIRE_FALSE(uart.on_interrupt());  // not enabled yet
    uart.enable_receive_interrupt();
    REQUIRE(uart.on_interrupt());
    REQUIRE(uart.get() == 'a');
    REQUIRE(uart.get() == 'b');
    REQUIRE_FALSE(uart.get());
    REQUIRE_FALSE(uart.on_interrupt());
}

TEST_CASE("a transmitter that never drains costs a bounded time, once") {
    Machine m(arch::SerialKind::ns16550_port);
    auto uart = Ns16550::probe(m.where).value();
    uart.put('a');
    m.chip.stuck = true;
    uart.put('b');
    m.chip.status_reads = 0;
    uart.write(std::string(100, 'c'));
    REQUIRE(m.chip.status_reads <= 100);
    m.chip.stuck = false;
    for (int i = 0; i < 5; ++i) uart.put('d');
    REQUIRE(m.chip.sent.ends_with("d"));
}

TEST_CASE("nobody there, or not this kind") {
    arch::Serial where;
    where.kind = arch::SerialKind::ns16550_port;
    where.address = 0x3f8;
    REQUIRE(Ns16550::probe(where).error() == Error::not_found);
    where.address = 0xffff;
    REQUIRE(Ns16550::probe(where).error() == Error::unsupported);
    where.kind = arch::SerialKind::pl011;
    REQUIRE(Ns16550::probe(where).error() == Error::unsupported);
    where.kind = arch::SerialKind::ns16550_mmio;
    where.register_shift = 60;
    REQUIRE(Ns16550::probe(where).error() == Error::unsupported);
}
