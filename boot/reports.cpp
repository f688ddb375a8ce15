#include "boot/reports.hpp"

#include "boot/storage.hpp"
#include "drivers/virtio/device_info.hpp"
#include "kernel/irq/irq.hpp"
#include "lib/parse.hpp"

namespace ringlet::boot {

namespace {

constinit pci::Bus* reported_bus = nullptr;

/// The overview: one line per device.
void write_line(TextSink to, const virtio::DeviceInfo& d) {
    u64 kicks = 0, interrupts = 0;
    for (const virtio::QueueInfo& q : d.queues) {
        kicks += q.counters.kicks;
        interrupts += q.counters.interrupts;
    }
    format(to, "{:<10} {:<10} {:<10} {:>2} queues {:>9} kicks {:>9} interrupts  {}", d.name, d.type, d.transport,
           d.queues.size(), kicks, interrupts, virtio::to_string(d.interrupts));
    if (d.recoveries != 0) format(to, ", recovered {} times", d.recoveries);
    to(d.broken ? ", BROKEN\n" : "\n");
}

void write_device(TextSink to, const virtio::DeviceInfo& d) {
    format(to, "{}: virtio {} on {}, interrupts: {}{}\n", d.name, d.type, d.transport, virtio::to_string(d.interrupts),
           d.broken ? ", BROKEN" : "");
    if (d.recoveries != 0) format(to, "  recovered {} times\n", d.recoveries);
}

/// The driver's own counters; those that are zero say nothing.
void write_values(TextSink to, const virtio::DeviceRecord& record) {
    record.for_each_value([&](std::string_view name, u64 value) {
        if (value != 0) format(to, "  {:<28} {}\n", name, value);
    });
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
        format(to, "    kicks {}, late {}, suppressed {}, interrupts {}, spurious {}, ring full {}, bad used {}\n",
               u64{q.counters.kicks}, u64{q.counters.kicks_late}, u64{q.counters.kicks_suppressed},
               u64{q.counters.interrupts}, u64{q.counters.spurious}, u64{q.counters.ring_full},
               u64{q.counters.bad_used});
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
    virtio::for_each_record([&](const virtio::DeviceRecord& record) {
        const virtio::DeviceInfo d = record.info();
        if (!name.empty() && d.name != name) return;
        found = true;
        if (name.empty()) return write_line(to, d);
        write_device(to, d);
        write_features(to, d, what == "features");
        if (what == "features") return;
        write_queues(to, d);
        write_values(to, record);
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
    if (!any) return to("no disks\n");
    for_each_filesystem([&](std::string_view name, fs::FileSystem& mounted) {
        format(to, "{}: cache\n", name);
        mounted.for_each_value([&](std::string_view what, u64 value) { format(to, "  {:<28} {}\n", what, value); });
    });
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
