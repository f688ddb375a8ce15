// See dns_resolver.hpp. A lookup advances when one of its two queries finishes; a query advances when its server
// answers or has been silent for too long. Context: the owner's.
#include "net/dns_resolver.hpp"

#include <algorithm>

#include "lib/parse.hpp"

namespace ringlet::net::dns {
namespace {

constexpr usize kMostDomains = 6;
constexpr Type kTypes[] = {Type::a, Type::aaaa};

constexpr u8 bit(u8 server) {
    return static_cast<u8>(1u << server);
}

/// Takes the next domain off a list separated by blanks or commas.
std::string_view next_domain(std::string_view& list) {
    const usize begin = std::min(list.find_first_not_of(" ,"), list.size());
    list.remove_prefix(begin);
    const usize end = std::min(list.find_first_of(" ,"), list.size());
    const std::string_view domain = substring(list, 0, end);
    list.remove_prefix(end);
    return domain;
}

}  // namespace

void Resolver::configure(const Settings& settings) {
    settings_ = settings;
    const auto servers = settings.servers.first(std::min(settings.servers.size(), kServers));
    if (std::ranges::equal(servers, servers_)) return;
    servers_.clear();
    for (const IpAddr& s : servers) servers_.try_push_back(s);
    preferred_ = 0;
    for (CacheEntry& e : cache_) e.expires = {};
    for (Query& q : queries_) q.tried = q.refused = 0;
}

// --- lookups ------------------------------------------------------------------------------------------------------

/// Hosts that are known without asking; RFC 6761 §6.3's localhost. Nothing: it has to be asked for.
std::optional<AddressList> Resolver::known(const Name& name, Family family) const {
    AddressList all;
    bool is_known = false;
    auto add = [&](IpAddr a) {
        is_known = true;
        if (family == Family::any || a.is_ipv4() == (family == Family::ipv4)) all.try_push_back(a);
    };
    for (const HostEntry& h : settings_.hosts)
        if (const auto n = Name::parse(h.name); n && *n == name) add(h.address);
    if (!is_known && name.is_within(*Name::parse("localhost"))) {
        add(Ipv4Addr::of(127, 0, 0, 1));
        add(IpAddr::of(0, 1));
    }
    if (!is_known) return std::nullopt;
    return all;
}

/// What is tried as the `index`-th: the name as it is and below each search domain, in the order that `ndots` says.
/// Nothing although it `exists`: too long.
std::optional<Name> Resolver::candidate(const Lookup& l, usize index, bool& exists) const {
    const bool as_it_is_first = l.absolute || l.name.dots() >= settings_.ndots;
    exists = true;
    if (as_it_is_first && index-- == 0) return l.name;
    std::string_view rest = l.absolute ? std::string_view{} : settings_.search;
    usize domains = 0;
    for (auto word = next_domain(rest); !word.empty() && domains < kMostDomains; word = next_domain(rest), ++domains) {
        if (index-- != 0) continue;
        const auto domain = Name::parse(word);
        return domain ? l.name.with_suffix(*domain) : std::nullopt;
    }
    if (!as_it_is_first && index == 0) return l.name;
    exists = false;
    return std::nullopt;
}

Result<u32> Resolver::start(std::string_view name, Family family, Instant now) {
    const auto literal = IpAddr::parse(name);
    const auto parsed = Name::parse(name);
    if (!literal && !parsed) return fail(Error::invalid);
    const auto free = std::ranges::find(lookups_, 0u, &Lookup::id);
    if (free == lookups_.end()) return fail(Error::no_space);
    ++counters_.lookups;
    auto here = literal ? std::optional<AddressList>(AddressList{}) : known(*parsed, family);
    if (literal && (family == Family::any || literal->is_ipv4() == (family == Family::ipv4)))
        here->try_push_back(*literal);
    if (!here && servers_.empty()) return fail(Error::unreachable);
    Lookup& l = *free;
    l = {};
    l.id = next_lookup_++;
    if (next_lookup_ == 0) next_lookup_ = 1;
    ++busy_;
    if (here) {
        end(l, here->empty() ? Result<AddressList>(fail(Error::not_found)) : *here);
        return l.id;
    }
    l.name = *parsed;
    l.absolute = name.ends_with('.');
    l.family = family;
    const u32 id = l.id;
    if (!next_candidate(l, now)) end(l, fail(Error::not_found));
    advance(l, now);
    return id;
}

/// Asks for the next candidate's addresses; false when there is none left.
bool Resolver::next_candidate(Lookup& l, Instant now) {
    for (;;) {
        bool exists;
        const auto name = candidate(l, l.tried, exists);
        if (!exists) return false;
        ++l.tried;
        if (!name) continue;
        const bool wants[] = {l.family != Family::ipv6,
                              l.family == Family::ipv6 || (l.family == Family::any && settings_.ipv6)};
        for (usize i = 0; i < l.parts.size(); ++i) {
            l.parts[i] = {};
            if (wants[i] && !ask(l.parts[i], {*name, kTypes[i]}, now)) {
                l.parts[i].state = Part::State::failed;
                l.parts[i].error = Error::no_space;
            }
        }
        return true;
    }
}

/// From the cache, with a query that is under way, or with a new one; false when there is no room for that.
bool Resolver::ask(Part& part, const Question& question, Instant now) {
    if (const CacheEntry* e = cached(question, now)) {
        ++counters_.cache_hits;
        part.addresses = e->addresses;
        part.state = e->addresses.empty() ? Part::State::nothing : Part::State::found;
        return true;
    }
    Query* free = nullptr;
    for (Query& q : queries_) {
        if (q.state == Query::State::free)
            free = free == nullptr ? &q : free;
        else if (q.question == question) {
            part.query = index(q);
            part.state = Part::State::pending;
            return true;
        }
    }
    if (free == nullptr) return false;
    ++counters_.queries;
    ++busy_;
    *free = {};
    free->question = question;
    free->current = question.name;
    free->ttl = kLongestTtl;
    begin_attempt(*free, preferred_, Transport::udp);
    part.query = index(*free);
    part.state = Part::State::pending;
    return true;
}

AddressList Resolver::found(const Lookup& l) const {
    AddressList all;
    for (const usize i : {settings_.ipv6 ? usize{1} : usize{0}, settings_.ipv6 ? usize{0} : usize{1}})
        for (const IpAddr& a : l.parts[i].addresses) all.try_push_back(a);
    return all;
}

void Resolver::advance(Lookup& l, Instant now) {
    while (l.id != 0 && !l.ended) {
        bool pending = false, any = false;
        std::optional<Error> error;
        for (const Part& p : l.parts) {
            pending |= p.state == Part::State::pending;
            any |= p.state == Part::State::found;
            if (p.state == Part::State::failed) error = p.error;
        }
        if (pending && !any) return;
        if (pending && now < l.settle_at) {  // RFC 8305 §3: the other family gets a little time
            if (l.settle_at.is_never()) l.settle_at = now + kSecondFamily;
            return;
        }
        if (any)
            end(l, found(l));
        else if (error)
            end(l, fail(*error));
        else if (!next_candidate(l, now))
            end(l, fail(Error::not_found));
    }
}

/// Queries that only it wanted go on: what they find is kept.
void Resolver::end(Lookup& l, Result<AddressList> result) {
    l.result = std::move(result);
    l.ended = true;
    l.settle_at = Instant::never();
    l.parts = {};
    --busy_;
    changed_ = true;
}

Result<AddressList> Resolver::result(u32 lookup) {
    const auto l = std::ranges::find(lookups_, lookup, &Lookup::id);
    if (lookup == 0 || l == lookups_.end()) return fail(Error::invalid);
    if (!l->ended) return fail(Error::would_block);
    l->id = 0;
    return l->result;
}

void Resolver::cancel(u32 lookup) {
    const auto l = std::ranges::find(lookups_, lookup, &Lookup::id);
    if (lookup == 0 || l == lookups_.end()) return;
    if (!l->ended) --busy_;
    *l = {};
    for (Query& q : queries_) {
        if (q.state == Query::State::free || is_wanted(q)) continue;
        q.state = Query::State::free;
        --busy_;
    }
}

bool Resolver::is_wanted(const Query& q) const {
    for (const Lookup& l : lookups_)
        for (const Part& p : l.parts)
            if (l.id != 0 && p.state == Part::State::pending && p.query == index(q)) return true;
    return false;
}

// --- queries ------------------------------------------------------------------------------------------------------

void Resolver::begin_attempt(Query& q, u8 server, Transport transport) {
    q.server = server;
    q.transport = transport;
    q.id = static_cast<u16>(random());
    q.state = Query::State::due;
}

/// This one will not answer: another, or the next round, or the end.
void Resolver::next_server(Query& q, Error why, Instant now) {
    const u8 n = static_cast<u8>(servers_.size());
    const u8 all = static_cast<u8>((1u << n) - 1);
    ++counters_.retries;
    q.tried |= bit(q.server);
    if (why != Error::timed_out) q.refused |= bit(q.server);
    if ((q.refused & all) == all) return finish(q, Part::State::failed, {}, n == 0 ? Error::unreachable : why, now);
    for (;;) {
        for (u8 i = 1; i <= n; ++i) {
            const u8 server = static_cast<u8>((q.server + i) % n);
            if (((q.tried | q.refused) & bit(server)) == 0) return begin_attempt(q, server, Transport::udp);
        }
        q.tried = 0;
        if (++q.silent_rounds >= kRounds) return finish(q, Part::State::failed, {}, Error::timed_out, now);
    }
}

void Resolver::finish(Query& q, Part::State state, const AddressList& addresses, Error error, Instant now) {
    if (state != Part::State::failed) keep(q.question, addresses, q.ttl, now);
    for (Lookup& l : lookups_) {
        for (Part& p : l.parts) {
            if (l.id == 0 || p.state != Part::State::pending || p.query != index(q)) continue;
            p.state = state;
            p.error = error;
            p.addresses = addresses;
        }
    }
    q.state = Query::State::free;
    --busy_;
    for (Lookup& l : lookups_) advance(l, now);
}

std::optional<Resolver::Outgoing> Resolver::output(MutableBytes to, Instant now) {
    for (Query& q : queries_) {
        if (q.state != Query::State::due) continue;
        if (q.server >= servers_.size()) {  // there are fewer than there were
            if (servers_.empty()) {
                finish(q, Part::State::failed, {}, Error::unreachable, now);
                continue;
            }
            q.server = 0;
        }
        q.state = Query::State::waiting;
        q.deadline = now + (q.transport == Transport::tcp ? kTcpTimeout : kTimeout * (i64{1} << q.silent_rounds));
        counters_.tcp += q.transport == Transport::tcp;
        const usize size = build_query(q.id, {q.current, q.question.type}, q.edns, to);
        return Outgoing{index(q), q.transport, servers_[q.server], size};
    }
    return std::nullopt;
}

void Resolver::input(u8 query, Bytes message, Instant now) {
    if (query >= kQueries || !is_waiting(query)) return;
    Query& q = queries_[query];
    const auto a = read_answer(message, q.id, {q.current, q.question.type});
    if (!a) {
        ++counters_.ignored;
        return;
    }
    ++counters_.answers;
    using Kind = Answer::Kind;
    switch (a->kind) {
    case Kind::addresses:
    case Kind::no_data:
    case Kind::no_name:
        preferred_ = q.server;
        q.ttl = std::min(q.ttl, a->ttl);
        return finish(q, a->addresses.empty() ? Part::State::nothing : Part::State::found, a->addresses,
                      Error::not_found, now);
    case Kind::elsewhere:
        if (++q.hops >= kLongestChain) return finish(q, Part::State::failed, {}, Error::io, now);
        q.ttl = std::min(q.ttl, a->ttl);
        q.current = a->target;
        return begin_attempt(q, q.server, Transport::udp);
    case Kind::truncated:
        if (q.transport == Transport::tcp) return next_server(q, Error::io, now);
        return begin_attempt(q, q.server, Transport::tcp);
    case Kind::not_understood:
        if (q.edns == Edns::without) return next_server(q, Error::io, now);
        q.edns = Edns::without;
        return begin_attempt(q, q.server, Transport::udp);
    case Kind::failed:
        return next_server(q, Error::io, now);
    }
}

void Resolver::failed(u8 query, Instant now) {
    if (query < kQueries && is_waiting(query)) next_server(queries_[query], Error::unreachable, now);
}

void Resolver::poll(Instant now) {
    if (busy_ == 0) return;
    for (Query& q : queries_)
        if (q.state == Query::State::waiting && now >= q.deadline) next_server(q, Error::timed_out, now);
    for (Lookup& l : lookups_)
        if (now >= l.settle_at) advance(l, now);
}

Instant Resolver::deadline() const {
    Instant d = Instant::never();
    if (busy_ == 0) return d;
    for (const Query& q : queries_) {
        if (q.state == Query::State::due) return {};
        if (q.state == Query::State::waiting) d = std::min(d, q.deadline);
    }
    for (const Lookup& l : lookups_) d = std::min(d, l.settle_at);
    return d;
}

// --- cache --------------------------------------------------------------------------------------------------------

const Resolver::CacheEntry* Resolver::cached(const Question& question, Instant now) const {
    for (const CacheEntry& e : cache_)
        if (now < e.expires && e.question == question) return &e;
    return nullptr;
}

/// Its place: the same question's, or the one that would end first. RFC 2181 §8: bounds on what servers may ask for.
void Resolver::keep(const Question& question, const AddressList& addresses, u32 ttl, Instant now) {
    ttl = std::min(ttl, addresses.empty() ? kLongestNegativeTtl : kLongestTtl);
    if (ttl == 0) return;
    CacheEntry* place = &cache_[0];
    for (CacheEntry& e : cache_) {
        if (e.question == question) {
            place = &e;
            break;
        }
        if (e.expires < place->expires) place = &e;
    }
    *place = {question, now + Duration::from_s(ttl), addresses};
}

}  // namespace ringlet::net::dns
