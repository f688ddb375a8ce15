// What a NIC driver must look like. Used by pump() alone: nothing above it is a template. The network owns this
// interface; drivers implement it. Context: all calls under the network monitor, from the network thread or whoever
// holds the monitor.
#pragma once

#include <concepts>
#include <optional>

#include "net/address.hpp"
#include "net/packet.hpp"

namespace ringlet::net {

struct Offloads {
    bool tx_checksum = false, rx_checksum = false;
    bool tso4 = false, tso6 = false, uso = false;
};

/// Which of the queues shall interrupt: transmission only when the stack stopped for lack of room.
enum class Arm : u8 { rx, rx_and_tx };

template <class L>
concept Link = requires(L l, PacketBuffer& p, Arm arm) {
    { l.mac() } -> std::same_as<MacAddr>;
    { l.mtu() } -> std::same_as<u16>;  // IP bytes per frame
    { l.offloads() } -> std::same_as<Offloads>;
    { l.carrier() } -> std::same_as<bool>;                         // false: link down, keep everything, send nothing
    { l.receive() } -> std::same_as<std::optional<PacketBuffer>>;  // window = the Ethernet frame
    { l.room() } -> std::same_as<u16>;                             // reaps finished transmissions; frames that fit now
    { l.transmit(std::move(p)) } -> std::same_as<void>;            // requires room() != 0: cannot fail, cannot drop
    { l.flush() } -> std::same_as<void>;                           // refill receive buffers; at most one kick per queue
    { l.rearm(arm) } -> std::same_as<bool>;  // interrupts on; true: work arrived meanwhile, run again
};

}  // namespace ringlet::net
