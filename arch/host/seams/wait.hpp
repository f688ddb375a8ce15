// Waiting with real threads and either clock; shared by the link seams of this directory only.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "arch/clock.hpp"
#include "arch/host.hpp"

namespace ringlet::kernel::host {

struct Bucket {
    std::mutex mutex;
    std::condition_variable changed;
};

Bucket& bucket_of(const void* object);

/// Until `ready()` (true) or `deadline` (the last value of ready()). Spurious wake-ups are fine.
template <class Ready>
bool wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Instant deadline, Ready ready) {
    using std::chrono::nanoseconds;
    while (!ready()) {
        const Instant now = arch::monotonic_now();
        if (deadline <= now) return false;
        if (const auto hook = arch::host::sleep_hook()) {
            lock.unlock();
            hook(deadline);
            lock.lock();
            continue;
        }
        if (deadline.is_never()) {
            changed.wait(lock);
        } else {
            const i64 rest = std::min<i64>((deadline - now).ns, 100'000'000);
            changed.wait_for(lock, nanoseconds(arch::host::clock_is_virtual() ? 1'000'000 : rest));
        }
    }
    return true;
}

}  // namespace ringlet::kernel::host
