// link: what the network interface lets through, offloads, queues and interrupts; what ifconfig and ethtool are
// elsewhere.
#include <ringlet/network.hpp>

#include "lib/parse.hpp"
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {

using Change = Result<> (*)(LinkControl& nic, const Arguments& args);

/// What a line switches on and off, under the name that `link` shows.
constexpr struct {
    std::string_view name;
    bool RxMode::*what;
} kModes[] = {
    {"promisc", &RxMode::promiscuous},  {"allmulti", &RxMode::all_multicast}, {"alluni", &RxMode::all_unicast},
    {"nomulti", &RxMode::no_multicast}, {"nouni", &RxMode::no_unicast},       {"nobcast", &RxMode::no_broadcast},
};

constexpr struct {
    std::string_view name;
    bool net::Offloads::*what;
} kOffloads[] = {
    {"txcsum", &net::Offloads::tx_checksum},
    {"rxcsum", &net::Offloads::rx_checksum},
    {"tso4", &net::Offloads::tso4},
    {"tso6", &net::Offloads::tso6},
    {"uso", &net::Offloads::uso},
    {"ecn", &net::Offloads::ecn},
    {"lro", &net::Offloads::guest_tso},
};

template <class Value, class Table> void print_names(std::string_view title, const Value& of, const Table& table) {
    print("{}", title);
    for (const auto& row : table)
        if (of.*row.what) print(" {}", row.name);
    print("\n");
}

Result<> mode(LinkControl& nic, const Arguments& args) {
    if (args.count != 3 || (args[2] != "on" && args[2] != "off")) return fail(Error::invalid);
    RxMode wanted = nic.rx_mode();
    for (const auto& row : kModes)
        if (row.name == args[1]) wanted.*row.what = args[2] == "on";
    return nic.set_rx_mode(wanted);
}

Result<> address(LinkControl& nic, const Arguments& args) {
    const auto mac = MacAddr::parse(args[2]);
    return mac && args.count == 3 ? nic.set_mac(*mac) : fail(Error::invalid);
}

Result<> filter(LinkControl& nic, const Arguments& args) {
    MacAddr list[Arguments::kMax];
    usize n = 0;
    for (usize i = 2; i < args.count; ++i) {
        const auto mac = MacAddr::parse(args[i]);
        if (!mac) return fail(Error::invalid);
        list[n++] = *mac;
    }
    return nic.set_mac_filter(std::span(list).first(n));
}

Result<> vlan(LinkControl& nic, const Arguments& args) {
    const auto id = parse_number<u16>(args[2]);
    if (!id || args.count != 4 || (args[3] != "on" && args[3] != "off")) return fail(Error::invalid);
    return args[3] == "on" ? nic.add_vlan(*id) : nic.remove_vlan(*id);
}

Result<> pairs(LinkControl& nic, const Arguments& args) {
    const auto n = parse_number<u16>(args[2]);
    return n && args.count == 3 ? nic.set_pairs(*n) : fail(Error::invalid);
}

Result<> coalesce(LinkControl& nic, const Arguments& args) {
    u32 n[4];
    if (args.count != 6) return fail(Error::invalid);
    for (usize i = 0; i < 4; ++i) {
        const auto value = parse_number<u32>(args[i + 2]);
        if (!value) return fail(Error::invalid);
        n[i] = *value;
    }
    return nic.set_coalescing({n[0], n[1]}, {n[2], n[3]});
}

constexpr struct {
    std::string_view name, usage;
    Change change;
} kSettings[] = {
    {"promisc", "promisc on|off            take every frame", mode},
    {"allmulti", "allmulti on|off           take every multicast frame", mode},
    {"alluni", "alluni on|off             take every unicast frame", mode},
    {"nomulti", "nomulti on|off            take no multicast frame", mode},
    {"nouni", "nouni on|off              take no unicast frame", mode},
    {"nobcast", "nobcast on|off            take no broadcast frame", mode},
    {"mac", "mac ADDRESS               our own address", address},
    {"filter", "filter [ADDRESS...]       further addresses to take frames for", filter},
    {"vlan", "vlan ID on|off            take frames with this tag", vlan},
    {"pairs", "pairs N                   queue pairs in use", pairs},
    {"coalesce", "coalesce N US N US        interrupt after N packets or US microseconds: receive, send", coalesce},
};

/// What is in force, copied under the monitor and printed without it.
struct State {
    LinkAbilities can;
    RxMode mode;
    u16 pairs = 1;
    std::optional<Coalescing> rx, tx;
    MacAddr filter[128];
    usize filtered = 0;
    u16 vlans[64];
    usize tagged = 0, more_tagged = 0;

    Result<> take(LinkControl& nic) {
        can = nic.abilities();
        mode = nic.rx_mode();
        pairs = nic.pairs();
        rx = nic.rx_coalescing();
        tx = nic.tx_coalescing();
        for (const MacAddr& a : nic.mac_filter())
            if (filtered < std::size(filter)) filter[filtered++] = a;
        for (u16 id = 0; id < 4095; ++id) {
            if (!nic.has_vlan(id)) continue;
            if (tagged < std::size(vlans))
                vlans[tagged++] = id;
            else
                ++more_tagged;
        }
        return {};
    }
};

void print_filters(const State& s) {
    if (s.can.modes) {
        print_names("  receives: own address", s.mode, kModes);
        char mac[18];
        for (usize i = 0; i < s.filtered; ++i)
            print("  filter {}\n", net::to_text(s.filter[i], std::span<char, 18>(mac)));
    }
    if (!s.can.vlans) return;
    print("  vlans:{}", s.tagged == 0 ? " none" : "");
    for (usize i = 0; i < s.tagged; ++i) print(" {}", s.vlans[i]);
    if (s.more_tagged != 0) print(" and {} more", s.more_tagged);
    print("\n");
}

void print_queues(const State& s) {
    if (s.can.pairs) print("  queue pairs: {} of {}\n", s.pairs, s.can.most_pairs);
    if (s.rx) print("  coalescing, receive: {} packets or {} us\n", s.rx->packets, s.rx->microseconds);
    if (s.tx) print("  coalescing, send: {} packets or {} us\n", s.tx->packets, s.tx->microseconds);
}

void show(u8 number) {
    const auto info = network().interface(number);
    char mac[18];
    print("net{}: {} mtu {} mac {}\n", number, info.carrier ? "up" : "down", info.mtu,
          net::to_text(info.mac, std::span<char, 18>(mac)));
    print("  frames: {} in, {} out\n", info.frames_in, info.frames_out);
    print_names("  offloads:", info.offloads, kOffloads);
    State s;
    if (network().control([&](LinkControl& nic) { return s.take(nic); }, number)) {
        print_filters(s);
        print_queues(s);
    } else {
        print("  no control queue: nothing can be set\n");
    }
}

Outcome show_all() {
    if (network().interface().mac == MacAddr{}) {
        print("no network interface\n");
        return Outcome::done;
    }
    for (u8 i = 0; i < network().interface_count(); ++i) show(i);
    return Outcome::done;
}

/// Takes an interface's name off the front; without one it is the first that is meant.
u8 take_interface(Arguments& args) {
    const auto number =
        args.count > 2 && args[1].starts_with("net") ? parse_number<u8>(substring(args[1], 3)) : std::nullopt;
    if (!number) return 0;
    for (usize i = 2; i < args.count; ++i) args.words[i - 1] = args.words[i];
    --args.count;
    return *number;
}

}  // namespace

Outcome link(Shell&, const Arguments& line) {
    if (line.count == 1) return show_all();
    Arguments args = line;
    const u8 number = take_interface(args);
    for (const auto& setting : kSettings) {
        if (args[1] != setting.name) continue;
        const auto done = network().control([&](LinkControl& nic) { return setting.change(nic, args); }, number);
        return done ? Outcome::done : complain("link", setting.name, done.error());
    }
    if (args[1] != "help" || args.count != 2) return Outcome::usage;
    for (const auto& setting : kSettings) print("link {}\n", setting.usage);
    return Outcome::done;
}

}  // namespace ringlet::shell
