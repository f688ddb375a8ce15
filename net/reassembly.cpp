// Context: the network monitor.
#include "net/reassembly.hpp"

#include <cstring>

namespace ringlet::net {

void Reassembly::drop_pieces(Datagram& d) {
    held_ -= d.pieces.count();
    d.pieces.clear();
}

/// The datagram that `key` names: known, or in a free place, or in that of the oldest.
Reassembly::Datagram* Reassembly::open(const Key& key, Duration lifetime, Instant now) {
    Datagram* place = nullptr;
    for (Datagram& d : datagrams_) {
        if (d.used && d.key == key) return &d;
        if (place == nullptr || (place->used && (!d.used || d.until < place->until))) place = &d;
    }
    if (place->used) {
        ++stats_.fragments_limited;
        drop_pieces(*place);
    }
    place->key = key;
    place->used = true;
    place->poisoned = false;
    place->header_bytes = 0;
    place->total = place->received = 0;
    place->until = now + lifetime;
    if (place->until < deadline_) deadline_ = place->until;
    return place;
}

/// One buffer more may be held; the oldest datagram but `keep` makes room.
bool Reassembly::make_room(const Datagram& keep) {
    if (held_ < limit_) return true;
    Datagram* oldest = nullptr;
    for (Datagram& d : datagrams_) {
        if (&d == &keep || d.pieces.empty()) continue;
        if (oldest == nullptr || d.until < oldest->until) oldest = &d;
    }
    ++stats_.fragments_limited;
    if (oldest == nullptr) return false;
    drop_pieces(*oldest);
    oldest->poisoned = true;
    return true;
}

/// Puts the piece in its place. False: it contradicts what is there, and the datagram is lost.
bool Reassembly::insert(Datagram& d, Fragment& f) {
    const u32 length = static_cast<u32>(f.packet.size()), end = f.offset + length;
    if (!f.more && d.total != 0 && d.total != end) return false;
    if (d.total != 0 && end > d.total) return false;
    PacketQueue::Ref before;
    for (auto piece = d.pieces.front(); piece; piece = piece.next()) {
        const u32 from = piece->note(), to = from + static_cast<u32>(piece->size());
        if (!f.more && to > end) return false;
        if (from == f.offset && to == end && std::memcmp(piece->data().data(), f.packet.data().data(), length) == 0)
            return true;  // the network doubled it
        if (from < end && f.offset < to) {
            ++stats_.fragments_overlap;
            return false;
        }
        if (from < f.offset) before = piece;
    }
    if (d.pieces.count() >= kFragments || !make_room(d)) return false;
    if (f.offset == 0) d.header_bytes = f.header_bytes;
    if (!f.more) d.total = end;
    d.received += length;
    f.packet.meta() = {};
    f.packet.note() = f.offset;
    d.pieces.insert_after(before, std::move(f.packet));
    ++held_;
    return true;
}

PacketBuffer Reassembly::finish(Datagram& d) {
    PacketBuffer whole = *d.pieces.pop_front();
    (void)whole.push_bytes(d.header_bytes);  // still there in front of the window
    whole.meta() = {};
    while (auto piece = d.pieces.pop_front()) whole.append_fragment(std::move(*piece));
    d.used = false;
    ++stats_.reassembled;
    return whole;
}

std::optional<PacketBuffer> Reassembly::add(const Key& key, Fragment f, Duration lifetime, Instant now) {
    ++stats_.fragments_in;
    const usize length = f.packet.size() - f.header_bytes;
    if (f.packet.fragments() != 1 || length == 0 || (f.more && length % 8 != 0) || f.offset + length > kLargest) {
        ++stats_.fragments_bad;
        return std::nullopt;
    }
    Datagram& d = *open(key, lifetime, now);
    if (d.poisoned) {
        ++stats_.fragments_bad;
        return std::nullopt;
    }
    f.packet.pull_bytes(f.header_bytes);
    if (!insert(d, f)) {
        ++stats_.fragments_bad;
        drop_pieces(d);
        d.poisoned = true;  // until its time is over: what still comes of it must not begin a new one
        return std::nullopt;
    }
    if (d.total == 0 || d.received != d.total) return std::nullopt;
    held_ -= d.pieces.count();
    return finish(d);
}

void Reassembly::poll(Instant now, FunctionRef<void(PacketBuffer)> expired) {
    if (now < deadline_) return;
    deadline_ = Instant::never();
    for (Datagram& d : datagrams_) {
        if (!d.used) continue;
        if (now < d.until) {
            if (d.until < deadline_) deadline_ = d.until;
            continue;
        }
        d.used = false;
        if (!d.poisoned) ++stats_.fragments_timeout;
        if (!d.pieces.empty() && d.pieces.front()->note() == 0) {
            PacketBuffer first = *d.pieces.pop_front();
            --held_;
            (void)first.push_bytes(d.header_bytes);
            expired(std::move(first));
        }
        drop_pieces(d);
    }
}

}  // namespace ringlet::net
