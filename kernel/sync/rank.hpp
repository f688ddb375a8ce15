// The run-time check behind Rank (kernel/sync/lock.hpp): which ranks this thread or interrupt handler holds.
// Link seam: kernel/sched/rank.cpp (per CPU, switched with the thread) and arch/host/seams/sync.cpp
// (thread_local).
#pragma once

#include "kernel/sync/lock.hpp"

namespace ringlet::kernel {

/// Panics unless `rank` is lower than every rank held. Context: any.
void rank_acquired(Rank rank);
void rank_released(Rank rank);

/// The rule itself: may a holder of `held` (one bit per rank) take `rank`?
constexpr bool rank_allowed(u32 held, Rank rank) {
    return (held & ((2u << static_cast<unsigned>(rank)) - 1)) == 0;
}

}  // namespace ringlet::kernel
