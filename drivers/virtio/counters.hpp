// Per-queue counters: part of the product (shell `virtio`, /metrics), not of debugging. Each has one writer at a time.
#pragma once

#include "lib/types.hpp"

namespace ringlet::virtio {

/// Incremented under its owner's lock or in the interrupt handler, read from anywhere.
class Counter {
public:
    void add(u64 n = 1) { __atomic_store_n(&value_, value_ + n, __ATOMIC_RELAXED); }
    u64 value() const { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }

private:
    u64 value_ = 0;
};

struct QueueCounters {
    u64 kicks = 0;             ///< doorbell writes: one VM exit each
    u64 kicks_late = 0;        ///< of those, for a batch published before
    u64 kicks_suppressed = 0;  ///< batches that the device did not want to hear about
    u64 interrupts = 0;        ///< that found this queue
    u64 spurious = 0;          ///< of those, with nothing in it
    u64 ring_full = 0;         ///< chains that had to wait
    u64 bad_used = 0;          ///< lies of the device: ids, index jumps, lengths
};

}  // namespace ringlet::virtio
