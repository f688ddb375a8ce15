// metrics: StatsD's lines by UDP on port 8125 in, Prometheus' text by HTTP on port 9102 out. One thread, one poll().
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <ringlet/system.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "series.hpp"

namespace {

constexpr int kUdpPort = 8125, kHttpPort = 9102;
constexpr std::size_t kMostClients = 32, kMostRequest = 4096;
constexpr time_t kPatience = 10;  ///< seconds for a request and its answer

/// Somebody who asks, from the first byte of the request to the last of the answer.
struct Client {
    int fd;
    time_t since;
    std::string request, answer;
};

time_t seconds_now() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

int open_port(int kind, int port) {
    const int fd = socket(AF_INET6, kind | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(static_cast<std::uint16_t>(port));
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        (kind == SOCK_STREAM && listen(fd, 64) != 0)) {
        std::perror("metrics: cannot open a port");
        std::exit(1);
    }
    return fd;
}

std::string about_the_machine() {
    const auto pages = ringlet::page_stats();
    return "# TYPE ringlet_free_bytes gauge\nringlet_free_bytes " + std::to_string(pages.free_pages * 4096) +
           "\n# TYPE ringlet_uptime_seconds counter\nringlet_uptime_seconds " + std::to_string(seconds_now()) + "\n";
}

std::string respond(const std::string& request, const Series& series) {
    std::string status = "404 Not Found", body = "only /metrics is here\n";
    if (request.starts_with("GET /metrics ")) {
        status = "200 OK";
        body = series.text() + about_the_machine();
    } else if (!request.starts_with("GET ")) {
        status = "405 Method Not Allowed";
        body = "only GET\n";
    }
    return "HTTP/1.1 " + status +
           "\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
}

/// What can be done for it now. False: it is through, or gone.
bool go_on(Client& c, const Series& series) {
    if (c.answer.empty()) {
        char bytes[1024];
        const ssize_t n = recv(c.fd, bytes, sizeof bytes, 0);
        if (n < 0) return errno == EAGAIN;
        if (n == 0) return false;
        c.request.append(bytes, static_cast<std::size_t>(n));
        if (c.request.find("\r\n\r\n") == c.request.npos) return c.request.size() < kMostRequest;
        c.answer = respond(c.request, series);
    }
    const ssize_t n = send(c.fd, c.answer.data(), c.answer.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    c.answer.erase(0, static_cast<std::size_t>(n));
    return !c.answer.empty();
}

void take_datagrams(int fd, Series& series) {
    static char bytes[65536];
    for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) >= 0;) series.take({bytes, static_cast<std::size_t>(n)});
}

}  // namespace

int main() {
    Series series;
    std::vector<Client> clients;
    const int udp = open_port(SOCK_DGRAM, kUdpPort), http = open_port(SOCK_STREAM, kHttpPort);
    std::printf("metrics: UDP port %d in, HTTP port %d out\n", kUdpPort, kHttpPort);
    std::fflush(stdout);
    for (;;) {
        std::vector<pollfd> waiting{{udp, POLLIN, 0},
                                    {http, static_cast<short>(clients.size() < kMostClients ? POLLIN : 0), 0}};
        for (const Client& c : clients)
            waiting.push_back({c.fd, static_cast<short>(c.answer.empty() ? POLLIN : POLLOUT), 0});
        poll(waiting.data(), waiting.size(), 1000);
        take_datagrams(udp, series);
        const time_t now = seconds_now();
        for (std::size_t i = clients.size(); i-- > 0;) {
            const bool ready = waiting[i + 2].revents != 0;
            if ((ready && !go_on(clients[i], series)) || now - clients[i].since > kPatience) {
                close(clients[i].fd);
                clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
            }
        }
        if (const int fd = (waiting[1].revents & POLLIN) != 0 ? accept4(http, nullptr, nullptr, SOCK_NONBLOCK) : -1;
            fd >= 0)
            clients.push_back({fd, now, {}, {}});
    }
}
