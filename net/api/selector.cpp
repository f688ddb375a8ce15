// The selector's queue holds what may be ready; collect() asks the stack and drops what is not. Level-triggering is
// nothing but putting what was reported back at the end. Context: thread; wake() any.
#include "net/api/selector.hpp"

namespace ringlet::net {
namespace {

using detail::MemberTag;
using detail::ReadyTag;
using detail::Watch;

/// Of what `w` is watched for, what is there: of tcp::ReadyBit.
u8 look(const Stack& stack, const Watch& w) {
    static_assert(static_cast<u8>(Interest::read) == tcp::kReadable);
    static_assert(static_cast<u8>(Interest::write) == tcp::kWritable);
    if (w.kind != Watch::Kind::datagram) [[likely]]
        return stack.tcp().ready_bits(w.tcp) & (w.interest | tcp::kClosed | tcp::kError);
    const bool reads = (w.interest & tcp::kReadable) != 0 && stack.udp().readable(w.udp);
    const bool writes = (w.interest & tcp::kWritable) != 0 && stack.udp().writable(w.udp);
    return static_cast<u8>((reads ? tcp::kReadable : 0) | (writes ? tcp::kWritable : 0));
}

}  // namespace

Selector::~Selector() {
    auto held = service_.lock();
    while (!members_.empty()) forget(members_.front());
}

void Selector::forget(Watch& watch) {
    if (watch.is_queued()) List<Watch, ReadyTag>::remove(watch);
    List<Watch, MemberTag>::remove(watch);
    watch.selector = nullptr;
}

void Selector::queue(Watch& watch) {
    if (!watch.is_queued()) ready_.push_back(watch);
}

Result<> Selector::add(const detail::Socket& socket, u64 token, Interest interest) {
    if (socket.watch_ == nullptr) return fail(Error::closed);
    auto held = service_.lock();
    Watch& watch = *socket.watch_;
    if (watch.selector != nullptr) return fail(Error::exists);
    watch.selector = this;
    watch.token = token;
    watch.interest = static_cast<u8>(interest);
    members_.push_back(watch);
    queue(watch);
    return {};
}

Result<> Selector::modify(const detail::Socket& socket, Interest interest) {
    if (socket.watch_ == nullptr) return fail(Error::closed);
    if (socket.watch_->interest == static_cast<u8>(interest) && socket.watch_->selector == this) return {};
    auto held = service_.lock();
    Watch& watch = *socket.watch_;
    if (watch.selector != this) return fail(Error::not_found);
    watch.interest = static_cast<u8>(interest);
    queue(watch);
    return {};
}

void Selector::remove(const detail::Socket& socket) {
    if (socket.watch_ == nullptr) return;
    auto held = service_.lock();
    if (socket.watch_->selector == this) forget(*socket.watch_);
}

inline usize Selector::collect(const Stack& stack, std::span<Ready> out) {
    usize count = 0;
    const Watch* first_reported = nullptr;
    while (count < out.size() && !ready_.empty()) {
        Watch& watch = ready_.front();
        if (&watch == first_reported) break;  // once round
        ready_.remove(watch);
        const u8 now = look(stack, watch);
        if (now == 0) continue;
        out[count++] = {.token = watch.token,
                        .readable = (now & tcp::kReadable) != 0,
                        .writable = (now & tcp::kWritable) != 0,
                        .finished = (now & (tcp::kClosed | tcp::kError)) != 0};
        ready_.push_back(watch);
        if (first_reported == nullptr) first_reported = &watch;
    }
    return count;
}

std::span<const Ready> Selector::wait(std::span<Ready> out, Instant deadline) {
    usize count = 0;
    auto held = service_.lock();
    if (!held->stack) return {};
    service_.wait(held, waiter_, deadline, [&] {
        if (woken_.exchange(false)) return true;
        count = collect(*held->stack, out);
        return count != 0;
    });
    return out.first(count);
}

void Selector::wake() {
    woken_.store(true);  // before it is looked where the thread sleeps: wait() does it the other way round
    waiter_.rouse();
}

}  // namespace ringlet::net
