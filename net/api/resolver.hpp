// Names to addresses for threads: the resolver of net/dns_resolver.* on the stack's sockets. Whoever calls it waits as
// in any socket call; several threads may ask at once, and one question for a name serves them all. Context: thread,
// holding no lock.
#pragma once

#include <memory>

#include "net/api/service.hpp"
#include "net/dns_resolver.hpp"

namespace ringlet::net {

using dns::AddressList;
using dns::Family;

class NameResolver : private detail::Agent {
public:
    static constexpr Duration kTimeout = Duration::from_s(10);

    /// Costs nothing yet: tables are allocated by the first call. Lives as long as the service, or longer than its
    /// pumps.
    explicit NameResolver(Service& service);
    ~NameResolver();
    NameResolver(const NameResolver&) = delete;
    NameResolver& operator=(const NameResolver&) = delete;

    /// The addresses of `name`: a literal, a host known by configuration, or what DNS says (search domains included).
    /// While the network is still being configured by DHCP, it waits for that. invalid: no host name. not_found: no
    /// such name, or no address of that family. timed_out. unreachable: no server is known. io: the servers cannot
    /// answer. no_space, no_memory.
    Result<AddressList> resolve(std::string_view name, Family family = Family::any, Duration timeout = kTimeout);
    dns::Resolver::Counters counters();

private:
    struct Socket;
    struct State;
    static Did run(Agent& self, Stack& stack, Instant now);
    Did serve(Stack& stack, Instant now);
    Result<> open(detail::Core& core);
    void configure(const Stack& stack);
    void close(Stack& stack, Socket& socket, Instant now);
    void send(Stack& stack, const dns::Resolver::Outgoing& out, Bytes message, Instant now);
    void receive(Stack& stack, u8 query, Instant now);
    void receive_tcp(Stack& stack, u8 query, Socket& socket, Instant now);

    Service& service_;
    std::unique_ptr<State> state_;
};

}  // namespace ringlet::net
