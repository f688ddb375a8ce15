#include "boot/reports.hpp"

#include "boot/storage.hpp"
#include "drivers/virtio/device_info.hpp"
#include "kernel/irq/irq.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

constinit pci::Bus* reported_bus = nullptr;

void write_device(TextSink to, const virtio::DeviceInfo& d) {
    format(to, "{}: virtio {} on {}, interrupts: {}{}\n", d.name, d.type, d.transport, virtio::to_string(d.interrupts),
           d.broken ? ", BROKEN" : "");
    if (d.recoveries != 0) format(to, "  recovered {} times\n", d.recoveries);
}

void write_features(TextSink to, const virtio::DeviceInfo& d, bool all) {
    to(all ? "  features (* = in use):" : "  features:");
    for (unsigned bit = 0; bit < 128; ++bit) {
        const bool used = d.negotiated.test(bit);
        if (!used && !(all && d.offered.test(bit))) continue;
        const std::string_view name = d.feature_name(bit);
        to(" ");
        if (name.empty())
            format(to, "bit{}", bit);
        else
            to(name);
        if (all && used) to("*");
    }
    to("\n");
}

void write_queues(TextSink to, const virtio::DeviceInfo& d) {
    for (const virtio::QueueInfo& q : d.queues) {
        format(to, "  queue {} {}: {} of {} in flight\n", q.index, q.name, q.in_flight, q.size);
        format(to, "    kicks {}, suppressed {}, interrupts {}, spurious {}, ring full {}, bad used {}\n",
               u64{q.counters.kicks}, u64{q.counters.kicks_suppressed}, u64{q.counters.interrupts},
               u64{q.counters.spurious}, u64{q.counters.ring_full}, u64{q.counters.bad_used});
    }
}

}  // namespace

void report_irqs(TextSink to, std::string_view) {
    format(to, "{:>5} {:>12} {:>9}  {}\n", "IRQ", "COUNT", "SPURIOUS", "HANDLER");
    for_each_irq([&](const kernel::IrqInfo& i) {
        format(to, "{:>5} {:>12} {:>9}  {}\n", static_cast<u32>(i.id), i.count, i.spurious, i.name);
    });
}

void report_virtio(TextSink to, std::string_view arguments) {
    const std::string_view name = next_word(arguments), what = next_word(arguments);
    bool found = false;
    virtio::for_each_device([&](const virtio::DeviceInfo& d) {
        if (!name.empty() && d.name != name) return;
        found = true;
        write_device(to, d);
        if (name.empty()) return;
        write_features(to, d, what == "features");
        if (what != "features") write_queues(to, d);
    });
    if (!found && name.empty())
        to("no virtio devices\n");
    else if (!found)
        format(to, "virtio: {}: no such device\n", name);
}

void report_disks(TextSink to, std::string_view) {
    bool any = false;
    for_each_disk([&](fs::BlockDevice& disk) {
        const fs::BlockLimits limits = disk.limits();
        if (!any) format(to, "{:<8} {:>10}  {:>5}  {:>8}\n", "DISK", "SIZE", "BLOCK", "REQUEST");
        any = true;
        format(to, "{:<8} {:>6} {}  {:>5}  {:>4} KiB{}\n", disk.name(),
               disk.sectors() < 20 * 2048 ? disk.sectors() / 2 : disk.sectors() / 2048,
               disk.sectors() < 20 * 2048 ? "KiB" : "MiB", limits.block_size, limits.max_request_bytes / 1024,
               disk.read_only() ? "  read-only" : "");
    });
    if (!any) to("no disks\n");
}

void set_reported_bus(pci::Bus* bus) {
    reported_bus = bus;
}

void report_pci(TextSink to, std::string_view) {
    if (reported_bus == nullptr) return to("no PCI\n");
    reported_bus->for_each([&](pci::Function& f) {
        const pci::Address a = f.address();
        format(to, "{:02x}:{:02x}.{} {:04x}:{:04x} {}", a.bus, a.slot, a.function, f.vendor(), f.device(),
               pci::class_name(f.class_code()));
        if (const auto known = pci::device_name(f.vendor(), f.device()); !known.empty()) format(to, " ({})", known);
        to("\n");
    });
}

}  // namespace ringlet::boot
