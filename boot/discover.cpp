#include "boot/discover.hpp"

#include "arch/paging.hpp"
#include "arch/port.hpp"
#include "boot/acpi.hpp"
#include "boot/fdt.hpp"
#include "kernel/log.hpp"

namespace ringlet::boot {

namespace {

using kernel::log;
using kernel::LogLevel;

constexpr auto complain = [](std::string_view sentence) { kernel::log_write(LogLevel::warning, sentence); };

/// RAM is mapped already; what lies elsewhere (a PC's firmware areas) is mapped when it is asked for, as a device: an
/// Arm CPU reads nothing unaligned there, and its firmware keeps tables in RAM.
Bytes physical(const BootInfo& info, PhysAddr at, usize bytes) {
    for (const arch::MmioRange& r : info.ram)
        if (at >= r.base && at - r.base < r.bytes && bytes <= r.bytes - (at - r.base))
            return {reinterpret_cast<const std::byte*>(at.raw), bytes};
    if (!arch::kHasPortIo || at.raw < kPageSize) return {};
    const auto mapped = arch::map_device(at, bytes);
    if (!mapped) return {};
    return {reinterpret_cast<const std::byte*>(*mapped), bytes};
}

}  // namespace

// A PC's reader is in its images, a devicetree's and Arm's in those of the other architecture.
void discover(const BootInfo& info, const CommandLine& command_line, arch::Platform& out) {
    out.unix_seconds = info.unix_seconds;
    const auto reader = [&](PhysAddr at, usize bytes) { return physical(info, at, bytes); };
    if constexpr (arch::kHasPortIo) {
        if (const auto done = platform_from_acpi(info.acpi_rsdp, reader, out, complain); !done) {
            log(LogLevel::warning, "ACPI: {}: assuming an ordinary PC", done.error());
            platform_defaults_pc(out);
        }
        virtio_mmio_from_command_line(command_line, out, complain);
    } else if (!info.devicetree.empty() || info.acpi_rsdp.raw == 0) {
        if (const auto done = platform_from_fdt(info.devicetree, out, complain); !done)
            log(LogLevel::error, "devicetree: {}", done.error());
    } else if (const auto done = platform_from_acpi_arm(info.acpi_rsdp, reader, out, complain); !done) {
        log(LogLevel::error, "ACPI: {}", done.error());
    }
}

}  // namespace ringlet::boot
