// httpd, and in its shell `nic COMMAND [ARGUMENTS]` (one control command to net0; prints "ok" or the error) and
// `values` (all that the devices count, by name).
#include <optional>

#include <ringlet/network.hpp>
#include <ringlet/system.hpp>

#include "boot/reports.hpp"
#include "drivers/virtio/device_info.hpp"
#include "drivers/virtio/net_control.hpp"
#include "lib/parse.hpp"

using namespace ringlet;
using virtio::NetControl, virtio::RxMode;

int httpd_main(int argc, char** argv);

namespace {

u64 number(std::string_view& rest) {
    return parse_number<u64>(next_word(rest)).value_or(0);
}

/// 02:00:00:00:00:N, or the multicast address 01:00:5e:00:00:N for a negative one.
net::MacAddr address(std::string_view word) {
    const bool multicast = word.starts_with("-");
    const u8 n = parse_number<u8>(word.substr(multicast ? 1 : 0)).value_or(0);
    return multicast ? net::MacAddr{{1, 0, 0x5e, 0, 0, n}} : net::MacAddr{{2, 0, 0, 0, 0, n}};
}

/// Letters: p(romiscuous) m(ulticast) u(nicast) M(none) U(none) B(none).
RxMode mode(std::string_view letters) {
    const auto has = [letters](char c) { return letters.find(c) != std::string_view::npos; };
    return {.promiscuous = has('p'),
            .all_multicast = has('m'),
            .all_unicast = has('u'),
            .no_multicast = has('M'),
            .no_unicast = has('U'),
            .no_broadcast = has('B')};
}

Result<> run(NetControl& c, std::string_view what, std::string_view rest) {
    if (what == "mode") return c.set_rx_mode(mode(next_word(rest)));
    if (what == "macs") {
        std::array<net::MacAddr, 8> list;
        usize n = 0;
        for (auto word = next_word(rest); !word.empty() && n < list.size(); word = next_word(rest))
            list[n++] = address(word);
        return c.set_mac_filter(std::span(list).first(n));
    }
    if (what == "vlan") return c.add_vlan(static_cast<u16>(number(rest)));
    if (what == "unvlan") return c.remove_vlan(static_cast<u16>(number(rest)));
    if (what == "mac") return c.set_mac(address(next_word(rest)));
    if (what == "pairs") return c.set_pairs(static_cast<u16>(number(rest)));
    if (what == "offloads") return c.set_guest_offloads(number(rest));
    return fail(Error::not_found);
}

void nic(TextSink to, std::string_view arguments) {
    NetControl* c = NetControl::find("net0");
    if (c == nullptr) return to("no control queue\n");
    const std::string_view what = next_word(arguments);
    const auto done = [&] {
        auto held = network().lock();
        return run(*c, what, arguments);
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

}  // namespace

int main(int argc, char** argv) {
    static constexpr Report kReports[] = {
        {"irq", "irq", "interrupts and their handlers", boot::report_irqs},
        {"virtio", "virtio [DEVICE [features]]", "virtio devices, their queues and counters", boot::report_virtio},
        {"nic", "nic mode|macs|vlan|unvlan|mac|pairs|offloads ...", "control commands to net0", nic},
        {"values", "values", "what the devices count", values},
    };
    set_reports(kReports);
    return httpd_main(argc, argv);
}
