// The driver's half of a virtqueue, as a concept: what Virtqueue needs of a ring layout (split §2.7, packed §2.8).
// Virtio 1.2 throughout this directory. Context: a ring belongs to one lock; nothing here locks.
#pragma once

#include <array>
#include <concepts>
#include <optional>
#include <span>

#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::virtio {

/// A piece of DMA memory in a chain. Length 0 is not allowed.
struct Segment {
    DmaAddr addr;
    u32 len = 0;
};

/// Room for the pieces of a chain. Not initialised: zeroing all of it would cost more than filling in the few in use.
template <usize kMost> union SegmentRoom {
    SegmentRoom() {}
    std::array<Segment, kMost> all;
};

/// A chain that the device has given back. `written` never exceeds the writable bytes of the chain.
struct Completion {
    u16 id = 0;
    u32 written = 0;
};

/// What the transport tells the device (§2.6: descriptor area, driver area, device area).
struct QueueAddrs {
    DmaAddr desc, driver, device;
    u16 legacy_entries = 0;  ///< in the layout of §2.7.2: with how many entries; 0: any other layout
};

/// How a ring is made. `size` obeys the layout and the device's maximum.
struct RingOptions {
    u16 size = 0;
    bool packed = false;       ///< RING_PACKED was negotiated (§2.8)
    bool in_order = false;     ///< IN_ORDER was negotiated (§2.7.9, §2.8.7)
    bool event_idx = false;    ///< EVENT_IDX was negotiated (§2.7.10, §2.8.10)
    u16 indirect_tables = 0;   ///< tables allocated once, at the start; 0 unless INDIRECT_DESC was negotiated
    u16 indirect_entries = 0;  ///< descriptors per table
    u16 indirect_above = 1;    ///< chains with more segments than this use a table when one is free
    u16 legacy_entries = 0;    ///< not 0: the layout of §2.7.2 with so many entries, of which `size` are used
    u16 first_index = 0;       ///< where the indices start: 0 (§2.7); tests start just before a wrap
};

/// Two functions carry all the fences, so that no caller can forget one:
///   publish() makes pushed chains visible, fences, and says whether the device wants a kick;
///   rearm()   re-enables interrupts, fences, and says whether work slipped in meanwhile.
/// publish() counts from the last kick, not from the last batch: a device that went to sleep before a batch that nobody
/// told it of gets its kick at the next publish(), even of nothing. By the specification that never happens; emulators
/// that translate code for one processor may drop the fences (docs/virtio.md, "Fences that are not there").
///
/// pop() is the one place that reads what the device wrote, and validates all of it.
///
/// rearm_after(n) is rearm() with patience: one interrupt when n of the chains in flight are done (all of them, if n is
/// more), not one for the first. A hint: without EVENT_IDX it is rearm(), and a packed ring, which counts descriptors,
/// is exact only for all of them or for chains of one length. Until that interrupt nobody hears of the others: a driver
/// that waits so has a timer, or requests that cannot overtake each other for long.
///
/// position() is what NOTIFICATION_DATA tells the device about the last publish() (§2.9): split, the avail index;
/// packed, the offset of the next available descriptor and, in bit 15, its wrap counter.
template <class R>
concept Ring = requires(R r, const R c, std::span<const Segment> s) {
    { R::valid_size(u16{}) } -> std::same_as<bool>;
    { R::footprint(u16{}) } -> std::same_as<usize>;
    { R::create(RingOptions{}) } -> std::same_as<Result<R>>;  // invalid: a size or a layout that is not its own
    { c.size() } -> std::same_as<u16>;
    { c.addrs() } -> std::same_as<QueueAddrs>;
    { c.max_segments() } -> std::same_as<u16>;             // the longest chain that push() can ever accept
    { c.free() } -> std::same_as<u16>;                     // descriptors: a chain of one fits when it is not 0
    { c.in_flight() } -> std::same_as<u16>;                // chains
    { r.push(s, s) } -> std::same_as<std::optional<u16>>;  // device-readable, device-writable; the id of the chain
    { r.publish() } -> std::same_as<bool>;
    { c.position() } -> std::same_as<u16>;
    { r.pop() } -> std::same_as<std::optional<Completion>>;
    { r.suppress() } -> std::same_as<void>;
    { r.rearm() } -> std::same_as<bool>;
    { r.rearm_after(u16{}) } -> std::same_as<bool>;
    { c.broken() } -> std::same_as<bool>;   // the device lied: nothing more comes out until reset()
    { c.bad_used() } -> std::same_as<u64>;  // lies counted, clamped lengths among them
    { r.reset() } -> std::same_as<void>;    // as created; the device must have been reset before
};

}  // namespace ringlet::virtio
