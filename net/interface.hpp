// What belongs to one interface of a stack: its link's address, its own addresses and how it came by them, its
// neighbours and groups. Sockets, reassembly and routes belong to the stack (net/stack.hpp), which owns these values
// and is the only one who changes them. Context: the network monitor.
#pragma once

#include <array>
#include <memory>

#include "net/arp.hpp"
#include "net/config.hpp"
#include "net/dhcp.hpp"
#include "net/groups.hpp"
#include "net/ipv6_layer.hpp"
#include "net/packet_queue.hpp"

namespace ringlet::net {

struct Interface {
    Interface(u8 number, const InterfaceConfig& c, std::string_view hostname, SipKey dhcp_key, SipKey groups_key,
              Statistics& stats)
        : config(c), index(number), path_mtu(c.mtu), arp(c.mac, stats), dhcp(c.mac, hostname, dhcp_key, stats),
          groups(groups_key) {}

    u32 bit() const { return u32{1} << index; }
    /// Is `a` the address it uses?
    bool has(Ipv4Addr a) const { return a == ipv4.address && !a.is_unspecified(); }
    bool has(const IpAddr& a) const { return ipv6 && ipv6->is_ours(a); }

    InterfaceConfig config;
    u8 index;
    bool carrier = true;
    bool fallback = false;  ///< the fixed address is used because DHCP has not answered
    bool probing_fixed = false, fixed_refused = false;
    u16 path_mtu;  ///< what IPv4 packets may be: as the link says, or less when DHCP says so
    Ipv4Config ipv4;
    Instant fixed_at = Instant::never();
    Arp arp;
    Dhcp dhcp;
    Groups groups;       ///< of IPv4
    PacketQueue frames;  ///< complete: the rest of what is going out in fragments, and what the link had no room for
    u64 frames_in = 0, frames_out = 0;
    std::unique_ptr<Ipv6Layer> ipv6;  ///< empty: none
};

/// All of a stack's, by number. The first is there from the beginning; the others are made when there are such links.
class Interfaces {
public:
    explicit Interfaces(Interface& first) : all_{&first} {}
    ~Interfaces() {
        for (usize i = 1; i < count_; ++i) delete all_[i];
    }
    Interfaces(const Interfaces&) = delete;
    Interfaces& operator=(const Interfaces&) = delete;

    usize count() const { return count_; }
    Interface& operator[](usize i) const { return *all_[i]; }
    Interface* const* begin() const { return all_.data(); }
    Interface* const* end() const { return all_.data() + count_; }
    bool is_full() const { return count_ == kMostInterfaces; }
    void add(Interface& i) { all_[count_++] = &i; }
    /// The one whose number a scope (Endpoint::scope) is; nullptr: it names none.
    Interface* of_scope(u16 scope) const { return scope != 0 && scope <= count_ ? all_[scope - 1] : nullptr; }
    /// Whose address is it? nullptr: nobody's here. Loopback addresses are the first's who knows the family.
    template <class A> Interface* owner(const A& a) const {
        for (Interface* i : *this)
            if (i->has(a)) return i;
        return nullptr;
    }

private:
    std::array<Interface*, kMostInterfaces> all_;
    usize count_ = 1;
};

}  // namespace ringlet::net
