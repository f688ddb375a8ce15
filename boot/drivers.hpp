// The drivers that an image may have, in one list: AllDrivers at the end of this file. Each entry takes every device of
// one type off the buses; those that the appliance's configuration does not name are not compiled.
//
// TO ADD A DRIVER
//  1. sdk/include/ringlet/config.hpp: its header, a switch (`bool balloon`) and its configuration (`balloon_driver`).
//  2. Here: one line in AllDrivers. A driver that needs nothing but its device is
//         Plain<kC.balloon, kC.balloon_driver, virtio::BalloonSpec, virtio::Balloon<kC.balloon_driver>>,
//     and is started by `static Result<std::unique_ptr<D>> D::probe(virtio::Device, std::string_view name)`, named
//     Spec::kUnit and a number ("balloon0"), and kept for ever; with a thread when it is virtio::Serviced. One that
//     needs more, or gives something to the rest of the system, gets a struct like Nics or Disks below: kNamed, kType,
//     kFeatures, start(), and whatever it must keep.
//  3. If it has run-time settings (`XTunables`): a table in boot/driver_tunables.{hpp,cpp}, `kTunables` in its struct
//  here,
//     read_tunables() in start(), and a section in docs/tunables.md.
//  4. tests/negative/ for what its configuration refuses. tools/check_absent.py proves that it can be left out.
//
// Context: thread, once at boot. What is started lives for ever.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <tuple>

#include <ringlet/config.hpp>
#include <ringlet/network.hpp>

#include "boot/cmdline.hpp"
#include "boot/driver_tunables.hpp"
#include "boot/storage.hpp"
#include "drivers/virtio/discover.hpp"
#include "drivers/virtio/serviced.hpp"
#include "kernel/log.hpp"

namespace ringlet::boot {

/// What drivers may be given while they are started. boot_main() fills it in; a new need becomes a new member.
struct Surroundings {
    net::PacketPool* packets = nullptr;  ///< nullptr: no network interface is started
    const CommandLine& command_line;     ///< for tunables
    std::string_view console{};          ///< console=: "hvc0" is port 0 of the first virtio console
    bool console_taken = false;          ///< out: such a port is the system console now
};

/// "net0", "vda", "vdaa": for ever. Empty when memory is out.
std::string_view unit_name(std::string_view stem, u32 unit);
std::string_view disk_name(std::string_view stem, u32 unit);
/// The log's sentence about a device whose driver did not start.
void report_failure(std::string_view name, Error error);

/// For a driver that nothing can interrupt: a thread that looks a thousand times a second.
void poll_for_ever(void (*poll)(void* driver), void* driver);

/// A driver that needs nothing but its device.
template <bool kIsNamed, auto kConfig, class Spec, class Driver> struct Plain {
    static constexpr bool kNamed = kIsNamed;
    static constexpr u16 kType = Spec::kDeviceId;
    static constexpr auto kFeatures = kConfig.features;
    u32 units = 0;

    void start(virtio::Device device, Surroundings&) {
        const std::string_view name = unit_name(Spec::kUnit, units++);
        auto driver = Driver::probe(std::move(device), name);
        if (!driver) return report_failure(name, driver.error());
        if constexpr (std::is_base_of_v<virtio::Serviced, Driver>) {
            if (const auto thread = (*driver)->start_thread(name); !thread) report_failure(name, thread.error());
        }
        (void)driver->release();
    }
};

/// Network interfaces: those that work are handed to the stack by boot_main(), and have the numbers in their names.
template <const ApplianceConfig& kC> struct Nics {
    static constexpr bool kNamed = kC.net;
    static constexpr u16 kType = virtio::NetSpec::kDeviceId;
    static constexpr auto kFeatures = kC.net_driver.features;
    using Driver = virtio::Net<kC.net_driver>;
    static constexpr const TunableGroup* kTunables = &kNetTunables;
    std::array<Driver*, net::kMostInterfaces> all{};
    usize count = 0;
    u32 units = 0;

    std::span<Driver* const> found() const { return std::span(all).first(count); }

    void start(virtio::Device device, Surroundings& around) {
        if (around.packets == nullptr) return;
        const virtio::NetTunables settings = read_tunables(around.command_line, kNetTunables, units);
        const std::string_view name = unit_name("net", static_cast<u32>(count));
        ++units;
        if (count == all.size())
            return kernel::log(kernel::LogLevel::warning, "{}: left alone, there are {} network interfaces already",
                               name, net::kMostInterfaces);
        auto nic =
            Driver::probe(std::move(device), *around.packets, name, net::Service::on_interrupt, &network(), settings);
        if (!nic) return report_failure(name, nic.error());
        Driver* const kept = nic->release();
        all[count++] = kept;
        if (kept->polled()) poll_for_ever([](void* driver) { static_cast<Driver*>(driver)->poll(); }, kept);
    }
};

/// Disks: known to boot/storage from then on.
template <const ApplianceConfig& kC> struct Disks {
    static constexpr bool kNamed = kC.blk;
    static constexpr u16 kType = virtio::BlkSpec::kDeviceId;
    static constexpr auto kFeatures = kC.blk_driver.features;
    static constexpr const TunableGroup* kTunables = &kBlkTunables;
    u32 units = 0;

    void start(virtio::Device device, Surroundings& around) {
        const virtio::BlkTunables settings = read_tunables(around.command_line, kBlkTunables, units);
        const std::string_view name = disk_name("vd", units++);
        auto disk = virtio::Blk<kC.blk_driver>::probe(std::move(device), name, settings);
        if (!disk) return report_failure(name, disk.error());
        if (const auto thread = (*disk)->start_thread(name, 24); !thread) return report_failure(name, thread.error());
        add_disk(**disk);
        (void)disk->release();
    }
};

/// SCSI hosts: their units are disks (sda…) and CD-ROM drives (sr0…), which may come and go.
template <const ApplianceConfig& kC> struct ScsiHosts {
    static constexpr bool kNamed = kC.scsi;
    static constexpr u16 kType = virtio::ScsiSpec::kDeviceId;
    static constexpr auto kFeatures = kC.scsi_driver.features;
    static constexpr const TunableGroup* kTunables = &kScsiTunables;
    virtio::ScsiRegistry registry{.on_disk = [](void*, fs::BlockDevice& disk) { add_disk(disk); },
                                  .on_gone = [](void*, fs::BlockDevice& disk) { remove_disk(disk); }};
    u32 units = 0;

    void start(virtio::Device device, Surroundings& around) {
        const virtio::ScsiTunables settings = read_tunables(around.command_line, kScsiTunables, units);
        const std::string_view name = unit_name("scsi", units++);
        auto host = virtio::Scsi<kC.scsi_driver>::probe(std::move(device), name, registry, settings);
        if (!host) return report_failure(name, host.error());
        (void)host->release();
    }
};

/// Consoles: port 0 of one may become the system console, the others are for applications.
template <const ApplianceConfig& kC> struct Consoles {
    static constexpr bool kNamed = kC.console;
    static constexpr u16 kType = virtio::ConsoleSpec::kDeviceId;
    static constexpr auto kFeatures = kC.console_driver.features;
    u32 units = 0;

    void start(virtio::Device device, Surroundings& around) {
        const std::string_view hvc = unit_name("hvc", units);
        const std::string_view name = unit_name("console", units++);
        auto console = virtio::Console<kC.console_driver>::probe(std::move(device), name);
        if (!console) return report_failure(name, console.error());
        if (const auto thread = (*console)->start_thread(name, 20); !thread) report_failure(name, thread.error());
        if (around.console == hvc && !around.console_taken) around.console_taken = (*console)->attach();
        (void)console->release();
    }
};

template <const ApplianceConfig& kC>
using AllDrivers = std::tuple<  //
    Nics<kC>,                   //
    Disks<kC>,                  //
    ScsiHosts<kC>,              //
    Plain<kC.rng, kC.rng_driver, virtio::RngSpec, virtio::Rng<kC.rng_driver>>,
    Plain<kC.balloon, kC.balloon_driver, virtio::BalloonSpec, virtio::Balloon<kC.balloon_driver>>, Consoles<kC>>;

}  // namespace ringlet::boot
