// <netdb.h>: names to addresses by the resolver of net/api, names of services by a short table. Context: thread.
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <new>

#include <ringlet/network.hpp>

#include "posix/inet.hpp"
#include "posix/thread.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

struct Service {
    const char* name;
    u16 port;
};
constexpr Service kServices[] = {
    {"echo", 7},     {"discard", 9},       {"ftp", 21},        {"ssh", 22},          {"telnet", 23}, {"smtp", 25},
    {"domain", 53},  {"http", 80},         {"pop3", 110},      {"ntp", 123},         {"imap2", 143}, {"snmp", 161},
    {"ldap", 389},   {"https", 443},       {"syslog", 514},    {"imaps", 993},       {"pop3s", 995}, {"mqtt", 1883},
    {"mysql", 3306}, {"postgresql", 5432}, {"http-alt", 8080}, {"secure-mqtt", 8883}};

std::optional<u16> port_of(const char* service, bool only_number) {
    if (service == nullptr) return u16{0};
    char* end;
    const unsigned long number = strtoul(service, &end, 10);
    if (end != service && *end == '\0' && number <= 65535) return static_cast<u16>(number);
    if (only_number) return std::nullopt;
    for (const Service& s : kServices)
        if (strcmp(s.name, service) == 0) return s.port;
    return std::nullopt;
}

const char* service_of(u16 port) {
    for (const Service& s : kServices)
        if (s.port == port) return s.name;
    return nullptr;
}

int eai_of(Error error) {
    switch (error) {
    case Error::not_found:
    case Error::invalid:
        return EAI_NONAME;
    case Error::no_memory:
        return EAI_MEMORY;
    case Error::timed_out:
    case Error::unreachable:
    case Error::no_space:
        return EAI_AGAIN;
    default:
        return EAI_FAIL;
    }
}

struct Node {
    addrinfo info{};
    sockaddr_storage address{};
};

/// The results, in order.
class Answer {
public:
    explicit Answer(const addrinfo& hints) : hints_(hints) {}
    ~Answer() { freeaddrinfo(first_); }
    /// For each kind of socket that is asked for. False: no memory.
    bool add(const net::IpAddr& a, u16 port, u16 scope = 0) {
        if (hints_.ai_family == AF_INET && !a.is_ipv4()) return true;
        const bool maps = hints_.ai_family == AF_INET6;
        if (maps && a.is_ipv4() && (hints_.ai_flags & AI_V4MAPPED) == 0) return true;
        const int family = a.is_ipv4() && !maps ? AF_INET : AF_INET6;
        for (const auto [type, protocol] : {std::pair{SOCK_STREAM, IPPROTO_TCP}, std::pair{SOCK_DGRAM, IPPROTO_UDP}}) {
            if (hints_.ai_socktype != 0 && hints_.ai_socktype != type) continue;
            if (hints_.ai_protocol != 0 && hints_.ai_protocol != protocol) continue;
            auto* node = new (std::nothrow) Node;
            if (node == nullptr) return false;
            const SocketAddress address = posix::address_of({a, port, scope}, family);
            node->address = address.bytes;
            node->info = {.ai_flags = hints_.ai_flags,
                          .ai_family = family,
                          .ai_socktype = type,
                          .ai_protocol = protocol,
                          .ai_addrlen = address.size,
                          .ai_canonname = nullptr,
                          .ai_addr = reinterpret_cast<sockaddr*>(&node->address),
                          .ai_next = nullptr};
            (last_ != nullptr ? last_->ai_next : first_) = &node->info;
            last_ = &node->info;
        }
        return true;
    }
    bool name(const char* text) {
        if (first_ == nullptr || (hints_.ai_flags & AI_CANONNAME) == 0) return true;
        first_->ai_canonname = strdup(text);
        return first_->ai_canonname != nullptr;
    }
    bool empty() const { return first_ == nullptr; }
    addrinfo* take() { return std::exchange(first_, nullptr); }

private:
    const addrinfo& hints_;
    addrinfo* first_ = nullptr;
    addrinfo* last_ = nullptr;
};

int check(const char* host, const char* service, const addrinfo& hints) {
    if (host == nullptr && service == nullptr) return EAI_NONAME;
    if ((hints.ai_flags & ~AI_MASK) != 0 || ((hints.ai_flags & AI_CANONNAME) != 0 && host == nullptr))
        return EAI_BADFLAGS;
    if (hints.ai_family != AF_UNSPEC && hints.ai_family != AF_INET && hints.ai_family != AF_INET6) return EAI_FAMILY;
    if (hints.ai_socktype != 0 && hints.ai_socktype != SOCK_STREAM && hints.ai_socktype != SOCK_DGRAM)
        return EAI_SOCKTYPE;
    return 0;
}

/// Without a host: the addresses to bind to, or this host. A socket at :: serves both families: one is enough.
bool add_own(Answer& answer, const addrinfo& hints, u16 port) {
    const bool passive = (hints.ai_flags & AI_PASSIVE) != 0;
    if (hints.ai_family == AF_INET)
        return answer.add(passive ? net::Ipv4Addr{} : net::Ipv4Addr::of(127, 0, 0, 1), port);
    if (passive) return answer.add(net::IpAddr{}, port);
    return answer.add(net::IpAddr::of(0, 1), port) &&
           (hints.ai_family == AF_INET6 || answer.add(net::Ipv4Addr::of(127, 0, 0, 1), port));
}

int look_up(const char* host, const char* service, const addrinfo& hints, addrinfo** out) {
    if (const int wrong = check(host, service, hints)) return wrong;
    const auto port = port_of(service, (hints.ai_flags & AI_NUMERICSERV) != 0);
    if (!port) return (hints.ai_flags & AI_NUMERICSERV) != 0 ? EAI_NONAME : EAI_SERVICE;
    Answer answer(hints);
    bool complete = true;
    if (host == nullptr) {
        complete = add_own(answer, hints, *port);
    } else if (const auto literal = net::parse_zoned(host)) {
        complete = answer.add(literal->address, *port, literal->scope);
        if (complete && answer.empty()) return EAI_NONAME;
    } else if ((hints.ai_flags & AI_NUMERICHOST) != 0) {
        return EAI_NONAME;
    } else if (strcmp(host, "localhost") == 0) {
        complete = add_own(answer, {.ai_flags = 0, .ai_family = hints.ai_family}, *port);
    } else {
        const net::Family family = hints.ai_family == AF_INET ? net::Family::ipv4 : net::Family::any;
        const auto found = resolve(host, family);
        if (!found) return eai_of(found.error());
        for (const net::IpAddr& a : *found) complete = complete && answer.add(a, *port);
    }
    if (!complete || !answer.name(host)) return EAI_MEMORY;
    if (answer.empty()) return EAI_NONAME;
    *out = answer.take();
    return 0;
}

/// Behind an address that means something on one interface only: which (RFC 4007 §11).
void add_zone(const net::Endpoint& e, char* text) {
    if (e.scope == 0 || !e.address.is_link_local()) return;
    char* const zone = text + strlen(text);
    *zone = '%';
    if (if_indextoname(e.scope, zone + 1) == nullptr) snprintf(zone + 1, IF_NAMESIZE, "%u", e.scope);
}

bool put(const char* text, char* to, socklen_t size) {
    if (strlen(text) >= size) return false;
    strcpy(to, text);
    return true;
}

}  // namespace

extern "C" {

int* __h_errno() {
    static thread_local int value;
    return &value;
}

int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** out) {
    static constexpr addrinfo kNone{};
    test_cancel();
    return look_up(host, service, hints != nullptr ? *hints : kNone, out);
}

void freeaddrinfo(addrinfo* list) {
    while (list != nullptr) {
        auto* node = reinterpret_cast<Node*>(list);
        list = list->ai_next;
        free(node->info.ai_canonname);
        delete node;
    }
}

const char* gai_strerror(int code) {
    switch (code) {
    case 0:
        return "success";
    case EAI_AGAIN:
        return "the name could not be resolved at this time";
    case EAI_BADFLAGS:
        return "unknown flags";
    case EAI_FAIL:
        return "the name servers failed";
    case EAI_FAMILY:
        return "address family not supported";
    case EAI_MEMORY:
        return "out of memory";
    case EAI_NONAME:
        return "no such name, or no address";
    case EAI_SERVICE:
        return "no such service";
    case EAI_SOCKTYPE:
        return "socket type not supported";
    case EAI_OVERFLOW:
        return "the buffer is too small";
    case EAI_SYSTEM:
        return "system error";
    default:
        return "unknown error";
    }
}

/// Names of addresses are not asked for: the host is always its address in digits.
int getnameinfo(const sockaddr* address, socklen_t size, char* host, size_t host_size, char* service,
                size_t service_size, int flags) {
    SocketAddress a{.size = std::min<socklen_t>(size, sizeof(sockaddr_storage))};
    memcpy(&a.bytes, address, a.size);
    if (a.family() != AF_INET && a.family() != AF_INET6) return EAI_FAMILY;
    const auto endpoint = endpoint_of(a, a.family());
    if (!endpoint) return EAI_FAMILY;
    if ((flags & NI_NAMEREQD) != 0 && host != nullptr) return EAI_NONAME;
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];
    const void* raw = a.family() == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(&a.bytes)->sin_addr)
                          : &reinterpret_cast<const sockaddr_in6*>(&a.bytes)->sin6_addr;
    inet_ntop(a.family(), raw, text, INET6_ADDRSTRLEN);
    add_zone(*endpoint, text);
    if (host != nullptr && host_size != 0 && !put(text, host, static_cast<socklen_t>(host_size))) return EAI_OVERFLOW;
    if (service == nullptr || service_size == 0) return 0;
    char digits[8];
    snprintf(digits, sizeof digits, "%u", endpoint->port);
    const char* name = (flags & NI_NUMERICSERV) == 0 ? service_of(endpoint->port) : nullptr;
    return put(name != nullptr ? name : digits, service, static_cast<socklen_t>(service_size)) ? 0 : EAI_OVERFLOW;
}

hostent* gethostbyname(const char* name) {
    static thread_local hostent entry;
    static thread_local in_addr addresses[net::AddressList::capacity()];
    static thread_local char* list[net::AddressList::capacity() + 1];
    static thread_local char host[NI_MAXHOST];
    static thread_local char* aliases[1];
    addrinfo* found;
    const addrinfo hints{.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    const int code = getaddrinfo(name, nullptr, &hints, &found);
    if (code != 0 || strlen(name) >= sizeof host) {
        h_errno = code == EAI_AGAIN ? TRY_AGAIN : HOST_NOT_FOUND;
        return nullptr;
    }
    usize count = 0;
    for (const addrinfo* a = found; a != nullptr && count < std::size(addresses); a = a->ai_next, ++count) {
        addresses[count] = reinterpret_cast<const sockaddr_in*>(a->ai_addr)->sin_addr;
        list[count] = reinterpret_cast<char*>(&addresses[count]);
    }
    list[count] = nullptr;
    freeaddrinfo(found);
    strcpy(host, name);
    entry = {.h_name = host, .h_aliases = aliases, .h_addrtype = AF_INET, .h_length = 4, .h_addr_list = list};
    return &entry;
}

servent* getservbyname(const char* name, const char* protocol) {
    static thread_local servent entry;
    static thread_local char* aliases[1];
    const auto port = port_of(name, false);
    if (!port || (name[0] >= '0' && name[0] <= '9')) return nullptr;
    entry = {.s_name = const_cast<char*>(service_of(*port)),
             .s_aliases = aliases,
             .s_port = htons(*port),
             .s_proto = const_cast<char*>(protocol != nullptr ? protocol : "tcp")};
    return &entry;
}

}  // extern "C"
