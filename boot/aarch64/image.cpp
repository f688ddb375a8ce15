// From entry.S to boot_main(): the devicetree that the loader left in x0, checked, and what it says about
// memory. Linux arm64 boot protocol (Documentation/arch/arm64/booting.rst): the blob is 8-byte aligned, at
// most 2 MiB. Or what efi.cpp found: the firmware's memory map, a devicetree or ACPI tables. Context: boot CPU, boot
// stack, interrupts disabled, early identity map of RAM below 256 GiB.
#include <string_view>

#include "arch/early.hpp"
#include "arch/power.hpp"
#include "boot/aarch64/efi.hpp"
#include "boot/boot_info.hpp"
#include "boot/fdt.hpp"
#include "boot/ranges.hpp"

extern "C" {
extern char __image_start[], __image_end[];
/// `findings` of UEFI firmware, or null; then there is a devicetree.
[[noreturn]] void ringlet_image_main(ringlet::u64 devicetree, ringlet::u64 entry_cycles,
                                     const ringlet::boot::EfiFindings* findings);
}

namespace ringlet::boot {

namespace {

constexpr u64 kEarlyMapStart = 1_GiB, kEarlyMapEnd = 256_GiB;
constexpr u64 kMaxDevicetree = 2_MiB;

void say(std::string_view text) {
    for (const char c : text) {
        if (c == '\n') arch::early_put('\r');
        arch::early_put(c);
    }
}

constexpr auto complain = [](std::string_view sentence) {
    say("ringlet: ");
    say(sentence);
    say("\n");
};

[[noreturn]] void stop(std::string_view why) {
    complain(why);
    complain("cannot boot; stopped");
    arch::halt();
}

Bytes bytes_at(u64 address, u64 length) {
    return {reinterpret_cast<const std::byte*>(address), static_cast<usize>(length)};
}

u64 address_of(Bytes bytes) {
    return reinterpret_cast<u64>(bytes.data());
}

arch::MmioRange range_of(Bytes bytes) {
    return {PhysAddr(address_of(bytes)), bytes.size()};
}

/// Nothing, and why, when there is no devicetree at `address`.
Bytes devicetree_at(u64 address, std::string_view& why) {
    why = {};
    if (address % 8 != 0 || address < kEarlyMapStart || address > kEarlyMapEnd - kMaxDevicetree) {
        why = "the devicetree is not at an aligned address in RAM";
        return {};
    }
    const auto size = Fdt::total_size(bytes_at(address, 8));
    if (!size)
        why = "what should be a devicetree is none";
    else if (*size > kMaxDevicetree)
        why = "the devicetree claims to be larger than 2 MiB";
    return why.empty() ? bytes_at(address, *size) : Bytes{};
}

void reserve_image(BootInfo& info) {
    const Bytes image = bytes_at(reinterpret_cast<u64>(__image_start), static_cast<u64>(__image_end - __image_start));
    if (!in_ram(info, range_of(image))) stop("what the firmware calls memory does not contain this image");
    if (!reserve(info, range_of(image))) stop("too many reserved memory ranges");
}

void fill(BootInfo& info, Bytes devicetree) {
    if (const auto done = memory_from_fdt(devicetree, info, complain); !done) stop("the devicetree is damaged");
    reserve_image(info);
    if (!in_ram(info, range_of(info.devicetree))) stop("the devicetree lies outside the RAM that it describes");
    if (!info.initrd.empty() && !in_ram(info, range_of(info.initrd))) {
        complain("the initrd is not in RAM: ignored");
        info.initrd = {};
    }
    // The whole blob, because its header says so to whoever opens it again; only the used part is reserved,
    // and only that is ever read.
    info.devicetree = devicetree;
}

/// Keeps what lies in memory that the firmware's map may not call RAM.
void keep(BootInfo& info, Bytes bytes) {
    const u64 start = align_down(address_of(bytes), u64{kPageSize});
    const u64 end = align_up(address_of(bytes) + bytes.size(), u64{kPageSize});
    const arch::MmioRange pages{PhysAddr(start), end - start};
    if (!add_ram(info, pages) || !reserve(info, pages)) stop("too many memory ranges");
}

void fill(BootInfo& info, const EfiFindings& found, Bytes devicetree) {
    const Bytes map = bytes_at(reinterpret_cast<u64>(&found + 1), found.map_bytes);
    memory_from_efi(map, found.descriptor_bytes, kEarlyMapStart, kEarlyMapEnd, info, complain);
    reserve_image(info);
    keep(info, bytes_at(reinterpret_cast<u64>(&found), sizeof found));  // the command line
    info.command_line = {found.command_line, found.command_line_bytes};
    info.acpi_rsdp = PhysAddr(found.rsdp);
    info.unix_seconds = found.unix_seconds;
    if (devicetree.empty()) return;
    const auto tree = Fdt::open(devicetree);
    if (!tree) return complain("the devicetree is damaged");
    keep(info, devicetree.first(tree->used_bytes()));
    info.devicetree = devicetree;
}

}  // namespace

}  // namespace ringlet::boot

[[gnu::no_stack_protector]] void ringlet_image_main(ringlet::u64 address, ringlet::u64 entry_cycles,
                                                    const ringlet::boot::EfiFindings* findings) {
    using namespace ringlet;
    if (findings != nullptr) address = findings->devicetree;
    std::string_view why;
    Bytes devicetree;
    if (address != 0) devicetree = boot::devicetree_at(address, why);
    if (!why.empty()) boot::complain(why);
    if (devicetree.empty() && findings == nullptr) boot::stop("the loader passed no devicetree in x0");
    u64 entropy = 0;
    for (const std::byte b : boot::rng_seed_from_fdt(devicetree))
        entropy = entropy * 0x100'0000'01b3 ^ static_cast<u8>(b);
    arch::mix_stack_canary(entropy);  // no function that is guarded is on the stack: this one never returns
    boot::BootInfo info;
    info.entry_cycles = entry_cycles;
    if (findings != nullptr)
        boot::fill(info, *findings, devicetree);
    else
        boot::fill(info, devicetree);
    boot_main(info);
}
