// host, nslookup: names. In the image only when the appliance's configuration says `dns`; ping takes names then, too.
#include <ringlet/network.hpp>

#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {

Result<net::IpAddr> look_up(std::string_view name) {
    const AddressList all = TRY(resolve(name));
    return all[0];
}

constexpr Command kCommands[] = {
    {"host", "host NAME", "the addresses of a host", host},
    {"nslookup", "nslookup NAME", "the same as host", host},
};

}  // namespace

Outcome host(Shell&, const Arguments& args) {
    if (args.count != 2) return Outcome::usage;
    const auto all = resolve(args[1]);
    if (!all) return complain(args[0], args[1], all.error());
    for (const net::IpAddr& a : *all) {
        char text[net::kAddressText];
        print("{} has address {}\n", args[1], net::to_text(a, std::span<char, net::kAddressText>(text)));
    }
    return Outcome::done;
}

std::span<const Command> name_commands() {
    name_lookup = look_up;
    return kCommands;
}

}  // namespace ringlet::shell
