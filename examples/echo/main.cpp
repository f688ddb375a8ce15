// The echo service (RFC 862) on TCP port 7, one thread per client.
#include <ringlet/console.hpp>
#include <ringlet/network.hpp>
#include <ringlet/thread.hpp>

using namespace ringlet;

namespace {

void serve(TcpStream& peer) {
    std::byte buffer[1024];
    peer.set_read_timeout(Duration::from_s(300));
    for (;;) {
        const auto n = peer.read(buffer);
        if (!n || *n == 0 || !peer.write(std::span(buffer).first(*n))) return;
    }
}

Result<> run() {
    TcpListener listener = TRY(TcpListener::bind(network(), 7));
    print("echo: listening on port 7\n");
    for (;;) {
        auto peer = TRY(listener.accept());
        auto worker =
            Thread::spawn({.name = "echo", .stack_bytes = 8192}, [p = std::move(peer)]() mutable { serve(p); });
        if (worker) worker->detach();
    }
}

}  // namespace

int main() {
    const auto ended = run();
    print("echo: {}\n", ended.error());
    return 1;
}
