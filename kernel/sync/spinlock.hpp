// A spinlock that disables interrupts while held. Short sections only; never held across a call into another layer.
#pragma once

#include <atomic>

#include "kernel/sync/lock.hpp"

namespace ringlet::kernel {

class Spinlock {
public:
    void acquire(Rank rank);
    void release(Rank rank);

private:
    std::atomic<bool> held_{false};
    bool interrupts_were_enabled_ = false;
};

}  // namespace ringlet::kernel
