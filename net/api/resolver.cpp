// The sockets of the resolver: each message leaves from a fresh one, whose port the stack chooses at random (RFC 5452
// §9.2) and which hears only the server it is connected to. Context: thread; run() under the monitor.
#include "net/api/resolver.hpp"

#include <algorithm>
#include <new>

#include "kernel/random.hpp"

namespace ringlet::net {

using dns::Resolver;

/// One query's. By TCP a message stands behind its length (RFC 1035 §4.2.2); a larger one than the buffer is refused.
struct NameResolver::Socket {
    static constexpr usize kTcpBytes = 4096;
    enum class Kind : u8 { none, udp, tcp } kind = Kind::none;
    UdpHandle udp;
    tcp::Handle tcp;
    std::unique_ptr<std::byte[]> buffer;  // TCP: what is to be sent, then what has come
    usize to_send = 0, sent = 0, received = 0;
};

struct NameResolver::State {
    explicit State(SipKey key) : resolver(key) {}
    Resolver resolver;
    u32 sources_version = 0;
    std::array<Socket, Resolver::kQueries> sockets;
    std::array<std::byte, dns::kUdpPayload> message;
};

NameResolver::NameResolver(Service& service) : Agent(&NameResolver::run), service_(service) {}

NameResolver::~NameResolver() {
    if (state_ == nullptr) return;
    auto held = service_.lock();
    for (Socket& s : state_->sockets) close(*held->stack, s, kernel::now());
    List<Agent>::remove(*this);
}

Result<> NameResolver::open(detail::Core& core) {
    if (state_ != nullptr) return {};
    SipKey key;
    kernel::random_fill(std::as_writable_bytes(std::span(&key, 1)));
    state_.reset(new (std::nothrow) State(key));
    if (state_ == nullptr) return fail(Error::no_memory);
    core.agents.push_back(*this);
    return {};
}

/// What the views in the settings look at may change with every lease: taken afresh when it has.
void NameResolver::configure(const Stack& stack) {
    if (std::exchange(state_->sources_version, stack.sources_version()) == stack.sources_version()) return;
    const Stack::Sources from = stack.sources();
    state_->resolver.configure({.servers = {from.dns.begin(), from.dns.end()},
                                .search = from.search,
                                .ndots = 1,
                                .hosts = from.hosts,
                                .ipv6 = from.ipv6});
}

Result<AddressList> NameResolver::resolve(std::string_view name, Family family, Duration timeout) {
    const Instant until = Service::after(timeout);
    auto held = service_.lock();
    if (!held->stack) return fail(Error::unreachable);
    TRY(open(*held));
    detail::Waiter waiter;
    if (!IpAddr::parse(name) && held->stack->is_configuring()) {
        held->stack_waiters.push_back(waiter);
        (void)service_.wait(held, waiter, until, [&] { return !held->stack->is_configuring(); });
        held->stack_waiters.remove(waiter);
    }
    configure(*held->stack);
    Resolver& resolver = state_->resolver;
    const u32 id = TRY(resolver.start(name, family, kernel::now()));
    held->rouse_agents();
    Result<AddressList> result = fail(Error::would_block);
    waiters.push_back(waiter);
    const bool in_time = service_.wait(held, waiter, until, [&] {
        result = resolver.result(id);
        return result || result.error() != Error::would_block;
    });
    waiters.remove(waiter);
    if (in_time) return result;
    resolver.cancel(id);
    held->rouse_agents();  // its sockets are of no use any more
    service_.interrupt();
    return fail(Error::timed_out);
}

Resolver::Counters NameResolver::counters() {
    auto held = service_.lock();
    return state_ == nullptr ? Resolver::Counters{} : state_->resolver.counters();
}

detail::Agent::Did NameResolver::run(Agent& self, Stack& stack, Instant now) {
    return static_cast<NameResolver&>(self).serve(stack, now);
}

detail::Agent::Did NameResolver::serve(Stack& stack, Instant now) {
    Resolver& resolver = state_->resolver;
    configure(stack);
    if (!resolver.is_idle()) {
        for (u8 q = 0; q < Resolver::kQueries; ++q) receive(stack, q, now);
        resolver.poll(now);
    }
    bool sent = false;
    std::byte query[dns::kQueryBytes];
    // Bounded: a server that cannot be reached is tried kRounds times, each query ends.
    for (usize i = 0; i < Resolver::kQueries * Resolver::kServers; ++i) {
        const auto out = resolver.output(query, now);
        if (!out) break;
        send(stack, *out, Bytes(query, out->size), now);
        sent = true;
    }
    for (u8 q = 0; q < Resolver::kQueries; ++q)
        if (!resolver.is_waiting(q)) close(stack, state_->sockets[q], now);
    deadline = resolver.deadline();
    const bool changed = resolver.take_change();
    return changed && sent ? Did::both : changed ? Did::changed : sent ? Did::sent : Did::nothing;
}

void NameResolver::close(Stack& stack, Socket& s, Instant now) {
    if (s.kind == Socket::Kind::none) return;
    if (s.kind == Socket::Kind::udp) stack.udp().close(s.udp);
    if (s.kind == Socket::Kind::tcp) stack.tcp().abort(s.tcp, now);
    if (s.kind == Socket::Kind::tcp) stack.tcp().close(s.tcp, now);
    s = {};
}

void NameResolver::send(Stack& stack, const Resolver::Outgoing& out, Bytes message, Instant now) {
    Socket& s = state_->sockets[out.query];
    const Endpoint server{out.server, dns::kPort};
    close(stack, s, now);
    if (out.transport == Resolver::Transport::udp) {
        const auto h = stack.udp().open({});
        if (!h || !stack.udp().connect(*h, server)) return state_->resolver.failed(out.query, now);
        s.kind = Socket::Kind::udp;
        s.udp = *h;
        const auto queued = stack.send_to(*h, {}, message, now);
        // Without a packet it is as good as lost: the time-out sends it again.
        if (!queued && queued.error() != Error::would_block) state_->resolver.failed(out.query, now);
        return;
    }
    s.buffer.reset(new (std::nothrow) std::byte[Socket::kTcpBytes]);
    const auto h = s.buffer != nullptr ? stack.connect(server, now) : fail(Error::no_memory);
    if (!h) return state_->resolver.failed(out.query, now);
    s.kind = Socket::Kind::tcp;
    s.tcp = *h;
    const be16 length = static_cast<u16>(message.size());
    std::memcpy(s.buffer.get(), &length, 2);
    std::memcpy(s.buffer.get() + 2, message.data(), message.size());
    s.to_send = 2 + message.size();
}

void NameResolver::receive(Stack& stack, u8 query, Instant now) {
    Socket& s = state_->sockets[query];
    Resolver& resolver = state_->resolver;
    if (s.kind == Socket::Kind::tcp) return receive_tcp(stack, query, s, now);
    // Bounded by the socket's queue. After a good answer the rest is of no interest.
    for (usize i = 0; i <= Udp::kReceiveQueue && s.kind == Socket::Kind::udp && resolver.is_waiting(query); ++i) {
        const auto r = stack.udp().receive_from(s.udp, state_->message);
        if (!r && r.error() == Error::would_block) return;
        if (!r) return resolver.failed(query, now);
        // A datagram larger than we said we take is cut off and so malformed: its sender breaks the rules.
        resolver.input(query, Bytes(state_->message).first(std::min(r->size, state_->message.size())), now);
    }
}

void NameResolver::receive_tcp(Stack& stack, u8 query, Socket& s, Instant now) {
    Resolver& resolver = state_->resolver;
    if (!resolver.is_waiting(query)) return;
    while (s.sent < s.to_send) {
        const auto n = stack.tcp().write(s.tcp, Bytes(s.buffer.get() + s.sent, s.to_send - s.sent), now);
        if (!n && n.error() == Error::would_block) return;
        if (!n) return resolver.failed(query, now);
        s.sent += *n;
    }
    for (;;) {
        usize wanted = 2;
        if (s.received >= 2) wanted += *read_at<be16>(Bytes(s.buffer.get(), 2), 0);
        if (wanted > Socket::kTcpBytes) return resolver.failed(query, now);
        if (s.received == wanted && wanted > 2) {
            resolver.input(query, Bytes(s.buffer.get() + 2, wanted - 2), now);
            if (resolver.is_waiting(query)) resolver.failed(query, now);  // another answer will not come
            return;
        }
        if (s.received == wanted) return resolver.failed(query, now);  // an empty message
        const auto n = stack.tcp().read(s.tcp, MutableBytes(s.buffer.get() + s.received, wanted - s.received), now);
        if (!n && n.error() == Error::would_block) return;
        if (!n || *n == 0) return resolver.failed(query, now);
        s.received += *n;
    }
}

}  // namespace ringlet::net
