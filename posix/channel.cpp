#include "posix/channel.hpp"

#include <limits.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace ringlet::posix {

/// To the next power of two that holds `wanted`, or kMost. False: no memory for more than there is.
bool Channel::State::grow(usize wanted) {
    usize more = std::max<usize>(capacity, 4096);
    while (more < wanted && more < kMost) more *= 2;
    if (more == capacity) return true;
    std::unique_ptr<std::byte[]> fresh(new (std::nothrow) std::byte[more]);
    if (!fresh) return false;
    copy_out(0, {fresh.get(), size});
    ring = std::move(fresh);
    capacity = more;
    first = 0;
    return true;
}

void Channel::State::copy_out(usize at, MutableBytes to) const {
    if (to.empty()) return;
    const usize from = (first + at) & (capacity - 1);
    const usize whole = std::min(to.size(), capacity - from);
    std::memcpy(to.data(), ring.get() + from, whole);
    std::memcpy(to.data() + whole, ring.get(), to.size() - whole);
}

void Channel::begin(Description& reader, Description& writer) {
    auto s = state_.lock();
    s->reader = &reader;
    s->writer = &writer;
}

void Channel::end_of_reader() {
    auto s = state_.lock();
    s->reader = nullptr;
    s->reader_gone = true;
    if (s->writer != nullptr) s->writer->stir();
}

void Channel::end_of_writer() {
    auto s = state_.lock();
    s->writer = nullptr;
    s->writer_gone = true;
    if (s->reader != nullptr) s->reader->stir();
}

Outcome<usize> Channel::read(MutableBytes to, Take how) {
    auto s = state_.lock();
    if (to.empty()) return usize{0};
    if (s->size == 0) return s->writer_gone ? Outcome<usize>(0) : refuse(EAGAIN);
    const usize n = std::min(to.size(), s->size);
    s->copy_out(0, to.first(n));
    if (how == Take::peek) return n;
    s->first = (s->first + n) & (s->capacity - 1);
    s->size -= n;
    if (s->writer != nullptr) s->writer->stir();
    return n;
}

Outcome<usize> Channel::write(Bytes from, usize least) {
    auto s = state_.lock();
    if (s->reader_gone) return refuse(EPIPE);
    if (from.empty()) return usize{0};
    if (kMost - s->size < least) return refuse(EAGAIN);
    if (!s->grow(s->size + from.size()) && s->capacity - s->size < least) return refuse(ENOMEM);
    const usize n = std::min(from.size(), s->capacity - s->size);
    const usize at = (s->first + s->size) & (s->capacity - 1);
    const usize whole = std::min(n, s->capacity - at);
    std::memcpy(s->ring.get() + at, from.data(), whole);
    std::memcpy(s->ring.get(), from.data() + whole, n - whole);
    s->size += n;
    if (s->reader != nullptr) s->reader->stir();
    return n;
}

usize Channel::size() {
    return state_.lock()->size;
}

bool Channel::is_ended() {
    return state_.lock()->writer_gone;
}

short Channel::readable() {
    auto s = state_.lock();
    const int bits = (s->size != 0 ? POLLIN | POLLRDNORM : 0) | (s->writer_gone ? POLLHUP : 0);
    return static_cast<short>(bits);
}

short Channel::writable() {
    auto s = state_.lock();
    const int bits =
        (kMost - s->size >= PIPE_BUF || s->reader_gone ? POLLOUT | POLLWRNORM : 0) | (s->reader_gone ? POLLERR : 0);
    return static_cast<short>(bits);
}

}  // namespace ringlet::posix
