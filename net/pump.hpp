// The one place where a driver, the stack and the time meet. A template on the link, so that nothing above it is.
//
// Why nothing can hang, read backwards: a thread sleeps only when pump() returned false, that is when rearm() looked
// again after its fence and found nothing. Reception is armed whenever something was received, or may have been: a link
// that is silent, asked for interrupts and without one since, still is armed. Transmission is armed when output stopped
// for want of room or of packet buffers: both come back with a completion. The receive ring is refilled by every
// flush(); if the pool was empty then, the stack is marked starved: whoever gives buffers back (a read, a close) pumps
// again, and a short timer does so in case nobody tells. The same timer covers a device that has no room and never says
// that it has again: its driver notices and resets it. Timers are part of Stack::deadline(). Context: the network
// monitor. A round that brought nothing to send leaves out the half that sends: what the device has sent comes back in
// batches, with a later packet, or with the whole round that Core makes when all has been quiet for a while. Buffers
// that live only because the device has them are fetched at once: a stream is waiting for the memory.
#pragma once

#include <array>
#include <span>
#include <utility>

#include "net/link.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

inline constexpr int kPumpBudget = 64;  ///< frames received per link and round: bounds how long the monitor is held

/// whole: also looks after what was sent, and at what a bell that got lost should have told, with nothing to send.
enum class Round : u8 { quick, whole };

namespace detail {

template <Link L> [[gnu::cold]] void tell_change(L& link, Stack& stack, Instant now, u8 interface) {
    stack.set_carrier(link.carrier(), now, interface);
    stack.set_mac(link.mac(), now, interface);
    if (link.take_announce()) stack.announce(now, interface);
}

/// Sends what the stack has while there is room. Which links with carrier have none, a bit for each.
template <Link L, usize kLinks>
[[gnu::always_inline]] inline u32 send_all(std::span<L* const, kLinks> links, Stack& stack, Instant now) {
    u32 with_room = 0, full = 0;
    std::array<u16, kLinks == std::dynamic_extent ? kMostInterfaces : kLinks> room{};
    for (u8 i = 0; i < links.size(); ++i) {
        room[i] = links[i]->room();  // without carrier too: what was sent comes back to the pool
        (room[i] != 0 ? with_room : full) |= u32{stack.carrier(i)} << i;
    }
    // Without any carrier what is for ourselves goes round inside all the same.
    while (with_room != 0 || full == 0) {
        u8 to = 0;
        auto frame = stack.output(now, with_room, to);
        if (!frame) break;
        if constexpr (kLinks == 1) to = 0;
        links[to]->transmit(std::move(*frame));
        if (--room[to] != 0 || (room[to] = links[to]->room()) != 0) continue;
        with_room &= ~(u32{1} << to);
        full |= u32{1} << to;
    }
    for (L* link : links) link->flush();
    return full;
}

}  // namespace detail

/// The stack's interfaces in their order, all links of one type. True: run again at once (a budget is spent, or work
/// arrived while rearming). A link that has no room does not hold up the others. With one link, its number known when
/// this is compiled, there are no loops.
template <Link L, usize kLinks>
[[gnu::always_inline]] inline bool pump(std::span<L* const, kLinks> links, Stack& stack, Instant now,
                                        Round round = Round::whole, int budget = kPumpBudget) {
    const u64 exhausted = stack.pool().exhausted();
    bool again = false, settled = round == Round::quick;
    u32 silent = 0;
    for (u8 i = 0; i < links.size(); ++i) {
        L& link = *links[i];
        if (round == Round::quick && link.silent()) {
            silent |= u32{1} << i;
            settled = settled && link.settled();
            continue;
        }
        if (link.changed()) [[unlikely]]
            detail::tell_change(link, stack, now, i);
        int left = budget;
        for (; left > 0; --left) {
            auto frame = link.receive();
            if (!frame) break;
            stack.input(std::move(*frame), now, i);
        }
        again |= left == 0;
        settled = settled && link.settled();
    }
    stack.poll(now);
    // Somebody waits for what only a device still holds.
    bool to_all = stack.pool().exhausted() != exhausted || stack.pool().overdue() != 0;
    u32 full = 0;
    if (again || !settled || to_all || stack.pool().orphans() != 0 || !stack.is_quiet()) {
        full = detail::send_all(links, stack, now);
        const bool starved = stack.pool().exhausted() != exhausted;
        stack.note_starved(starved || full != 0, now);
        to_all = starved || stack.pool().overdue() != 0;
    }
    if (again) return true;
    for (u8 i = 0; i < links.size(); ++i) {
        const bool both = to_all || (full >> i & 1) != 0;
        if (both || (silent >> i & 1) == 0) again |= links[i]->rearm(both ? Arm::rx_and_tx : Arm::rx);
    }
    return again;
}
template <Link L> bool pump(L& link, Stack& stack, Instant now, Round round = Round::whole, int budget = kPumpBudget) {
    L* const one[] = {&link};
    return pump(std::span<L* const, 1>(one), stack, now, round, budget);
}

/// A machine without a NIC: packets to ourselves work, all others go nowhere.
class NullLink {
public:
    MacAddr mac() const { return {}; }
    u16 mtu() const { return 1500; }
    Offloads offloads() const { return {}; }
    bool changed() const { return true; }
    bool carrier() const { return false; }
    std::optional<PacketBuffer> receive() { return std::nullopt; }
    u16 room() const { return 1; }
    void transmit(PacketBuffer) {}
    void flush() {}
    bool settled() const { return true; }
    bool silent() const { return false; }
    bool watch(Instant) { return false; }
    bool rearm(Arm) { return false; }
    bool take_announce() { return false; }
};
static_assert(Link<NullLink>);

}  // namespace ringlet::net
