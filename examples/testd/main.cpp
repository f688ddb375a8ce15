// The classic small services, for tests and measurements against real peers, all in one event loop:
//   tcp and udp 7 echo (RFC 862), tcp and udp 9 discard (RFC 863), tcp 13 daytime (RFC 867: closes first),
//   tcp 19 chargen (RFC 864), tcp 6000 accepts and never reads, tcp 80 a minimal HTTP server with keep-alive,
//   tcp 6002 chargen out of memory that is lent (TcpStream::lend),
//   udp 6001 echo, and a marker instruction that bench/net counts at.
// Prints "testd: ready" when all of them listen.
#include <memory>
#include <new>

#include <ringlet/console.hpp>
#include <ringlet/network.hpp>
#include <ringlet/system.hpp>

#include "services.hpp"

using namespace ringlet;
using namespace testd;

namespace {

constexpr Service kServices[] = {{7, "echo", echo},        {9, "discard", discard}, {13, "daytime", daytime},
                                 {19, "chargen", chargen}, {80, "http", http},      {6000, "deaf", deaf},
                                 {6002, "lent", lent}};

Result<> run() {
    Loop loop(network());
    if (!prepare_text()) return fail(Error::no_memory);
    for (const Service& service : kServices) TRY(loop.listen(service));
    TRY(loop.datagrams(7, Answer::echo));
    TRY(loop.datagrams(9, Answer::nothing));
    TRY(loop.datagrams(6001, Answer::mark));
    if (const auto address = network().wait_for_address(Duration::from_s(30))) {
        char text[16];
        print("testd: address {}\n", net::to_text(address->address, std::span<char, 16>(text)));
    }
    print("testd: ready\n");
    return loop.run();
}

}  // namespace

int main() {
    print("testd: {}\n", run().error());
    return 1;
}
