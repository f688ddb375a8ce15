// ntp: who keeps the clock right. In the image only when the appliance's configuration says `sntp`.
#include <ringlet/time.hpp>

#include "shell/commands/commands.hpp"

namespace ringlet::shell {

namespace {
constexpr Command kCommands[] = {
    {"ntp", "ntp", "the time server, and how far the clock was off", ntp},
};
}  // namespace

Outcome ntp(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    const net::Sntp::Status s = time_sync().status();
    if (s.sent == 0) {
        print("no time server is known\n");
        return Outcome::done;
    }
    char text[net::kAddressText];
    const std::string_view server = net::to_text(s.server, std::span<char, net::kAddressText>(text));
    if (!s.synchronised) {
        print("asking {}: no answer that can be believed yet; {} sent, {} refused\n", server, s.sent, s.refused);
        return Outcome::done;
    }
    const u64 off = static_cast<u64>(s.offset_ns < 0 ? -s.offset_ns : s.offset_ns);
    print("server {} stratum {}, there and back {} us\n", server, s.stratum, s.delay.us());
    print("{} s ago the clock was {}.{:06} s {}\n", (now() - s.last).ms() / 1000, off / 1'000'000'000,
          off / 1000 % 1'000'000, s.offset_ns < 0 ? "early" : "late");
    if (!s.next.is_never()) print("next question in {} s\n", (s.next - now()).ms() / 1000);
    print("{} sent, {} good, {} refused\n", s.sent, s.good, s.refused);
    return Outcome::done;
}

std::span<const Command> time_commands() {
    return kCommands;
}

}  // namespace ringlet::shell
