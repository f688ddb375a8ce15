// The spinlock: interrupts go off before the lock is tried, so the holder cannot be interrupted by a handler
// that wants it too. Link seam: arch/host/seams/sync.cpp. Context: any.
#include "kernel/sync/spinlock.hpp"

#include <arch/cpu.hpp>

#include "kernel/sched/scheduler.hpp"

namespace ringlet::kernel {

void Spinlock::acquire(Rank rank) {
    const bool enabled = arch::interrupts_enabled();
    arch::disable_interrupts();
    take_rank(this_cpu(), rank_bit(rank));
    while (held_.exchange(true, std::memory_order_acquire)) {
        while (held_.load(std::memory_order_relaxed)) arch::relax();
    }
    interrupts_were_enabled_ = enabled;
}

void Spinlock::release(Rank rank) {
    const bool enable = interrupts_were_enabled_;  // ours until the store below
    held_.store(false, std::memory_order_release);
    drop_rank(this_cpu(), rank_bit(rank));
    if (enable) arch::enable_interrupts();
}

}  // namespace ringlet::kernel
