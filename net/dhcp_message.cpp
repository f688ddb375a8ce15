// RFC 2131 §4.1: options lie behind the magic cookie, then in `file` and in `sname` when option 52 says so, and are one
// sequence; RFC 3396: several options of one code are one value. Context: any.
#include "net/dhcp_message.hpp"

#include <bit>

#include "lib/parse.hpp"
#include "net/dns_name.hpp"

namespace ringlet::net::dhcp {
namespace {

struct BootpHeader {
    u8 op, htype, hlen, hops;
    be32 xid;
    be16 secs, flags;
    be32 ciaddr, yiaddr, siaddr, giaddr;
    MacAddr chaddr;
    u8 chaddr_padding[10];
    u8 sname[64], file[128];
    be32 magic;
};
static_assert(sizeof(BootpHeader) == 240 && alignof(BootpHeader) == 1);
constexpr u32 kMagic = 0x63825363;

enum Option : u8 {
    kPad = 0,
    kSubnetMask = 1,
    kRouter = 3,
    kDns = 6,
    kHostname = 12,
    kDomain = 15,
    kMtu = 26,
    kBroadcast = 28,
    kNtp = 42,
    kRequestedAddress = 50,
    kLeaseTime = 51,
    kOverload = 52,
    kMessageType = 53,
    kServerId = 54,
    kParameterList = 55,
    kMessage = 56,
    kMaxSize = 57,
    kRenewal = 58,
    kRebinding = 59,
    kClientId = 61,
    kSearch = 119,
    kClasslessRoutes = 121,
    kEnd = 255
};
// In the order of preference; 121 before 3 (RFC 3442 says so).
constexpr u8 kWanted[] = {kSubnetMask, kClasslessRoutes, kRouter,  kDns,       kHostname, kDomain, kMtu, kBroadcast,
                          kNtp,        kLeaseTime,       kRenewal, kRebinding, kSearch};

/// Visits (code, value) of one run of options; false when it runs over the end.
template <class F> bool for_each_option(Bytes from, F visit) {
    usize at = 0;
    while (at < from.size()) {
        const u8 code = static_cast<u8>(from[at++]);
        if (code == kPad) continue;
        if (code == kEnd) return true;
        if (at == from.size()) return false;
        const usize length = static_cast<u8>(from[at++]);
        const auto value = slice(from, at, length);
        if (!value) return false;
        visit(code, *value);
        at += length;
    }
    return true;  // some servers leave the end mark out when the packet ends
}

/// All runs of options of one message.
class Options {
public:
    /// False when the message is malformed.
    bool open(Bytes payload) {
        runs_[0] = payload.subspan(sizeof(BootpHeader));
        u8 overload = 0;
        bool good = for_each_option(runs_[0], [&](u8 code, Bytes value) {
            if (code == kOverload && value.size() == 1) overload = static_cast<u8>(value[0]);
        });
        if ((overload & 1) != 0) runs_[1] = payload.subspan(offsetof(BootpHeader, file), sizeof(BootpHeader::file));
        if ((overload & 2) != 0) runs_[2] = payload.subspan(offsetof(BootpHeader, sname), sizeof(BootpHeader::sname));
        for (const Bytes run : {runs_[1], runs_[2]}) good = good && for_each_option(run, [](u8, Bytes) {});
        return good;
    }
    /// The option's value, its parts put together; nothing when it is absent. Valid until the next call.
    std::optional<Bytes> find(u8 wanted) {
        usize size = 0, parts = 0;
        for (const Bytes run : runs_) {
            (void)for_each_option(run, [&](u8 code, Bytes value) {
                if (code != wanted) return;
                ++parts;
                if (value.size() > sizeof(value_) - size) value = value.first(sizeof(value_) - size);
                if (!value.empty()) std::memcpy(value_ + size, value.data(), value.size());
                size += value.size();
            });
        }
        if (parts == 0) return std::nullopt;
        return Bytes(value_, size);
    }

private:
    Bytes runs_[3];
    std::byte value_[1024];
};

/// An option of exactly one number. False: it is there, of another size.
template <class Wire, class T> bool read_number(Options& options, u8 code, std::optional<T>& to) {
    const auto value = options.find(code);
    if (!value) return true;
    if (value->size() != sizeof(Wire)) return false;
    to = static_cast<T>(*read_at<Wire>(*value, 0));
    return true;
}

/// Host addresses; what cannot be one is passed over. False: no list of addresses.
bool read_addresses(Bytes value, FixedVector<Ipv4Addr, NetworkHints::kServers>& to) {
    if (value.empty() || value.size() % 4 != 0) return false;
    for (usize i = 0; i < value.size(); i += 4)
        if (const Ipv4Addr a{*read_at<be32>(value, i)}; is_plausible_host(a)) to.try_push_back(a);
    return true;
}

std::optional<dns::Name> read_name(Bytes value) {
    std::string_view text(reinterpret_cast<const char*>(value.data()), value.size());
    while (text.ends_with('\0')) text.remove_suffix(1);  // RFC 2132 §2: some servers end texts with it
    return dns::Name::parse(text);
}

bool append_domain(const dns::Name& name, ShortText<255>& to) {
    char text[dns::Name::kTextBytes];
    const std::string_view domain = name.text(text);
    if (to.view().size() + 1 + domain.size() > 255) return false;
    if (!to.view().empty()) to.append(" ");
    return to.append(domain);
}

/// RFC 3397: names that may point to earlier bytes of the option. The list is cut where it stops making sense.
bool read_search(Bytes value, ShortText<255>& to) {
    for (usize at = 0; at < value.size();) {
        const auto name = dns::Name::read(value, at);
        if (!name || !name->is_hostname()) return false;
        if (!append_domain(*name, to)) return true;
    }
    return true;
}

/// RFC 3442: width, the significant octets of the destination, the router. The default route goes to `router`.
bool read_routes(Bytes value, NetworkHints& hints, Ipv4Addr& router) {
    usize at = 0;
    while (at < value.size()) {
        ClasslessRoute r;
        r.prefix = static_cast<u8>(value[at++]);
        if (r.prefix > 32) return false;
        const usize octets = (usize{r.prefix} + 7) / 8;
        const auto entry = slice(value, at, octets + 4);
        if (!entry) return false;
        for (usize i = 0; i < octets; ++i) r.destination.value |= u32{static_cast<u8>((*entry)[i])} << (24 - 8 * i);
        if (r.prefix < 32) r.destination.value &= ~(0xffff'ffffu >> r.prefix);
        r.router = {*read_at<be32>(*entry, octets)};
        at += octets + 4;
        if (!r.router.is_unspecified() && !is_plausible_host(r.router)) continue;
        if (r.prefix != 0)
            hints.routes.try_push_back(r);
        else if (router.is_unspecified())
            router = r.router;
    }
    return true;
}

/// One option that a lease can do without.
bool read_hint(u8 code, Bytes value, Answer& to) {
    NetworkHints& hints = to.hints;
    switch (code) {
    case kRouter: {
        FixedVector<Ipv4Addr, NetworkHints::kServers> routers;
        if (!read_addresses(value, routers)) return false;
        if (!routers.empty()) to.router = routers[0];
        return true;
    }
    case kDns:
        return read_addresses(value, hints.dns);
    case kNtp:
        return read_addresses(value, hints.ntp);
    case kMtu: {
        if (value.size() != 2) return false;
        const u16 mtu = *read_at<be16>(value, 0);
        // RFC 2132 §5.1 allows from 68; below 576 nothing works that every host must take (RFC 1122 §3.3.2).
        if (mtu >= 576) hints.mtu = mtu;
        return mtu >= 68;
    }
    case kBroadcast:
        if (value.size() != 4) return false;
        hints.broadcast = {*read_at<be32>(value, 0)};
        return true;
    case kHostname: {
        const auto name = read_name(value);
        char text[dns::Name::kTextBytes];
        return name && hints.hostname.assign(name->text(text));
    }
    case kSearch:
        return read_search(value, hints.search);
    case kDomain: {
        if (!hints.search.view().empty()) return true;
        const auto name = read_name(value);
        return name && append_domain(*name, hints.search);
    }
    default:
        return true;
    }
}

bool read_essentials(Options& options, Answer& to) {
    std::optional<u8> type;
    std::optional<u32> server, mask;
    if (!read_number<u8>(options, kMessageType, type) || !type || *type > static_cast<u8>(MessageType::inform) ||
        !read_number<be32>(options, kServerId, server) || !read_number<be32>(options, kSubnetMask, mask) ||
        !read_number<be32>(options, kLeaseTime, to.lease_seconds))
        return false;
    to.type = MessageType{*type};
    to.server = {server.value_or(0)};
    if (!mask) return true;
    const u32 inverse = ~*mask;
    if ((inverse & (inverse + 1)) != 0) return false;  // holes in the mask
    to.prefix = static_cast<u8>(32 - std::popcount(inverse));
    return true;
}

}  // namespace

bool is_plausible_host(Ipv4Addr a) {
    return (a.value >> 24) != 0 && !a.is_loopback() && (a.value >> 28) < 0xe;
}

Verdict parse(Bytes payload, Answer& to, u64& bad_options) {
    const auto h = read_at<BootpHeader>(payload, 0);
    if (!h || h->op != 2 || h->htype != 1 || h->hlen != 6 || h->magic != kMagic) return Verdict::malformed;
    to.xid = h->xid;
    to.client = h->chaddr;
    to.your_address = {h->yiaddr};
    Options options;
    if (!options.open(payload) || !read_essentials(options, to)) return Verdict::malformed;
    bad_options += !read_number<be32>(options, kRenewal, to.renewal_seconds);
    bad_options += !read_number<be32>(options, kRebinding, to.rebinding_seconds);
    const auto routes = options.find(kClasslessRoutes);
    const bool classless = routes && !routes->empty() && read_routes(*routes, to.hints, to.router);
    if (routes && !classless) {
        ++bad_options;
        to.hints.routes.clear();
        to.router = {};
    }
    for (const u8 code : {u8{kDns}, u8{kNtp}, u8{kMtu}, u8{kBroadcast}, u8{kHostname}, u8{kSearch}, u8{kDomain}})
        if (const auto value = options.find(code)) bad_options += !read_hint(code, *value, to);
    if (!classless)  // RFC 3442: with them the router option is ignored
        if (const auto value = options.find(kRouter)) bad_options += !read_hint(kRouter, *value, to);
    return Verdict::good;
}

void build(const Question& q, MutableBytes to) {
    ASSERT(to.size() >= Question::kBytes);
    std::memset(to.data(), 0, Question::kBytes);
    auto* h = reinterpret_cast<BootpHeader*>(to.data());
    h->op = 1;
    h->htype = 1;
    h->hlen = 6;
    h->xid = q.xid;
    h->secs = q.seconds;
    h->ciaddr = q.client_address.value;
    h->chaddr = q.client;
    h->magic = kMagic;

    usize at = sizeof(BootpHeader);
    auto option = [&](u8 code, Bytes value) {
        to[at++] = std::byte{code};
        to[at++] = static_cast<std::byte>(value.size());
        std::memcpy(to.data() + at, value.data(), value.size());
        at += value.size();
    };
    auto address = [&](u8 code, Ipv4Addr a) {
        const be32 wire = a.value;
        if (!a.is_unspecified()) option(code, std::as_bytes(std::span(&wire, 1)));
    };
    const u8 type = static_cast<u8>(q.type);
    option(kMessageType, std::as_bytes(std::span(&type, 1)));
    u8 id[7] = {1};
    std::memcpy(id + 1, q.client.octets.data(), 6);
    option(kClientId, std::as_bytes(std::span(id)));
    address(kRequestedAddress, q.requested);
    address(kServerId, q.server);
    // RFC 2131 table 5: DECLINE and RELEASE ask for nothing.
    if (q.type == MessageType::discover || q.type == MessageType::request) {
        const be16 largest = 1500;
        option(kMaxSize, std::as_bytes(std::span(&largest, 1)));
        option(kParameterList, std::as_bytes(std::span(kWanted)));
        if (!q.hostname.empty()) option(kHostname, std::as_bytes(std::span(substring(q.hostname, 0, 63))));
    }
    if (!q.message.empty()) option(kMessage, std::as_bytes(std::span(substring(q.message, 0, 32))));
    to[at] = std::byte{kEnd};
}

}  // namespace ringlet::net::dhcp
