// What a loader leaves, whichever protocol it speaks. Everything in it comes from outside and is checked by whoever
// follows it (loader.cpp). Context: boot, on the boot stack, 4 GiB identity-mapped, interrupts disabled.
#pragma once

#include <string_view>

#include "boot/x86_64/memory_map.hpp"
#include "lib/bytes.hpp"

namespace ringlet::boot {

struct LoaderInfo {
    FixedVector<MemoryMapEntry, 128> memory;
    bool memory_cut = false;        ///< the loader's map was longer
    std::string_view command_line;  ///< where the loader left it
    PhysAddr rsdp;                  ///< 0: none, or
    Bytes rsdp_copy;                ///< a copy of it, where the loader left that
    arch::MmioRange module;         ///< empty: none
};

/// hvm_start_info at `address`. Gives up when that is none, or has no memory map.
LoaderInfo read_pvh(u64 address);

/// Loader data may lie anywhere that is mapped now; QEMU's is in the first pages. 0 means absent.
bool readable(u64 address, u64 bytes);

/// To the early console.
void say(std::string_view text);
[[noreturn]] void give_up(std::string_view why);

}  // namespace ringlet::boot
