// Sockets: each call takes the monitor once, tries, and sleeps on its own Waiter when it must. Context: thread.
#include "net/api/socket.hpp"

#include <new>

#include "kernel/mm/dma.hpp"

#include "net/api/selector.hpp"

namespace ringlet::net {

namespace detail {

Watch* Socket::make_watch(Watch::Kind kind) {
    auto* watch = new (std::nothrow) Watch;
    if (watch != nullptr) watch->kind = kind;
    return watch;
}

template <class Attempt>
auto Socket::block(Instant deadline, Attempt attempt) const -> std::invoke_result_t<Attempt&, Stack&> {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    auto result = attempt(*held->stack);
    if (result || result.error() != Error::would_block) {
        push(held);
        return result;
    }
    Waiter waiter;
    watch_->waiters.push_back(waiter);
    const bool in_time = service_->wait(held, waiter, deadline, [&] {
        result = attempt(*held->stack);
        return result || result.error() != Error::would_block;
    });
    watch_->waiters.remove(waiter);
    push(held);
    if (!in_time) return fail(Error::timed_out);
    return result;
}

void Socket::push(Service::Monitor::Access& held) const {
    if (watch_->selector == nullptr) service_->push_output(held);
}

tcp::Readiness Socket::readiness() const {
    tcp::Readiness now;
    now.closed = watch_ == nullptr;
    if (now.closed) return now;
    auto held = service_->lock();
    if (watch_->kind != Watch::Kind::datagram) return held->stack->tcp().readiness(watch_->tcp);
    const Udp& udp = held->stack->udp();
    now.readable = udp.readable(watch_->udp);
    now.writable = udp.writable(watch_->udp);
    return now;
}

void Socket::observe(Observer* observer) {
    if (watch_ == nullptr) return;
    auto held = service_->lock();
    watch_->observer = observer;
}

void Socket::close() {
    Watch* watch = std::exchange(watch_, nullptr);
    if (watch == nullptr) return;
    auto held = service_->lock();
    const bool deferred = watch->selector != nullptr;  // its thread sends with the next wait()
    if (deferred) Selector::forget(*watch);
    Stack& stack = *held->stack;
    if (watch->kind == Watch::Kind::datagram) {
        stack.close(watch->udp, kernel::now());
    } else {
        stack.tcp().set_user_data(watch->tcp, nullptr);
        stack.tcp().close(watch->tcp, kernel::now());
    }
    delete watch;
    if (!deferred) service_->push_output(held);
}

}  // namespace detail

namespace {

/// Gives a fresh connection its Watch; closes it when there is no memory for one.
detail::Watch* adopt(Stack& stack, detail::Watch* watch, tcp::Handle h) {
    if (watch == nullptr) {
        stack.tcp().abort(h, kernel::now());
        return nullptr;
    }
    watch->tcp = h;
    stack.tcp().set_user_data(h, watch);
    return watch;
}

}  // namespace

Result<TcpStream> TcpStream::start_connect(Service& service, Endpoint remote, u16 local_port) {
    auto held = service.lock();
    if (!held->stack) return fail(Error::unreachable);
    const tcp::Handle h = TRY(held->stack->connect(remote, kernel::now(), local_port));
    detail::Watch* watch = adopt(*held->stack, make_watch(detail::Watch::Kind::stream), h);
    service.push_output(held);
    if (watch == nullptr) return fail(Error::no_memory);
    return TcpStream(service, watch);
}

Result<TcpStream> TcpStream::connect(Service& service, Endpoint remote, Duration timeout) {
    TcpStream stream = TRY(start_connect(service, remote));
    const Result<> opened = stream.block(Service::after(timeout), [&](Stack& stack) -> Result<> {
        const tcp::Readiness r = stack.tcp().readiness(stream.watch_->tcp);
        if (r.error) return fail(*r.error);
        if (r.closed) return fail(Error::connection_reset);
        if (!r.writable) return fail(Error::would_block);
        return {};
    });
    if (!opened) {
        stream.abort();
        return fail(opened.error());
    }
    return stream;
}

Result<usize> TcpStream::read(MutableBytes to) {
    return block(Service::after(read_timeout_), [&](Stack& s) { return s.tcp().read(watch_->tcp, to, kernel::now()); });
}

Result<usize> TcpStream::try_read(MutableBytes to) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const auto n = held->stack->tcp().read(watch_->tcp, to, kernel::now());
    if (n) push(held);  // the window may have opened, or a starved receive ring may want the buffers
    return n;
}

ReceivedBytes::~ReceivedBytes() {
    if (!packet_) return;
    auto held = service_->lock();
    packet_.reset();
    if (held->stack->is_starved()) service_->push_output(held);  // reception may be waiting for just these
}

Result<ReceivedBytes> TcpStream::take(usize most) {
    auto taken = TRY(
        block(Service::after(read_timeout_), [&](Stack& s) { return s.tcp().take(watch_->tcp, most, kernel::now()); }));
    return ReceivedBytes(*service_, std::move(taken));
}

Result<ReceivedBytes> TcpStream::try_take(usize most) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    auto taken = TRY(held->stack->tcp().take(watch_->tcp, most, kernel::now()));
    push(held);
    return ReceivedBytes(*service_, std::move(taken));
}

Result<usize> TcpStream::try_write_urgent(Bytes from) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const auto n = held->stack->tcp().write_urgent(watch_->tcp, from, kernel::now());
    if (n) push(held);
    return n;
}

Result<> TcpStream::write(Bytes from) {
    while (!from.empty()) {
        const usize n = TRY(block(Service::after(write_timeout_),
                                  [&](Stack& s) { return s.tcp().write(watch_->tcp, from, kernel::now()); }));
        from = from.subspan(n);
    }
    return {};
}

Result<usize> TcpStream::try_write(Bytes from) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const auto n = held->stack->tcp().write(watch_->tcp, from, kernel::now());
    if (n) push(held);
    return n;
}

namespace {

Result<usize> lend_some(Stack& stack, tcp::Handle h, Bytes from, Loan* loan) {
    const auto dma = kernel::dma_address(from);
    if (!dma) return stack.tcp().write(h, from, kernel::now());
    return stack.tcp().lend(h, from, *dma, loan, kernel::now());
}

}  // namespace

bool AwaitedLoan::wait(Duration timeout) {
    if (!std::exchange(dropped_, true)) drop();
    return over_.wait_until(Service::after(timeout));
}

Result<> TcpStream::lend(Bytes from, Loan* loan) {
    while (!from.empty()) {
        const usize n =
            TRY(block(Service::after(write_timeout_), [&](Stack& s) { return lend_some(s, watch_->tcp, from, loan); }));
        from = from.subspan(n);
    }
    return {};
}

Result<usize> TcpStream::try_lend(Bytes from, Loan* loan) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const auto n = lend_some(*held->stack, watch_->tcp, from, loan);
    if (n) push(held);
    return n;
}

Result<> TcpStream::shutdown_write() {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const Result<> result = held->stack->tcp().shutdown_write(watch_->tcp, kernel::now());
    push(held);
    return result;
}

void TcpStream::abort() {
    if (watch_ == nullptr) return;
    {
        auto held = service_->lock();
        held->stack->tcp().abort(watch_->tcp, kernel::now());
    }
    close();  // the handle is stale now, which close() takes in its stride
}

Result<> TcpStream::configure(const tcp::Options& options) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    return held->stack->tcp().configure(watch_->tcp, options, kernel::now());
}

Result<tcp::Info> TcpStream::info() const {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    return held->stack->tcp().info(watch_->tcp);
}

Result<> TcpStream::take_error() {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    return held->stack->tcp().take_error(watch_->tcp);
}

Result<TcpListener> TcpListener::bind(Service& service, Endpoint local, u16 backlog) {
    auto held = service.lock();
    if (!held->stack) return fail(Error::unreachable);
    const tcp::Handle h = TRY(held->stack->tcp().listen(local, backlog));
    detail::Watch* watch = make_watch(detail::Watch::Kind::listener);
    if (watch == nullptr) {
        held->stack->tcp().close(h, kernel::now());
        return fail(Error::no_memory);
    }
    watch->tcp = h;
    held->stack->tcp().set_user_data(h, watch);
    return TcpListener(service, watch);
}

Result<TcpStream> TcpListener::accept(Duration timeout) {
    const tcp::Handle h = TRY(block(Service::after(timeout), [&](Stack& s) { return s.tcp().accept(watch_->tcp); }));
    auto held = service_->lock();
    detail::Watch* watch = adopt(*held->stack, make_watch(detail::Watch::Kind::stream), h);
    if (watch == nullptr) return fail(Error::no_memory);
    return TcpStream(*service_, watch);
}

Result<TcpStream> TcpListener::try_accept() {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const tcp::Handle h = TRY(held->stack->tcp().accept(watch_->tcp));
    detail::Watch* watch = adopt(*held->stack, make_watch(detail::Watch::Kind::stream), h);
    if (watch == nullptr) return fail(Error::no_memory);
    return TcpStream(*service_, watch);
}

Result<UdpSocket> UdpSocket::bind(Service& service, Endpoint local, PortUse use) {
    auto held = service.lock();
    if (!held->stack) return fail(Error::unreachable);
    const UdpHandle h = TRY(held->stack->udp().open(local, use));
    detail::Watch* watch = make_watch(detail::Watch::Kind::datagram);
    if (watch == nullptr) {
        held->stack->udp().close(h);
        return fail(Error::no_memory);
    }
    watch->udp = h;
    held->stack->udp().set_user_data(h, watch);
    return UdpSocket(service, watch);
}

Result<Endpoint> UdpSocket::local() const {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    return held->stack->udp().local(watch_->udp);
}

Result<> UdpSocket::connect(Endpoint remote) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    return held->stack->udp().connect(watch_->udp, remote);
}

Result<> UdpSocket::join(IpAddr group) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    TRY(held->stack->join(watch_->udp, group, kernel::now()));
    push(held);
    return {};
}

Result<> UdpSocket::leave(IpAddr group) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    TRY(held->stack->leave(watch_->udp, group, kernel::now()));
    push(held);
    return {};
}

Result<> UdpSocket::set_multicast_loop(MulticastLoop loop) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    return held->stack->udp().set_multicast_loop(watch_->udp, loop);
}

Result<usize> UdpSocket::send_batch(std::span<const OutgoingDatagram> all, Duration timeout) {
    if (all.empty()) return usize{0};
    return block(Service::after(timeout), [&](Stack& s) -> Result<usize> {
        usize sent = 0;
        for (; sent < all.size(); ++sent) {
            const auto queued = s.send_to(watch_->udp, all[sent].to, all[sent].bytes, kernel::now());
            if (!queued && sent == 0) return fail(queued.error());
            if (!queued) break;
        }
        return sent;
    });
}

Result<usize> UdpSocket::receive_batch(std::span<IncomingDatagram> all, Duration timeout) {
    if (all.empty()) return usize{0};
    return block(Service::after(timeout), [&](Stack& s) -> Result<usize> {
        usize taken = 0;
        for (; taken < all.size(); ++taken) {
            const auto r = s.udp().receive_from(watch_->udp, all[taken].bytes);
            if (!r && taken == 0) return fail(r.error());
            if (!r) break;  // would_block: an error would have come first
            all[taken].size = r->size;
            all[taken].from = r->from;
        }
        return taken;
    });
}

Result<> UdpSocket::send_to(Endpoint to, Bytes payload, Duration timeout) {
    return block(Service::after(timeout), [&](Stack& s) { return s.send_to(watch_->udp, to, payload, kernel::now()); });
}

Result<> UdpSocket::try_send_to(Endpoint to, Bytes payload) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const Result<> result = held->stack->send_to(watch_->udp, to, payload, kernel::now());
    if (result) push(held);
    return result;
}

Result<Udp::Received> UdpSocket::receive_from(MutableBytes to, Duration timeout) {
    return block(Service::after(timeout), [&](Stack& s) { return s.udp().receive_from(watch_->udp, to); });
}

Result<Udp::Received> UdpSocket::try_receive_from(MutableBytes to) {
    if (watch_ == nullptr) return fail(Error::closed);
    auto held = service_->lock();
    const auto result = held->stack->udp().receive_from(watch_->udp, to);
    if (result) push(held);
    return result;
}

}  // namespace ringlet::net
