// From entry.S to boot_main(): the devicetree that the loader left in x0, checked, and what it says about
// memory. Linux arm64 boot protocol (Documentation/arch/arm64/booting.rst): the blob is 8-byte aligned, at
// most 2 MiB. Context: boot CPU, boot stack, interrupts disabled, early identity map of RAM below 256 GiB.
#include <string_view>

#include "arch/early.hpp"
#include "arch/power.hpp"
#include "boot/boot_info.hpp"
#include "boot/fdt.hpp"

extern "C" {
extern char __image_start[], __image_end[];
[[noreturn]] void ringlet_image_main(ringlet::u64 devicetree, ringlet::u64 entry_cycles);
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

bool inside(const arch::MmioRange& outer, u64 address, u64 bytes) {
    return address >= outer.base.raw && bytes <= outer.bytes && address - outer.base.raw <= outer.bytes - bytes;
}

bool in_ram(const BootInfo& info, u64 address, u64 bytes) {
    for (const arch::MmioRange& r : info.ram)
        if (inside(r, address, bytes)) return true;
    return false;
}

Bytes devicetree_at(u64 address) {
    if (address == 0) stop("the loader passed no devicetree in x0");
    if (address % 8 != 0 || address < kEarlyMapStart || address > kEarlyMapEnd - kMaxDevicetree)
        stop("the devicetree pointer in x0 is not an aligned address in RAM");
    const auto size = Fdt::total_size(bytes_at(address, 8));
    if (!size) stop("x0 points to something that is not a devicetree");
    if (*size > kMaxDevicetree) stop("the devicetree claims to be larger than 2 MiB");
    return bytes_at(address, *size);
}

void fill(BootInfo& info, Bytes devicetree) {
    if (const auto done = memory_from_fdt(devicetree, info, complain); !done) stop("the devicetree is damaged");
    const u64 image = reinterpret_cast<u64>(__image_start), image_bytes = static_cast<u64>(__image_end - __image_start);
    if (!in_ram(info, image, image_bytes)) stop("the devicetree's memory nodes do not contain this image");
    if (!info.reserved.try_push_back({PhysAddr(image), image_bytes})) stop("too many reserved memory ranges");
    if (!in_ram(info, reinterpret_cast<u64>(devicetree.data()), info.devicetree.size()))
        stop("the devicetree lies outside the RAM that it describes");
    const auto initrd = reinterpret_cast<u64>(info.initrd.data());
    if (!info.initrd.empty() && !in_ram(info, initrd, info.initrd.size())) {
        complain("the initrd is not in RAM: ignored");
        info.initrd = {};
    }
    // The whole blob, because its header says so to whoever opens it again; only the used part is reserved,
    // and only that is ever read.
    info.devicetree = devicetree;
}

}  // namespace

}  // namespace ringlet::boot

[[gnu::no_stack_protector]] void ringlet_image_main(ringlet::u64 address, ringlet::u64 entry_cycles) {
    using namespace ringlet;
    const Bytes devicetree = boot::devicetree_at(address);
    u64 entropy = 0;
    for (const std::byte b : boot::rng_seed_from_fdt(devicetree))
        entropy = entropy * 0x100'0000'01b3 ^ static_cast<u8>(b);
    arch::mix_stack_canary(entropy);  // no function that is guarded is on the stack: this one never returns
    boot::BootInfo info;
    info.entry_cycles = entry_cycles;
    boot::fill(info, devicetree);
    boot_main(info);
}
