// IGMPv3 (RFC 3376), and what older routers understand, for the groups that sockets joined: queries answered, changes
// reported. Context: the network
// monitor.
#include "net/checksum.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

/// §4.1, §5.2; §7.1 tells the versions of a query apart.
void Stack::igmp_input(Interface& i, Bytes message, const Ipv4Header& ip, Instant now) {
    constexpr u8 kQuery = 0x11;
    ++stats_.igmp_in;
    const usize size = message.size();
    if (size < 8 || internet_checksum(message) != 0 || ip.ttl != 1) {
        ++stats_.igmp_bad;
        return;
    }
    if (message[0] != std::byte{kQuery}) return;  // others' reports
    const Ipv4Addr group{*read_at<be32>(message, 4)};
    u32 tenths = static_cast<u8>(message[1]);
    const auto version = size >= 12    ? Groups::Version::current
                         : tenths != 0 ? Groups::Version::older
                                       : Groups::Version::oldest;
    if (tenths >= 128 && size >= 12) tenths = (0x10u | (tenths & 0xf)) << ((tenths >> 4 & 7) + 3);  // §4.1.1
    if (tenths == 0) tenths = 100;  // version 1 says nothing: ten seconds
    if ((!group.is_unspecified() && !group.is_multicast()) || (size > 8 && size < 12)) {
        ++stats_.igmp_bad;
        return;
    }
    i.groups.on_query(group.is_unspecified() ? IpAddr{} : IpAddr(group), Duration::from_ms(tenths * 100), version, now);
}

/// A report of one record to all IGMPv3 routers (§4.2); to older ones a report to the group itself, and a leave to all
/// routers (RFC 2236 §3). TTL 1, with the router alert option (RFC 2113).
std::optional<PacketBuffer> Stack::igmp_output(Interface& i, Instant now) {
    constexpr u8 kReport1 = 0x12, kReport2 = 0x16, kLeave = 0x17, kReport3 = 0x22;
    using Version = Groups::Version;
    const auto report = i.groups.next_report(now);
    if (!report || i.ipv4.address.is_unspecified()) return std::nullopt;
    const bool leaves = report->record == Groups::Record::change_to_include;
    if (leaves && report->version == Version::oldest) return std::nullopt;
    auto p = pool_.allocate();
    if (!p) {
        ++stats_.no_packet;
        return std::nullopt;  // the next query asks again
    }
    const bool current = report->version == Version::current;
    const Ipv4Addr to = current ? kIgmp3Routers : leaves ? kAllIpv4Routers : report->group.ipv4();
    const MutableBytes m = p->append(current ? 16 : 8);
    std::memset(m.data(), 0, m.size());
    const be32 group = report->group.ipv4().value;
    std::memcpy(m.data() + (current ? 12 : 4), &group, sizeof(group));
    if (current) {
        m[0] = std::byte{kReport3};
        m[7] = std::byte{1};
        m[8] = static_cast<std::byte>(report->record);
    } else {
        m[0] = std::byte{report->version == Version::oldest ? kReport1 : leaves ? kLeave : kReport2};
    }
    const be16 sum = internet_checksum(m);
    std::memcpy(m.data() + 2, &sum, sizeof(sum));
    constexpr u8 kAlert[4] = {148, 4, 0, 0};
    std::memcpy(p->push_bytes(sizeof(kAlert)).data(), kAlert, sizeof(kAlert));
    push_ipv4(*p, i.ipv4.address, to, IpProtocol::igmp, 0, Ipv4Header::kDontFragment);
    auto* ip = reinterpret_cast<Ipv4Header*>(p->data().data());
    ip->version_ihl = 0x46;
    ip->ttl = 1;
    ip->checksum = 0;
    ip->checksum = internet_checksum(p->data().first(sizeof(Ipv4Header) + sizeof(kAlert)));
    ++stats_.igmp_out;
    return send(std::move(*p), now);
}

}  // namespace ringlet::net
