// See ns16550.hpp.
#include "drivers/serial/ns16550.hpp"

#include <utility>

#include "arch/cpu.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"
#include "arch/port.hpp"
#include "lib/parse.hpp"

namespace ringlet {
namespace {

// PC16550D §8: register, and bits by their names there.
constexpr u8 kData = 0, kInterruptEnable = 1, kInterruptId = 2, kFifoControl = 2, kLineControl = 3, kModemControl = 4;
constexpr u8 kLineStatus = 5, kScratch = 7;
constexpr u8 kDivisorLow = 0, kDivisorHigh = 1;  // while DLAB is set
constexpr u8 kReceiveInterrupt = 0x01;
constexpr u8 kNoInterruptPending = 0x01, kFifosOn = 0xc0;
constexpr u8 kFifoEnableAndClear = 0x07;
constexpr u8 kEightBits = 0x03, kDivisorAccess = 0x80;
constexpr u8 kDtrRtsOut2 = 0x0b;  // OUT2 connects the interrupt line on a PC
constexpr u8 kDataReady = 0x01, kParityFramingBreak = 0x1c, kTransmitterEmpty = 0x20;
constexpr u8 kDivisor115200 = 1;
constexpr u8 kFifoBytes = 16;

}  // namespace

u8 Ns16550::read(u8 index) const {
    const std::uintptr_t at = base_ + (std::uintptr_t{index} << shift_);
    if constexpr (arch::kHasPortIo) {
        if (ports_) return arch::port_in8(static_cast<u16>(at));
    }
    return arch::mmio_read<u8>(at);
}

void Ns16550::write_register(u8 index, u8 value) const {
    const std::uintptr_t at = base_ + (std::uintptr_t{index} << shift_);
    if constexpr (arch::kHasPortIo) {
        if (ports_) return arch::port_out8(static_cast<u16>(at), value);
    }
    arch::mmio_write<u8>(at, value);
}

Result<Ns16550> Ns16550::probe(const arch::Serial& serial) {
    constexpr u8 kWidestShift = 4;
    if (serial.register_shift > kWidestShift) return fail(Error::unsupported);
    const usize bytes = usize{8} << serial.register_shift;
    std::uintptr_t base = serial.address;
    if (serial.kind == arch::SerialKind::ns16550_mmio) {
        base = TRY(arch::map_device(PhysAddr{serial.address}, bytes));
    } else if (serial.kind != arch::SerialKind::ns16550_port || !arch::kHasPortIo || base > 0x1'0000 - bytes) {
        return fail(Error::unsupported);
    }
    Ns16550 uart(serial, base);
    for (u8 pattern : {u8{0x5a}, u8{0xa5}}) {
        uart.write_register(kScratch, pattern);
        if (uart.read(kScratch) != pattern) return fail(Error::not_found);
    }
    uart.write_register(kInterruptEnable, 0);
    uart.write_register(kLineControl, kEightBits | kDivisorAccess);
    uart.write_register(kDivisorLow, kDivisor115200);
    uart.write_register(kDivisorHigh, 0);
    uart.write_register(kLineControl, kEightBits);
    // Switching the FIFO on forgets a character that came during boot: somebody types ahead.
    if ((uart.read(kLineStatus) & kDataReady) != 0) uart.early_ = static_cast<char>(uart.read(kData));
    uart.write_register(kFifoControl, kFifoEnableAndClear);
    uart.write_register(kModemControl, kDtrRtsOut2);
    if ((uart.read(kInterruptId) & kFifosOn) == kFifosOn) uart.room_ = kFifoBytes;
    return uart;
}

bool Ns16550::wait_for_room() {
    // A full FIFO takes 1.4 ms at 115200 baud; a register read takes at least a tenth of a microsecond.
    const int patience = stuck_ ? 1 : 100'000;
    for (int i = 0; i < patience; ++i) {
        if ((read(kLineStatus) & kTransmitterEmpty) != 0) {
            stuck_ = false;
            return true;
        }
        arch::relax();
    }
    stuck_ = true;
    return false;
}

void Ns16550::put(char c) {
    if (wait_for_room()) write_register(kData, static_cast<u8>(c));
}

void Ns16550::write(std::string_view text) {
    while (!text.empty()) {
        const auto piece = substring(text, 0, room_);
        text.remove_prefix(piece.size());
        if (!wait_for_room()) continue;
        for (char c : piece) write_register(kData, static_cast<u8>(c));
    }
}

std::optional<char> Ns16550::get() {
    if (early_) return std::exchange(early_, std::nullopt);
    // Bounded, because a register that reads all ones would never be empty.
    for (int i = 0; i < 2 * kFifoBytes; ++i) {
        const u8 status = read(kLineStatus);
        if ((status & kDataReady) == 0 || status == 0xff) return std::nullopt;
        const char c = static_cast<char>(read(kData));
        if ((status & kParityFramingBreak) == 0) return c;
    }
    return std::nullopt;
}

void Ns16550::enable_receive_interrupt() {
    write_register(kInterruptEnable, kReceiveInterrupt);
}

void Ns16550::disable_receive_interrupt() {
    write_register(kInterruptEnable, 0);
}

bool Ns16550::on_interrupt() {
    return (read(kInterruptId) & kNoInterruptPending) == 0;
}

}  // namespace ringlet
