// The one place where a driver, the stack and the time meet. A template on the link, so that nothing above it is.
//
// Why nothing can hang, read backwards: a thread sleeps only when pump() returned false, that is when rearm() looked
// again after its fence and found nothing. Reception is armed every time. Transmission is armed when output stopped for
// want of room or of packet buffers: both come back with a completion. The receive ring is refilled by every flush();
// if the pool was empty then, the stack is marked starved: whoever gives buffers back (a read, a close) pumps again,
// and a short timer does so in case nobody tells. The same timer covers a device that has no room and never says that
// it has again: its driver notices and resets it. Timers are part of Stack::deadline(). Context: the network monitor.
#pragma once

#include <utility>

#include "net/link.hpp"
#include "net/stack.hpp"

namespace ringlet::net {

inline constexpr int kPumpBudget = 64;  ///< frames received per round: bounds how long the monitor is held

/// True: run again at once (the budget is spent, or work arrived while rearming).
template <Link L> bool pump(L& link, Stack& stack, Instant now, int budget = kPumpBudget) {
    const u64 exhausted = stack.pool().exhausted();
    const bool up = link.carrier();
    stack.set_carrier(up, now);
    stack.set_mac(link.mac(), now);
    if (link.take_announce()) stack.announce(now);
    while (budget > 0) {
        auto frame = link.receive();
        if (!frame) break;
        stack.input(std::move(*frame), now);
        --budget;
    }
    stack.poll(now);
    Arm arm = Arm::rx;
    u16 room = link.room();  // without carrier too: what was sent comes back to the pool
    if (!up) {
        (void)stack.output(now);  // yields no frame then; what is for ourselves goes round inside
    } else {
        while (true) {
            if (room == 0 && (room = link.room()) == 0) {
                arm = Arm::rx_and_tx;
                break;
            }
            auto frame = stack.output(now);
            if (!frame) break;
            link.transmit(std::move(*frame));
            --room;
        }
    }
    link.flush();
    if (stack.pool().exhausted() != exhausted) arm = Arm::rx_and_tx;
    stack.note_starved(arm == Arm::rx_and_tx, now);
    if (stack.pool().overdue() != 0) arm = Arm::rx_and_tx;  // somebody waits for what only the device still holds
    return budget == 0 || link.rearm(arm);
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
