// PVH: hvm_start_info (Xen public/arch-x86/hvm/start_info.h, version 1) as a LoaderInfo. See loader.hpp.
#include <algorithm>
#include <cstring>

#include "boot/x86_64/loader.hpp"

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
constexpr usize kMaxCommandLine = 4_KiB;

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

void read_memory(const StartInfo& info, LoaderInfo& out) {
    const usize count = std::min<usize>(info.memmap_entries, out.memory.capacity());
    if (count == 0 || !readable(info.memmap_paddr, count * sizeof(MemoryMapEntry)))
        give_up("the PVH memory map is missing or at an impossible address");
    out.memory_cut = count < info.memmap_entries;
    for (usize i = 0; i < count; ++i)
        (void)out.memory.try_push_back(copy_from<MemoryMapEntry>(info.memmap_paddr + i * sizeof(MemoryMapEntry)));
}

std::string_view read_command_line(u64 address) {
    if (address == 0) return {};
    if (!readable(address, kMaxCommandLine)) {
        say("RINGLET BOOT: command line at an impossible address, ignored\r\n");
        return {};
    }
    const char* from = reinterpret_cast<const char*>(address);
    return {from, std::find(from, from + kMaxCommandLine, '\0')};
}

arch::MmioRange read_module(const StartInfo& info) {
    if (info.nr_modules == 0) return {};
    if (!readable(info.modlist_paddr, sizeof(Module))) {
        say("RINGLET BOOT: module list at an impossible address, ignored\r\n");
        return {};
    }
    const auto module = copy_from<Module>(info.modlist_paddr);
    return {PhysAddr{module.paddr}, module.size};
}

}  // namespace

LoaderInfo read_pvh(u64 address) {
    const StartInfo info = read_start_info(address);
    LoaderInfo out;
    read_memory(info, out);
    out.command_line = read_command_line(info.cmdline_paddr);
    out.rsdp = PhysAddr{info.rsdp_paddr};
    out.module = read_module(info);
    return out;
}

}  // namespace ringlet::boot
