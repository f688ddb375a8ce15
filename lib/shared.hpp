// A word that some other agent (the device, the host) may read or write at any time.
// There is no conversion to T: every access names its memory order. Context: any.
#pragma once

#include <atomic>
#include <concepts>

#include "lib/types.hpp"

namespace ringlet {

#ifdef RINGLET_SHARED_HOOK_ENABLED
/// Host tests may run a device model after any single store to shared memory: the cheapest race detector.
inline thread_local void (*shared_store_hook)() = nullptr;
#endif

template <std::unsigned_integral T> class Shared {
    T raw_{};

public:
    Shared() = default;
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;

    T load(std::memory_order order = std::memory_order_relaxed) const {
        return __atomic_load_n(&raw_, static_cast<int>(order));
    }
    void store(T v, std::memory_order order = std::memory_order_relaxed) {
        __atomic_store_n(&raw_, v, static_cast<int>(order));
#ifdef RINGLET_SHARED_HOOK_ENABLED
        if (shared_store_hook != nullptr) shared_store_hook();
#endif
    }
};
static_assert(sizeof(Shared<u16>) == 2 && sizeof(Shared<u64>) == 8);

}  // namespace ringlet
