// Waits for the clock, resolves what it is given, connects by name, and says what came of it. Then the shell stays.
#include <ringlet/console.hpp>
#include <ringlet/network.hpp>
#include <ringlet/time.hpp>

using namespace ringlet;

namespace {

void look_up(std::string_view name) {
    const auto all = resolve(name);
    if (!all) return print("{}: {}\n", name, all.error());
    for (const net::IpAddr& a : *all) {
        char text[net::kAddressText];
        print("{} is {}\n", name, net::to_text(a, std::span<char, net::kAddressText>(text)));
    }
}

/// A line from port 7 of a host, asked for by its name.
void talk_to(std::string_view host) {
    auto stream = connect(host, 7, Duration::from_s(10));
    if (!stream) return print("{}: {}\n", host, stream.error());
    stream->set_read_timeout(Duration::from_s(10));
    std::byte line[64];
    const auto n = stream->read(line);
    if (n) print("{} says {}\n", host, std::string_view(reinterpret_cast<const char*>(line), *n));
}

}  // namespace

int main(int argc, char** argv) {
    const auto set = time_sync().wait_until_set(Duration::from_s(20));
    print("clock: {} {}\n", set ? "set" : "not set", wall_clock_ns() / 1'000'000'000);
    for (int i = 1; i < argc; ++i) look_up(argv[i]);
    if (argc > 1) talk_to(argv[1]);
    print("names: ready\n");
    return 0;
}
