// From the wire to a connection and back: checksum, address checks, lookup, LISTEN (RFC 9293 §3.10.7.2), CLOSED
// (§3.10.7.1), and the pull side. Context: the network monitor.
#include <array>

#include "net/tcp/syn_cookie.hpp"
#include "net/tcp/tcp.hpp"

namespace ringlet::net::tcp {

void Tcp::input(IpAddr source, IpAddr destination, PacketBuffer&& segment, Instant now, u8 link) {
    ++env_.stats.segments_in;
    Segment s;
    if (!parse(s, source, destination, segment.data(), segment.total_size())) [[unlikely]] {
        ++env_.stats.bad_header;
        return;
    }
    s.link = link;
    const PacketMeta& meta = segment.meta();
    if (meta.checksum == PacketMeta::Checksum::none && !checksum_ok(source, destination, segment)) {
        ++env_.stats.bad_checksum;
        return;
    }
    if (s.length > env_.config.mss || meta.gso_size != 0) {
        ++env_.stats.gso_in;
        s.unit = meta.gso_size == 0 ? env_.config.mss : std::min(meta.gso_size, env_.config.mss);
    }
    segment.pull_bytes(s.header_bytes);
    if (Entry* e = table_.find(s.local, s.remote)) [[likely]]
        deliver(*e, s, segment, now);
    else
        unclaimed(s, segment, now);
}

/// Of no connection.
void Tcp::unclaimed(Segment& s, PacketBuffer& packet, Instant now) {
    const IpAddr &source = s.remote.address, &destination = s.local.address;
    // §3.9.2.3: never answer, never believe such a source, and so there is no connection to one. A segment from its own
    // destination loops for ever.
    if (source.is_unspecified() || source.is_broadcast() || source.is_multicast() || destination.is_broadcast() ||
        destination.is_multicast() || s.local == s.remote)
        ++env_.stats.bad_address;
    else if (Listener* l = find_listener(s.local))
        on_listen(*l, s, packet, now);
    else {
        ++env_.stats.no_connection;
        reply_reset(s);
    }
}

/// True: `segment` is kept, with what it continues or for what may continue it.
bool Tcp::hold(IpAddr source, IpAddr destination, PacketBuffer& segment, Instant now, u8 link) {
    if (merger_.join(source, destination, segment)) {
        ++env_.stats.segments_in;
        ++env_.stats.joined_in;
        if (merger_.is_full()) end_batch(now);
        return true;
    }
    end_batch(now);
    merger_link_ = link;  // what continues it has the same destination, so it comes by the same one
    due_ = {};
    return merger_.begin(source, destination, segment);
}

void Tcp::input_held(Instant now) {
    auto held = merger_.take();
    input(held->source, held->destination, std::move(held->packet), now, merger_link_);
}

void Tcp::deliver(Entry& e, Segment& s, PacketBuffer& packet, Instant now) {
    if (e.queue == Entry::Queue::half_open && e.listener->pending >= e.listener->backlog && s.has(flag::ack) &&
        !s.has(flag::rst)) {
        ++env_.stats.listen_overflow;  // stays half-open: the SYN-ACK is sent again, and by then there may be room
        return;
    }
    const Verdict verdict = e.connection.on_segment(s, packet, now);
    if (verdict == Verdict::reopen) {
        kill(e);
        if (Listener* l = find_listener(s.local))
            on_listen(*l, s, packet, now);
        else
            reply_reset(s);
        return;
    }
    if (verdict == Verdict::reset) reply_reset(s);
    settle_here(e, now);
}

/// §3.10.7.2.
void Tcp::on_listen(Listener& l, Segment& s, PacketBuffer& packet, Instant now) {
    if (s.has(flag::rst)) {  // first
        ++env_.stats.bad_reset;
        return;
    }
    if (s.has(flag::ack)) {  // second
        if (on_cookie(l, s, packet, now)) return;
        ++env_.stats.bad_ack;
        reply_reset(s);
        return;
    }
    if (!s.has(flag::syn) || s.has(flag::fin)) {  // third, fourth
        ++env_.stats.bad_syn;
        return;
    }
    if (l.pending >= l.backlog) {
        ++env_.stats.listen_overflow;
        return;
    }
    if (half_open_count_ >= env_.config.max_half_open) {
        ++env_.stats.cookies_sent;
        cookies_until_ = now + SynCookie::kPeriod * 2;
        queue_reply(Connection::cookie_answer(env_, s, now));
        return;
    }
    Entry* e = create(s.local, s.remote, s.link);
    if (e == nullptr) return;
    e->listener = &l;
    e->connection.open_passive(s, now);
    enqueue(*e, Entry::Queue::half_open);
    settle(*e, now);
}

/// RFC 4987 §3.6: an ACK to LISTEN that completes a handshake nobody remembers. False: it does not.
bool Tcp::on_cookie(Listener& l, Segment& s, PacketBuffer& packet, Instant now) {
    if (now >= cookies_until_ || s.has(flag::syn)) return false;
    const std::optional<u16> mss = SynCookie::check(env_.secrets, s, now);
    if (!mss) {
        ++env_.stats.cookies_rejected;
        return false;
    }
    if (l.pending >= l.backlog) {
        ++env_.stats.listen_overflow;
        return true;
    }
    Entry* e = create(s.local, s.remote, s.link);
    if (e == nullptr) return true;
    ++env_.stats.cookies_accepted;
    e->listener = &l;
    e->connection.open_cookie(s, *mss, now);
    enqueue(*e, Entry::Queue::half_open);
    deliver(*e, s, packet, now);
    return true;
}

Listener* Tcp::find_listener(const Endpoint& local) {
    for (Listener& l : listeners_)
        if (l.local.port == local.port && local.address.is_covered_by(l.local.address)) return &l;
    return nullptr;
}

/// §3.10.7.1: an <RST> that whoever sent `s` believes; never in answer to one.
void Tcp::reply_reset(const Segment& s) {
    if (s.has(flag::rst)) return;
    Segment r;
    r.local = s.local;
    r.remote = s.remote;
    if (s.has(flag::ack)) {
        r.seq = s.ack;
        r.flags = flag::rst;
    } else {
        r.ack = s.seq + s.sequence_length();
        r.flags = flag::rst | flag::ack;
    }
    queue_reply(r);
}

void Tcp::queue_reply(const Segment& s) {
    if (reply_count_ == kReplies) {
        ++env_.stats.reply_overflow;
        return;
    }
    replies_[(reply_head_ + reply_count_++) % kReplies] = s;
}

std::optional<PacketBuffer> Tcp::next_reply() {
    const auto mode = env_.config.tx_checksum_offload ? TxChecksum::partial : TxChecksum::complete;
    std::optional<PacketBuffer> packet = build(env_.pool, replies_[reply_head_], {}, mode);
    if (!packet) {
        ++env_.stats.no_packet;
        return packet;
    }
    ++env_.stats.segments_out;
    if ((replies_[reply_head_].flags & flag::rst) != 0) ++env_.stats.resets_out;
    reply_head_ = (reply_head_ + 1) % kReplies;
    --reply_count_;
    return packet;
}

std::optional<Tcp::Outgoing> Tcp::output(Instant now, u32 room) {
    constexpr Duration kAskAgain = Duration::from_ms(2);
    end_batch(now);
    room &= links_up_;
    if (room != links_asked_) [[unlikely]] {
        links_asked_ = room;
        while (Entry* e = parked_.pop_front()) active_.push_back(*e);
    }
    if (reply_count_ != 0) {
        const Segment& s = replies_[reply_head_];
        const IpAddr from = s.local.address, to = s.remote.address;
        std::optional<PacketBuffer> packet = next_reply();
        if (packet) return Outgoing{std::move(*packet), from, to};
        poll_at(starved_until_ = now + kAskAgain);
        return std::nullopt;
    }
    while (Entry* e = active_.pop_front()) {
        if ((room >> e->link & 1) == 0 && !e->connection.is_local()) [[unlikely]] {
            parked_.push_back(*e);
            continue;
        }
        const IpAddr from = e->connection.local().address, to = e->connection.remote().address;
        std::optional<PacketBuffer> packet = e->connection.next_packet(now);
        if (packet && e->connection.has_whole_segment()) {  // to the back of the line, without planning it twice
            active_.push_back(*e);
            schedule(*e);
        } else {
            plan_ahead(*e, now);
        }
        if (packet) {
            starved_until_ = Instant::never();
            return Outgoing{std::move(*packet), from, to};
        }
        if (static_cast<ListNode<ActiveTag>*>(e)->linked()) {  // it has something to say, but the pool is empty
            poll_at(starved_until_ = now + kAskAgain);
            return std::nullopt;
        }
    }
    return std::nullopt;
}

/// Peers that take nothing must not hold all send memory: some of them are reset.
void Tcp::evict_stalled(Instant now) {
    if (env_.send.held < env_.send.hard) return;
    std::array<Entry*, 32> stalled;
    usize count = 0;
    table_.for_each([&](Entry& e) {
        if (count < stalled.size() && e.connection.is_stalled(now)) stalled[count++] = &e;
    });
    for (Entry* e : std::span(stalled).first(count)) {
        ++env_.stats.stalled_evicted;
        queue_reply(e->connection.reset_segment());
        e->connection.finish(Error::timed_out);
        retire(*e);
    }
}

/// Whoever was refused memory for writing may try again; who fails again is back here soon.
void Tcp::allow_writers(Instant now) {
    writers_at_ = Instant::never();
    evict_stalled(now);
    env_.send.refused = false;
    table_.for_each([&](Entry& e) {
        e.connection.allow_write();
        if (e.slot != kNone) notify(e, e.connection.readiness_bits());
    });
}

void Tcp::poll(Instant now) {
    end_batch(now);
    if (starved_until_ <= now) starved_until_ = Instant::never();
    if (writers_at_ <= now) allow_writers(now);
    while (Entry* e = deadlines_.pop_due(now)) {
        e->connection.on_time(now);
        settle(*e, now);
    }
    while (!time_wait_.empty() && time_wait_.front().connection.deadline() <= now) {
        Entry& e = time_wait_.front();
        e.connection.on_time(now);
        settle(e, now);
    }
    due_ = earliest();
}

/// The first of all timers; what is held back comes before them.
Instant Tcp::earliest() const {
    if (merger_.holds()) return {};
    const Instant waited = time_wait_.empty() ? Instant::never() : time_wait_.front().connection.deadline();
    return std::min({deadlines_.earliest(), waited, starved_until_, writers_at_});
}

void Tcp::set_link(bool up, Instant now, u8 link) {
    const u32 links = up ? links_up_ | u32{1} << link : links_up_ & ~(u32{1} << link);
    if (links == links_up_) return;
    links_up_ = links;
    if (!up) return;
    while (Entry* e = parked_.pop_front()) active_.push_back(*e);
    table_.for_each([&](Entry& e) {
        if (e.link != link || e.connection.is_local()) return;
        e.connection.on_link_restored(now);
        schedule(e);
    });
}

void Tcp::on_unreachable(const Endpoint& local, const Endpoint& remote, SeqNum seq, Unreachable kind, u16 mtu,
                         Instant now) {
    Entry* e = table_.find(local, remote);
    if (e == nullptr) {
        ++env_.stats.icmp_ignored;
        return;
    }
    e->connection.on_unreachable(seq, kind, mtu, now);
    settle(*e, now);
}

}  // namespace ringlet::net::tcp
