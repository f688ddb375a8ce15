// Which multicast groups we listen to, and telling routers and switches so: the host's half of MLDv2 (RFC 3810) and of
// IGMPv3 (RFC 3376), which is the same, in their "any source" form. Says what is to be reported; who owns it builds the
// packets. Context: the network monitor.
#pragma once

#include <array>
#include <optional>

#include "lib/siphash.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"

namespace ringlet::net {

class Groups {
public:
    static constexpr usize kGroups = 24;
    static constexpr u8 kRobustness = 2;                                   ///< §9.1
    static constexpr Duration kUnsolicitedInterval = Duration::from_s(1);  ///< §9.11
    /// RFC 3376 §8.12, RFC 3810 §9.12, with their default intervals: how long an older querier is believed to be there.
    static constexpr Duration kOlderQuerierPresent = Duration::from_s(2 * 125 + 10);
    enum class Record : u8 { mode_is_exclude = 2, change_to_include = 3, change_to_exclude = 4 };
    /// Of the protocol, by whom asks: IGMPv1; IGMPv2 or MLDv1; IGMPv3 or MLDv2.
    enum class Version : u8 { oldest, older, current };
    struct Report {
        IpAddr group;
        Record record;
        Version version;  ///< which form it takes; the oldest knows no change_to_include, and says nothing then
    };

    explicit Groups(SipKey random) : random_(random) {}

    /// Joins nest: as many leaves end them. False: no room.
    bool join(const IpAddr& group, Instant now);
    void leave(const IpAddr& group, Instant now);
    /// Everybody's group (ff02::1, 224.0.0.1) and what was joined.
    bool is_member(const IpAddr& group) const;
    /// A query (RFC 3810 §5.1.10, RFC 3376 §4.1) for `group` (unspecified: all) that wants answers within `most`. The
    /// oldest version that asked lately is what everybody is answered in (RFC 3376 §7.2, RFC 3810 §8.2).
    void on_query(const IpAddr& group, Duration most, Version version, Instant now);
    Version version(Instant now) const;
    void poll(Instant now);
    Instant deadline() const { return deadline_; }
    std::optional<Report> next_report(Instant now);
    bool has_report() const { return due_ != 0; }
    /// The link came back: say everything again.
    void restart(Instant now);
    void clear();

private:
    struct Group {
        IpAddr address;
        u16 users = 0;   // 0 and reports left: leaving
        u8 changes = 0;  // change reports still to be sent
        bool due = false;
        Instant next = Instant::never();
    };
    Group* find(const IpAddr& a);
    Duration random_delay(Duration most);
    void plan(Group& g, Instant at);
    void forget_plans();

    SipKey random_;
    u64 counter_ = 0;
    std::array<Group, kGroups> groups_{};
    usize count_ = 0;
    u32 due_ = 0;
    Instant deadline_ = Instant::never();
    Instant oldest_until_{}, older_until_{};
};

/// ff02::1, and ff02::1:ffXX:XXXX of `a` (RFC 4291 §2.7.1).
inline constexpr Ipv4Addr kAllHosts = Ipv4Addr::of(224, 0, 0, 1), kIgmp3Routers = Ipv4Addr::of(224, 0, 0, 22);
inline constexpr Ipv4Addr kAllIpv4Routers = Ipv4Addr::of(224, 0, 0, 2);
inline constexpr IpAddr kAllNodes = IpAddr::of(u64{0xff02} << 48, 1);
inline constexpr IpAddr kAllRouters = IpAddr::of(u64{0xff02} << 48, 2);
inline constexpr IpAddr kMld2Routers = IpAddr::of(u64{0xff02} << 48, 0x16);
constexpr IpAddr solicited_node(const IpAddr& a) {
    return IpAddr::of(u64{0xff02} << 48, u64{0x1'ff00'0000} | (a.low() & 0xff'ffff));
}

}  // namespace ringlet::net
