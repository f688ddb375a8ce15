// aarch64: ordering between the CPU and devices that read memory. Context: any.
#pragma once

namespace ringlet::arch {

/// Full barrier between everything before and everything after, as seen by other agents in the outer
/// shareable domain (devices). Pairs with the device's own barriers around its reads of `avail` and writes of
/// `used`.
inline void device_fence() {
    asm volatile("dmb osh" ::: "memory");
}

}  // namespace ringlet::arch
