// kv: a key-value server for redis-cli, on TCP port 6379. A thread for each client; the store is theirs together.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <thread>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "commands.hpp"
#include "resp.hpp"
#include "store.hpp"

namespace {

constexpr int kPort = 6379, kMostClients = 256;
std::atomic<int> clients = 0;

bool send_all(int fd, const std::string& bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
        const ssize_t n = send(fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
        if (n <= 0) return false;
        at += static_cast<std::size_t>(n);
    }
    return true;
}

/// Until the client goes, says QUIT, is silent for five minutes, or does not speak the protocol.
void serve(int fd, Store& store) {
    CommandReader reader;
    char bytes[16384];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0;) {
        reader.feed({bytes, static_cast<std::size_t>(n)});
        std::string answers;  // to everything that has come: a client may send many commands at once
        bool going = true;
        try {
            while (going) {
                const auto words = reader.next();
                if (!words) break;
                going = strcasecmp(words->front().c_str(), "quit") != 0;
                answers += going ? answer(store, *words) : simple("OK");
            }
        } catch (const ProtocolError& e) {
            answers += error(std::string("Protocol error: ") + e.what());
            going = false;
        }
        if (!send_all(fd, answers) || !going) return;
    }
}

void serve_and_close(int fd, Store& store) {
    try {
        serve(fd, store);
    } catch (const std::exception& e) {  // out of memory, for one: it is this client's end, not the server's
        std::fprintf(stderr, "kv: a client was dropped: %s\n", e.what());
    }
    close(fd);
    --clients;
}

int listen_on(int port) {
    const int fd = socket(AF_INET6, SOCK_STREAM, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 128) != 0) {
        std::perror("kv: cannot listen");
        std::exit(1);
    }
    return fd;
}

}  // namespace

int main(int argc, char** argv) try {
    Store store(argc > 1 ? argv[1] : "/kv.log");
    const Store::Facts found = store.facts();
    const int listener = listen_on(kPort);
    std::printf("kv: %zu keys, %zu bytes cut off, serving on port %d\n", found.keys, found.dropped_bytes, kPort);
    std::fflush(stdout);
    for (;;) {
        const int fd = accept(listener, nullptr, nullptr);
        if (fd < 0) continue;
        if (clients >= kMostClients) {
            send_all(fd, error("too many clients"));
            close(fd);
            continue;
        }
        const int on = 1;
        const timeval silence{300, 0};
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &silence, sizeof silence);
        ++clients;
        try {
            std::thread(serve_and_close, fd, std::ref(store)).detach();
        } catch (const std::system_error&) {
            --clients;
            close(fd);
        }
    }
} catch (const std::exception& e) {
    std::fprintf(stderr, "kv: %s\n", e.what());
    return 1;
}
