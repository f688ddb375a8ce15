// Joining of received segments. Context: the network monitor.
#include "net/tcp/merger.hpp"

namespace ringlet::net::tcp {
namespace {

bool is_whole(const IpAddr& source, const IpAddr& destination, PacketBuffer& p) {
    if (p.meta().checksum == PacketMeta::Checksum::none && !checksum_ok(source, destination, p.data())) return false;
    p.meta().checksum = PacketMeta::Checksum::verified;
    return true;
}

}  // namespace

/// Nothing: a segment that is never joined.
std::optional<Merger::Parsed> Merger::parse(const PacketBuffer& p) {
    const usize size = p.size();
    if (p.fragments() != 1 || size < sizeof(Header) + kWorthHolding || size > 0xffff) return std::nullopt;
    Parsed s;
    std::memcpy(&s.header, p.data().data(), sizeof(Header));
    if ((s.header.flags & ~flag::psh) != flag::ack) return std::nullopt;
    if (s.header.data_offset == sizeof(Header) / 4 << 4) {
        if (s.header.option_kinds != TimestampOption::kAlone) return std::nullopt;
        s.header_bytes = sizeof(Header);
    } else if (s.header.data_offset == kHeaderBytes / 4 << 4) {
        s.header_bytes = kHeaderBytes;
    } else {
        return std::nullopt;
    }
    s.length = static_cast<u16>(size - s.header_bytes);
    return s;
}

bool Merger::join(const IpAddr& source, const IpAddr& destination, PacketBuffer& p) {
    if (!held_) return false;
    const std::optional<Parsed> s = parse(p);
    if (!s || s->header_bytes != header_bytes_ || s->length > unit_ || bytes_ + s->length > 0xffff) return false;
    const Header& h = s->header;
    if (SeqNum(h.sequence) != next_ || h.acknowledgment != first_.acknowledgment || h.window != first_.window ||
        h.source_port != first_.source_port || h.destination_port != first_.destination_port)
        return false;
    if (s->has_timestamp() && SeqNum(h.timestamp) < SeqNum(first_.timestamp)) return false;
    if (held_->source != source || held_->destination != destination || !is_whole(source, destination, p)) return false;
    full_ = (h.flags & flag::psh) != 0 || s->length < unit_ || ++count_ == kMost;
    if ((h.flags & flag::psh) != 0) held_->packet.data()[offsetof(Header, flags)] |= std::byte{flag::psh};
    first_.timestamp = h.timestamp;
    next_ += s->length;
    bytes_ += s->length;
    p.pull_bytes(s->header_bytes);
    held_->packet.append_fragment(std::move(p));
    held_->packet.meta().gso_size = unit_;
    return true;
}

bool Merger::begin(const IpAddr& source, const IpAddr& destination, PacketBuffer& p) {
    const std::optional<Parsed> s = parse(p);
    if (!s || (s->header.flags & flag::psh) != 0 || !is_whole(source, destination, p)) return false;
    first_ = s->header;
    next_ = SeqNum(s->header.sequence) + s->length;
    bytes_ = u32{s->header_bytes} + s->length;
    unit_ = s->length;
    header_bytes_ = s->header_bytes;
    count_ = 1;
    full_ = false;
    held_.emplace(source, destination, std::move(p));
    return true;
}

std::optional<Merger::Held> Merger::take() {
    return std::exchange(held_, std::nullopt);
}

}  // namespace ringlet::net::tcp
