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

/// RAM is mapped already; what lies elsewhere (firmware areas) is mapped when it is asked for.
Bytes physical(const BootInfo& info, PhysAddr at, usize bytes) {
    for (const arch::MmioRange& r : info.ram)
        if (at >= r.base && at - r.base < r.bytes && bytes <= r.bytes - (at - r.base))
            return {reinterpret_cast<const std::byte*>(at.raw), bytes};
    if (at.raw < kPageSize) return {};
    const auto mapped = arch::map_device(at, bytes);
    if (!mapped) return {};
    return {reinterpret_cast<const std::byte*>(*mapped), bytes};
}

}  // namespace

// One of the two readers is in an image: PCs have ACPI, the others a devicetree.
void discover(const BootInfo& info, const CommandLine& command_line, arch::Platform& out) {
    if constexpr (arch::kHasPortIo) {
        const auto reader = [&](PhysAddr at, usize bytes) { return physical(info, at, bytes); };
        if (const auto done = platform_from_acpi(info.acpi_rsdp, reader, out, complain); !done) {
            log(LogLevel::warning, "ACPI: {}: assuming an ordinary PC", done.error());
            platform_defaults_pc(out);
        }
        virtio_mmio_from_command_line(command_line, out, complain);
    } else if (const auto done = platform_from_fdt(info.devicetree, out, complain); !done) {
        log(LogLevel::error, "devicetree: {}", done.error());
    }
}

}  // namespace ringlet::boot
