// See devices.hpp: what does not depend on the appliance's configuration.
#include "boot/devices.hpp"

#include <cstring>
#include <new>

#include "boot/reports.hpp"
#include "drivers/pci/bus.hpp"
#include "kernel/sched/thread.hpp"

namespace ringlet::boot {

using kernel::log;
using kernel::LogLevel;

void find_on_pci(const arch::Platform& platform, OpenLegacyPci legacy, FoundDevice found) {
    if (!platform.pci) return;
    auto enumerated = pci::Bus::enumerate(*platform.pci);
    if (!enumerated) return log(LogLevel::error, "PCI: {}", enumerated.error());
    pci::Bus& bus = *enumerated->release();  // for ever
    set_reported_bus(&bus);
    bus.for_each([&](pci::Function& f) {
        if (virtio::pci_device_type(f) == 0) return;
        auto device = virtio::open_pci(f, bus);
        if (!device && device.error() == Error::unsupported && legacy != nullptr) device = legacy(f, bus);
        if (device) return found(std::move(*device));
        log(LogLevel::error, "virtio on PCI {:02x}:{:02x}.{}: {}", f.address().bus, f.address().slot,
            f.address().function, device.error());
    });
}

void find_on_mmio(const arch::Platform& platform, OpenLegacyMmio legacy, FoundDevice found) {
    for (const arch::VirtioMmio& slot : platform.virtio_mmio) {
        auto device = virtio::open_mmio(slot);
        if (!device && device.error() == Error::unsupported && legacy != nullptr) device = legacy(slot);
        if (device)
            found(std::move(*device));
        else if (device.error() != Error::not_found)  // an empty slot is no news
            log(LogLevel::error, "virtio-mmio at {:x}: {}", slot.registers.base, device.error());
    }
}

void report_no_driver(u16 device_type) {
    log(LogLevel::debug, "virtio device type {} has no driver in this image", device_type);
}

void report_failure(std::string_view name, Error error) {
    log(LogLevel::error, "{}: {}", name, error);
}

void poll_for_ever(void (*poll)(void* driver), void* driver) {
    auto thread = kernel::ThreadHandle::spawn({.name = "poll", .priority = 24, .stack_bytes = 8192}, [=] {
        for (;; kernel::sleep_for(Duration::from_ms(1))) poll(driver);
    });
    if (thread)
        thread->detach();
    else
        report_failure("poll", thread.error());
}

namespace {

std::string_view keep(std::string_view text) {
    char* const kept = new (std::nothrow) char[text.size()];
    if (kept == nullptr) return {};
    std::memcpy(kept, text.data(), text.size());
    return {kept, text.size()};
}

}  // namespace

std::string_view unit_name(std::string_view stem, u32 unit) {
    char text[32];
    return keep(format_to(text, "{}{}", stem, unit));
}

std::string_view disk_name(std::string_view stem, u32 unit) {
    char letters[8];
    usize at = sizeof letters;
    for (u32 rest = unit + 1; rest != 0; rest = (rest - 1) / 26) letters[--at] = char('a' + (rest - 1) % 26);
    char text[32];
    return keep(format_to(text, "{}{}", stem, std::string_view(letters + at, sizeof letters - at)));
}

}  // namespace ringlet::boot
