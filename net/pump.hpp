// The one place where a driver, the stack and the time meet. A template on the link, so that nothing above it is.
//
// Why nothing can hang, read backwards: a thread sleeps only when pump() returned false, that is when rearm() looked
// again after its fence and found nothing. Reception is armed every time. Transmission is armed when output stopped for
// want of room or of packet buffers: both come back with a completion. The receive ring is refilled by every flush();
// if the pool was empty then, the stack is marked starved: whoever gives buffers back (a read, a close) pumps again,
// and a short timer does so in case nobody tells. The same timer covers a device that has no room and never says that
// it has again: its driver notices and resets it. Timers are part of Stack::deadline(). Context: the network monitor.
#pragma once

#include <array>
#include <span>
#include <utility>

#include "net/link.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

inline constexpr int kPumpBudget = 64;  ///< frames received per link and round: bounds how long the monitor is held

/// The stack's interfaces in their order, all links of one type. True: run again at once (a budget is spent, or work
/// arrived while rearming). A link that has no room does not hold up the others.
template <Link L> bool pump(std::span<L* const> links, Stack& stack, Instant now, int budget = kPumpBudget) {
    const u64 exhausted = stack.pool().exhausted();
    bool again = false;
    u32 up = 0;
    for (u8 i = 0; i < links.size(); ++i) {
        L& link = *links[i];
        const bool carrier = link.carrier();
        up |= u32{carrier} << i;
        stack.set_carrier(carrier, now, i);
        stack.set_mac(link.mac(), now, i);
        if (link.take_announce()) stack.announce(now, i);
        int left = budget;
        for (; left > 0; --left) {
            auto frame = link.receive();
            if (!frame) break;
            stack.input(std::move(*frame), now, i);
        }
        again |= left == 0;
    }
    stack.poll(now);
    u32 with_room = 0, full = 0;
    std::array<u16, kMostInterfaces> room{};
    for (u8 i = 0; i < links.size(); ++i) {
        room[i] = links[i]->room();  // without carrier too: what was sent comes back to the pool
        (room[i] != 0 ? with_room : full) |= up & u32{1} << i;
    }
    // Without any carrier what is for ourselves goes round inside all the same.
    while (with_room != 0 || full == 0) {
        u8 to = 0;
        auto frame = stack.output(now, with_room, to);
        if (!frame) break;
        links[to]->transmit(std::move(*frame));
        if (--room[to] != 0 || (room[to] = links[to]->room()) != 0) continue;
        with_room &= ~(u32{1} << to);
        full |= u32{1} << to;
    }
    for (L* link : links) link->flush();
    const bool starved = stack.pool().exhausted() != exhausted;
    stack.note_starved(starved || full != 0, now);
    if (again) return true;
    // Also when somebody waits for what only a device still holds.
    const bool to_all = starved || stack.pool().overdue() != 0;
    for (u8 i = 0; i < links.size(); ++i)
        again |= links[i]->rearm(to_all || (full >> i & 1) != 0 ? Arm::rx_and_tx : Arm::rx);
    return again;
}
template <Link L> bool pump(L& link, Stack& stack, Instant now, int budget = kPumpBudget) {
    L* const one[] = {&link};
    return pump(std::span<L* const>(one), stack, now, budget);
}

/// A machine without a NIC: packets to ourselves work, all others go nowhere.
class NullLink {
public:
    MacAddr mac() const { return {}; }
    u16 mtu() const { return 1500; }
    Offloads offloads() const { return {}; }
    bool carrier() const { return false; }
    std::optional<PacketBuffer> receive() { return std::nullopt; }
    u16 room() const { return 1; }
    void transmit(PacketBuffer) {}
    void flush() {}
    bool rearm(Arm) { return false; }
    bool take_announce() { return false; }
};
static_assert(Link<NullLink>);

}  // namespace ringlet::net
