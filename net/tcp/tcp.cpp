// The socket's side of Tcp, and the lives of connections: created, settled after every event, retired, destroyed.
// Context: the network monitor.
#include "net/tcp/tcp.hpp"

#include <new>

namespace ringlet::net::tcp {
namespace {

constexpr u32 kFirstEphemeral = 49152, kEphemeralPorts = 65536 - kFirstEphemeral;  // RFC 6335 §6

u16 sane_mss(u16 mss) {
    return std::clamp<u16>(mss, 64, PacketBuffer::kSize - PacketBuffer::kHeadroom - 64);
}

/// Numbers that the rest may rely on: windows fit the pool, segments fit a packet.
Config sane(Config c, const PacketPool& pool) {
    c.mss = sane_mss(c.mss);
    c.max_connections = std::clamp<u32>(c.max_connections, 1, 1u << 20);
    c.max_half_open = std::clamp<u32>(c.max_half_open, 1, c.max_connections);
    c.max_time_wait = std::clamp<u32>(c.max_time_wait, 1, c.max_connections);
    c.max_listeners = std::clamp<u32>(c.max_listeners, 1, 1024);
    c.send_buffer_bytes = std::clamp<usize>(c.send_buffer_bytes, PacketBuffer::kSize, 1u << 28);
    // One connection's window is at most an eighth of the pool, so that one that is not read hurts nobody else.
    const usize share = std::max<usize>(pool.total() * PacketBuffer::kSize / 8, 4096);
    const usize most = std::min<usize>(share, 1u << 30);
    c.receive_buffer_bytes = std::clamp<usize>(c.receive_buffer_bytes, 2048, most);
    c.receive_buffer_most = std::clamp<usize>(c.receive_buffer_most, c.receive_buffer_bytes, most);
    c.send_buffer_most = std::clamp<usize>(c.send_buffer_most, c.send_buffer_bytes, 1u << 28);
    return c;
}

}  // namespace

Tcp::Tcp(const Config& config, PacketPool& pool)
    : env_{.config = sane(config, pool), .pool = pool, .secrets = Secrets(config.secret), .send = {pool}},
      slots_(env_.config.max_connections + env_.config.max_listeners),
      table_(env_.config.max_connections, env_.secrets), deadlines_(env_.config.max_connections) {
    // What is left, an eighth at least, is for receiving at all and for headers.
    env_.packets_soft = pool.total() / 8 * 3;
    env_.packets_hard = pool.total() / 2;
    env_.send.soft = pool.total() / 4;
    env_.send.hard = pool.total() / 8 * 3;
    capacity_ = table_.capacity() == 0 ? 0 : deadlines_.capacity();
}

void Tcp::set_mss(u16 mss) {
    env_.config.mss = sane_mss(mss);
}

Tcp::~Tcp() {
    for (;;) {
        Entry* any = nullptr;
        table_.for_each([&](Entry& e) { any = &e; });
        if (any == nullptr) break;
        slots_.remove(*any);
        any->connection.finish(std::nullopt);
        retire(*any);
    }
    // Connections that had ended but whose handles were never closed are reachable by their slots alone.
    for (u32 i = 0; i < slots_.capacity(); ++i) {
        Socket* s = slots_.at(i);
        if (s == nullptr) continue;
        if (s->kind == Socket::Kind::connection)
            destroy(static_cast<Entry&>(*s));
        else
            close_listener(static_cast<Listener&>(*s));
    }
}

// --- lives --------------------------------------------------------------------------------------------------------

Entry* Tcp::create(const Endpoint& local, const Endpoint& remote, u8 link) {
    if (count_ >= capacity_ && !make_room()) {
        ++env_.stats.table_full;
        return nullptr;
    }
    auto* e = new (std::nothrow) Entry(env_, local, remote, link);
    if (e == nullptr) {
        ++env_.stats.no_memory;
        return nullptr;
    }
    ++count_;
    table_.add(*e);
    return e;
}

/// A full table gives up what matters least: an old TIME-WAIT, then what nobody here waits for any more (a peer that
/// never answers a FIN would hold it for a minute), then an old half-open connection.
bool Tcp::make_room() {
    if (!time_wait_.empty()) {
        ++env_.stats.time_wait_recycled;
        kill(time_wait_.front());
    } else if (!orphans_.empty()) {
        ++env_.stats.orphans_evicted;
        queue_reply(orphans_.front().connection.reset_segment());
        kill(orphans_.front());
    } else if (!half_open_.empty()) {
        ++env_.stats.half_open_evicted;
        kill(half_open_.front());
    }
    return count_ < capacity_;
}

void Tcp::activate(Entry& e) {
    if (!static_cast<ListNode<ActiveTag>&>(e).linked()) active_.push_back(e);
}

bool Tcp::settle(Entry& e, Instant now) {
    return settle_here(e, now);
}

/// `e` may be established now, or in TIME-WAIT: then it belongs elsewhere.
void Tcp::move_on(Entry& e) {
    Connection& c = e.connection;
    if (e.queue == Entry::Queue::half_open && c.is_synchronized()) {
        dequeue(e);
        enqueue(e, Entry::Queue::accept);
        notify(*e.listener, kReadable);
    }
    if (c.state() == State::time_wait) keep_in_time_wait(e);
}

/// All stay equally long, so the oldest of the queue is due first: those here are in no heap. Who is asked again by its
/// peer begins anew, at the end.
void Tcp::keep_in_time_wait(Entry& e) {
    if (e.queue == Entry::Queue::time_wait) {
        Entry& last = time_wait_.back();
        if (&e == &last || e.connection.deadline() < last.connection.deadline()) return;
    } else if (e.queue != Entry::Queue::none && e.queue != Entry::Queue::orphan) {
        return;
    } else if (time_wait_count_ >= env_.config.max_time_wait) {
        ++env_.stats.time_wait_recycled;
        kill(time_wait_.front());
    }
    dequeue(e);
    enqueue(e, Entry::Queue::time_wait);
    unschedule(e);
}

void Tcp::enqueue(Entry& e, Entry::Queue queue) {
    e.queue = queue;
    switch (queue) {
    case Entry::Queue::half_open:
        half_open_.push_back(e);
        ++half_open_count_;
        break;
    case Entry::Queue::accept:
        e.listener->accepted.push_back(e);
        ++e.listener->pending;
        break;
    case Entry::Queue::orphan:
        orphans_.push_back(e);
        break;
    case Entry::Queue::time_wait:
        time_wait_.push_back(e);
        ++time_wait_count_;
        break;
    case Entry::Queue::none:
        break;
    }
}

void Tcp::dequeue(Entry& e) {
    switch (std::exchange(e.queue, Entry::Queue::none)) {
    case Entry::Queue::half_open:
        --half_open_count_;
        break;
    case Entry::Queue::accept:
        // However the last one leaves, accepted or reset by its peer: the next arrival is news again.
        if (--e.listener->pending == 0) e.listener->reported = 0;
        break;
    case Entry::Queue::time_wait:
        --time_wait_count_;
        break;
    case Entry::Queue::orphan:
        break;
    case Entry::Queue::none:
        return;
    }
    List<Entry, QueueTag>::remove(e);
}

/// CLOSED: out of all tables. Whoever still holds the handle may read what is left and learn the error.
void Tcp::retire(Entry& e) {
    dequeue(e);
    if (e.hashed) --count_;
    table_.remove(e);
    unschedule(e);
    if (static_cast<ListNode<ActiveTag>&>(e).linked()) List<Entry, ActiveTag>::remove(e);
    if (e.slot == kNone)
        destroy(e);
    else
        notify(e, e.connection.readiness_bits());
}

void Tcp::destroy(Entry& e) {
    if (static_cast<ListNode<ReadyTag>&>(e).linked()) List<Socket, ReadyTag>::remove(e);
    slots_.remove(e);
    delete &e;
}

/// Ends `e` without telling anybody but its handle.
void Tcp::kill(Entry& e) {
    e.connection.finish(std::nullopt);
    retire(e);
}

// --- opening ------------------------------------------------------------------------------------------------------

Result<Handle> Tcp::listen(Endpoint local, u16 backlog) {
    if (local.port == 0) return fail(Error::invalid);
    for (Listener& l : listeners_) {
        const bool overlap =
            l.local.address.is_covered_by(local.address) || local.address.is_covered_by(l.local.address);
        if (l.local.port == local.port && overlap) return fail(Error::in_use);
    }
    if (listener_count_ >= env_.config.max_listeners) return fail(Error::no_space);
    auto* l = new (std::nothrow) Listener(local, std::max<u16>(backlog, 1));
    if (l == nullptr) return fail(Error::no_memory);
    const std::optional<Handle> h = slots_.add(*l);
    if (!h) {
        delete l;
        return fail(Error::no_space);
    }
    ++listener_count_;
    listeners_.push_back(*l);
    return *h;
}

/// RFC 6056 §3.3.3: a hash of the destination gives the start, a counter the step.
std::optional<u16> Tcp::ephemeral_port(IpAddr local, const Endpoint& remote) {
    const u32 offset = env_.secrets.port_offset(local, remote);
    for (u32 i = 0; i < kEphemeralPorts; ++i) {
        const auto port = static_cast<u16>(kFirstEphemeral + (offset + port_counter_++) % kEphemeralPorts);
        const Endpoint candidate{local, port, remote.scope};
        if (table_.find(candidate, remote) == nullptr && find_listener(candidate) == nullptr) return candidate.port;
    }
    return std::nullopt;
}

Result<Handle> Tcp::connect(Endpoint local, Endpoint remote, Instant now, u8 link) {
    const IpAddr to = remote.address;
    if (local.address.is_unspecified() || to.is_unspecified() || to.is_broadcast() || to.is_multicast() ||
        remote.port == 0)
        return fail(Error::invalid);
    if (local.port == 0) {
        const std::optional<u16> port = ephemeral_port(local.address, remote);
        if (!port) return fail(Error::in_use);
        local.port = *port;
    }
    if (local == remote || table_.find(local, remote) != nullptr) return fail(Error::in_use);
    Entry* e = create(local, remote, link);
    if (e == nullptr) return fail(Error::no_memory);
    const std::optional<Handle> h = slots_.add(*e);
    if (!h) {
        kill(*e);
        return fail(Error::no_space);
    }
    e->connection.open_active(now);
    settle(*e, now);
    return *h;
}

Result<Handle> Tcp::accept(Handle listener) {
    Socket* s = slots_.find(listener);
    if (s == nullptr || s->kind != Socket::Kind::listener) return fail(Error::invalid);
    auto& l = static_cast<Listener&>(*s);
    if (l.accepted.empty()) return fail(Error::would_block);
    Entry& e = l.accepted.front();
    const std::optional<Handle> h = slots_.add(e);
    if (!h) return fail(Error::no_space);
    dequeue(e);
    e.listener = nullptr;
    notify(e, e.connection.readiness_bits());
    return *h;
}

// --- data ---------------------------------------------------------------------------------------------------------

Entry* Tcp::find_connection(Handle h) const {
    Socket* s = slots_.find(h);
    return s != nullptr && s->kind == Socket::Kind::connection ? static_cast<Entry*>(s) : nullptr;
}

void Tcp::after_read(Entry& e) {
    if (e.hashed && e.connection.owes_ack()) activate(e);
    e.reported &= e.connection.readiness_bits();  // reading raises nothing
}

void Tcp::after_write(Entry& e, Instant now) {
    if (env_.send.refused && writers_at_.is_never()) poll_at(writers_at_ = now + Duration::from_ms(10));
    if (e.hashed) activate(e);                    // output() finds out what may go, and when to ask again
    e.reported &= e.connection.readiness_bits();  // nor does writing
}

Result<usize> Tcp::read(Handle h, MutableBytes to, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    Result<usize> n = e->connection.read(to, now);
    after_read(*e);
    return n;
}

Result<std::optional<PacketBuffer>> Tcp::take(Handle h, usize most, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    if (env_.pool.free() < env_.pool.total() / 4) return fail(Error::no_memory);
    auto taken = e->connection.take(most, now);
    after_read(*e);
    return taken;
}

Result<usize> Tcp::write(Handle h, Bytes from, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    Result<usize> n = e->connection.write(from, now);
    after_write(*e, now);
    return n;
}

Result<usize> Tcp::lend(Handle h, Bytes from, DmaAddr dma, Loan* loan, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    Result<usize> n = e->connection.lend(from, dma, loan, now);
    after_write(*e, now);
    return n;
}

Result<usize> Tcp::write_urgent(Handle h, Bytes from, Instant now) {
    const Result<usize> n = write(h, from, now);
    if (n) find_connection(h)->connection.mark_urgent();
    return n;
}

Result<> Tcp::shutdown_write(Handle h, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    Result<> r = e->connection.shutdown_write();
    if (e->hashed) settle(*e, now);
    return r;
}

// --- closing ------------------------------------------------------------------------------------------------------

void Tcp::close(Handle h, Instant now) {
    Socket* s = slots_.find(h);
    if (s == nullptr) return;
    if (s->kind == Socket::Kind::listener) {
        close_listener(static_cast<Listener&>(*s));
        return;
    }
    auto& e = static_cast<Entry&>(*s);
    if (!e.connection.orphan(now)) {
        abort(h, now);
        return;
    }
    slots_.remove(e);
    if (static_cast<ListNode<ReadyTag>&>(e).linked()) List<Socket, ReadyTag>::remove(e);
    if (settle(e, now) && e.queue == Entry::Queue::none) enqueue(e, Entry::Queue::orphan);
}

void Tcp::abort(Handle h, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) {
        close(h, now);
        return;
    }
    // §3.10.5: the peer of a connection that is not yet or no longer synchronized needs no <RST>.
    const State state = e->connection.state();
    if (state == State::syn_received || (e->connection.is_synchronized() && state != State::time_wait))
        queue_reply(e->connection.reset_segment());
    slots_.remove(*e);
    kill(*e);
}

void Tcp::close_listener(Listener& l) {
    auto reset = [this](Entry& e) {
        queue_reply(e.connection.reset_segment());
        kill(e);
    };
    while (!l.accepted.empty()) reset(l.accepted.front());
    for (auto it = half_open_.begin(); it != half_open_.end();) {
        Entry& e = *it;
        ++it;
        if (e.listener == &l) reset(e);
    }
    if (static_cast<ListNode<ReadyTag>&>(l).linked()) List<Socket, ReadyTag>::remove(l);
    List<Listener, ListenTag>::remove(l);
    slots_.remove(l);
    --listener_count_;
    delete &l;
}

usize Tcp::buffers_held() const {
    usize n = env_.send.held + merger_.buffers();
    for (u32 i = 0; i < slots_.capacity(); ++i) {
        const Socket* s = slots_.at(i);
        if (s != nullptr && s->kind == Socket::Kind::connection)
            n += static_cast<const Entry*>(s)->connection.receive_buffers();
    }
    table_.for_each([&](const Entry& e) { n += e.slot == kNone ? e.connection.receive_buffers() : 0; });
    return n;
}

// --- looking ------------------------------------------------------------------------------------------------------

Readiness Tcp::readiness_of(const Socket& s) const {
    if (s.kind == Socket::Kind::connection) return static_cast<const Entry&>(s).connection.readiness();
    Readiness r;
    r.readable = static_cast<const Listener&>(s).pending != 0;
    return r;
}

Readiness Tcp::readiness(Handle h) const {
    const Socket* s = slots_.find(h);
    if (s != nullptr) return readiness_of(*s);
    Readiness r;
    r.closed = true;
    r.error = Error::invalid;
    return r;
}

Result<> Tcp::take_error(Handle h) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    const std::optional<Error> error = e->connection.readiness().error;
    e->connection.clear_pending_error();
    e->reported &= e->connection.readiness_bits();
    if (error) return fail(*error);
    return {};
}

Result<> Tcp::configure(Handle h, const Options& options, Instant now) {
    Entry* e = find_connection(h);
    if (e == nullptr) return fail(Error::invalid);
    e->connection.configure(options, now);
    if (e->hashed) settle(*e, now);
    return {};
}

Info Tcp::info_of(const Entry& e) const {
    Info i = e.connection.info();
    if (i.remote.address.is_link_local()) i.remote.scope = static_cast<u16>(e.link + 1);
    i.handle = slots_.handle_of(e);
    return i;
}

Info Tcp::info_of(const Listener& l) const {
    Info i;
    i.handle = slots_.handle_of(l);
    i.local = l.local;
    i.state = State::listen;
    i.send_queue = l.backlog;
    i.receive_queue = l.pending;
    return i;
}

Result<Info> Tcp::info(Handle h) const {
    const Socket* s = slots_.find(h);
    if (s == nullptr) return fail(Error::invalid);
    if (s->kind == Socket::Kind::listener) return info_of(static_cast<const Listener&>(*s));
    return info_of(static_cast<const Entry&>(*s));
}

void Tcp::set_user_data(Handle h, void* data) {
    if (Socket* s = slots_.find(h)) s->user_data = data;
}

void* Tcp::user_data(Handle h) const {
    const Socket* s = slots_.find(h);
    return s == nullptr ? nullptr : s->user_data;
}

void Tcp::for_each(FunctionRef<void(const Info&)> visit) const {
    for (u32 i = 0; i < slots_.capacity(); ++i) {
        const Socket* s = slots_.at(i);
        if (s != nullptr && s->kind == Socket::Kind::listener) visit(info_of(static_cast<const Listener&>(*s)));
    }
    table_.for_each([&](const Entry& e) { visit(info_of(e)); });
}

}  // namespace ringlet::net::tcp
