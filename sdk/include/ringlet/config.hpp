// The one place where an appliance is configured, at compile time. An appliance.hpp defines, in the global namespace,
//     inline constexpr ringlet::ApplianceConfig kAppliance{.name = "mine", .shell = false};
// and is named by CONFIG in ringlet_add_appliance(). What is switched off is not in the image; what cannot work does
// not compile, with a sentence that says why. Read only by the composition root (boot/main.cpp).
#pragma once

#include <string_view>

#include "drivers/virtio/balloon.hpp"
#include "drivers/virtio/blk.hpp"
#include "drivers/virtio/console.hpp"
#include "drivers/virtio/net.hpp"
#include "drivers/virtio/rng.hpp"
#include "drivers/virtio/scsi.hpp"

#ifndef RINGLET_APPLIANCE_NAME  // ringlet_add_appliance() says what the target is called
#define RINGLET_APPLIANCE_NAME "ringlet"
#endif
#ifndef RINGLET_PACKED_ROOT  // and whether its root filesystem is in the image (PACKED)
#define RINGLET_PACKED_ROOT false
#endif

namespace ringlet {

struct ApplianceConfig {
    std::string_view name = RINGLET_APPLIANCE_NAME;  ///< argv[0], and the DHCP host name
    bool shell = true;                               ///< a shell on the serial console
    bool power_button = true;                        ///< the machine's power button ends the run in order
    // Drivers by device type, each with how it is built: features required and optional, ring sizes. One that is
    // switched off, and everything that only it uses, is not in the image.
    bool net = true;   ///< network interfaces, and TCP/IP
    bool ipv6 = true;  ///< IPv6 besides IPv4; without `net` it means nothing, like the next two
    bool dns = true;   ///< names in the shell (host, ping); an application gets them by calling resolve(), anyway
    bool sntp = true;  ///< the wall clock is kept right by SNTP, if DHCP or `ntp=` tells a server
    virtio::NetConfig net_driver{};
    bool blk = true;  ///< virtio disks
    virtio::BlkConfig blk_driver{};
    bool scsi = false;  ///< virtio SCSI hosts: disks and CD-ROMs
    virtio::ScsiConfig scsi_driver{};
    bool rng = true;  ///< virtio entropy, for the kernel's random numbers
    virtio::RngConfig rng_driver{};
    bool balloon = false;  ///< virtio memory balloon: lends free memory to the host
    virtio::BalloonConfig balloon_driver{};
    bool console = false;  ///< virtio consoles: `console=hvc0`, and ports for data (<ringlet/port.hpp>)
    virtio::ConsoleConfig console_driver{};
    // Where devices are looked for.
    bool pci = true;          ///< PCI, virtio 1.0 and later
    bool pci_legacy = true;   ///< PCI devices of before virtio 1.0 too
    bool mmio = true;         ///< virtio-mmio, version 2
    bool mmio_legacy = true;  ///< virtio-mmio version 1 too
    // Memory.
    u32 main_stack_bytes = 256 * 1024;  ///< of main()'s thread, with the C library; without, it has 32 KiB
    u32 packet_buffers = 0;             ///< of 4 KiB; 0: a sixteenth of RAM, 128 to 2048 of them
    u64 cache_bytes = 0;                ///< block cache; 0: a thirty-second of RAM, 64 KiB to 16 MiB

    static constexpr bool kPackedRoot = RINGLET_PACKED_ROOT;
    /// Then a filesystem is mounted at "/".
    constexpr bool has_disks() const { return blk || scsi || kPackedRoot; }
    /// One that works on devices of before virtio 1.0.
    constexpr bool has_legacy_drivers() const {
        constexpr auto kV1 = virtio::Common::version_1;
        return (net && !net_driver.features.required.contains(kV1)) ||
               (blk && !blk_driver.features.required.contains(kV1)) ||
               (scsi && !scsi_driver.features.required.contains(kV1)) ||
               (rng && !rng_driver.features.required.contains(kV1)) ||
               (balloon && !balloon_driver.features.required.contains(kV1)) ||
               (console && !console_driver.features.required.contains(kV1));
    }
    constexpr bool has_drivers() const { return net || blk || scsi || rng || balloon || console; }
};

/// The mistakes in an appliance's configuration, one sentence each; those in a driver's configuration are the driver's.
template <const ApplianceConfig& kC> struct ApplianceChecked {
    static_assert(!kC.name.empty(), "an appliance needs a name: it is argv[0] and the DHCP host name");
    static_assert(kC.pci || kC.mmio || !kC.has_drivers(),
                  "an appliance with drivers needs a bus to find devices on: pci or mmio");
    static_assert(kC.pci || !kC.pci_legacy, "pci_legacy widens the search on PCI: it needs pci");
    static_assert(kC.mmio || !kC.mmio_legacy, "mmio_legacy widens the search for virtio-mmio: it needs mmio");
    static_assert(!(kC.pci_legacy || kC.mmio_legacy) || !kC.has_drivers() || kC.has_legacy_drivers(),
                  "pci_legacy and mmio_legacy are for drivers that can do without VERSION_1, and every driver here "
                  "requires it: make it optional, or switch both off");
    static_assert(kC.packet_buffers == 0 || kC.packet_buffers >= 32,
                  "fewer than 32 packet buffers cannot keep a network interface running");
    static constexpr bool value = true;
};

}  // namespace ringlet
