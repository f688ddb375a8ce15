// PL011, DDI 0183G §3.3. See pl011.hpp.
#include "drivers/serial/pl011.hpp"

#include "arch/cpu.hpp"
#include "arch/mmio.hpp"
#include "arch/paging.hpp"

namespace ringlet {

namespace {

enum Register : u32 {
    kData = 0x00,
    kFlags = 0x18,
    kLineControl = 0x2c,
    kControl = 0x30,
    kFifoLevel = 0x34,
    kMask = 0x38,
    kMaskedStatus = 0x40,
    kClear = 0x44,
    kPeripheralId0 = 0xfe0,
    kPeripheralId1 = 0xfe4,
};
constexpr u32 kReceiveEmpty = 1u << 4, kTransmitFull = 1u << 5;  // UARTFR
constexpr u32 kDataErrors = 0x700;                               // UARTDR: framing, parity, break
constexpr u32 kFifoEnable = 1u << 4, kWord8 = 3u << 5;           // UARTLCR_H
constexpr u32 kUartEnable = 1u << 0, kTransmitEnable = 1u << 8, kReceiveEnable = 1u << 9;  // UARTCR
constexpr u32 kReceive = 1u << 4, kReceiveTimeout = 1u << 6;                               // UARTIMSC and friends
constexpr u32 kFifoDepth = 32;
constexpr u32 kPatience = 100'000;  // polls: far more than 32 characters at 9600 baud take on a slow machine

}  // namespace

Result<Pl011> Pl011::probe(const arch::Serial& serial) {
    if (serial.kind != arch::SerialKind::pl011) return fail(Error::unsupported);
    const std::uintptr_t base = TRY(arch::map_device(PhysAddr(serial.address), kPageSize));
    // Part number 0x011, spread over two identification bytes.
    const u32 id0 = arch::mmio_read<u32>(base + kPeripheralId0) & 0xff;
    const u32 id1 = arch::mmio_read<u32>(base + kPeripheralId1) & 0x0f;
    if (id0 != 0x11 || id1 != 0x00) return fail(Error::unsupported);
    arch::mmio_write<u32>(base + kMask, 0);
    arch::mmio_write<u32>(base + kClear, 0x7ff);
    // The baud rate is the loader's business. UARTLCR_H must not be written while the UART is enabled.
    arch::mmio_write<u32>(base + kControl, 0);
    arch::mmio_write<u32>(base + kLineControl, kFifoEnable | kWord8);
    arch::mmio_write<u32>(base + kFifoLevel, 0);
    arch::mmio_write<u32>(base + kControl, kUartEnable | kTransmitEnable | kReceiveEnable);
    return Pl011(base);
}

void Pl011::put(char c) {
    for (u32 i = 0; (arch::mmio_read<u32>(base_ + kFlags) & kTransmitFull) != 0; ++i) {
        if (stuck_ || i == kPatience) {
            stuck_ = true;
            return;
        }
        arch::relax();
    }
    stuck_ = false;
    arch::mmio_write<u32>(base_ + kData, static_cast<u8>(c));
}

void Pl011::write(std::string_view text) {
    for (const char c : text) put(c);
}

std::optional<char> Pl011::get() {
    // At most one FIFO of bad characters in a row: a line that only makes noise must not hold us.
    for (u32 i = 0; i < kFifoDepth && (arch::mmio_read<u32>(base_ + kFlags) & kReceiveEmpty) == 0; ++i) {
        const u32 data = arch::mmio_read<u32>(base_ + kData);
        if ((data & kDataErrors) == 0) return static_cast<char>(data & 0xff);
    }
    return std::nullopt;
}

void Pl011::enable_receive_interrupt() {
    arch::mmio_write<u32>(base_ + kClear, kReceive | kReceiveTimeout);
    arch::mmio_write<u32>(base_ + kMask, kReceive | kReceiveTimeout);
}

void Pl011::disable_receive_interrupt() {
    arch::mmio_write<u32>(base_ + kMask, 0);
}

bool Pl011::on_interrupt() {
    const u32 status = arch::mmio_read<u32>(base_ + kMaskedStatus);
    if (status == 0) return false;
    arch::mmio_write<u32>(base_ + kClear,
                          status);  // before reading: what arrives from now on interrupts again
    return true;
}

}  // namespace ringlet
