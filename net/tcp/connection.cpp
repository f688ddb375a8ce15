// A connection's beginning, its end, and the application's calls (RFC 9293 §3.9.1). Context: the network monitor.
#include "net/tcp/connection.hpp"

#include <bit>

#include "net/tcp/syn_cookie.hpp"

namespace ringlet::net::tcp {

std::string_view to_string(State s) {
    constexpr std::string_view kNames[] = {"CLOSED",      "LISTEN",     "SYN-SENT",   "SYN-RECEIVED",
                                           "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",
                                           "CLOSING",     "LAST-ACK",   "TIME-WAIT"};
    return kNames[static_cast<usize>(s)];
}

namespace {

/// RFC 7323 §2.3: the smallest shift with which the whole buffer can be offered.
u8 scale_for(u32 bytes) {
    return static_cast<u8>(std::bit_width(bytes >> 16));
}

}  // namespace

Connection::Connection(Environment& environment, const Endpoint& local, const Endpoint& remote)
    : env_(environment), local_(local), remote_(remote),
      pseudo_(InternetSum::pseudo_header(local.address, remote.address, kProtocol, 0)),
      receive_limit_(static_cast<u32>(environment.config.receive_buffer_bytes)),
      send_(environment.send, static_cast<u32>(environment.config.send_buffer_bytes)) {
    const Secrets::Start start = environment.secrets.start(local, remote);
    iss_ = SeqNum(start.sequence);
    timestamp_offset_ = start.timestamp;
    timers_.fill(Instant::never());
    rcv_scale_ = scale_for(static_cast<u32>(environment.config.receive_buffer_most));
}

Connection::~Connection() {
    receive_.clear();
    assembler_.clear();
    account();
}

void Connection::open_active(Instant now) {
    iss_ = Secrets::isn(iss_.raw(), now);
    snd_una_ = snd_nxt_ = snd_max_ = snd_wl2_ = iss_;
    data_start_ = iss_ + 1;
    state_ = State::syn_sent;
    syn_pending_ = true;
    last_heard_ = last_sent_ = now;
    timers_[kLifetime] = now + env_.config.syn_timeout;
    ++env_.stats.active_opens;
}

void Connection::open_passive(const Segment& s, Instant now) {
    iss_ = Secrets::isn(iss_.raw(), now);
    snd_una_ = snd_nxt_ = snd_max_ = snd_wl2_ = iss_;
    data_start_ = iss_ + 1;
    snd_wnd_ = max_snd_wnd_ = s.window;
    listen_from(s.seq, now);
    learn_options(s);
    syn_pending_ = true;
}

void Connection::listen_from(SeqNum irs, Instant now) {
    irs_ = snd_wl1_ = irs;
    rcv_nxt_ = last_ack_sent_ = irs + 1;
    rcv_adv_ = rcv_nxt_ + std::min(receive_limit_, 0xffffu);
    last_heard_ = last_sent_ = ts_recent_at_ = now;
    state_ = State::syn_received;
    passive_ = true;
    ++env_.stats.passive_opens;
}

Segment Connection::cookie_answer(const Environment& env, const Segment& syn, Instant now) {
    const u32 limit = static_cast<u32>(env.config.receive_buffer_bytes);
    Segment s;
    s.local = syn.local;
    s.remote = syn.remote;
    s.seq = SynCookie::make(env.secrets, syn, now);
    s.ack = syn.seq + 1;
    s.flags = flag::syn | flag::ack;
    s.window = static_cast<u16>(std::min(limit, 0xffffu));
    s.mss = env.config.mss;
    if (!syn.has_timestamp) return s;  // then nothing else can be remembered
    s.has_timestamp = true;
    s.timestamp =
        SynCookie::mark(static_cast<u32>(now.ns / 1'000'000) + env.secrets.start(syn.local, syn.remote).timestamp, syn);
    s.timestamp_echo = syn.timestamp;
    s.sack_permitted = syn.sack_permitted;
    if (syn.window_scale) s.window_scale = scale_for(static_cast<u32>(env.config.receive_buffer_most));
    return s;
}

void Connection::open_cookie(const Segment& ack, u16 mss, Instant now) {
    iss_ = ack.ack - 1u;
    snd_una_ = snd_wl2_ = iss_;
    data_start_ = snd_nxt_ = snd_max_ = iss_ + 1;
    listen_from(ack.seq - 1u, now);
    Segment syn;
    syn.mss = mss;
    syn.has_timestamp = ack.has_timestamp;
    syn.timestamp = ack.timestamp;
    if (ack.has_timestamp) SynCookie::read_mark(ack.timestamp_echo, syn);
    learn_options(syn);
}

/// Why the queue is empty; success: the peer finished.
Result<> Connection::nothing_to_read() const {
    if (error_) return fail(*error_);
    if (state_ == State::syn_sent || state_ == State::syn_received) return fail(Error::not_connected);
    if (fin_consumed_ || state_ == State::closed) return {};
    return fail(Error::would_block);
}

Result<usize> Connection::read(MutableBytes to, Instant now) {
    if (receive_.empty()) {
        TRY(nothing_to_read());
        return usize{0};
    }
    usize copied = 0;
    while (copied < to.size()) {
        PacketQueue::Ref first = receive_.front();
        if (!first) break;
        const usize n = std::min(first->size(), to.size() - copied);
        std::memcpy(to.data() + copied, first->data().data(), n);
        copied += n;
        first->pull_bytes(n);
        if (first->size() == 0) receive_.pop_front();
    }
    was_read(static_cast<u32>(copied), now);
    return copied;
}

Result<std::optional<PacketBuffer>> Connection::take(usize most, Instant now) {
    std::optional<PacketBuffer> all = receive_.pop_front();
    if (!all) {
        TRY(nothing_to_read());
        return all;
    }
    usize taken = all->size();
    for (PacketQueue::Ref next = receive_.front(); next && next->size() <= most - std::min(most, taken);
         next = receive_.front()) {
        taken += next->size();
        all->append_fragment(*receive_.pop_front());
    }
    was_read(static_cast<u32>(taken), now);
    return all;
}

/// The application has taken `bytes` out of the receive queue.
void Connection::was_read(u32 bytes, Instant now) {
    receive_bytes_ -= bytes;
    if (hears_urgent_ && urgent_bytes() == 0) hears_urgent_ = false;
    account();
    read_bytes_ += bytes;
    if (receive_limit_ < env_.config.receive_buffer_most) tune_window(now);
    // A window update is worth a segment when it frees a sender that may have stopped (§3.8.6.2.2).
    const u32 promised = rcv_adv_ - rcv_nxt_;
    const bool receiving = state_ == State::established || state_ == State::fin_wait_1 || state_ == State::fin_wait_2;
    if (receiving && !fin_consumed_ && promised < receive_limit_ / 2 &&
        window_to_offer() >= promised + std::min(receive_limit_ / 2, 2u * largest_received_))
        ack_now_ = true;
}

/// The window follows the reader: twice what he took in the last round trip, for the sender may double its own in the
/// next. Not when memory is short, and not for what took him much longer.
void Connection::tune_window(Instant now) {
    const Duration round = std::max(rtt_.smoothed(), Duration::from_ms(1)), elapsed = now - read_round_;
    if (elapsed < round) return;
    const u64 wanted = u64{read_bytes_} * 2;
    if (elapsed < round * 2 && wanted > receive_limit_ && env_.packets_held < env_.packets_soft)
        receive_limit_ = static_cast<u32>(std::min<u64>(wanted, env_.config.receive_buffer_most));
    read_bytes_ = 0;
    read_round_ = now;
}

Result<> Connection::may_write() const {
    if (error_) return fail(*error_);
    if (fin_queued_ || state_ == State::closed) return fail(Error::closed);
    if (state_ == State::syn_sent || state_ == State::syn_received) return fail(Error::would_block);
    return {};
}

Result<usize> Connection::lend(Bytes from, DmaAddr dma, Loan* loan, Instant now) {
    TRY(may_write());
    if (send_.room() != 0)
        if (const u32 n = send_.borrow(from, dma, loan)) return usize{n};
    return write(from, now);
}

Result<usize> Connection::write(Bytes from, Instant now) {
    TRY(may_write());
    if (from.empty()) return usize{0};
    if (send_.room() == 0) return fail(Error::would_block);
    if (send_.buffers() == 0) held_since_ = now;
    const u32 n = send_.write(from);
    if (n == 0) {  // for now: whoever is waited for, a peer or the other senders, gives memory back
        ++env_.stats.send_memory;
        write_refused_ = true;
        return fail(Error::would_block);
    }
    return usize{n};
}

void Connection::mark_urgent() {
    if (send_.size() == 0) return;
    snd_up_ = fin_seq();
    sends_urgent_ = true;
}

Result<> Connection::shutdown_write() {
    if (error_) return fail(*error_);
    if (fin_queued_) return {};
    switch (state_) {
    case State::syn_sent:
    case State::syn_received:
        break;  // §3.10.4: after establishment
    case State::established:
        state_ = State::fin_wait_1;
        break;
    case State::close_wait:
        state_ = State::last_ack;
        break;
    default:
        return fail(Error::not_connected);
    }
    fin_queued_ = true;
    return {};
}

void Connection::configure(const Options& options, Instant now) {
    constexpr Duration kShortest = Duration::from_ms(10);
    options_ = options;
    congestion_.select(options.congestion);
    if (options_.keepalive) options_.keepalive = std::max(*options_.keepalive, kShortest);
    options_.keepalive_interval = std::max(options_.keepalive_interval, kShortest);
    timers_[kKeepalive] =
        options_.keepalive && is_synchronized() && state_ != State::time_wait && state_ != State::closed
            ? now + *options_.keepalive
            : Instant::never();
}

bool Connection::orphan(Instant now) {
    orphan_ = true;
    const bool unread = !receive_.empty() || !assembler_.empty();
    receive_.clear();
    assembler_.clear();
    receive_bytes_ = 0;
    account();
    if (state_ == State::closed || state_ == State::time_wait) return true;
    if (unread) return false;
    if (state_ == State::syn_sent) {  // §3.10.4: nothing to finish
        finish(std::nullopt);
        return true;
    }
    (void)shutdown_write();
    timers_[kLifetime] = now + env_.config.orphan_timeout;
    return true;
}

void Connection::finish(std::optional<Error> error) {
    state_ = State::closed;
    error_ = pending_error_ = error;
    timers_.fill(Instant::never());
    send_.release();
    board_.release();
    assembler_.clear();
    account();
}

Readiness Connection::readiness() const {
    const u8 bits = readiness_bits();
    Readiness r;
    r.readable = (bits & kReadable) != 0;
    r.writable = (bits & kWritable) != 0;
    r.peer_finished = (bits & kFinished) != 0;
    r.urgent = (bits & kUrgent) != 0;
    r.closed = (bits & kClosed) != 0;
    r.error = pending_error_;
    return r;
}

Info Connection::info() const {
    Info i;
    i.local = local_;
    i.remote = remote_;
    i.state = state_;
    i.send_queue = send_.size();
    i.receive_queue = receive_bytes_;
    i.urgent_bytes = urgent_bytes();
    i.congestion_window = congestion_.window();
    i.send_window = snd_wnd_;
    i.mss = mss_;
    i.smoothed_rtt = rtt_.smoothed();
    i.retransmissions = retransmissions_;
    return i;
}

Segment Connection::reset_segment() const {
    Segment s;
    s.local = local_;
    s.remote = remote_;
    s.seq = snd_nxt_;
    s.ack = rcv_nxt_;
    s.flags = flag::rst | flag::ack;
    return s;
}

}  // namespace ringlet::net::tcp
