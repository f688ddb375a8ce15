// A thread asleep on a word (futex.hpp), and how it may be of use meanwhile.
#pragma once

#include <atomic>

#include "net/api/service.hpp"

namespace ringlet::posix {

/// Lives on the stack of the thread that sleeps.
struct Sleeper {
    explicit Sleeper(const u32& w) : word(&w) {}
    const u32* word;
    Sleeper* next = nullptr;
    std::atomic<bool> woken = false;
    net::detail::Waiter waiter;
};

/// Sleeps until `sleeper` is woken or the deadline, and runs the network stack meanwhile when nobody else does. nullptr
/// as long as there was no socket, so that the stack is only in images that have some. posix/inet.cpp sets it.
extern constinit std::atomic<void (*)(Sleeper& sleeper, Instant deadline)> lead_network;

}  // namespace ringlet::posix
