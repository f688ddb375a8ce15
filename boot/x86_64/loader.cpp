// The C++ side of the entry: what the loader left becomes a BootInfo. Everything in that comes from the loader:
// addresses and counts are checked before they are followed. Context: boot, on the boot stack, 4 GiB identity-mapped,
// interrupts disabled.
#include "boot/x86_64/loader.hpp"

#include <algorithm>
#include <cstring>

#include "arch/cpu.hpp"
#include "arch/early.hpp"
#include "arch/power.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/image.hpp"
#include "arch/x86_64/page_tables.hpp"
#include "boot/boot_info.hpp"
#include "boot/x86_64/multiboot2.hpp"
#include "lib/parse.hpp"

/// What every protected function compares with; __stack_chk_fail() is the panic's.
extern "C" {
constinit std::uintptr_t __stack_chk_guard = 0;
/// Written by entry.S.
constinit ringlet::u64 ringlet_entry_cycles = 0;
}

namespace ringlet::boot {
namespace {

constexpr u64 kEarlyMapped = 4_GiB, kHighestRam = 512_GiB;

/// Copied here: where the loader left them is nobody's RAM and will not stay mapped.
constinit char command_line[2048];
alignas(8) constinit std::byte rsdp[36];

/// The range of `ram` that holds all of [start, start + bytes), or none.
bool in_ram(const RamList& ram, u64 start, u64 bytes) {
    return std::any_of(ram.begin(), ram.end(), [&](const arch::MmioRange& r) {
        return start >= r.base.raw && bytes <= r.bytes && start - r.base.raw <= r.bytes - bytes;
    });
}

bool overlaps_image(u64 start, u64 bytes) {
    return start < arch::x86::at(__image_end) && start + bytes > arch::x86::at(__image_start);
}

std::string_view keep_command_line(std::string_view line) {
    if (line.size() > sizeof command_line) {
        say("RINGLET BOOT: command line cut after 2048 characters\r\n");
        line = substring(line, 0, sizeof command_line);
    }
    return {command_line, line.copy(command_line, sizeof command_line)};
}

PhysAddr keep_rsdp(const LoaderInfo& info) {
    if (info.rsdp_copy.empty()) return info.rsdp;
    std::memcpy(rsdp, info.rsdp_copy.data(), std::min(info.rsdp_copy.size(), sizeof rsdp));
    return PhysAddr{reinterpret_cast<std::uintptr_t>(rsdp)};
}

void keep_initrd(arch::MmioRange module, BootInfo& boot) {
    if (module.bytes == 0) return;
    const u64 base = module.base.raw;
    if (!in_ram(boot.ram, base, module.bytes) || overlaps_image(base, module.bytes)) {
        say("RINGLET BOOT: initrd outside of RAM or over the image, ignored\r\n");
        return;
    }
    boot.initrd = {reinterpret_cast<const std::byte*>(base), module.bytes};
    const u64 start = align_down(base, u64{kPageSize}), end = align_up(base + module.bytes, u64{kPageSize});
    (void)boot.reserved.try_push_back({PhysAddr{start}, end - start});
}

/// RAM above 4 GiB must be mapped before the page allocator touches it. The tables are cut from the end of a
/// range below 4 GiB that nothing else uses.
void reach_high_ram(BootInfo& boot) {
    const auto& last = boot.ram[boot.ram.size() - 1];
    const PhysAddr end{last.base.raw + last.bytes};
    if (end.raw <= kEarlyMapped) return;
    const u64 bytes = arch::x86::early_tables_needed(end) * kPageSize;
    if (bytes == 0) return arch::x86::early_map_high(end, PhysAddr{0});
    for (const auto& range : boot.ram) {
        const u64 range_end = std::min(range.base.raw + range.bytes, kEarlyMapped);
        if (range.base.raw >= kEarlyMapped || range_end - range.base.raw < bytes) continue;
        const u64 start = range_end - bytes;
        const bool taken = std::any_of(boot.reserved.begin(), boot.reserved.end(), [&](const auto& r) {
            return start < r.base.raw + r.bytes && range_end > r.base.raw;
        });
        if (taken) continue;
        (void)boot.reserved.try_push_back({PhysAddr{start}, bytes});
        return arch::x86::early_map_high(end, PhysAddr{start});
    }
    say("RINGLET BOOT: no room for page tables, memory above 4 GiB is not used\r\n");
    while (boot.ram[boot.ram.size() - 1].base.raw >= kEarlyMapped) boot.ram.pop_back();
    auto& top = boot.ram[boot.ram.size() - 1];
    top.bytes = std::min(top.bytes, kEarlyMapped - top.base.raw);
}

[[gnu::noinline, gnu::no_stack_protector]] void choose_canary() {
    const u64 ticks = arch::cycle_counter();
    u64 value = arch::hardware_random().value_or(0) ^ (ticks * 0x9e37'79b9'7f4a'7c15);
    value ^= value >> 29;
    value *= 0xbf58'476d'1ce4'e5b9;
    value ^= value >> 32;
    // The lowest byte is zero, so that no string function can read or write past it.
    __stack_chk_guard = value & ~u64{0xff};
}

LoaderInfo read_multiboot2_at(u64 address) {
    const auto at = reinterpret_cast<const std::byte*>(address);
    const usize bytes = readable(address, 8) ? multiboot2_bytes({at, 8}) : 0;
    if (bytes == 0 || !readable(address, bytes)) give_up("the Multiboot2 information is at an impossible address");
    auto info = read_multiboot2({at, bytes});
    if (!info) give_up("the Multiboot2 information is damaged, or has no memory map");
    return *info;
}

/// A frame of its own: the caller of choose_canary() must not be protected, its callee may.
[[noreturn, gnu::noinline]] void boot_from(u64 address, u32 magic) {
    arch::cpu_init();
    BootInfo boot;
    boot.entry_cycles = ringlet_entry_cycles;
    LoaderInfo info = magic == kMultiboot2Magic ? read_multiboot2_at(address) : read_pvh(address);
    if (info.memory_cut) say("RINGLET BOOT: memory map cut after 128 entries\r\n");
    boot.ram = usable_ram(info.memory, kHighestRam);
    const u64 image_start = arch::x86::at(__image_start);
    const u64 image_bytes = align_up<u64>(arch::x86::at(__image_end), kPageSize) - image_start;
    if (!in_ram(boot.ram, image_start, image_bytes)) give_up("not enough memory: the image does not fit into RAM");
    (void)boot.reserved.try_push_back({PhysAddr{image_start}, image_bytes});
    boot.command_line = keep_command_line(info.command_line);
    boot.acpi_rsdp = keep_rsdp(info);
    keep_initrd(info.module, boot);
    reach_high_ram(boot);
    boot_main(boot);
}

}  // namespace

bool readable(u64 address, u64 bytes) {
    return address != 0 && address < kEarlyMapped && bytes <= kEarlyMapped - address;
}

void say(std::string_view text) {
    for (char c : text) arch::early_put(c);
}

void give_up(std::string_view why) {
    say("RINGLET BOOT: ");
    say(why);
    say("\r\n");
    arch::halt();
}

}  // namespace ringlet::boot

/// `magic`: what the Multiboot2 entry found in eax; 0 from the PVH entry.
extern "C" [[noreturn, gnu::no_stack_protector]] void ringlet_loader_main(ringlet::u32 address, ringlet::u32 magic) {
    ringlet::arch::x86::detect_features();
    ringlet::boot::choose_canary();
    ringlet::boot::boot_from(address, magic);
}
