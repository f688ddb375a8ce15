#include "server.hpp"

#include <algorithm>
#include <cstring>

#include "connection.hpp"

namespace httpd {

namespace {
constexpr u64 kListenerToken = 0;  // connections use their own address
constexpr Duration kExpiryInterval = Duration::from_s(1);
constexpr Duration kLingerTimeout = Duration::from_s(2);
constexpr u32 kLingerBytes = 256 * 1024;
constexpr Duration kStalled = Duration::from_s(5);  // takes nothing of its answer: not before then it makes room
constexpr usize kWorthLending = 2048;               // pinning a piece and telling when it is sent costs more below
constexpr int kStepsPerTurn = 64;                   // fairness: then the next connection has its turn
}  // namespace

char* Text::reserve(usize bytes) {
    if (capacity_ - size_ < bytes) {
        usize wanted = std::max<usize>(capacity_, 512);
        while (wanted - size_ < bytes) wanted *= 2;
        std::unique_ptr<char[]> grown(new (std::nothrow) char[wanted]);
        if (!grown) return nullptr;
        std::copy_n(data_.get(), size_, grown.get());
        data_ = std::move(grown);
        capacity_ = wanted;
    }
    return data_.get() + size_;
}

bool Text::print(std::string_view format, std::span<const detail::FormatArg> args) {
    bool fits = true;
    auto sink = [&](std::string_view piece) { fits = append(piece) && fits; };
    detail::vformat(sink, format, args);
    return fits;
}

bool Text::append(std::string_view text) {
    char* to = reserve(text.size());
    if (to == nullptr) return false;
    std::ranges::copy(text, to);
    size_ += text.size();
    return true;
}

bool Text::append_all(std::initializer_list<std::string_view> parts) {
    usize bytes = 0;
    for (const std::string_view part : parts) bytes += part.size();
    char* to = reserve(bytes);
    if (to == nullptr) return false;
    for (const std::string_view part : parts) {
        std::memcpy(to, part.data(), part.size());
        to += part.size();
    }
    size_ += bytes;
    return true;
}

void Text::consume(usize bytes) {
    if (bytes == size_) {
        size_ = 0;
        return;
    }
    std::copy(data_.get() + bytes, data_.get() + size_, data_.get());
    size_ -= bytes;
}

Result<> Server::listen() {
    auto listener = TcpListener::bind(network(), options_.port, 128);
    if (!listener) return fail(listener.error());
    listener_.reset(new (std::nothrow) TcpListener(std::move(*listener)));
    if (!listener_) return fail(Error::no_memory);
    return selector_.add(*listener_, kListenerToken, Interest::read);
}

Result<> Server::run() {
    Ready ready[32];
    for (;;) {
        now_ = now();
        const auto found = selector_.wait(ready, next_expiry_);
        now_ = now();
        bool arrived = false;
        for (const Ready& r : found) {
            if (r.token != kListenerToken)
                serve(*reinterpret_cast<Connection*>(r.token), r);
            else if (r.finished)
                return fail(Error::closed);
            else
                arrived = true;
        }
        if (arrived) accept_all();  // may end connections: not while `found` still names them
        if (now_ >= next_expiry_) expire();
    }
}

void Server::accept_all() {
    for (;;) {
        const bool full = open_ >= options_.max_connections;
        if (full && !may_evict(connections_.front())) break;
        auto stream = listener_->try_accept();
        if (!stream) return;
        if (full) evict(connections_.front());
        auto* c = new (std::nothrow) Connection(std::move(*stream));
        if (c == nullptr || !selector_.add(c->stream, reinterpret_cast<u64>(c), Interest::read)) {
            ++counters_.out_of_memory;
            delete c;
            continue;
        }
        connections_.push_back(*c);
        ++open_;
        ++counters_.accepted;
        set_deadline(*c, options_.idle_timeout);
    }
    // Full of connections that are being served: the backlog keeps the rest until somebody leaves or stalls.
    accepting_ = false;
    (void)selector_.modify(*listener_, Interest::none);
}

/// Half-sent requests, dribbled over hundreds of connections, must not keep everybody else out.
bool Server::may_evict(const Connection& c) const {
    return c.state != Connection::State::sending || c.deadline - now_ <= options_.write_timeout - kStalled;
}

void Server::evict(Connection& c) {
    ++counters_.evicted;
    c.stream.abort();
    close(c);
}

/// A request is answered, or a piece of the answer was taken: the last to make room for others.
void Server::advanced(Connection& c) {
    set_deadline(c, options_.write_timeout);
    List<Connection>::remove(c);
    connections_.push_back(c);
}

void Server::close(Connection& c) {
    selector_.remove(c.stream);
    List<Connection>::remove(c);
    delete &c;
    --open_;
    accept_again();
}

void Server::accept_again() {
    if (accepting_) return;
    accepting_ = true;
    (void)selector_.modify(*listener_, Interest::read);
}

void Server::set_deadline(Connection& c, Duration from_now) {
    c.deadline = now_ + from_now;
}

void Server::expire() {
    for (auto it = connections_.begin(); it != connections_.end();) {
        Connection& c = *it;
        ++it;
        if (now_ < c.deadline) continue;
        ++counters_.timed_out;
        // A request that began deserves an answer; a peer that takes nothing gets a reset.
        if (c.state == Connection::State::reading && !c.in.empty()) {
            respond_error(c, Status::request_timeout);
            (void)c.stream.try_write(std::as_bytes(std::span(c.out.view())));
        } else if (c.state == Connection::State::sending) {
            c.stream.abort();
        }
        close(c);
    }
    accept_again();  // somebody may have stalled
    next_expiry_ = now_ + kExpiryInterval;
}

void Server::serve(Connection& c, const Ready& ready) {
    Progress p = Progress::again;
    if (ready.finished && !ready.readable) p = Progress::closed;
    for (int i = 0; p == Progress::again && i < kStepsPerTurn; ++i) p = step(c);
    if (p == Progress::closed) return close(c);
    // `again` after all those steps: whatever it wanted next is ready, so the selector reports it at once.
    const bool writes = p == Progress::wait_write || (p == Progress::again && c.state == Connection::State::sending);
    const Interest wanted = writes ? Interest::write : Interest::read;
    if (wanted == c.interest) return;
    c.interest = wanted;
    if (!selector_.modify(c.stream, wanted)) close(c);
}

Server::Progress Server::step(Connection& c) {
    switch (c.state) {
    case Connection::State::reading:
        return read_request(c);
    case Connection::State::sending:
        return send(c);
    case Connection::State::lingering:
        return linger(c);
    }
    return Progress::closed;
}

/// Receives into `in`. False: would block (ended: or the connection is over).
bool Server::read_more(Connection& c, bool& ended) {
    const usize want = c.in.size() < 512 ? 1024 : 4096;
    char* to = c.in.reserve(want);
    if (to == nullptr) {
        ++counters_.out_of_memory;
        ended = true;
        return false;
    }
    const auto n = c.stream.try_read({reinterpret_cast<std::byte*>(to), c.in.room()});
    if (!n) {
        ended = n.error() != Error::would_block;
        return false;
    }
    ended = *n == 0;
    if (c.in.empty() && c.discard == 0) set_deadline(c, options_.head_timeout);
    c.in.grew(*n);
    return *n != 0;
}

Server::Progress Server::read_request(Connection& c) {
    if (const usize drop = static_cast<usize>(std::min<u64>(c.discard, c.in.size())); drop != 0) {
        c.in.consume(drop);
        c.discard -= drop;
    }
    Request request;
    Parsed parsed;
    if (c.discard == 0 && !c.in.empty()) parsed = parse_request(c.in.view(), request);
    switch (parsed.state) {
    case Parsed::State::incomplete: {
        bool ended = false;
        if (read_more(c, ended)) return Progress::again;
        if (c.in.empty()) c.in.release();  // hundreds may wait like this for long
        return ended ? Progress::closed : Progress::wait_read;
    }
    case Parsed::State::refused:
        ++counters_.refused;
        c.head_only = request.method == Method::head;
        respond_error(c, parsed.status);
        break;
    case Parsed::State::complete:
        ++counters_.requests;
        c.keep_alive = request.keep_alive;
        c.head_only = request.method == Method::head;
        c.discard = request.body_bytes;
        respond(c, request);
        c.in.consume(parsed.head_bytes);
        break;
    }
    c.state = Connection::State::sending;
    advanced(c);
    return Progress::again;
}

Server::Progress Server::send(Connection& c) {
    if (!c.out.empty()) {
        const auto n = c.stream.try_write(std::as_bytes(std::span(c.out.view())));
        if (!n) return n.error() == Error::would_block ? Progress::wait_write : Progress::closed;
        advanced(c);
        counters_.bytes_sent += *n;
        c.out.consume(*n);
        return Progress::again;
    }
    Progress p = Progress::again;
    if (send_body(c, p)) return p;
    return finish_response(c);
}

/// One piece of the body. False: there is none left.
bool Server::send_body(Connection& c, Progress& out) {
    if (c.in_listing) {
        if (!fill_listing(c)) out = Progress::closed;
        return true;
    }
    if (c.file_left == 0) return false;
    auto piece = c.file.map_at(c.file_offset);
    // A disk that fails in the middle of a body leaves only one honest way out: the length no longer holds, so close.
    if (!piece || piece->bytes().empty()) {
        c.stream.abort();
        out = Progress::closed;
        return true;
    }
    const Bytes bytes = piece->bytes().first(static_cast<usize>(std::min<u64>(piece->bytes().size(), c.file_left)));
    const auto n = send_piece(c, std::move(*piece), bytes);
    if (!n) {
        out = n.error() == Error::would_block ? Progress::wait_write : Progress::closed;
        return true;
    }
    advanced(c);
    counters_.bytes_sent += *n;
    c.file_offset += *n;
    c.file_left -= *n;
    return true;
}

/// `bytes` are of `piece`. A client that takes nothing keeps what was lent to it pinned: of that there is a bound, and
/// then it is copied.
Result<usize> Server::send_piece(Connection& c, fs::PinnedBytes piece, Bytes bytes) {
    const u64 size = piece.bytes().size();
    if (bytes.size() < kWorthLending || lent_bytes_ + size > options_.max_lent_bytes) return c.stream.try_write(bytes);
    auto* lent = new (std::nothrow) Lent(std::move(piece), lent_bytes_);
    if (lent == nullptr) return fail(Error::no_memory);
    const auto n = c.stream.try_lend(bytes, lent);
    lent->drop();
    return n;
}

Server::Progress Server::finish_response(Connection& c) {
    c.file = File();
    if (c.keep_alive) {
        c.state = Connection::State::reading;
        // Bytes that are here already, or a body that is still to come, belong to something that has begun.
        const bool idle = c.in.empty() && c.discard == 0;
        set_deadline(c, idle ? options_.idle_timeout : options_.head_timeout);
        // Nothing pipelined: the selector tells when there is more, which is cheaper than a read that would block.
        return c.in.empty() ? Progress::wait_read : Progress::again;
    }
    // Closing with unread bytes would reset the connection and could cost the peer our answer (RFC 9112 §9.6).
    if (!c.stream.shutdown_write()) return Progress::closed;
    c.state = Connection::State::lingering;
    set_deadline(c, kLingerTimeout);
    return Progress::again;
}

Server::Progress Server::linger(Connection& c) {
    c.in.clear();
    const Instant deadline = c.deadline;  // reading must not prolong it
    bool ended = false;
    const bool more = read_more(c, ended);
    c.deadline = deadline;
    c.linger_bytes += static_cast<u32>(c.in.size());
    if (ended || c.linger_bytes > kLingerBytes) return Progress::closed;
    return more ? Progress::again : Progress::wait_read;
}

}  // namespace httpd
