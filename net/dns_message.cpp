// RFC 1035 §4.1, RFC 2181 §5.4 and §8, RFC 2308, RFC 6891 §6.1. Context: any.
#include "net/dns_message.hpp"

#include <algorithm>

#include "lib/endian.hpp"

namespace ringlet::net::dns {
namespace {

struct Header {
    be16 id, flags, qdcount, ancount, nscount, arcount;
    static constexpr u16 kResponse = 0x8000, kOpcode = 0x7800, kTruncated = 0x0200, kRecurse = 0x0100, kRcode = 0x000f;
};
static_assert(sizeof(Header) == 12 && alignof(Header) == 1);
enum Rcode : u8 { kFormatError = 1, kNameError = 3, kNotImplemented = 4 };

/// What stands behind a record's name.
struct RecordHead {
    be16 type, klass;
    be32 ttl;
    be16 rdlength;
};
static_assert(sizeof(RecordHead) == 10 && alignof(RecordHead) == 1);
constexpr u16 kInternet = 1;

/// In `message`: where the next record begins.
class Records {
public:
    Records(Bytes message, usize at) : message_(message), at_(at) {}
    struct Record {
        Name owner;
        Type type;
        u16 klass;
        u32 ttl;
        usize data;  ///< offset of the rdata in the message
        u16 length;
    };
    /// Nothing: the message is malformed.
    std::optional<Record> next() {
        const auto owner = Name::read(message_, at_);
        const auto head = owner ? read_at<RecordHead>(message_, at_) : std::nullopt;
        if (!head || !slice(message_, at_ + sizeof(RecordHead), head->rdlength)) return std::nullopt;
        Record r{*owner, Type{u16{head->type}}, head->klass, head->ttl, at_ + sizeof(RecordHead), head->rdlength};
        if (r.ttl > 0x7fff'ffff) r.ttl = 0;  // RFC 2181 §8
        at_ = r.data + r.length;
        return r;
    }
    usize at() const { return at_; }

private:
    Bytes message_;
    usize at_;
};

/// The answer section of one message: walked again for each link of a chain, for its records may come in any order.
struct AnswerSection {
    Bytes message;
    usize begin;
    u16 count;

    /// visit(record) for the Internet records of `owner`; false when one is malformed. `end`: what follows the section.
    template <class F> bool for_each(const Name& owner, F visit, usize* end = nullptr) const {
        Records all(message, begin);
        for (u16 i = 0; i < count; ++i) {
            const auto r = all.next();
            if (!r || (r->klass == kInternet && r->owner == owner && !visit(*r))) return false;
        }
        if (end != nullptr) *end = all.at();
        return true;
    }
};

bool is_usable(IpAddr a) {
    return !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast();
}

/// The whole rdata is one address. An IPv4 address in IPv6's clothes is none.
std::optional<IpAddr> read_address(Bytes data, Type type) {
    if (type == Type::a)
        return data.size() == 4 ? std::optional(IpAddr(Ipv4Addr{*read_at<be32>(data, 0)})) : std::nullopt;
    if (data.size() != 16) return std::nullopt;
    return IpAddr::from(data.first<16>());
}

/// The last name of the chain that begins with `name`, its lifetime. False: malformed, or too long to be true.
bool follow_chain(const AnswerSection& answers, Name& name, u32& ttl) {
    for (unsigned link = 0;; ++link) {
        std::optional<Name> target;
        const bool good = answers.for_each(name, [&](const Records::Record& r) {
            if (r.type != Type::cname || target) return true;
            usize at = r.data;
            target = Name::read(answers.message, at);
            ttl = std::min(ttl, r.ttl);
            return target && at == r.data + r.length;
        });
        if (!good || (target && link == kLongestChain)) return false;
        if (!target) return true;
        name = *target;
    }
}

/// RFC 2308 §5: how long it holds that there is nothing: the SOA of a zone that `name` is in says so, or nobody.
u32 negative_ttl(Bytes message, usize begin, u16 count, const Name& name) {
    Records authority(message, begin);
    for (u16 i = 0; i < count; ++i) {
        const auto r = authority.next();
        if (!r) return 0;
        if (r->type != Type::soa || r->klass != kInternet || !name.is_within(r->owner)) continue;
        usize at = r->data;
        if (!Name::read(message, at) || !Name::read(message, at)) return 0;
        const auto minimum = read_at<be32>(message, at + 16);  // behind serial, refresh, retry, expire
        if (!minimum || at + 20 != r->data + r->length) return 0;
        return std::min(r->ttl, u32{*minimum});
    }
    return 0;
}

bool asks(Bytes message, const Question& question, usize& at) {
    const auto name = Name::read(message, at);
    const auto type = name ? read_at<be16>(message, at) : std::nullopt, klass = read_at<be16>(message, at + 2);
    if (!type || !klass || *name != question.name || *type != static_cast<u16>(question.type) || *klass != kInternet)
        return false;
    at += 4;
    return true;
}

}  // namespace

usize build_query(u16 id, const Question& question, Edns edns, MutableBytes to) {
    ASSERT(to.size() >= kQueryBytes);
    const bool opt = edns == Edns::with;
    const Header header{.id = id, .flags = Header::kRecurse, .qdcount = 1, .ancount = 0, .nscount = 0, .arcount = opt};
    usize at = 0;
    auto put = [&](const void* from, usize n) {
        std::memcpy(to.data() + at, from, n);
        at += n;
    };
    put(&header, sizeof(header));
    put(question.name.wire().data(), question.name.wire().size());
    const be16 rest[2] = {static_cast<u16>(question.type), kInternet};
    put(rest, sizeof(rest));
    if (!opt) return at;
    const RecordHead record{.type = static_cast<u16>(Type::opt), .klass = kUdpPayload, .ttl = 0, .rdlength = 0};
    const u8 root = 0;
    put(&root, 1);
    put(&record, sizeof(record));
    return at;
}

std::optional<Answer> read_answer(Bytes message, u16 id, const Question& question) {
    const auto h = read_at<Header>(message, 0);
    usize at = sizeof(Header);
    if (!h || h->id != id || (h->flags & (Header::kResponse | Header::kOpcode)) != Header::kResponse)
        return std::nullopt;
    const u8 rcode = h->flags & Header::kRcode;
    Answer a;
    if (h->qdcount == 0 &&
        (rcode == kFormatError || rcode == kNotImplemented)) {  // it may not even repeat the question
        a.kind = Answer::Kind::not_understood;
        return a;
    }
    if (h->qdcount != 1 || !asks(message, question, at)) return std::nullopt;
    if ((h->flags & Header::kTruncated) != 0) {
        a.kind = Answer::Kind::truncated;
        return a;
    }
    if (rcode != 0 && rcode != kNameError) {
        const bool unknown = rcode == kFormatError || rcode == kNotImplemented;
        a.kind = unknown ? Answer::Kind::not_understood : Answer::Kind::failed;
        return a;
    }
    if (h->ancount > kMostRecords || h->nscount > kMostRecords) return a;
    const AnswerSection answers{message, at, h->ancount};
    a.target = question.name;
    u32 ttl = 0x7fff'ffff;
    if (!follow_chain(answers, a.target, ttl)) return a;
    usize end = at;
    const bool good = answers.for_each(
        a.target,
        [&](const Records::Record& r) {
            if (r.type != question.type) return true;
            const auto address = read_address(message.subspan(r.data, r.length), r.type);
            if (!address) return false;
            ttl = std::min(ttl, r.ttl);
            if (is_usable(*address) && address->is_ipv4() == (r.type == Type::a)) a.addresses.try_push_back(*address);
            return true;
        },
        &end);
    if (!good) {
        a.addresses.clear();
        return a;
    }
    if (!a.addresses.empty()) {
        a.kind = Answer::Kind::addresses;
        a.ttl = ttl;
        return a;
    }
    a.ttl = std::min(ttl, negative_ttl(message, end, h->nscount, a.target));
    a.kind = rcode == kNameError ? Answer::Kind::no_name : Answer::Kind::no_data;
    // A chain that leads out of what this server knows, without a word from the zone it leads into: one has to ask
    // there.
    if (rcode == 0 && a.ttl == 0 && a.target != question.name) {
        a.kind = Answer::Kind::elsewhere;
        a.ttl = ttl;
    }
    return a;
}

}  // namespace ringlet::net::dns
