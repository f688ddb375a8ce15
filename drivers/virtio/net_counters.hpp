// What a network driver counts beyond its rings, under the names of FreeBSD's dev.vtnet.N sysctls where the meaning is
// the same. One writer at a time (the network monitor), read from anywhere.
#pragma once

#include <array>
#include <string_view>

#include "drivers/virtio/counters.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::virtio {

/// Of one receive queue. rescheduled: work found by the look after interrupts were asked for.
enum class RxCount : u8 { ipackets, ibytes, iqdrops, csum, host_lro, rescheduled, count };
/// Of one transmit queue.
enum class TxCount : u8 { opackets, obytes, omcasts, csum, tso, rescheduled, count };
/// Of the whole device. Each reason to drop a frame has its own.
enum class NetCount : u8 {
    rx_csum_bad_offset,   ///< NEEDS_CSUM outside the frame: not believed, the frame is verified in software
    rx_frame_too_short,   ///< dropped: no room for the headers
    rx_frame_too_large,   ///< dropped: merged although not asked for, or beyond 64 KiB
    rx_mergeable_failed,  ///< dropped: more buffers announced than posted, or one not filled
    rx_bad_gso,           ///< dropped: unknown or not negotiated type, size 0, wrong protocol
    mbuf_alloc_failed,    ///< refills that found the packet pool empty
    tx_csum_software,     ///< checksums that the driver finished because the device cannot
    tx_dropped,           ///< dropped: the device broke, or a packet that it never takes
    tx_timeouts,          ///< resets of a device that had stopped giving transmissions back
    tx_held,              ///< packets that had to wait for descriptors inside the driver
    announcements,        ///< asked for by the host
    link_changes,
    count
};

template <class E> class CounterSet {
    std::array<Counter, usize(E::count)> counters_{};

public:
    void add(E which, u64 n = 1) { counters_[usize(which)].add(n); }
    u64 value(E which) const { return counters_[usize(which)].value(); }
    const std::array<Counter, usize(E::count)>& all() const { return counters_; }
};

using ValueVisitor = FunctionRef<void(std::string_view name, u64 value)>;
void visit_counters(const CounterSet<RxCount>& counters, u16 pair, ValueVisitor visit);  ///< "rxq0.ipackets"
void visit_counters(const CounterSet<TxCount>& counters, u16 pair, ValueVisitor visit);  ///< "txq0.opackets"
void visit_counters(const CounterSet<NetCount>& counters, ValueVisitor visit);

}  // namespace ringlet::virtio
