#include "boot/packed_root.hpp"

#include "boot/storage.hpp"
#include "fs/packed_disk.hpp"
#include "kernel/log.hpp"

extern "C" const std::byte ringlet_rootfs[], ringlet_rootfs_end[];  // ringlet_add_appliance() makes them

void ringlet::boot::add_packed_root() {
    auto disk = fs::PackedDisk::open("rom", {ringlet_rootfs, ringlet_rootfs_end});
    if (!disk)
        return kernel::log(kernel::LogLevel::error, "rom: the packed root filesystem cannot be used: {}", disk.error());
    add_disk(*disk->release());  // for ever
}
