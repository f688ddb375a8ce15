// IGMPv3 (RFC 3376) for the groups that sockets joined: queries answered, changes reported. Context: the network
// monitor.
#include "net/checksum.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

/// §4.1, §5.2. Queries of the older versions are answered in the third's form (§7.2.1 would fall back to theirs).
void Stack::igmp_input(Bytes message, const Ipv4Header& ip, Instant now) {
    constexpr u8 kQuery = 0x11;
    ++stats_.igmp_in;
    if (message.size() < 8 || internet_checksum(message) != 0 || ip.ttl != 1) {
        ++stats_.igmp_bad;
        return;
    }
    if (message[0] != std::byte{kQuery}) return;  // others' reports
    const Ipv4Addr group{*read_at<be32>(message, 4)};
    u32 tenths = static_cast<u8>(message[1]);
    if (tenths >= 128 && message.size() >= 12) tenths = (0x10u | (tenths & 0xf)) << ((tenths >> 4 & 7) + 3);  // §4.1.1
    if (tenths == 0) tenths = 100;  // version 1 says nothing: ten seconds
    if (!group.is_unspecified() && !group.is_multicast()) {
        ++stats_.igmp_bad;
        return;
    }
    groups_.on_query(group.is_unspecified() ? IpAddr{} : IpAddr(group), Duration::from_ms(tenths * 100), now);
}

/// §4.2: a report of one record, to all IGMPv3 routers, TTL 1, with the router alert option (RFC 2113).
std::optional<PacketBuffer> Stack::igmp_output(Instant now) {
    constexpr u8 kReport = 0x22;
    const auto report = groups_.next_report(now);
    if (!report || ipv4_.address.is_unspecified()) return std::nullopt;
    auto p = pool_.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;  // the next query asks again
    }
    const MutableBytes m = p->append(16);
    std::memset(m.data(), 0, m.size());
    m[0] = std::byte{kReport};
    m[7] = std::byte{1};
    m[8] = static_cast<std::byte>(report->record);
    const be32 group = report->group.ipv4().value;
    std::memcpy(m.data() + 12, &group, sizeof(group));
    const be16 sum = internet_checksum(m);
    std::memcpy(m.data() + 2, &sum, sizeof(sum));
    constexpr u8 kAlert[4] = {148, 4, 0, 0};
    std::memcpy(p->push_bytes(sizeof(kAlert)).data(), kAlert, sizeof(kAlert));
    push_ipv4(*p, ipv4_.address, kIgmp3Routers, IpProtocol::igmp, 0, Ipv4Header::kDontFragment);
    auto* ip = reinterpret_cast<Ipv4Header*>(p->data().data());
    ip->version_ihl = 0x46;
    ip->ttl = 1;
    ip->checksum = 0;
    ip->checksum = internet_checksum(p->data().first(sizeof(Ipv4Header) + sizeof(kAlert)));
    ++stats_.igmp_out;
    return send(std::move(*p), kIgmp3Routers, now);
}

}  // namespace ringlet::net
