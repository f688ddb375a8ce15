// What is known about single destinations beyond the routes: a narrower path (RFC 8201, RFC 1191) or a better first hop
// (RFC 4861 §8.3). A few entries, the oldest makes room; each is forgotten after ten minutes, so that a path that has
// become wider is found again and a wrong word does not last. Context: the network monitor.
#pragma once

#include <array>

#include "lib/time.hpp"
#include "net/address.hpp"

namespace ringlet::net {

class Destinations {
public:
    static constexpr usize kEntries = 16;
    static constexpr Duration kLifetime = Duration::from_s(600);
    struct Entry {
        IpAddr address, next_hop;  ///< next_hop unspecified: the route's
        u16 mtu = 0;               ///< 0: the link's
        Instant until;
    };

    /// Nothing is known: nullptr. Cheap when nothing is known of anybody.
    const Entry* find(const IpAddr& a, Instant now) const {
        for (usize i = 0; i < used_; ++i)
            if (entries_[i].address == a && now < entries_[i].until) return &entries_[i];
        return nullptr;
    }
    void set_mtu(const IpAddr& a, u16 mtu, Instant now) { claim(a, now).mtu = mtu; }
    void set_next_hop(const IpAddr& a, const IpAddr& next_hop, Instant now) { claim(a, now).next_hop = next_hop; }
    void forget_next_hop(const IpAddr& next_hop) {
        for (Entry& e : entries_)
            if (e.next_hop == next_hop) e.next_hop = {};
    }
    void clear() { used_ = 0; }

private:
    Entry& claim(const IpAddr& a, Instant now) {
        Entry* place = nullptr;
        for (usize i = 0; i < used_; ++i) {
            if (entries_[i].address == a) {
                entries_[i].until = now + kLifetime;
                return entries_[i];
            }
            if (place == nullptr || entries_[i].until < place->until) place = &entries_[i];
        }
        if (used_ != kEntries) place = &entries_[used_++];
        *place = {.address = a, .next_hop = {}, .mtu = 0, .until = now + kLifetime};
        return *place;
    }
    std::array<Entry, kEntries> entries_{};
    usize used_ = 0;
};

}  // namespace ringlet::net
