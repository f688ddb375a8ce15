// ip, ping, netstat: the network.
#include <ringlet/network.hpp>
#include <ringlet/thread.hpp>

#include "lib/parse.hpp"
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {

struct AddressText {
    char text[net::kAddressText];
    std::string_view of(const IpAddr& a) { return net::to_text(a, std::span<char, net::kAddressText>(text)); }
};

std::string_view endpoint_text(const Endpoint& e, std::span<char, net::kEndpointText> to) {
    if (e.address == IpAddr{}) return e.port == 0 ? format_to(to, "*:*") : format_to(to, "*:{}", e.port);
    return net::to_text(e, to);
}

void print_addressing(const net::InterfaceInfo& info) {
    AddressText address;
    print("  inet {}/{}", address.of(info.ipv4.address), info.ipv4.prefix);
    if (!info.ipv4.gateway.is_unspecified()) print(" gateway {}", address.of(info.ipv4.gateway));
    for (const Ipv4Addr& dns : info.ipv4.dns)
        if (!dns.is_unspecified()) print(" dns {}", address.of(dns));
    print("\n");
    if (info.dhcp == net::DhcpState::off) return;
    print("  dhcp {}", net::to_string(info.dhcp));
    if (!info.dhcp_server.is_unspecified()) print(" server {}", address.of(info.dhcp_server));
    if (!info.lease_end.is_never()) print(" lease {} s", (info.lease_end - now()).ms() / 1000);
    for (const Ipv4Addr& ntp : info.hints.ntp) print(" ntp {}", address.of(ntp));
    if (!info.hints.search.view().empty()) print(" search {}", info.hints.search.view());
    print("{}\n", info.fallback ? " (no answer: the fixed address is used)" : "");
}

std::string_view preference_text(const net::Ipv6Route& r) {
    constexpr std::string_view kMeaning[] = {" last resort", "", " preferred"};
    return kMeaning[r.preference + 1];
}

void print_ipv6(const net::Ipv6Info& info) {
    AddressText address;
    for (usize i = 0; i < info.addresses_used; ++i) {
        const net::Ipv6AddressInfo& a = info.addresses[i];
        print("  inet6 {}/{}", address.of(a.address), a.prefix);
        if (a.state != net::Ipv6AddressInfo::State::preferred) print(" {}", net::to_string(a.state));
        if (!a.valid_until.is_never()) print(" valid {} s", (a.valid_until - now()).ms() / 1000);
        print("\n");
    }
    for (const net::Ipv6Route& r : std::span(info.routes).first(info.routes_used)) {
        if (r.length == 0)
            print("  inet6 gateway {}", address.of(r.router));
        else
            print("  inet6 route {}/{} by {}", address.of(r.prefix), r.length, AddressText().of(r.router));
        print("{}\n", preference_text(r));
    }
    for (usize i = 0; i < info.dns_used; ++i) print("  inet6 dns {}\n", address.of(info.dns[i]));
}

Outcome ping_loop(Shell& shell, const Endpoint& to, u64 count, u16 bytes) {
    AddressText address;
    u64 answered = 0;
    for (u64 i = 0; i < count; ++i) {
        if (i != 0) sleep_for(Duration::from_ms(200));
        if (shell.interrupted()) break;
        const auto reply = network().ping(to.address, bytes, Duration::from_s(2), to.scope);
        if (!reply) {
            print("{}: {}\n", address.of(to.address), reply.error());
            continue;
        }
        ++answered;
        const i64 us = reply->round_trip.us();
        print("{} bytes from {}: seq={} ttl={} time={}.{:03} ms\n", reply->bytes, address.of(to.address), i + 1,
              reply->ttl, us / 1000, us % 1000);
    }
    print("{} of {} answered\n", answered, count);
    return answered != 0 ? Outcome::done : Outcome::failed;
}

void print_counter(std::string_view name, u64 value) {
    print("  {:<24} {}\n", name, value);
}

void print_statistics() {
    const auto s = network().statistics();
    print("TCP\n");
    print_counter("segments in", s.tcp.segments_in);
    print_counter("segments out", s.tcp.segments_out);
    print_counter("bytes in", s.tcp.bytes_in);
    print_counter("bytes out", s.tcp.bytes_out);
    print_counter("connections opened", s.tcp.active_opens);
    print_counter("connections accepted", s.tcp.passive_opens);
    print_counter("retransmitted", s.tcp.retransmitted);
    print_counter("timeouts", s.tcp.timeouts);
    print_counter("fast retransmits", s.tcp.fast_retransmits);
    print_counter("tail loss probes", s.tcp.tail_probes);
    print_counter("needless recoveries", s.tcp.spurious_recoveries);
    print_counter("out of order", s.tcp.out_of_order);
    print_counter("resets in", s.tcp.resets_in);
    print_counter("resets out", s.tcp.resets_out);
    print_counter("bad checksums", s.tcp.bad_checksum);
    print_counter("bad headers", s.tcp.bad_header);
    print_counter("bad addresses", s.tcp.bad_address);
    print_counter("bad resets", s.tcp.bad_reset);
    print_counter("outside the window", s.tcp.unacceptable);
    print_counter("challenge ACKs", s.tcp.challenge_acks);
    print_counter("no connection", s.tcp.no_connection);
    print_counter("SYN cookies sent", s.tcp.cookies_sent);
    print_counter("SYN cookies accepted", s.tcp.cookies_accepted);
    print_counter("refused: backlog", s.tcp.listen_overflow);
    print_counter("refused: table full", s.tcp.table_full);
    print_counter("refused: no memory", s.tcp.no_memory);
    print_counter("refused: memory", s.tcp.receive_memory);
    print_counter("evicted: half open", s.tcp.half_open_evicted);
    print_counter("evicted: takes nothing", s.tcp.stalled_evicted);
    print_counter("evicted: closed by us", s.tcp.orphans_evicted);
    print("Below TCP, what is not 0\n");
    s.stack.for_each([](std::string_view name, u64 value) {
        if (value != 0) print_counter(name, value);
    });
    print("Packets\n  {} of {} free, {} times none\n", s.packets_free, s.packets_total, s.packets_exhausted);
}

}  // namespace

/// "net1" is 1; nothing: no name of an interface that is there.
std::optional<u8> interface_number(std::string_view name) {
    if (!name.starts_with("net")) return std::nullopt;
    const auto number = parse_number<u8>(substring(name, 3));
    return number && *number < network().interface_count() ? number : std::nullopt;
}

/// `ip [NAME] renew`, `ip [NAME] release`: the DHCP lease.
Outcome change_lease(std::string_view what, u8 interface) {
    if (what == "renew") {
        network().renew_address(interface);
        return Outcome::done;
    }
    if (what != "release") return Outcome::usage;
    const auto released = network().release_address(Duration::from_s(1), interface);
    return released ? Outcome::done : complain("ip", what, released.error());
}

namespace {

void print_interface(u8 number, const net::InterfaceInfo& info) {
    char mac[18];
    print("net{}: {} mtu {} mac {}\n", number, info.carrier ? "up" : "down", info.mtu,
          net::to_text(info.mac, std::span<char, 18>(mac)));
    if (!info.ipv4.address.is_unspecified())
        print_addressing(info);
    else if (!info.refused)
        print("  no address yet (dhcp {})\n", net::to_string(info.dhcp));
    if (info.conflict.seen != 0) {
        AddressText address;
        print("  conflict: {} has {} too, seen {} times{}\n", net::to_text(info.conflict.by, std::span<char, 18>(mac)),
              address.of(info.conflict.address), info.conflict.seen, info.refused ? "; not used, asked for again" : "");
    }
    print_ipv6(info.ipv6);
    (void)network().for_each_neighbour([&](const net::NeighbourInfo& n) {
        if (n.interface != number) return;
        AddressText address;
        char text[18];
        print("  neighbour {} {}\n", address.of(n.address),
              n.resolved ? net::to_text(n.mac, std::span<char, 18>(text)) : std::string_view{"(asking)"});
    });
}

}  // namespace

Outcome ip(Shell&, const Arguments& args) {
    if (args.count == 3) {
        const auto number = interface_number(args[1]);
        return number ? change_lease(args[2], *number) : Outcome::usage;
    }
    if (args.count == 2) return change_lease(args[1], 0);
    if (args.count != 1) return Outcome::usage;
    if (network().interface().mac == net::MacAddr{}) {
        print("no network interface\n");
        return Outcome::done;
    }
    for (u8 i = 0; i < network().interface_count(); ++i) print_interface(i, network().interface(i));
    return Outcome::done;
}

namespace {

void print_route(const net::RouteInfo& r) {
    constexpr std::string_view kFrom[] = {" (ours)", "", " (dhcp)", " (gateway)"};
    AddressText to, by;
    print("{}/{} {}", to.of(r.route.destination), r.route.prefix,
          r.route.router.is_unspecified() ? std::string_view("link") : by.of(r.route.router));
    if (r.metric != 0) print(" metric {}", r.metric);
    if (network().interface_count() > 1) print(" net{}", r.interface);
    print("{}\n", kFrom[static_cast<usize>(r.origin)]);
}

/// What routers told of themselves.
void print_routes6(const net::Ipv6Info& info, u8 interface) {
    AddressText to, by;
    std::array<char, 8> name{};
    const std::string_view at = network().interface_count() > 1 ? format_to(name, " net{}", interface) : "";
    for (const net::Ipv6Route& r : std::span(info.routes).first(info.routes_used))
        print("{}/{} {}{} (router){}\n", to.of(r.prefix), r.length, by.of(r.router), at, preference_text(r));
}

}  // namespace

Outcome route(Shell&, const Arguments& args) {
    if (args.count == 1) {
        for (const net::RouteInfo& r : network().routes()) print_route(r);
        for (u8 i = 0; i < network().interface_count(); ++i) print_routes6(network().interface(i).ipv6, i);
        return Outcome::done;
    }
    const bool adds = args[1] == "add";
    const auto named = args.count > 4 ? interface_number(args[args.count - 1]) : std::nullopt;
    const usize count = args.count - (named ? 1 : 0);
    if (adds ? count != 4 && count != 5 : args[1] != "del" || args.count != 3) return Outcome::usage;
    const usize slash = args[2].find('/');
    if (slash == std::string_view::npos) return Outcome::usage;
    const auto destination = Ipv4Addr::parse(substring(args[2], 0, slash));
    const auto prefix = parse_number<u8>(substring(args[2], slash + 1));
    if (!destination || !prefix) return Outcome::usage;
    Result<> done;
    if (adds) {
        const auto router = args[3] == "link" ? Ipv4Addr{} : Ipv4Addr::parse(args[3]);
        const auto metric = count == 5 ? parse_number<u16>(args[4]) : u16{0};
        if (!router || !metric) return Outcome::usage;
        done = network().add_route(
            {{*destination, *prefix, *router}, *metric, net::RouteInfo::Origin::configured, named.value_or(0)});
    } else {
        done = network().remove_route(*destination, *prefix);
    }
    return done ? Outcome::done : complain("route", args[2], done.error());
}

constinit NameLookup name_lookup = nullptr;

Outcome ping(Shell& shell, const Arguments& args) {
    u64 count = 4;
    u16 bytes = 56;
    usize i = 1;
    for (; i + 1 < args.count && args[i].starts_with('-'); i += 2) {
        const auto n = parse_number<u64>(args[i + 1]);
        if (!n || *n > 65535) return Outcome::usage;
        if (args[i] == "-c" && *n != 0)
            count = *n;
        else if (args[i] == "-s")
            bytes = static_cast<u16>(*n);
        else
            return Outcome::usage;
    }
    if (i + 1 != args.count || args[i].starts_with('-')) return Outcome::usage;
    auto target = net::parse_zoned(args[i]);
    if (!target && name_lookup != nullptr) {
        const auto found = name_lookup(args[i]);
        if (!found) return complain("ping", args[i], found.error());
        target = Endpoint{*found};
    }
    if (!target) {
        print("ping: '{}' is not an address\n", args[i]);
        return Outcome::failed;
    }
    return ping_loop(shell, *target, count, bytes);
}

Outcome netstat(Shell&, const Arguments& args) {
    if (args.count == 2 && args[1] == "-s") {
        print_statistics();
        return Outcome::done;
    }
    if (args.count != 1) return Outcome::usage;
    print("{:<5} {:>7} {:>7} {:<22} {:<22} {}\n", "Proto", "Recv-Q", "Send-Q", "Local", "Remote", "State");
    const auto visited = network().for_each_socket([](const net::SocketInfo& s) {
        char local[net::kEndpointText], remote[net::kEndpointText];
        if (s.kind == net::SocketInfo::Kind::udp) {
            print("{:<5} {:>7} {:>7} {:<22} {:<22}\n", "udp", s.udp.receive_queue, 0, endpoint_text(s.udp.local, local),
                  "*:*");
            return;
        }
        print("{:<5} {:>7} {:>7} {:<22} {:<22} {}\n", "tcp", s.tcp.receive_queue, s.tcp.send_queue,
              endpoint_text(s.tcp.local, local), endpoint_text(s.tcp.remote, remote), net::tcp::to_string(s.tcp.state));
    });
    if (!visited) return complain("netstat", "sockets", visited.error());
    return Outcome::done;
}

}  // namespace ringlet::shell
