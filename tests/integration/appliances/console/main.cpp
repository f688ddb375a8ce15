// An echo on the port org.ringlet.data, for tests/integration/test_console.py: what comes goes back, for ever, however
// often the host connects, or the port comes and goes.
#include <ringlet/console.hpp>
#include <ringlet/port.hpp>
#include <ringlet/thread.hpp>

using namespace ringlet;

namespace {

constexpr std::string_view kName = "org.ringlet.data";

/// Until the port is gone.
void serve(Port& port) {
    static std::byte bytes[4096];
    while (port.wait_open(kernel::now() + Duration::from_ms(500))) {
        print("console: {} is open\n", kName);
        usize total = 0;
        for (;;) {
            const auto n = port.read(bytes, Instant::never());
            if (!n) break;
            const auto sent = port.write({bytes, *n}, kernel::now() + Duration::from_s(10));
            if (!sent || *sent != *n) break;
            total += *n;
        }
        print("console: {} echoed {} bytes\n", kName, total);
    }
}

}  // namespace

int main() {
    print("console: ready\n");
    for (;;) {
        if (auto port = Port::open(kName)) serve(*port);
        kernel::sleep_for(Duration::from_ms(100));
    }
}
