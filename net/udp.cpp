// RFC 768 and RFC 1122 §4.1. A queued datagram keeps its peer's endpoint in front of the payload, in the place of its
// headers, which have done their work (received) or are not yet there (to be sent). Context: the network monitor.
#include "net/udp.hpp"

#include <algorithm>
#include <new>

#include "net/checksum.hpp"
#include "net/headers.hpp"
#include "net/packet_queue.hpp"

namespace ringlet::net {
namespace {

void put_peer(PacketBuffer& p, const Endpoint& peer) {
    std::memcpy(p.push_bytes(sizeof(peer)).data(), &peer, sizeof(peer));
}

Endpoint take_peer(PacketBuffer& p) {
    Endpoint peer;
    std::memcpy(&peer, p.data().data(), sizeof(peer));
    p.pull_bytes(sizeof(peer));
    return peer;
}

}  // namespace

struct Udp::Socket {
    bool open = false, in_ready = false;
    PortUse use = PortUse::exclusive;
    MulticastLoop loop = MulticastLoop::on;
    std::optional<Error> error;  // what ICMP said, not yet reported
    u32 generation = 0;
    usize wants = 0;  // buffers it was refused; 0: it was not
    Endpoint local;
    Endpoint remote;     // port 0: not connected
    Endpoint last_peer;  // whom an ICMP error may be about
    FixedVector<IpAddr, kGroups> groups;
    bool is_connected() const { return remote.port != 0; }
    bool hears(const Endpoint& from) const {
        return !is_connected() || (from.port == remote.port && from.address == remote.address &&
                                   (remote.scope == 0 || from.scope == 0 || from.scope == remote.scope));
    }
    bool is_in(IpAddr group) const { return std::ranges::find(groups, group) != groups.end(); }
    /// How well it fits a datagram from `from` to `to`; 0: not at all.
    int rank(const Endpoint& from, const Endpoint& to) const {
        if (!open || local.port != to.port || !hears(from) || !to.address.is_covered_by(local.address)) return 0;
        return 1 + (local.address == to.address) + 2 * is_connected();
    }
    PacketQueue receive, transmit;
    u64 dropped = 0;
    void* user_data = nullptr;
    Socket* next_ready = nullptr;
};

Udp::Udp(u16 max_sockets, SipKey key, PacketPool& pool, Statistics& stats) : key_(key), pool_(pool), stats_(stats) {
    sockets_ = new (std::nothrow) Socket[max_sockets];
    if (sockets_ != nullptr) capacity_ = max_sockets;
}

Udp::~Udp() {
    delete[] sockets_;
}

Udp::Socket* Udp::find(UdpHandle h) const {
    if (h.index >= capacity_) return nullptr;
    Socket& s = sockets_[h.index];
    return s.open && s.generation == h.generation ? &s : nullptr;
}

void Udp::mark_ready(Socket& s) {
    if (s.in_ready) return;
    s.in_ready = true;
    s.next_ready = nullptr;
    (ready_head_ == nullptr ? ready_head_ : ready_tail_->next_ready) = &s;
    ready_tail_ = &s;
}

std::optional<UdpHandle> Udp::take_ready() {
    while (ready_head_ != nullptr) {
        Socket& s = *ready_head_;
        ready_head_ = s.next_ready;
        s.in_ready = false;
        if (s.open) return UdpHandle{static_cast<u32>(&s - sockets_), s.generation};
    }
    return std::nullopt;
}

Udp::Verdict Udp::input(IpAddr source, IpAddr destination, PacketBuffer& datagram, Audience audience, u16 scope) {
    const auto h = read_at<UdpHeader>(datagram.data(), 0);
    if (!h || h->length < sizeof(UdpHeader) || h->length > datagram.total_size() || h->source_port == 0 ||
        h->destination_port == 0) {
        ++stats_.udp_bad;
        return Verdict::dropped;
    }
    datagram.trim_to(h->length);
    if (h->checksum != 0 && datagram.meta().checksum == PacketMeta::Checksum::none) {
        InternetSum sum = InternetSum::pseudo_header(source, destination, static_cast<u8>(IpProtocol::udp), h->length);
        sum.add_at(sum_of(datagram), 0);
        if (!sum.is_valid()) {
            ++stats_.udp_bad_checksum;
            return Verdict::dropped;
        }
    }
    const Endpoint from{source, h->source_port, source.is_link_local() ? scope : u16{0}},
        to{destination, h->destination_port, 0};
    if (audience == Audience::many) return deliver_to_all(from, to, datagram);
    Socket* best = nullptr;
    int rank = 0;
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        if (const int r = s.rank(from, to); r > rank) {
            rank = r;
            best = &s;
        }
    }
    if (best == nullptr) {
        ++stats_.udp_no_socket;
        return Verdict::no_socket;
    }
    datagram.pull_bytes(sizeof(UdpHeader));
    return deliver(*best, from, std::move(datagram));
}

/// Window = payload.
Udp::Verdict Udp::deliver(Socket& s, const Endpoint& from, PacketBuffer datagram) {
    if (s.receive.count() >= kReceiveQueue) {
        ++s.dropped;
        ++stats_.udp_queue_full;
        return Verdict::dropped;
    }
    if (held_ + datagram.buffers() > pool_.total() / 4) {  // readers that do not read must not starve everybody else
        ++s.dropped;
        ++stats_.udp_memory;
        return Verdict::dropped;
    }
    put_peer(datagram, from);
    held_ += datagram.buffers();
    s.receive.push_back(std::move(datagram));
    ++stats_.udp_in;
    mark_ready(s);
    return Verdict::delivered;
}

/// RFC 1122 §3.3.6, RFC 1112 §7: every socket on the port that is a member, or that hears broadcasts, gets its own.
/// Nobody is told when there is none: an answer to a broadcast would come from everybody.
Udp::Verdict Udp::deliver_to_all(const Endpoint& from, const Endpoint& to, PacketBuffer& datagram) {
    const bool group = to.address.is_multicast();
    datagram.pull_bytes(sizeof(UdpHeader));
    Socket* last = nullptr;
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        const bool any_address = s.local.address.is_unspecified() && to.address.is_covered_by(s.local.address);
        const bool fits = any_address || s.local.address == to.address;
        if (!s.open || s.local.port != to.port || !s.hears(from) || !fits || (group && !s.is_in(to.address))) continue;
        if (last != nullptr) {
            if (auto p = pool_.copy(datagram))
                (void)deliver(*last, from, std::move(*p));
            else
                ++stats_.no_packet;
        }
        last = &s;
    }
    if (last != nullptr) return deliver(*last, from, std::move(datagram));
    ++stats_.udp_no_socket;
    return Verdict::dropped;
}

std::optional<Udp::Outgoing> Udp::output() {
    if (queued_output_ == 0) {
        if (blocked_ != 0) wake_blocked();
        return std::nullopt;
    }
    for (u16 i = 0; i < capacity_; ++i) {
        if (next_output_ >= capacity_) next_output_ = 0;
        Socket& s = sockets_[next_output_++];
        auto p = s.transmit.pop_front();
        if (!p) continue;
        queued_output_ -= p->buffers();
        if (blocked_ != 0) wake_blocked();
        const Endpoint peer = take_peer(*p);
        auto* h = p->push<UdpHeader>();
        h->source_port = s.local.port;
        h->destination_port = peer.port;
        h->length = static_cast<u16>(p->total_size());
        h->checksum = 0;
        ++stats_.udp_out;
        return Outgoing{std::move(*p), s.local.address, peer, s.loop};
    }
    return std::nullopt;
}

bool Udp::is_taken(u16 port) const {
    for (u16 i = 0; i < capacity_; ++i)
        if (sockets_[i].open && sockets_[i].local.port == port) return true;
    return false;
}

u16 Udp::ephemeral_port() {
    // RFC 6056 §3.3.1: random, then the next free one. There are far fewer sockets than ports.
    constexpr u32 kPorts = 65536 - kFirstEphemeral;
    const u64 start = siphash(key_, ++ephemeral_counter_, 0);
    for (u32 i = 0; i < kPorts; ++i)
        if (const u16 port = static_cast<u16>(kFirstEphemeral + (start + i) % kPorts); !is_taken(port)) return port;
    return 0;
}

Result<UdpHandle> Udp::open(Endpoint local, PortUse use) {
    if (capacity_ == 0) return fail(Error::no_memory);
    if (local.port == 0) local.port = ephemeral_port();
    if (local.port == 0) return fail(Error::no_space);
    Socket* free = nullptr;
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        if (!s.open && free == nullptr) free = &s;
        if (s.open && s.local == local && (use == PortUse::exclusive || s.use == PortUse::exclusive))
            return fail(Error::in_use);
    }
    if (free == nullptr) return fail(Error::no_space);
    free->open = true;
    ++free->generation;
    free->use = use;
    free->loop = MulticastLoop::on;
    free->local = local;
    free->error.reset();
    free->dropped = 0;
    free->user_data = nullptr;
    free->remote = free->last_peer = {};
    return UdpHandle{static_cast<u32>(free - sockets_), free->generation};
}

void Udp::close(UdpHandle h) {
    Socket* s = find(h);
    if (s == nullptr) return;
    held_ -= s->receive.buffers();
    queued_output_ -= s->transmit.buffers();
    if (std::exchange(s->wants, 0) != 0) --blocked_;
    s->receive.clear();
    s->transmit.clear();
    s->open = false;
    s->user_data = nullptr;
    s->groups.clear();
}

Result<> Udp::connect(UdpHandle h, Endpoint remote) {
    Socket* s = find(h);
    const bool to_nobody = remote.address.is_unspecified() || remote.address.is_multicast();
    if (s == nullptr || (remote.port != 0 && to_nobody)) return fail(Error::invalid);
    s->remote = remote.port == 0 ? Endpoint{} : remote;
    s->error.reset();
    // What others said before is not heard any more.
    held_ -= s->receive.buffers();
    s->receive.clear();
    return {};
}

Result<Endpoint> Udp::remote(UdpHandle h) const {
    const Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    if (!s->is_connected()) return fail(Error::not_connected);
    return s->remote;
}

Result<> Udp::join(UdpHandle h, IpAddr group) {
    Socket* s = find(h);
    if (s == nullptr || !group.is_multicast()) return fail(Error::invalid);
    if (s->is_in(group)) return fail(Error::exists);
    if (!s->groups.try_push_back(group)) return fail(Error::no_space);
    return {};
}

Result<> Udp::leave(UdpHandle h, IpAddr group) {
    Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    const auto at = std::ranges::find(s->groups, group);
    if (at == s->groups.end()) return fail(Error::not_found);
    *at = s->groups[s->groups.size() - 1];
    s->groups.pop_back();
    return {};
}

Result<> Udp::set_multicast_loop(UdpHandle h, MulticastLoop loop) {
    Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    s->loop = loop;
    return {};
}

std::optional<IpAddr> Udp::leave_one(UdpHandle h) {
    Socket* s = find(h);
    if (s == nullptr || s->groups.empty()) return std::nullopt;
    const IpAddr group = s->groups[s->groups.size() - 1];
    s->groups.pop_back();
    return group;
}

bool Udp::has_room(const Socket& s, usize buffers) const {
    return s.transmit.count() < kTransmitQueue && queued_output_ + buffers <= queue_limit() && pool_.free() >= buffers;
}

Error Udp::refuse(Socket& s, usize buffers) {
    if (pool_.free() < buffers) ++stats_.no_packet;
    if (s.wants == 0) ++blocked_;
    s.wants = buffers;
    return Error::would_block;
}

/// Whoever was refused hears of it when as much as it wanted would fit now, not before: it would only ask in vain.
void Udp::wake_blocked() {
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        if (s.wants == 0) continue;
        if (pool_.free() < s.wants) pool_.note_shortage();
        if (!has_room(s, s.wants)) continue;
        s.wants = 0;
        --blocked_;
        mark_ready(s);
    }
}

/// The caller knows that there are enough buffers.
PacketBuffer Udp::lay_out(Bytes payload, Layout layout) {
    PacketBuffer all = *pool_.allocate();
    const bool whole = payload.size() + sizeof(UdpHeader) <= layout.whole;
    usize room = (whole ? layout.whole : layout.piece) - sizeof(UdpHeader);
    for (bool first = true; first || !payload.empty(); first = false, room = layout.piece) {
        std::optional<PacketBuffer> next;
        if (!first) next = pool_.allocate();
        const Bytes piece = payload.first(std::min(room, payload.size()));
        if (!piece.empty()) std::memcpy((next ? *next : all).append(piece.size()).data(), piece.data(), piece.size());
        payload = payload.subspan(piece.size());
        if (next) all.append_fragment(std::move(*next));
    }
    return all;
}

Result<> Udp::send_to(UdpHandle h, Endpoint to, Bytes payload, Layout layout) {
    Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    if (to.port == 0 && to.address.is_unspecified()) to = s->remote;
    if (to.port == 0 || !s->hears(to)) return fail(Error::invalid);
    if (payload.size() > kLargestPayload) return fail(Error::too_large);
    const usize size = payload.size() + sizeof(UdpHeader);
    const usize buffers = size <= layout.whole ? 1 : (size + layout.piece - 1) / layout.piece;
    if (buffers > queue_limit()) return fail(Error::no_memory);
    if (!has_room(*s, buffers)) return fail(refuse(*s, buffers));
    PacketBuffer p = lay_out(payload, layout);
    put_peer(p, to);
    s->last_peer = {to.address, to.port, 0};
    s->transmit.push_back(std::move(p));
    queued_output_ += buffers;
    return {};
}

Result<Udp::Received> Udp::receive_from(UdpHandle h, MutableBytes to) {
    Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    if (const auto error = std::exchange(s->error, std::nullopt)) return fail(*error);
    auto p = s->receive.pop_front();
    if (!p) return fail(Error::would_block);
    held_ -= p->buffers();
    const Endpoint from = take_peer(*p);
    const usize size = p->total_size();
    p->for_each_fragment([&to](MutableBytes piece, DmaAddr) {
        const usize n = piece.size() < to.size() ? piece.size() : to.size();
        if (n != 0) std::memcpy(to.data(), piece.data(), n);
        to = to.subspan(n);
    });
    return Received{size, from};
}

bool Udp::talks_to(const Endpoint& local, const Endpoint& remote) const {
    for (u16 i = 0; i < capacity_; ++i) {
        const Socket& s = sockets_[i];
        if (s.rank(remote, local) != 0 && (s.is_connected() || s.last_peer == remote)) return true;
    }
    return false;
}

void Udp::on_error(Endpoint local, Endpoint remote, Error why) {
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        if (s.rank(remote, local) == 0) continue;
        if (!s.is_connected() && (s.last_peer != remote || why != Error::connection_refused)) continue;
        s.error = why;
        mark_ready(s);
        return;
    }
    ++stats_.icmp_errors_ignored;
}

bool Udp::readable(UdpHandle h) const {
    const Socket* s = find(h);
    return s != nullptr && (!s->receive.empty() || s->error);
}

bool Udp::writable(UdpHandle h) const {
    const Socket* s = find(h);
    return s != nullptr && has_room(*s, std::max<usize>(s->wants, 1));
}

Result<Endpoint> Udp::local(UdpHandle h) const {
    const Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    return s->local;
}

void Udp::set_user_data(UdpHandle h, void* data) {
    if (Socket* s = find(h)) s->user_data = data;
}

void* Udp::user_data(UdpHandle h) const {
    const Socket* s = find(h);
    return s == nullptr ? nullptr : s->user_data;
}

void Udp::for_each(FunctionRef<void(const UdpSocketInfo&)> visit) const {
    for (u16 i = 0; i < capacity_; ++i) {
        const Socket& s = sockets_[i];
        if (s.open) visit({s.local, s.remote, s.receive.count(), s.dropped});
    }
}

}  // namespace ringlet::net
