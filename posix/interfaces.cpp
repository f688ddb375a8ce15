// Network interfaces, <net/if.h>: net0, net1…, whose index is their number + 1; their addresses, <ifaddrs.h>.
// Context: thread.
#include <errno.h>
#include <ifaddrs.h>
#include <stdlib.h>
#include <string.h>

#include <algorithm>
#include <new>

#include <ringlet/network.hpp>

#include "posix/inet.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

/// One entry with all that it points to.
struct Node {
    ifaddrs info{};
    char name[IF_NAMESIZE] = {};
    sockaddr_storage address{}, netmask{}, broadcast{};
};

net::Ipv4Addr mask_of(u8 prefix) {
    return {prefix == 0 ? 0 : ~u32{0} << (32 - prefix)};
}

sockaddr_in6 mask6_of(u8 prefix) {
    sockaddr_in6 mask{};
    mask.sin6_len = sizeof mask;
    mask.sin6_family = AF_INET6;
    for (unsigned bit = 0; bit < prefix; ++bit)
        mask.sin6_addr.s6_addr[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
    return mask;
}

/// The list under construction.
class Addresses {
public:
    ~Addresses() { freeifaddrs(first_); }
    ifaddrs* take() { return std::exchange(first_, nullptr); }

    /// All addresses of an interface that it can use. False: no memory.
    bool add(u8 number, const net::InterfaceInfo& info) {
        if (!info.ipv4.address.is_unspecified() && !add_ipv4(number, info)) return false;
        for (const net::Ipv6AddressInfo& a : std::span(info.ipv6.addresses).first(info.ipv6.addresses_used)) {
            using enum net::Ipv6AddressInfo::State;
            if ((a.state == preferred || a.state == deprecated) && !add_ipv6(number, info, a)) return false;
        }
        return true;
    }

private:
    bool add_ipv4(u8 number, const net::InterfaceInfo& info) {
        Node* node = append(number, info);
        if (node == nullptr) return false;
        const net::Ipv4Addr mask = mask_of(info.ipv4.prefix);
        put(node->address, sockaddr_of(info.ipv4.address, 0));
        put(node->netmask, sockaddr_of(mask, 0));
        put(node->broadcast, sockaddr_of({info.ipv4.address.value | ~mask.value}, 0));
        node->info.ifa_broadaddr = reinterpret_cast<sockaddr*>(&node->broadcast);
        return true;
    }
    bool add_ipv6(u8 number, const net::InterfaceInfo& info, const net::Ipv6AddressInfo& a) {
        Node* node = append(number, info);
        if (node == nullptr) return false;
        const u16 scope = a.address.is_link_local() ? static_cast<u16>(number + 1) : u16{0};
        node->address = posix::address_of({a.address, 0, scope}, AF_INET6).bytes;
        put(node->netmask, mask6_of(a.prefix));
        return true;
    }
    template <class T> static void put(sockaddr_storage& to, const T& address) {
        memcpy(&to, &address, sizeof address);
    }
    Node* append(u8 number, const net::InterfaceInfo& info) {
        auto* node = new (std::nothrow) Node;
        if (node == nullptr) return nullptr;
        node->info.ifa_name = if_indextoname(number + 1u, node->name);
        node->info.ifa_flags = IFF_UP | IFF_BROADCAST | IFF_MULTICAST | (info.carrier ? IFF_RUNNING : 0u);
        node->info.ifa_addr = reinterpret_cast<sockaddr*>(&node->address);
        node->info.ifa_netmask = reinterpret_cast<sockaddr*>(&node->netmask);
        (last_ != nullptr ? last_->ifa_next : first_) = &node->info;
        last_ = &node->info;
        return node;
    }

    ifaddrs* first_ = nullptr;
    ifaddrs* last_ = nullptr;
};

}  // namespace

extern "C" {

unsigned if_nametoindex(const char* name) {
    const bool fits = strncmp(name, "net", 3) == 0 && name[3] >= '0' && name[3] <= '9' && name[4] == '\0';
    if (fits && name[3] - '0' < network().interface_count()) return static_cast<unsigned>(name[3] - '0') + 1;
    errno = ENODEV;
    return 0;
}
char* if_indextoname(unsigned index, char* name) {
    if (index == 0 || index > network().interface_count()) {
        errno = ENXIO;
        return nullptr;
    }
    strcpy(name, "net0");
    name[3] = static_cast<char>('0' + index - 1);
    return name;
}
struct if_nameindex* if_nameindex() {
    constexpr usize kMost = net::kMostInterfaces;
    struct List {
        struct if_nameindex entries[kMost + 1];
        char names[kMost][IF_NAMESIZE];
    };
    auto* list = static_cast<List*>(calloc(1, sizeof(List)));
    if (list == nullptr) return nullptr;
    for (unsigned i = 0; i < std::min<unsigned>(network().interface_count(), kMost); ++i)
        list->entries[i] = {i + 1, if_indextoname(i + 1, list->names[i])};
    return list->entries;
}
void if_freenameindex(struct if_nameindex* list) {
    free(list);
}

int getifaddrs(ifaddrs** list) {
    Addresses found;
    for (u8 i = 0; i < network().interface_count(); ++i)
        if (!found.add(i, network().interface(i))) {
            errno = ENOMEM;
            return -1;
        }
    *list = found.take();
    return 0;
}
void freeifaddrs(ifaddrs* list) {
    while (list != nullptr) delete reinterpret_cast<Node*>(std::exchange(list, list->ifa_next));
}

}  // extern "C"
