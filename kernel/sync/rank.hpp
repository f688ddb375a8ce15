// The run-time check behind Rank (kernel/sync/lock.hpp): which ranks this thread or interrupt handler holds, one bit
// each. In an image they are the CPU's, switched with the thread (kernel/sched/scheduler.hpp); on the host thread_local
// (arch/host/seams/sync.cpp).
#pragma once

#include "kernel/sync/lock.hpp"

namespace ringlet::kernel {

constexpr u32 rank_bit(Rank rank) {
    return 1u << static_cast<unsigned>(rank);
}
/// The rule itself: may a holder of `held` take the rank whose bit this is? Only when it is lower than every rank held.
constexpr bool rank_allowed(u32 held, u32 bit) {
    return (held & (2 * bit - 1)) == 0;
}

}  // namespace ringlet::kernel
