// See efi.hpp.
#include <algorithm>

#include "boot/aarch64/efi.hpp"
#include "boot/ranges.hpp"

namespace ringlet::boot {
namespace {

constexpr u64 kEfiPage = 4096;

/// EFI_MEMORY_DESCRIPTOR, §7.2.3.
struct Descriptor {
    u32 type, reserved;
    u64 physical_start, virtual_start, number_of_pages, attribute;
};
static_assert(sizeof(Descriptor) == 40);

/// §7.2.1, tables 7.5 and 7.6.
enum Type : u32 { loader_code = 1, loader_data, boot_code, boot_data, conventional = 7, acpi_reclaim = 9 };

bool is_free(u32 type) {
    return (type >= loader_code && type <= boot_data) || type == conventional;
}

}  // namespace

void memory_from_efi(Bytes map, u64 descriptor_bytes, u64 from, u64 to, BootInfo& out, TextSink complain) {
    if (descriptor_bytes < sizeof(Descriptor)) return complain("EFI: the memory map has impossible descriptors");
    bool complete = true;
    for (u64 at = 0; at < map.size(); at += std::min<u64>(descriptor_bytes, map.size() - at)) {
        const auto d = read_at<Descriptor>(map, at);
        if (!d) break;
        if (!is_free(d->type) && d->type != acpi_reclaim) continue;
        u64 bytes, end;
        if (__builtin_mul_overflow(d->number_of_pages, kEfiPage, &bytes) ||
            __builtin_add_overflow(d->physical_start, bytes, &end)) {
            complain("EFI: a memory range makes no sense, ignored");
            continue;
        }
        const u64 start = std::max(d->physical_start, from);
        end = std::min(end, to);
        if (start >= end) continue;
        const arch::MmioRange range{PhysAddr(start), end - start};
        const bool is_kept = d->type != acpi_reclaim || reserve(out, range);  // else it must not be given away
        complete &= is_kept && add_ram(out, range);
    }
    if (!complete) complain("EFI: more memory ranges than can be kept");
}

}  // namespace ringlet::boot
