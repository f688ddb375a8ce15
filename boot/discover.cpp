#include "boot/discover.hpp"

#include "arch/port.hpp"
#include "boot/fdt.hpp"
#include "kernel/log.hpp"

namespace ringlet::boot {

namespace {

using kernel::log;
using kernel::LogLevel;

constexpr auto complain = [](std::string_view sentence) { kernel::log_write(LogLevel::warning, sentence); };

/// What every PC has, whatever its tables say.
void assume_pc(arch::Platform& out) {
    out.serial = {.kind = arch::SerialKind::ns16550_port, .address = 0x3f8, .register_shift = 0,
                  .line = arch::IrqLine{4, arch::Trigger::edge, arch::Polarity::high}};
    out.pci.emplace();
}

}  // namespace

void discover(const BootInfo& info, arch::Platform& out) {
    if constexpr (arch::kHasPortIo) assume_pc(out);
    if (!info.devicetree.empty()) {
        const auto done = platform_from_fdt(info.devicetree, out, complain);
        if (!done) log(LogLevel::error, "devicetree: {}", done.error());
    }
}

}  // namespace ringlet::boot
