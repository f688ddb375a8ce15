// Keeps the wall clock right by SNTP (net/sntp.*): a step first, then small corrections that are spread over minutes.
// The servers are DHCP's (option 42) or the command line's. It has no thread: it runs with the stack.
// Context: thread, holding no lock.
#pragma once

#include <memory>

#include "net/api/service.hpp"
#include "net/sntp.hpp"

namespace ringlet::net {

class TimeSync : private detail::Agent {
public:
    explicit TimeSync(Service& service) : Agent(&TimeSync::run), service_(service) {}
    ~TimeSync();
    TimeSync(const TimeSync&) = delete;
    TimeSync& operator=(const TimeSync&) = delete;

    /// From now on, once there is a server. Once; no_memory, not_found: no network.
    Result<> start();
    Sntp::Status status();
    /// Waits until the clock is set; timed_out. not_connected: not started.
    Result<> wait_until_set(Duration timeout);

private:
    struct State {
        explicit State(SipKey key) : sntp(key) {}
        Sntp sntp;
        u32 sources_version = 0;
        std::optional<UdpHandle> socket;
    };
    static Did run(Agent& self, Stack& stack, Instant now);
    Did serve(Stack& stack, Instant now);
    void receive(Stack& stack, Instant now);
    bool send(Stack& stack, Instant now);
    void close(Stack& stack);

    Service& service_;
    std::unique_ptr<State> state_;
};

}  // namespace ringlet::net
