// httpd, a discard service (RFC 863) on TCP port 9, and in its shell `offloads BITS` (GUEST_* feature bits that net0
// shall have in force; prints "ok" or the error) and `values` (all that the devices count, by name).
#include <ringlet/network.hpp>
#include <ringlet/system.hpp>
#include <ringlet/thread.hpp>

#include "boot/reports.hpp"
#include "drivers/virtio/device_info.hpp"
#include "drivers/virtio/net_control.hpp"
#include "lib/parse.hpp"

using namespace ringlet;
using virtio::NetControl;

int httpd_main(int argc, char** argv);

namespace {

void offloads(TextSink to, std::string_view arguments) {
    NetControl* c = NetControl::find("net0");
    const auto bits = parse_number<u64>(next_word(arguments));
    if (c == nullptr || !bits) return to("no control queue, or no number\n");
    const auto done = [&] {
        auto held = network().lock();
        return c->set_guest_offloads(*bits);
    }();
    if (done)
        to("ok\n");
    else
        format(to, "failed: {}\n", done.error());
}

void values(TextSink to, std::string_view) {
    virtio::for_each_record([&](const virtio::DeviceRecord& d) {
        d.for_each_value([&](std::string_view name, u64 value) { format(to, "{} {}\n", name, value); });
    });
}

void discard() {
    auto listener = TcpListener::bind(network(), 9);
    static std::byte buffer[16384];
    while (listener) {
        auto peer = listener->accept();
        if (!peer) return;
        for (auto n = peer->read(buffer); n && *n != 0;) n = peer->read(buffer);
    }
}

}  // namespace

int main(int argc, char** argv) {
    static constexpr Report kReports[] = {
        {"irq", "irq", "interrupts and their handlers", boot::report_irqs},
        {"virtio", "virtio [DEVICE [features]]", "virtio devices, their queues and counters", boot::report_virtio},
        {"offloads", "offloads BITS", "what net0 shall do with received frames", offloads},
        {"values", "values", "what the devices count", values},
    };
    set_reports(kReports);
    if (auto sink = Thread::spawn({.name = "discard", .stack_bytes = 8192}, discard)) sink->detach();
    return httpd_main(argc, argv);
}
