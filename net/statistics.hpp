// Counters of everything below TCP: every packet that goes nowhere is in exactly one of the drop counters.
// Context: the network monitor; copies may go anywhere.
#pragma once

#include "lib/function_ref.hpp"
#include "lib/types.hpp"

#include <string_view>

namespace ringlet::net {

// One list, so that the struct and what netstat prints cannot differ.
// clang-format off: a table
#define RINGLET_NET_COUNTERS(X)                                                                                        \
    X(frames_in)                                                                                                       \
    X(frames_out)                                                                                                      \
    X(bytes_in) X(bytes_out) X(ethernet_short) X(ethernet_vlan) X(ethernet_not_ours) X(ethernet_bad_source) X(         \
        ethernet_unknown_type) X(arp_in) X(arp_bad) X(arp_requests_out) X(arp_replies_out) X(arp_ignored)              \
        X(arp_conflicts) X(arp_refused) X(arp_evicted) X(arp_queue_overflow) X(arp_unresolved) X(ip_in) X(ip_out) X(   \
            ip_bad_header) X(ip_bad_checksum) X(ip_bad_length) X(ip_bad_source) X(ip_not_ours) X(ip_wrong_interface)   \
            X(ip_source_route) X(ip_fragment) X(ip_unknown_protocol) X(ip_no_address) X(ip_no_route) X(ip_too_large)   \
                X(ip_scattered) X(icmp_in) X(icmp_bad) X(icmp_echo_in) X(icmp_echo_replied) X(icmp_echo_ignored)       \
                    X(icmp_echo_sent) X(icmp_reply_in) X(icmp_reply_unmatched) X(icmp_errors_out)                      \
                        X(icmp_errors_limited) X(icmp_errors_in) X(icmp_errors_ignored) X(icmp_unknown) X(udp_in)      \
                            X(udp_out) X(udp_bad) X(udp_bad_checksum) X(udp_no_socket) X(udp_queue_full) X(udp_memory) \
                                X(dhcp_in) X(dhcp_out) X(dhcp_bad) X(dhcp_ignored) X(dhcp_naks) X(dhcp_bad_options)    \
                                    X(dhcp_declined) X(loopback) X(no_packet) X(no_carrier) X(link_full)               \
                                        X(reply_overflow) X(ip6_in) X(ip6_out) X(ip6_absent) X(ip6_bad_header)         \
                                            X(ip6_bad_length) X(ip6_bad_source) X(ip6_not_ours) X(ip6_extension)       \
                                                X(ip6_no_route) X(ip6_nothing) X(nd_in) X(nd_out) X(nd_bad)            \
                                                    X(nd_ignored) X(nd_evicted) X(nd_unresolved) X(nd_queue_overflow)  \
                                                        X(nd_too_many) X(nd_duplicates) X(nd_conflicts)                \
                                                            X(nd_redirects) X(mld_in) X(mld_out) X(mld_bad)            \
                                                                X(igmp_in) X(igmp_out) X(igmp_bad) X(fragments_in)     \
                                                                    X(fragments_bad) X(fragments_overlap)              \
                                                                        X(fragments_timeout) X(fragments_limited)      \
                                                                            X(reassembled) X(fragments_out)
// clang-format on

struct Statistics {
#define RINGLET_NET_FIELD(name) u64 name = 0;
    RINGLET_NET_COUNTERS(RINGLET_NET_FIELD)
#undef RINGLET_NET_FIELD

    /// (name, value) in the order above.
    void for_each(FunctionRef<void(std::string_view, u64)> visit) const {
#define RINGLET_NET_VISIT(name) visit(#name, name);
        RINGLET_NET_COUNTERS(RINGLET_NET_VISIT)
#undef RINGLET_NET_VISIT
    }
};

}  // namespace ringlet::net
