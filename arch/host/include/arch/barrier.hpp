// Ordering between normal memory and what a device sees. On the host a device is a thread or a function.
// Context: any.
#pragma once

#include <atomic>

namespace ringlet::arch {

inline void device_fence() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace ringlet::arch
