// DNS messages (RFC 1035 §4.1, RFC 6891) as a stub resolver writes and reads them: one question, and of the answer what
// belongs to that question. Nothing in a response is believed beyond it (RFC 5452 §6). Context: any.
#pragma once

#include "lib/bytes.hpp"
#include "lib/fixed_vector.hpp"
#include "net/address.hpp"
#include "net/dns_name.hpp"

namespace ringlet::net::dns {

inline constexpr u16 kPort = 53;
inline constexpr u16 kUdpPayload = 1232;      ///< the largest answer we ask for by UDP: not fragmented anywhere
inline constexpr usize kQueryBytes = 288;     ///< holds every query
inline constexpr usize kAddresses = 8;        ///< of one name and family; more are left out
inline constexpr unsigned kLongestChain = 8;  ///< CNAMEs followed
inline constexpr u16 kMostRecords = 128;      ///< in the sections that are read
using AddressList = FixedVector<IpAddr, kAddresses>;

enum class Type : u16 { a = 1, cname = 5, soa = 6, aaaa = 28, opt = 41 };

struct Question {
    Name name;
    Type type = Type::a;
    friend bool operator==(const Question&, const Question&) = default;
};

/// With the OPT record of EDNS(0), or, for servers that do not understand it, without.
enum class Edns : u8 { with, without };

/// Writes a query into `to` (kQueryBytes); how long it is.
usize build_query(u16 id, const Question& question, Edns edns, MutableBytes to);

struct Answer {
    enum class Kind : u8 {
        addresses,
        no_data,         ///< the name exists, without addresses of this family
        no_name,         ///< NXDOMAIN
        elsewhere,       ///< `target` is the same under another name, and nothing is said about that one
        truncated,       ///< ask again by TCP
        not_understood,  ///< FORMERR or NOTIMP: perhaps without EDNS
        failed,          ///< SERVFAIL, REFUSED, or an answer that contradicts itself
    } kind = Kind::failed;
    AddressList addresses;
    Name target;
    u32 ttl = 0;  ///< seconds it may be kept, negative answers too (RFC 2308 §5); 0: not at all
};
/// Reads a message as the answer to `question`, asked with `id`. Nothing: it is not one, and the right one may still
/// come.
std::optional<Answer> read_answer(Bytes message, u16 id, const Question& question);

}  // namespace ringlet::net::dns
