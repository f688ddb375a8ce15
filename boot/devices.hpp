// From what the machine has to running drivers: every virtio device on PCI and virtio-mmio is given to the driver of
// its type (boot/drivers.hpp has the list). Instantiated by boot/main.cpp alone. Context: thread, once at boot.
#pragma once

#include "arch/platform.hpp"
#include "boot/drivers.hpp"

namespace ringlet::boot {

using FoundDevice = FunctionRef<void(virtio::Device device)>;
/// Walks a bus; what cannot be used is named in the log. Two functions, so that an image without one of the buses does
/// not have its code.
/// `legacy`: how to open what only has the interface from before 1.0 (nullptr: it is left alone, and so is its code).
using OpenLegacyPci = Result<virtio::Device> (*)(pci::Function& f, const pci::Bus& bus);
using OpenLegacyMmio = Result<virtio::Device> (*)(const arch::VirtioMmio& slot);
void find_on_pci(const arch::Platform& platform, OpenLegacyPci legacy, FoundDevice found);
void find_on_mmio(const arch::Platform& platform, OpenLegacyMmio legacy, FoundDevice found);
void report_no_driver(u16 device_type);

template <const ApplianceConfig& kC> class Devices {
    static_assert(ApplianceChecked<kC>::value);

public:
    void find(const arch::Platform& platform, Surroundings& around) {
        check_tunables_of_image(around.command_line);
        const auto found = [&](virtio::Device device) { start(std::move(device), around); };
        if constexpr (kC.pci && kC.pci_legacy)
            find_on_pci(platform, virtio::open_pci_legacy, found);
        else if constexpr (kC.pci)
            find_on_pci(platform, nullptr, found);
        if constexpr (kC.mmio && kC.mmio_legacy)
            find_on_mmio(platform, virtio::open_mmio_legacy, found);
        else if constexpr (kC.mmio)
            find_on_mmio(platform, nullptr, found);
    }
    Nics<kC>& nics() { return std::get<Nics<kC>>(drivers_); }

private:
    static void check_tunables_of_image(const CommandLine& line) {
        const TunableGroup* groups[std::tuple_size_v<AllDrivers<kC>>];
        usize count = 0;
        const auto add = [&]<class Driver>(const Driver&) {
            if constexpr (Driver::kNamed && requires { Driver::kTunables; }) groups[count++] = Driver::kTunables;
        };
        std::apply([&](const auto&... driver) { (add(driver), ...); }, AllDrivers<kC>{});
        check_tunables(line, std::span(groups).first(count),
                       [](std::string_view sentence) { kernel::log_write(kernel::LogLevel::warning, sentence); });
    }

    void start(virtio::Device device, Surroundings& around) {
        const u16 type = device.transport.device_type();
        const bool taken =
            std::apply([&](auto&... driver) { return (offer(driver, type, device, around) || ...); }, drivers_);
        if (!taken) report_no_driver(type);
    }
    template <class Driver> static bool offer(Driver& driver, u16 type, virtio::Device& device, Surroundings& around) {
        if constexpr (Driver::kNamed) {
            if (type == Driver::kType) return driver.start(std::move(device), around), true;
        }
        return false;
    }

    AllDrivers<kC> drivers_;
};

}  // namespace ringlet::boot
