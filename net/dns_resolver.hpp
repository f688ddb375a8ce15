// A stub resolver as a value (RFC 1034 §5.3.1, RFC 5452): names, messages and the time go in, messages and addresses
// come out. Callers' lookups become queries for one name and type each; equal queries are one, answers are kept for
// their time. Ids are random here, source ports where the sockets are (net/api/resolver.*). Context: the owner's.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "lib/result.hpp"
#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/config.hpp"
#include "net/dns_message.hpp"

namespace ringlet::net::dns {

enum class Family : u8 { any, ipv4, ipv6 };

/// Where and how to ask. The views outlive their use.
struct Settings {
    std::span<const IpAddr> servers;   ///< at most Resolver::kServers are used, in this order
    std::string_view search;           ///< domains, separated by blanks or commas
    u8 ndots = 1;                      ///< names with as many dots are tried as they are first
    std::span<const HostEntry> hosts;  ///< known without asking
    bool ipv6 = false;                 ///< `any` asks for IPv6 addresses too, and puts them first
};

class Resolver {
public:
    static constexpr usize kLookups = 16, kQueries = 16, kCache = 32, kServers = 4;
    static constexpr unsigned kRounds = 3;                     ///< through all servers
    static constexpr Duration kTimeout = Duration::from_s(1);  ///< of the first round; it doubles
    static constexpr Duration kTcpTimeout = Duration::from_s(5);
    static constexpr Duration kSecondFamily = Duration::from_ms(300);    ///< waited for when the first is there
    static constexpr u32 kLongestTtl = 3600, kLongestNegativeTtl = 900;  ///< seconds

    explicit Resolver(SipKey key) : key_(key) {}
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    /// From now on. Other servers than before: what the old ones said is forgotten.
    void configure(const Settings& settings);

    // --- the callers' side ----------------------------------------------------------------------------------------
    /// invalid: no host name. unreachable: no server is known. no_space: too many at once.
    Result<u32> start(std::string_view name, Family family, Instant now);
    /// would_block: not yet. Ends the lookup otherwise. not_found: no such name, or no such address. timed_out: no
    /// server answers. io: the servers answer that they cannot. invalid: no such lookup.
    Result<AddressList> result(u32 lookup);
    void cancel(u32 lookup);
    bool is_idle() const { return busy_ == 0; }
    /// True once after a lookup ended.
    bool take_change() { return std::exchange(changed_, false); }

    // --- the sockets' side ----------------------------------------------------------------------------------------
    enum class Transport : u8 { udp, tcp };
    struct Outgoing {
        u8 query;  ///< which of the kQueries: each has its own socket
        Transport transport;
        IpAddr server;  ///< port 53
        usize size;
    };
    /// Writes the next message that is due into `to` (kQueryBytes). A fresh socket is used for it, with a random port;
    /// what this query's last socket still hears is of no interest.
    std::optional<Outgoing> output(MutableBytes to, Instant now);
    bool is_waiting(u8 query) const { return queries_[query].state == Query::State::waiting; }
    /// What came to the query's socket from its server.
    void input(u8 query, Bytes message, Instant now);
    /// The server cannot be reached (ICMP, a reset, no route).
    void failed(u8 query, Instant now);
    void poll(Instant now);
    Instant deadline() const;

    struct Counters {
        u64 lookups, queries, retries, answers, ignored, cache_hits, tcp;
    };
    const Counters& counters() const { return counters_; }

private:
    struct Query {
        enum class State : u8 { free, due, waiting } state = State::free;
        Transport transport = Transport::udp;
        Edns edns = Edns::with;
        u8 server = 0, hops = 0, silent_rounds = 0;
        u8 tried = 0, refused = 0;  // servers asked in this round, and those that have said they cannot: bits
        u16 id = 0;
        u32 ttl = 0;
        Question question;  // as the caller asked: what it is found by
        Name current;       // asked for now: the end of the chain so far
        Instant deadline;
    };
    /// One family of a lookup.
    struct Part {
        enum class State : u8 { unwanted, pending, found, nothing, failed } state = State::unwanted;
        u8 query = 0;
        Error error = Error::timed_out;
        AddressList addresses;
    };
    struct Lookup {
        u32 id = 0;  // 0: free
        Name name;
        bool absolute = false, ended = false;
        Family family = Family::any;
        u8 tried = 0;               // candidates
        std::array<Part, 2> parts;  // A, AAAA
        Instant settle_at = Instant::never();
        Result<AddressList> result = fail(Error::would_block);
    };
    struct CacheEntry {
        Question question;
        Instant expires;        // 0: free
        AddressList addresses;  // none: it is known that there are none
    };

    std::optional<AddressList> known(const Name& name, Family family) const;
    std::optional<Name> candidate(const Lookup& l, usize index, bool& exists) const;
    bool next_candidate(Lookup& l, Instant now);
    bool ask(Part& part, const Question& question, Instant now);
    void advance(Lookup& l, Instant now);
    void end(Lookup& l, Result<AddressList> result);
    AddressList found(const Lookup& l) const;
    void begin_attempt(Query& q, u8 server, Transport transport);
    void next_server(Query& q, Error why, Instant now);
    void finish(Query& q, Part::State state, const AddressList& addresses, Error error, Instant now);
    bool is_wanted(const Query& q) const;
    const CacheEntry* cached(const Question& question, Instant now) const;
    void keep(const Question& question, const AddressList& addresses, u32 ttl, Instant now);
    u64 random() { return siphash(key_, ++counter_, 53); }
    u8 index(const Query& q) const { return static_cast<u8>(&q - queries_.data()); }

    SipKey key_;
    u64 counter_ = 0;
    u32 next_lookup_ = 1;
    u32 busy_ = 0;  // queries under way, and lookups that have not ended
    bool changed_ = false;
    u8 preferred_ = 0;  // the server that answered last
    FixedVector<IpAddr, kServers> servers_;
    Settings settings_;
    Counters counters_{};
    std::array<Lookup, kLookups> lookups_;
    std::array<Query, kQueries> queries_;
    std::array<CacheEntry, kCache> cache_;
};

}  // namespace ringlet::net::dns
