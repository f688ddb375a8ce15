// What can be asked of a NIC besides sending and receiving: what it lets through, which queue it uses, how often it
// interrupts. The network owns this interface; a driver whose device has a control channel implements it. Each call
// that changes something waits for the device, with a bound. Context: thread, under the network monitor
// (Service::control()).
#pragma once

#include <optional>
#include <span>

#include "lib/result.hpp"
#include "net/address.hpp"

namespace ringlet::net {

/// What arrives besides frames for our address, for broadcast and for the filter tables. The last four are
/// LinkAbilities::more_modes.
struct RxMode {
    bool promiscuous = false, all_multicast = false;
    bool all_unicast = false, no_multicast = false, no_unicast = false, no_broadcast = false;
    friend constexpr bool operator==(const RxMode&, const RxMode&) = default;
};

/// An interrupt after so many packets or so many microseconds, whichever is first; a zero switches it off.
struct Coalescing {
    u32 packets = 0, microseconds = 0;
    friend constexpr bool operator==(Coalescing, Coalescing) = default;
};

/// Which of the calls below the device understands.
struct LinkAbilities {
    bool modes = false, more_modes = false;  ///< set_rx_mode(), set_mac_filter()
    bool vlans = false, address = false;     ///< add_vlan(), set_mac()
    bool pairs = false, steering = false;    ///< set_pairs(), set_rss_table()
    bool coalescing = false, queue_coalescing = false;
    u16 most_pairs = 1;
};

class LinkControl {
public:
    // Each of these: unsupported (the device cannot), io (it refused), timed_out, device_broken; what was set before is
    // then still in force.
    virtual Result<> set_rx_mode(const RxMode& mode) = 0;
    /// Replaces the table of further addresses, unicast and multicast mixed. More than the table holds (128 for
    /// virtio): promiscuous instead.
    virtual Result<> set_mac_filter(std::span<const MacAddr> addresses) = 0;
    /// invalid: beyond 4094. A device that filters VLANs starts with none: tagged frames do not arrive.
    virtual Result<> add_vlan(u16 id) = 0;
    virtual Result<> remove_vlan(u16 id) = 0;
    /// Our own address. invalid: a multicast address, or all zeros. The stack follows at its next turn (pump()).
    virtual Result<> set_mac(const MacAddr& mac) = 0;
    /// Queue pairs in use. invalid: none, or more than most_pairs.
    virtual Result<> set_pairs(u16 pairs) = 0;
    /// Which pair serves a hash: a power of two of entries, each a pair in use. Empty: spread evenly. invalid.
    virtual Result<> set_rss_table(std::span<const u8> pairs) = 0;
    /// Of all queues of a kind.
    virtual Result<> set_coalescing(Coalescing rx, Coalescing tx) = 0;
    /// Of one queue (2p receives and 2p + 1 sends for pair p), as set and as the device has it. invalid: no such queue.
    virtual Result<> set_queue_coalescing(u16 queue, Coalescing c) = 0;
    virtual Result<Coalescing> queue_coalescing(u16 queue) = 0;

    // What is in force. Nothing here asks the device.
    virtual LinkAbilities abilities() const = 0;
    virtual RxMode rx_mode() const = 0;
    virtual std::span<const MacAddr> mac_filter() const = 0;
    virtual bool has_vlan(u16 id) const = 0;
    virtual u16 pairs() const = 0;
    /// As last set for all queues of a kind; empty: never.
    virtual std::optional<Coalescing> rx_coalescing() const = 0;
    virtual std::optional<Coalescing> tx_coalescing() const = 0;

protected:
    ~LinkControl() = default;
};

}  // namespace ringlet::net
