// Names for `lspci` and the log: the classes and the few devices that machines under QEMU have.
#include <utility>

#include "drivers/pci/bus.hpp"

namespace ringlet::pci {

std::string_view class_name(u32 class_code) {
    switch (class_code >> 8) {
    case 0x0000:
        return "Unclassified device";
    case 0x0001:
        return "VGA compatible device";
    case 0x00ff:
        return "Unclassified device";
    case 0x0100:
        return "SCSI controller";
    case 0x0101:
        return "IDE controller";
    case 0x0106:
        return "SATA controller";
    case 0x0108:
        return "NVMe controller";
    case 0x0180:
        return "Mass storage controller";
    case 0x0200:
        return "Ethernet controller";
    case 0x0280:
        return "Network controller";
    case 0x0300:
        return "VGA controller";
    case 0x0380:
        return "Display controller";
    case 0x0401:
        return "Audio controller";
    case 0x0403:
        return "Audio device";
    case 0x0500:
        return "RAM";
    case 0x0600:
        return "Host bridge";
    case 0x0601:
        return "ISA bridge";
    case 0x0604:
        return "PCI bridge";
    case 0x0680:
        return "Bridge";
    case 0x0700:
        return "Serial controller";
    case 0x0780:
        return "Communication controller";
    case 0x0880:
        return "System peripheral";
    case 0x0900:
        return "Keyboard";
    case 0x0c03:
        return "USB controller";
    case 0x0c05:
        return "SMBus";
    case 0x1000:
        return "Encryption controller";
    default:
        return "Device";
    }
}

namespace {

std::string_view virtio_name(u16 device) {
    // Transitional ids (virtio 1.2 §4.1.2.1) count differently from modern ones, which are 0x1040 + the
    // device type.
    static constexpr std::pair<u16, std::string_view> kNames[] = {
        {0x1000, "virtio-net"},   {0x1001, "virtio-blk"},     {0x1002, "virtio-balloon"}, {0x1003, "virtio-console"},
        {0x1004, "virtio-scsi"},  {0x1005, "virtio-rng"},     {0x1009, "virtio-9p"},      {0x1041, "virtio-net"},
        {0x1042, "virtio-blk"},   {0x1043, "virtio-console"}, {0x1044, "virtio-rng"},     {0x1045, "virtio-balloon"},
        {0x1048, "virtio-scsi"},  {0x1049, "virtio-9p"},      {0x1050, "virtio-gpu"},     {0x1052, "virtio-input"},
        {0x1053, "virtio-vsock"}, {0x1054, "virtio-crypto"},  {0x1057, "virtio-iommu"},   {0x1058, "virtio-mem"},
        {0x105a, "virtio-fs"},    {0x105b, "virtio-pmem"},
    };
    for (const auto& [id, name] : kNames)
        if (id == device) return name;
    return "virtio";
}

}  // namespace

std::string_view device_name(u16 vendor, u16 device) {
    switch (vendor) {
    case 0x1af4:
        return virtio_name(device);
    case 0x1b36:
        switch (device) {
        case 0x0001:
            return "QEMU PCI bridge";
        case 0x0008:
            return "QEMU PCIe host";
        case 0x000c:
            return "QEMU PCIe root port";
        case 0x000d:
            return "QEMU XHCI";
        case 0x0010:
            return "QEMU NVMe";
        default:
            return "Red Hat";
        }
    case 0x1234:
        return "QEMU";
    case 0x1022:
        return "AMD";
    case 0x10ec:
        return "Realtek";
    case 0x104c:
        return "Texas Instruments";
    case 0x8086:
        switch (device) {
        case 0x1237:
            return "Intel 440FX";
        case 0x29c0:
            return "Intel Q35";
        case 0x100e:
            return "Intel 82540EM";
        case 0x10d3:
            return "Intel 82574L";
        case 0x7000:
            return "Intel PIIX3 ISA";
        case 0x7010:
            return "Intel PIIX3 IDE";
        case 0x7113:
            return "Intel PIIX4 ACPI";
        case 0x2918:
            return "Intel ICH9 LPC";
        case 0x2922:
            return "Intel ICH9 AHCI";
        case 0x2930:
            return "Intel ICH9 SMBus";
        default:
            return "Intel";
        }
    default:
        return {};
    }
}

}  // namespace ringlet::pci
