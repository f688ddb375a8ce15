// The spinlock: interrupts go off before the lock is tried, so the holder cannot be interrupted by a handler
// that wants it too. Context: any.
#include "kernel/sync/spinlock.hpp"

#include <arch/cpu.hpp>

#include "kernel/sync/rank.hpp"

namespace ringlet::kernel {

void Spinlock::acquire(Rank rank) {
    const bool enabled = arch::interrupts_enabled();
    arch::disable_interrupts();
    rank_acquired(rank);
    while (held_.exchange(true, std::memory_order_acquire)) {
        while (held_.load(std::memory_order_relaxed)) arch::relax();
    }
    interrupts_were_enabled_ = enabled;
}

void Spinlock::release(Rank rank) {
    const bool enable = interrupts_were_enabled_;  // ours until the store below
    held_.store(false, std::memory_order_release);
    rank_released(rank);
    if (enable) arch::enable_interrupts();
}

}  // namespace ringlet::kernel
