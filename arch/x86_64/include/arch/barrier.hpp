// The one fence drivers need. Context: any.
#pragma once

namespace ringlet::arch {

/// Full barrier between normal memory and device-visible memory. x86 keeps loads and stores in order among themselves;
/// what it lacks is store-then-load, and a locked operation on the stack is the cheapest way to get that.
inline void device_fence() {
    asm volatile("lock addl $0, (%%rsp)" : : : "memory", "cc");
}

}  // namespace ringlet::arch
