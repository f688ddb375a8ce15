// RFC 768 and RFC 1122 §4.1. A queued datagram keeps its peer's endpoint in front of the payload, in the place of its
// headers, which have done their work (received) or are not yet there (to be sent). Context: the network monitor.
#include "net/udp.hpp"

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
    bool open = false, in_ready = false, refused = false, was_full = false;
    u32 generation = 0;
    Endpoint local;
    Endpoint last_peer;  // whom an ICMP error may be about
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

Udp::Socket* Udp::find_port(IpAddr destination, u16 port) const {
    Socket* any = nullptr;
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        if (!s.open || s.local.port != port) continue;
        if (s.local.address == destination) return &s;
        if (destination.is_covered_by(s.local.address)) any = &s;
    }
    return any;
}

void Udp::mark_ready(Socket& s) {
    if (s.in_ready) return;
    s.in_ready = true;
    s.next_ready = nullptr;
    (ready_head_ == nullptr ? ready_head_ : ready_tail_->next_ready) = &s;
    ready_tail_ = &s;
}

std::optional<UdpHandle> Udp::next_ready() {
    while (ready_head_ != nullptr) {
        Socket& s = *ready_head_;
        ready_head_ = s.next_ready;
        s.in_ready = false;
        if (s.open) return UdpHandle{static_cast<u32>(&s - sockets_), s.generation};
    }
    return std::nullopt;
}

Udp::Verdict Udp::input(IpAddr source, IpAddr destination, PacketBuffer& datagram) {
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
    Socket* s = find_port(destination, h->destination_port);
    if (s == nullptr) {
        ++stats_.udp_no_socket;
        return Verdict::no_socket;
    }
    if (s->receive.count() >= kReceiveQueue) {
        ++s->dropped;
        ++stats_.udp_queue_full;
        return Verdict::dropped;
    }
    if (held_ >= pool_.total() / 4) {  // readers that do not read must not starve everybody else
        ++s->dropped;
        ++stats_.udp_memory;
        return Verdict::dropped;
    }
    datagram.pull_bytes(sizeof(UdpHeader));
    put_peer(datagram, {source, h->source_port, 0});
    held_ += datagram.buffers();
    s->receive.push_back(std::move(datagram));
    ++stats_.udp_in;
    mark_ready(*s);
    return Verdict::delivered;
}

std::optional<Udp::Outgoing> Udp::output() {
    if (queued_output_ == 0) return std::nullopt;
    for (u16 i = 0; i < capacity_; ++i) {
        if (next_output_ >= capacity_) next_output_ = 0;
        Socket& s = sockets_[next_output_++];
        auto p = s.transmit.pop_front();
        if (!p) continue;
        --queued_output_;
        if (std::exchange(s.was_full, false)) mark_ready(s);
        const Endpoint peer = take_peer(*p);
        auto* h = p->push<UdpHeader>();
        h->source_port = s.local.port;
        h->destination_port = peer.port;
        h->length = static_cast<u16>(p->size());
        h->checksum = 0;
        ++stats_.udp_out;
        return Outgoing{std::move(*p), s.local.address, peer};
    }
    return std::nullopt;
}

u16 Udp::ephemeral_port() {
    // RFC 6056 §3.3.1: random, then the next free one. There are far fewer sockets than ports.
    const u16 start = static_cast<u16>(siphash(key_, ++ephemeral_counter_, 0) % 16384);
    for (u16 i = 0; i < 16384; ++i) {
        const u16 port = static_cast<u16>(49152 + (start + i) % 16384);
        bool taken = false;
        for (u16 s = 0; s < capacity_; ++s) taken |= sockets_[s].open && sockets_[s].local.port == port;
        if (!taken) return port;
    }
    return 0;
}

Result<UdpHandle> Udp::open(Endpoint local) {
    if (capacity_ == 0) return fail(Error::no_memory);
    if (local.port == 0) local.port = ephemeral_port();
    if (local.port == 0) return fail(Error::no_space);
    Socket* free = nullptr;
    for (u16 i = 0; i < capacity_; ++i) {
        Socket& s = sockets_[i];
        if (!s.open && free == nullptr) free = &s;
        if (s.open && s.local == local) return fail(Error::in_use);
    }
    if (free == nullptr) return fail(Error::no_space);
    free->open = true;
    ++free->generation;
    free->local = local;
    free->refused = free->was_full = false;
    free->dropped = 0;
    free->user_data = nullptr;
    free->last_peer = {};
    return UdpHandle{static_cast<u32>(free - sockets_), free->generation};
}

void Udp::close(UdpHandle h) {
    Socket* s = find(h);
    if (s == nullptr) return;
    held_ -= s->receive.buffers();
    queued_output_ -= s->transmit.count();
    s->receive.clear();
    s->transmit.clear();
    s->open = false;
    s->user_data = nullptr;
}

Result<> Udp::send_to(UdpHandle h, Endpoint to, Bytes payload, usize max_payload) {
    Socket* s = find(h);
    if (s == nullptr || to.port == 0) return fail(Error::invalid);
    if (payload.size() > max_payload || payload.size() > PacketBuffer::kSize - PacketBuffer::kHeadroom)
        return fail(Error::too_large);
    if (s->transmit.count() >= kTransmitQueue) {
        s->was_full = true;
        return fail(Error::would_block);
    }
    auto p = pool_.allocate();
    if (!p) {
        ++stats_.no_packet;
        s->was_full = true;
        return fail(Error::would_block);
    }
    if (!payload.empty()) std::memcpy(p->append(payload.size()).data(), payload.data(), payload.size());
    put_peer(*p, to);
    s->last_peer = to;
    s->transmit.push_back(std::move(*p));
    ++queued_output_;
    return {};
}

Result<Udp::Received> Udp::receive_from(UdpHandle h, MutableBytes to) {
    Socket* s = find(h);
    if (s == nullptr) return fail(Error::invalid);
    if (std::exchange(s->refused, false)) return fail(Error::connection_refused);
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

bool Udp::last_peer_is(const Socket& s, const Endpoint& remote) {
    return s.last_peer == remote;
}

void Udp::on_unreachable(Endpoint local, Endpoint remote) {
    Socket* s = find_port(local.address, local.port);
    if (s == nullptr || s->last_peer != remote) {
        ++stats_.icmp_errors_ignored;
        return;
    }
    s->refused = true;
    mark_ready(*s);
}

bool Udp::readable(UdpHandle h) const {
    const Socket* s = find(h);
    return s != nullptr && (!s->receive.empty() || s->refused);
}

bool Udp::writable(UdpHandle h) const {
    const Socket* s = find(h);
    return s != nullptr && s->transmit.count() < kTransmitQueue && pool_.free() != 0;
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
        if (s.open) visit({s.local, s.receive.count(), s.dropped});
    }
}

}  // namespace ringlet::net
