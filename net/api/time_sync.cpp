// See time_sync.hpp. Every request leaves from a fresh socket, connected to its server. Context: run() under the
// monitor.
#include "net/api/time_sync.hpp"

#include <new>

#include "kernel/random.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::net {

TimeSync::~TimeSync() {
    if (state_ == nullptr) return;
    auto held = service_.lock();
    close(*held->stack);
    List<Agent>::remove(*this);
}

Result<> TimeSync::start() {
    auto held = service_.lock();
    if (!held->stack) return fail(Error::not_found);
    if (state_ != nullptr) return {};
    SipKey key;
    kernel::random_fill(std::as_writable_bytes(std::span(&key, 1)));
    state_.reset(new (std::nothrow) State(key));
    if (state_ == nullptr) return fail(Error::no_memory);
    held->agents.push_back(*this);
    held->rouse_agents();
    service_.interrupt();
    return {};
}

Sntp::Status TimeSync::status() {
    auto held = service_.lock();
    return state_ == nullptr ? Sntp::Status{} : state_->sntp.status();
}

Result<> TimeSync::wait_until_set(Duration timeout) {
    auto held = service_.lock();
    if (state_ == nullptr) return fail(Error::not_connected);
    detail::Waiter waiter;
    waiters.push_back(waiter);
    const bool in_time =
        service_.wait(held, waiter, Service::after(timeout), [&] { return state_->sntp.status().synchronised; });
    waiters.remove(waiter);
    if (!in_time) return fail(Error::timed_out);
    return {};
}

detail::Agent::Did TimeSync::run(Agent& self, Stack& stack, Instant now) {
    return static_cast<TimeSync&>(self).serve(stack, now);
}

detail::Agent::Did TimeSync::serve(Stack& stack, Instant now) {
    Sntp& sntp = state_->sntp;
    if (std::exchange(state_->sources_version, stack.sources_version()) != stack.sources_version()) {
        const Stack::Sources from = stack.sources();
        sntp.set_servers({from.ntp.begin(), from.ntp.end()}, now);
    }
    bool sent = false, changed = false;
    if (sntp.deadline() <= now && stack.is_configuring()) {  // the address will come with a round of the stack
        deadline = Instant::never();
        return Did::nothing;
    }
    if (sntp.is_waiting() || now >= sntp.deadline()) {
        receive(stack, now);
        sntp.poll(now);
        sent = send(stack, now);
        if (!sntp.is_waiting()) close(stack);
    }
    if (const auto c = sntp.take_correction()) {
        changed = true;
        if (c->how == Sntp::Correction::How::slew)
            kernel::slew_wall_clock(Duration{c->offset_ns});
        else
            kernel::set_wall_clock_ns(c->unix_ns + (kernel::now().ns - c->at.ns));
    }
    deadline = sntp.deadline();
    return changed && sent ? Did::both : changed ? Did::changed : sent ? Did::sent : Did::nothing;
}

void TimeSync::close(Stack& stack) {
    if (state_->socket) stack.udp().close(*state_->socket);
    state_->socket.reset();
}

void TimeSync::receive(Stack& stack, Instant now) {
    Sntp& sntp = state_->sntp;
    std::byte message[128];
    for (usize i = 0; i <= Udp::kReceiveQueue && state_->socket && sntp.is_waiting(); ++i) {
        const auto r = stack.udp().receive_from(*state_->socket, message);
        if (!r && r.error() == Error::would_block) return;
        if (!r) return sntp.failed(now);
        const u64 late = kernel::now().ns - now.ns, wall = kernel::wall_clock_ns();
        sntp.input(Bytes(message).first(r->size < sizeof(message) ? r->size : sizeof(message)),
                   wall > late ? wall - late : 0, now);
    }
}

bool TimeSync::send(Stack& stack, Instant now) {
    Sntp& sntp = state_->sntp;
    std::byte message[Sntp::kMessageBytes];
    const auto server = sntp.output(message, now);
    if (!server) return false;
    close(stack);
    const auto h = stack.udp().open({});
    if (h) state_->socket = *h;
    if (!h || !stack.udp().connect(*h, {*server, Sntp::kPort}) || !stack.send_to(*h, {}, message, now))
        sntp.failed(now);
    return true;
}

}  // namespace ringlet::net
