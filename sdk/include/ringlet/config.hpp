// The one place where an appliance is configured, at compile time. An appliance.hpp defines, in the global namespace,
//     inline constexpr ringlet::ApplianceConfig kAppliance{.name = "mine", .shell = false};
// and is named by CONFIG in ringlet_add_appliance(). What is switched off is not in the image; what cannot work does
// not compile, with a sentence that says why. Read only by the composition root (boot/main.cpp).
#pragma once

#include <string_view>

#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/net.hpp"

namespace ringlet {

struct ApplianceConfig {
    std::string_view name = "ringlet";  ///< argv[0], and the DHCP host name
    bool shell = true;                  ///< a shell on the serial console
    // Drivers and where they look.
    bool net = true;   ///< virtio network, TCP/IP
    bool blk = true;   ///< virtio disks, ext4
    bool pci = true;   ///< look for devices on PCI
    bool mmio = true;  ///< look for virtio-mmio devices
    // How the drivers are built (drivers/virtio/net.hpp, blk.hpp): features required and optional, ring sizes.
    virtio::NetConfig net_driver{};
    virtio::BlkConfig blk_driver{};
    // Memory.
    usize main_stack_bytes = 65536;  ///< of the thread that runs main()
    u32 packet_buffers = 0;          ///< of 2 KiB; 0: a sixteenth of RAM, 128 to 2048 of them
    u64 cache_bytes = 0;             ///< block cache; 0: a thirty-second of RAM, 64 KiB to 16 MiB
};

}  // namespace ringlet
