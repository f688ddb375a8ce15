// From what the machine has to running drivers: every virtio device on PCI and virtio-mmio that the appliance's
// configuration names. Instantiated by boot/main.cpp alone; a driver that is not configured is not compiled.
// Context: thread, once at boot. Devices live for ever.
#pragma once

#include <ringlet/config.hpp>
#include <ringlet/network.hpp>

#include "arch/platform.hpp"
#include "boot/reports.hpp"
#include "drivers/pci/bus.hpp"
#include "drivers/virtio/discover.hpp"
#include "kernel/log.hpp"

namespace ringlet::boot {

template <const ApplianceConfig& kConfig> class Devices {
public:
    using Nic = virtio::Net<kConfig.net_driver>;
    using Disk = virtio::Blk<kConfig.blk_driver>;
    static constexpr usize kMaxDisks = 16;

    /// `pool` is for the NIC; nullptr: none is started.
    void find(const arch::Platform& platform, net::PacketPool* pool) {
        if constexpr (kConfig.pci) find_on_pci(platform, pool);
        if constexpr (kConfig.mmio)
            for (const arch::VirtioMmio& m : platform.virtio_mmio) find_on_mmio(m, pool);
    }
    Nic* nic() const { return nic_; }
    usize disks() const { return disk_count_; }
    template <class F> void for_each_disk(F visit) {
        for (usize i = 0; i < disk_count_; ++i) visit(*disks_[i]);
    }

private:
    void find_on_pci(const arch::Platform& platform, net::PacketPool* pool) {
        if (!platform.pci) return;
        auto enumerated = pci::Bus::enumerate(*platform.pci);
        if (!enumerated) return kernel::log(kernel::LogLevel::error, "PCI: {}", enumerated.error());
        pci::Bus& bus = *enumerated->release();
        set_reported_bus(&bus);
        bus.for_each([&](pci::Function& f) {
            if (virtio::pci_device_type(f) == 0) return;
            auto device = virtio::open_pci(f, bus);
            if (device) return start(std::move(*device), pool);
            kernel::log(kernel::LogLevel::error, "virtio on PCI {:02x}:{:02x}.{}: {}", f.address().bus,
                        f.address().slot, f.address().function, device.error());
        });
    }

    void find_on_mmio(const arch::VirtioMmio& slot, net::PacketPool* pool) {
        auto device = virtio::open_mmio(slot);
        if (device) return start(std::move(*device), pool);
        if (device.error() == Error::not_found) return;  // an empty slot is no news
        kernel::log(kernel::LogLevel::error, "virtio-mmio at {:x}: {}", slot.registers.base, device.error());
    }

    void start(virtio::Device device, net::PacketPool* pool) {
        if constexpr (kConfig.net)
            if (device.transport.device_type() == virtio::NetSpec::kDeviceId) return start_nic(std::move(device), pool);
        if constexpr (kConfig.blk)
            if (device.transport.device_type() == virtio::BlkSpec::kDeviceId) return start_disk(std::move(device));
        kernel::log(kernel::LogLevel::debug, "virtio device type {} has no driver in this image",
                    device.transport.device_type());
    }

    void start_nic(virtio::Device device, net::PacketPool* pool) {
        if (pool == nullptr) return;
        if (nic_ != nullptr)  // one interface for now
            return kernel::log(kernel::LogLevel::warning, "net{}: left alone, only the first network interface is used",
                               ++unused_nics_);
        auto nic = Nic::probe(std::move(device), *pool, "net0", net::Service::on_interrupt, &network());
        if (nic)
            nic_ = nic->release();
        else
            kernel::log(kernel::LogLevel::error, "net0: {}", nic.error());
    }

    void start_disk(virtio::Device device) {
        static constexpr std::string_view kNames[kMaxDisks] = {"vda", "vdb", "vdc", "vdd", "vde", "vdf", "vdg", "vdh",
                                                               "vdi", "vdj", "vdk", "vdl", "vdm", "vdn", "vdo", "vdp"};
        if (disk_count_ == kMaxDisks)
            return kernel::log(kernel::LogLevel::warning, "more than {} disks: the rest is left alone", kMaxDisks);
        auto disk = Disk::probe(std::move(device), kNames[disk_count_]);
        if (disk)
            disks_[disk_count_++] = disk->release();
        else
            kernel::log(kernel::LogLevel::error, "{}: {}", kNames[disk_count_], disk.error());
    }

    Nic* nic_ = nullptr;
    u32 unused_nics_ = 0;
    Disk* disks_[kMaxDisks] = {};
    usize disk_count_ = 0;
};

}  // namespace ringlet::boot
