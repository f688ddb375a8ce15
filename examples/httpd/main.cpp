// The default appliance: serves the files of its disk over HTTP.
//   httpd [--root PATH] [--port NUMBER]     (arguments come after `--` on the kernel command line)
#include <ringlet/console.hpp>
#include <ringlet/system.hpp>

#include "lib/parse.hpp"
#include "server.hpp"

using namespace ringlet;

namespace {

/// Fills in `options`; the text of what is wrong, or nothing.
std::string_view parse_arguments(int argc, char** argv, httpd::Options& options) {
    for (int i = 1; i < argc; i += 2) {
        const std::string_view name = argv[i];
        if (i + 1 == argc) return "an option lacks its value";
        const std::string_view value = argv[i + 1];
        if (name == "--root") {
            if (!value.starts_with('/')) return "--root wants an absolute path";
            options.root = value;
        } else if (name == "--port") {
            const auto port = parse_number<u16>(value);
            if (!port || *port == 0) return "--port wants a number from 1 to 65535";
            options.port = *port;
        } else {
            return "unknown option; there are --root PATH and --port NUMBER";
        }
    }
    return {};
}

void announce(const httpd::Options& options) {
    const auto address = network().wait_for_address(Duration::from_s(60));
    if (!address) {
        log(LogLevel::warning, "httpd: no address yet ({}); `ip` tells more", address.error());
        return;
    }
    char text[16];
    log(LogLevel::info, "httpd: serving {} on http://{}:{}/", options.root,
        net::to_text(address->address, std::span<char, 16>(text)), options.port);
}

}  // namespace

int main(int argc, char** argv) {
    httpd::Options options;
    if (const auto wrong = parse_arguments(argc, argv, options); !wrong.empty()) {
        print("httpd: {}\n", wrong);
        return 2;
    }
    // A connection with a request in it holds about 8 KiB; half of the free memory may go there.
    const u64 affordable = page_stats().free_pages * kPageSize / 2 / 8192;
    options.max_connections = static_cast<u32>(affordable < 16 ? 16 : affordable > 1000 ? 1000 : affordable);

    options.max_lent_bytes = page_stats().total_pages * kPageSize / 128;  // a quarter of the block cache

    httpd::Server server(options);
    if (const auto listening = server.listen(); !listening) {
        print("httpd: cannot listen on port {}: {}\n", options.port, listening.error());
        return 1;
    }
    if (auto announcer = Thread::spawn({.name = "announce", .stack_bytes = 8192}, [options] { announce(options); }))
        announcer->detach();
    const auto ended = server.run();
    print("httpd: stopped: {}\n", ended.error());
    return 1;
}
