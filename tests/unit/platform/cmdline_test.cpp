// The kernel command line.
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "boot/cmdline.hpp"

using namespace ringlet;
using namespace ringlet::boot;

namespace {
struct Read {
    Options options;
    std::string complaints;
};
Read read(std::string_view text) {
    Read r;
    const auto complain = [&](std::string_view s) { r.complaints += std::string(s) + "\n"; };
    r.options = read_options(CommandLine(text), complain);
    return r;
}
std::vector<std::string> arguments(std::string_view text) {
    char storage[64];
    char* argv[6];
    const auto argc = split_arguments("app", text, storage, argv);
    if (!argc) return {"too large"};
    CHECK(argv[*argc] == nullptr);
    return {argv, argv + *argc};
}
}  // namespace

TEST_CASE("words, values, quotes and the application's part") {
    const CommandLine c("  quiet a=1 b=\"x y\" \"c=p q\" a=2\td= -- one \"--\" two ");
    CHECK(c.has("quiet"));
    CHECK_FALSE(c.value("quiet"));
    CHECK(c.value("a") == "2");
    CHECK(c.value("b") == "x y");
    CHECK(c.value("c") == "p q");
    CHECK(c.value("d") == "");
    CHECK_FALSE(c.has("one"));
    CHECK(c.application() == "one \"--\" two ");
    CHECK(CommandLine("").application().empty());
    CHECK(CommandLine("--").application().empty());
    CHECK(CommandLine("a=\"open -- x").application().empty());
    CHECK(CommandLine("x=\"a -- b\" -- y").application() == "y");
}

TEST_CASE("the line is bounded in bytes and words") {
    std::string many;
    for (int i = 0; i < 400; ++i) many += "w ";
    int words = 0;
    CommandLine(many).for_each([&](std::string_view, std::optional<std::string_view>) { return ++words, true; });
    CHECK(words == 256);
    const std::string padded = std::string(5000, ' ') + "late";
    CHECK_FALSE(CommandLine(padded).has("late"));
    CHECK_FALSE(CommandLine(std::string_view("a\0b", 3)).has("b"));
}

TEST_CASE("typed options") {
    const Read r = read("panic=reboot ip=10.0.2.15/24,10.0.2.2,10.0.2.3 loglevel=debug root=vda1 "
                        "console=ttyS0 hw.vtnet.csum=0");
    CHECK(r.complaints == "");
    CHECK(r.options.panic == kernel::PanicAction::reboot);
    REQUIRE(r.options.ip[0]);
    CHECK(r.options.ip[0]->mode == IpOption::Mode::fixed);
    CHECK(r.options.ip[0]->address == net::Ipv4Addr::of(10, 0, 2, 15));
    CHECK(r.options.ip[0]->prefix == 24);
    CHECK(r.options.ip[0]->gateway == net::Ipv4Addr::of(10, 0, 2, 2));
    CHECK(r.options.ip[0]->dns == net::Ipv4Addr::of(10, 0, 2, 3));
    CHECK(r.options.log_level == kernel::LogLevel::debug);
    CHECK(r.options.root == "vda1");
    CHECK(read("ip=dhcp").options.ip[0]->mode == IpOption::Mode::dhcp);
    CHECK(read("ip=dhcp").options.ip[0]->address.is_unspecified());
    const IpOption fallback = *read("ip=dhcp,10.0.0.9/16,10.0.0.1").options.ip[0];
    CHECK(fallback.mode == IpOption::Mode::dhcp);
    CHECK(fallback.address == net::Ipv4Addr::of(10, 0, 0, 9));
    CHECK(fallback.prefix == 16);
    CHECK(fallback.gateway == net::Ipv4Addr::of(10, 0, 0, 1));
    CHECK(read("ip=off").options.ip[0]->mode == IpOption::Mode::off);
    CHECK(read("ip=10.0.0.1/8").options.ip[0]->gateway.is_unspecified());
    CHECK(read("ip=10.0.0.1/8,,10.0.0.3").options.ip[0]->dns == net::Ipv4Addr::of(10, 0, 0, 3));
    CHECK(read("loglevel=4").options.log_level == kernel::LogLevel::error);
}

TEST_CASE("mount=, ro") {
    const auto r = read("ro mount=vdb1,/data mount=memfs,/tmp,rw mount=vdc,/c,ro");
    CHECK(r.complaints == "");
    CHECK(r.options.root_read_only);
    CHECK_FALSE(read("ro rw").options.root_read_only);
    REQUIRE(r.options.mounts.size() == 3);
    CHECK(r.options.mounts[0].device == "vdb1");
    CHECK(r.options.mounts[0].where == "/data");
    CHECK_FALSE(r.options.mounts[1].read_only);
    CHECK(r.options.mounts[2].read_only);
    for (const char* bad : {"mount", "mount=", "mount=vdb", "mount=,/x", "mount=vdb,x", "mount=vdb,", "mount=vdb,/x,wo",
                            "mount=vdb,/x,ro,ro"}) {
        CAPTURE(bad);
        CHECK_FALSE(read(bad).complaints.empty());
        CHECK(read(bad).options.mounts.empty());
    }
    std::string nine;
    for (int i = 0; i < 9; ++i) nine += "mount=a,/b ";
    CHECK_FALSE(read(nine).complaints.empty());
    CHECK(read(nine).options.mounts.size() == 8);
}

TEST_CASE("netN.ip=, netN.ip6=, netN.route=: of the interface that is named, the first without a name") {
    const auto r = read("ip=10.0.0.1/8 net1.ip=10.1.0.1/16,10.1.0.2 net2.ip6=off net1.route=9.0.0.0/8,link "
                        "route=8.0.0.0/8,10.0.0.9");
    CHECK(r.options.ip[0]->address == net::Ipv4Addr::of(10, 0, 0, 1));
    CHECK(r.options.ip[1]->address == net::Ipv4Addr::of(10, 1, 0, 1));
    CHECK_FALSE(r.options.ip[2]);
    CHECK(r.options.ip6[2]->off);
    REQUIRE(r.options.routes.size() == 2);
    CHECK(r.options.routes[0].interface == 1);
    CHECK(r.options.routes[1].interface == 0);
    CHECK(read("net0.ip=off").options.ip[0]->mode == IpOption::Mode::off);
    for (const char* bad : {"net4.ip=dhcp", "net.ip=dhcp", "netx.ip=dhcp", "net1.foo=1", "net1=dhcp", "net1.ip=x"}) {
        CAPTURE(bad);
        const auto b = read(bad);
        CHECK_FALSE(b.complaints.empty());
        CHECK_FALSE(b.options.ip[1]);
    }
}

TEST_CASE("ip6=") {
    CHECK_FALSE(read("").options.ip6[0]);
    CHECK_FALSE(read("ip6=auto").options.ip6[0]->off);
    CHECK(read("ip6=off").options.ip6[0]->off);
    const Ip6Option ip = *read("ip6=2001:db8::5/56,fe80::1,2001:db8::53").options.ip6[0];
    CHECK(ip.address == net::IpAddr::parse("2001:db8::5"));
    CHECK(ip.prefix == 56);
    CHECK(ip.gateway == net::IpAddr::parse("fe80::1"));
    CHECK(ip.dns == net::IpAddr::parse("2001:db8::53"));
    CHECK(read("ip6=2001:db8::5/64,,2001:db8::53").options.ip6[0]->gateway.is_unspecified());
    for (const char* bad : {"ip6=", "ip6", "ip6=2001:db8::5", "ip6=2001:db8::5/129", "ip6=2001:db8::5/0", "ip6=::/64",
                            "ip6=10.0.0.1/24", "ip6=ff02::1/64", "ip6=::1/128", "ip6=2001:db8::5/64,x",
                            "ip6=2001:db8::5/64,10.0.0.1", "ip6=2001:db8::5/64,fe80::1,fe80::2,fe80::3"}) {
        const Read r = read(bad);
        CAPTURE(bad);
        CHECK_FALSE(r.options.ip6[0]);
        CHECK(r.complaints.ends_with("is not understood: auto, off, or ADDRESS/PREFIX[,GATEWAY[,DNS]]\n"));
    }
}

TEST_CASE("names and time servers") {
    const Read r =
        read("dns=10.0.0.1,fd00::1 ntp=10.0.0.2 search=a.example,b hosts=db=10.0.0.3,six=fd00::2 dns=10.0.0.9");
    CHECK(r.complaints == "");
    REQUIRE(r.options.dns.size() == 1);  // the last word counts
    CHECK(r.options.dns[0] == net::IpAddr(net::Ipv4Addr::of(10, 0, 0, 9)));
    REQUIRE(r.options.ntp.size() == 1);
    CHECK(r.options.search == "a.example,b");
    REQUIRE(r.options.hosts.size() == 2);
    CHECK(r.options.hosts[1].name == "six");
    CHECK_FALSE(r.options.hosts[1].address.is_ipv4());
    CHECK(read("dns=1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4").options.dns.size() == 4);
    for (const char* bad : {"dns=", "dns", "dns=10.0.0.1,", "dns=x", "dns=0.0.0.0", "dns=224.0.0.1", "ntp=pool.ntp.org",
                            "hosts=", "hosts=a", "hosts==1.2.3.4", "hosts=a=b", "hosts=a=1.2.3.4,b",
                            "dns=1.1.1.1,2.2.2.2,3.3.3.3,4.4.4.4,5.5.5.5"}) {
        CAPTURE(bad);
        const Read refused = read(bad);
        CHECK(refused.complaints != "");
        CHECK(refused.options.dns.empty());
        CHECK(refused.options.ntp.empty());
        CHECK(refused.options.hosts.empty());
    }
}

TEST_CASE("routes, and probing left out") {
    const Read r = read("route=192.168.0.0/16,10.0.0.2 route=172.16.0.0/12,link,7 probe=off");
    CHECK(r.complaints == "");
    CHECK_FALSE(r.options.probe);
    CHECK(read("probe=on").options.probe);
    REQUIRE(r.options.routes.size() == 2);
    CHECK(r.options.routes[0].route ==
          net::ClasslessRoute{net::Ipv4Addr::of(192, 168, 0, 0), 16, net::Ipv4Addr::of(10, 0, 0, 2)});
    CHECK(r.options.routes[1].route == net::ClasslessRoute{net::Ipv4Addr::of(172, 16, 0, 0), 12, {}});
    CHECK(r.options.routes[1].metric == 7);
    for (const char* bad : {"route", "route=", "route=1.0.0.0/8", "route=1.0.0.0,10.0.0.1", "route=1.0.0.0/33,10.0.0.1",
                            "route=1.0.0.0/8,x", "route=1.0.0.0/8,10.0.0.1,65536", "route=,/", "probe=1", "probe"}) {
        CAPTURE(bad);
        const Read refused = read(bad);
        CHECK(refused.complaints != "");
        CHECK(refused.options.routes.empty());
        CHECK(refused.options.probe);
    }
}

TEST_CASE("bad values are named, unknown keys are listed once") {
    for (const char* bad : {"ip=10.0.2.15", "ip=10.0.2.15/33", "ip=10.0.2.15/0", "ip=300.1.1.1/8", "ip=0.0.0.0/8",
                            "ip=", "ip=10.0.0.1/8,x", "ip=10.0.0.1/8,10.0.0.2,y", "ip", "ip=dhcp,", "ip=dhcp,10.0.0.1",
                            "ip=dhcp,dhcp", "ip=224.0.0.1/4"}) {
        const Read r = read(bad);
        CHECK_FALSE(r.options.ip[0]);
        CHECK(r.complaints.ends_with("is not understood: dhcp, off, or [dhcp,]ADDRESS/PREFIX[,GATEWAY[,DNS]]\n"));
    }
    CHECK(read("panic=maybe").complaints == "command line: panic=maybe is not understood: halt, reboot or exit\n");
    CHECK_FALSE(read("").options.page_poison);
    CHECK(read("page_poison=1").options.page_poison);
    CHECK(read("page_poison=yes").complaints == "command line: page_poison=yes is not understood: 0 or 1\n");
    CHECK(read("loglevel=9").complaints ==
          "command line: loglevel=9 is not understood: debug, info, warning, error, or 0 to 8\n");
    CHECK(read("foo=1 panic=halt bar ro").complaints == "command line: unknown: foo bar\n");
    CHECK(read("foo bar=1 foo=2 bar foo").complaints == "command line: unknown: foo bar\n");
    CHECK(read(std::string(3000, 'x') + " y").complaints.size() < 240);
}

TEST_CASE("arguments for main are split like a shell does") {
    CHECK(arguments("") == std::vector<std::string>{"app"});
    CHECK(arguments(" a  'b c' \"d\\\"e\" f\\ g") == std::vector<std::string>{"app", "a", "b c", "d\"e", "f g"});
    CHECK(arguments("'' x") == std::vector<std::string>{"app", "", "x"});
    CHECK(arguments("'open") == std::vector<std::string>{"app", "open"});
    CHECK(arguments("a b c d") == std::vector<std::string>{"app", "a", "b", "c", "d"});
    CHECK(arguments("a b c d e") == std::vector<std::string>{"too large"});
    CHECK(arguments(std::string(80, 'x')) == std::vector<std::string>{"too large"});
    char none[1];
    char* argv[1];
    CHECK(split_arguments("", "", none, argv).error() == Error::too_large);
    CHECK(split_arguments("", "", {}, {}).error() == Error::too_large);
}

TEST_CASE("microvm's virtio-mmio devices") {
    arch::Platform p;
    std::string complaints;
    const auto complain = [&](std::string_view s) { complaints += std::string(s) + "\n"; };
    virtio_mmio_from_command_line(
        CommandLine("virtio_mmio.device=512@0xfeb00e00:12 virtio_mmio.device=4K@0xfeb02000:13:7"), p, complain);
    CHECK(complaints == "");
    REQUIRE(p.virtio_mmio.size() == 2);
    CHECK(p.virtio_mmio[0].registers.base == PhysAddr(0xfeb0'0e00));
    CHECK(p.virtio_mmio[0].registers.bytes == 512);
    CHECK(p.virtio_mmio[0].line.number == 12);
    CHECK(p.virtio_mmio[0].line.trigger == arch::Trigger::level);
    CHECK(p.virtio_mmio[1].registers.bytes == 4096);
    for (const char* bad : {"512", "512@0xfeb00e00", "@:1", "16@0x1000:1", "512@0:1", "512@0x1001:1", "512@0x1000:x",
                            "512@0xffffffffffffff00:1", "99999999999999999999@0x1000:1", "512:1@0x1000", ""}) {
        arch::Platform q;
        complaints.clear();
        virtio_mmio_from_command_line(CommandLine(std::string("virtio_mmio.device=") + bad), q, complain);
        CHECK(q.virtio_mmio.empty());
        CHECK(complaints.ends_with("is not understood: SIZE@ADDRESS:INTERRUPT\n"));
    }
}
