// What a NIC driver must look like. Used by pump() alone: nothing above it is a template. The network owns this
// interface; drivers implement it. Context: all calls under the network monitor, from the network thread or whoever
// holds the monitor. A link may also have `LinkControl* control()` (net/link_control.hpp).
#pragma once

#include <concepts>
#include <optional>

#include "net/address.hpp"
#include "net/packet.hpp"

namespace ringlet::net {

/// What the link does for the stack. Segmentation goes with tx_checksum: a driver never offers it alone.
struct Offloads {
    bool tx_checksum = false, rx_checksum = false;
    bool tso4 = false, tso6 = false, uso = false;  ///< takes packets with meta().gso set
    bool ecn = false;                              ///< ... and with CWR in the TCP header (meta().ecn)
    bool guest_tso = false;                        ///< receive() may yield merged frames larger than the MTU, as chains
    u32 max_gso_bytes = 65'535;  ///< IP bytes of the largest packet it takes, when one of tso4... is set
    u16 max_fragments = 1;       ///< buffers a transmitted packet may consist of
    friend bool operator==(const Offloads&, const Offloads&) = default;
};

/// Which of the queues shall interrupt: transmission only when the stack stopped for lack of room.
enum class Arm : u8 { rx, rx_and_tx };

template <class L>
concept Link = requires(L l, PacketBuffer& p, Arm arm, Instant now) {
    { l.mac() } -> std::same_as<MacAddr>;
    { l.mtu() } -> std::same_as<u16>;  // IP bytes per frame
    { l.offloads() } -> std::same_as<Offloads>;
    // May carrier(), mac() or take_announce() say something else than before? True at first; cheap, asked every round.
    { l.changed() } -> std::same_as<bool>;
    { l.carrier() } -> std::same_as<bool>;  // false: link down, keep everything, send nothing
    // Window = the Ethernet frame, with all headers in the first buffer. A merged one carries gso, gso_size and
    // header_bytes in its metadata; without guest_tso no frame is larger than the MTU.
    { l.receive() } -> std::same_as<std::optional<PacketBuffer>>;
    // Reaps finished transmissions when that is worth it; packets that fit now, each of up to offloads().max_fragments
    // buffers.
    { l.room() } -> std::same_as<u16>;
    { l.transmit(std::move(p)) } -> std::same_as<void>;  // requires room() != 0: cannot fail, cannot drop
    { l.flush() } -> std::same_as<void>;                 // refill receive buffers; at most one kick per queue
    // True: a round that sends nothing can do without room() and flush(), for neither has much to do.
    { l.settled() } -> std::same_as<bool>;
    // True: rearm() has found nothing, and no interrupt came since. There is nothing to receive, or to be told.
    { l.silent() } -> std::same_as<bool>;
    // Asked now and then: reaps and looks after what was sent. True: something is out still, ask again before long.
    { l.watch(now) } -> std::same_as<bool>;
    { l.rearm(arm) } -> std::same_as<bool>;  // interrupts on; true: work arrived meanwhile, run again
    // True once after the host asked for an announcement (GUEST_ANNOUNCE, after a migration): the stack sends a
    // gratuitous ARP. The driver acknowledges the request to the device by itself.
    { l.take_announce() } -> std::same_as<bool>;
};

}  // namespace ringlet::net
