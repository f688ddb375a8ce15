// The C++ side of the PVH entry: hvm_start_info (Xen public/arch-x86/hvm/start_info.h, version 1) becomes a
// BootInfo. Everything in it comes from the loader: addresses and counts are checked before they are
// followed. Context: boot, on the boot stack, 4 GiB identity-mapped, interrupts disabled.
#include <algorithm>
#include <cstring>

#include "arch/cpu.hpp"
#include "arch/early.hpp"
#include "arch/power.hpp"
#include "arch/x86_64/cpuid.hpp"
#include "arch/x86_64/image.hpp"
#include "arch/x86_64/page_tables.hpp"
#include "boot/boot_info.hpp"
#include "boot/x86_64/memory_map.hpp"

/// What every protected function compares with; __stack_chk_fail() is the panic's.
extern "C" {
constinit std::uintptr_t __stack_chk_guard = 0;
/// Written by entry.S.
constinit ringlet::u64 ringlet_entry_cycles = 0;
}

namespace ringlet::boot {
namespace {

struct StartInfo {
    u32 magic, version, flags, nr_modules;
    u64 modlist_paddr, cmdline_paddr, rsdp_paddr;
    u64 memmap_paddr;  // from here on version 1
    u32 memmap_entries, reserved;
};
static_assert(sizeof(StartInfo) == 56);

struct Module {
    u64 paddr, size, cmdline_paddr, reserved;
};

constexpr u32 kMagic = 0x336e'c578;
constexpr u64 kEarlyMapped = 4_GiB, kHighestRam = 512_GiB;
constexpr usize kMaxMapEntries = 128;

/// The command line is copied here: where the loader left it is nobody's RAM and will not stay mapped.
constinit char command_line[2048];

void say(std::string_view text) {
    for (char c : text) arch::early_put(c);
}

[[noreturn]] void give_up(std::string_view why) {
    say("RINGLET BOOT: ");
    say(why);
    say("\r\n");
    arch::halt();
}

/// Loader data may lie anywhere that is mapped now; QEMU's is in the first pages. 0 means absent.
bool readable(u64 address, u64 bytes) {
    return address != 0 && address < kEarlyMapped && bytes <= kEarlyMapped - address;
}

template <class T> T copy_from(u64 address) {
    T value;
    std::memcpy(&value, reinterpret_cast<const void*>(address), sizeof(T));
    return value;
}

StartInfo read_start_info(u64 address) {
    if (!readable(address, sizeof(StartInfo))) give_up("the PVH start info is at an impossible address");
    const auto info = copy_from<StartInfo>(address);
    if (info.magic != kMagic) give_up("no PVH start info: bad magic (boot with qemu -kernel)");
    if (info.version < 1) give_up("PVH start info version 0 has no memory map; a newer loader is needed");
    return info;
}

RamList read_ram(const StartInfo& info) {
    MemoryMapEntry entries[kMaxMapEntries];
    const usize count = std::min<usize>(info.memmap_entries, kMaxMapEntries);
    if (count == 0 || !readable(info.memmap_paddr, count * sizeof(MemoryMapEntry)))
        give_up("the PVH memory map is missing or at an impossible address");
    if (count < info.memmap_entries) say("RINGLET BOOT: memory map cut after 128 entries\r\n");
    std::memcpy(entries, reinterpret_cast<const void*>(info.memmap_paddr), count * sizeof(MemoryMapEntry));
    return usable_ram({entries, count}, kHighestRam);
}

std::string_view read_command_line(u64 address) {
    if (address == 0) return {};
    if (!readable(address, 1)) {
        say("RINGLET BOOT: command line at an impossible address, ignored\r\n");
        return {};
    }
    const char* from = reinterpret_cast<const char*>(address);
    const usize room = std::min<u64>(sizeof command_line, kEarlyMapped - address);
    usize length = 0;
    while (length < room && from[length] != '\0') ++length;
    if (length == room) say("RINGLET BOOT: command line cut after 2048 characters\r\n");
    std::memcpy(command_line, from, length);
    return {command_line, length};
}

/// The range of `ram` that holds all of [start, start + bytes), or none.
bool in_ram(const RamList& ram, u64 start, u64 bytes) {
    return std::any_of(ram.begin(), ram.end(), [&](const arch::MmioRange& r) {
        return start >= r.base.raw && bytes <= r.bytes && start - r.base.raw <= r.bytes - bytes;
    });
}

bool overlaps_image(u64 start, u64 bytes) {
    return start < arch::x86::at(__image_end) && start + bytes > arch::x86::at(__image_start);
}

void read_initrd(const StartInfo& info, BootInfo& boot) {
    if (info.nr_modules == 0) return;
    if (!readable(info.modlist_paddr, sizeof(Module))) {
        say("RINGLET BOOT: module list at an impossible address, ignored\r\n");
        return;
    }
    const auto module = copy_from<Module>(info.modlist_paddr);
    if (module.size == 0) return;
    if (!in_ram(boot.ram, module.paddr, module.size) || overlaps_image(module.paddr, module.size)) {
        say("RINGLET BOOT: initrd outside of RAM or over the image, ignored\r\n");
        return;
    }
    boot.initrd = {reinterpret_cast<const std::byte*>(module.paddr), module.size};
    const u64 start = align_down(module.paddr, u64{kPageSize});
    const u64 end = align_up(module.paddr + module.size, u64{kPageSize});
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

/// A frame of its own: the caller of choose_canary() must not be protected, its callee may.
[[noreturn, gnu::noinline]] void boot_from(u64 start_info_address) {
    arch::cpu_init();
    BootInfo boot;
    boot.entry_cycles = ringlet_entry_cycles;
    const StartInfo info = read_start_info(start_info_address);
    boot.ram = read_ram(info);
    const u64 image_start = arch::x86::at(__image_start);
    const u64 image_bytes = align_up<u64>(arch::x86::at(__image_end), kPageSize) - image_start;
    if (!in_ram(boot.ram, image_start, image_bytes)) give_up("not enough memory: the image does not fit into RAM");
    (void)boot.reserved.try_push_back({PhysAddr{image_start}, image_bytes});
    boot.command_line = read_command_line(info.cmdline_paddr);
    boot.acpi_rsdp = PhysAddr{info.rsdp_paddr};
    read_initrd(info, boot);
    reach_high_ram(boot);
    boot_main(boot);
}

}  // namespace
}  // namespace ringlet::boot

extern "C" [[noreturn, gnu::no_stack_protector]] void pvh_main(ringlet::u32 start_info_address) {
    ringlet::arch::x86::detect_features();
    ringlet::boot::choose_canary();
    ringlet::boot::boot_from(start_info_address);
}
