// A Serviced driver that is looked at by time: deadlines of requests, queues that nobody interrupts for, polling. Its
// thread sleeps until the earliest moment that somebody asked for. Asking is one comparison as long as an earlier
// moment was asked for already, so that every request may ask.
#pragma once

#include <atomic>

#include "drivers/virtio/serviced.hpp"

namespace ringlet::virtio {

class Attended : public Serviced {
public:
    /// Asks for look() at `by`. Context: any, with no spinlock held.
    void attend(Instant by = {}) {
        if (by.ns >= by_.load(std::memory_order_relaxed)) return;
        lower(by);
        wake();
    }
    /// look(), if its time has come. What is asked for meanwhile stays: attend() lowers by_, then wakes.
    Instant service(Instant now) final {
        if (by_.load(std::memory_order_acquire) <= now.ns) {
            by_.store(~u64{0}, std::memory_order_relaxed);
            lower(look(now));
        }
        return Instant{by_.load(std::memory_order_relaxed)};
    }

protected:
    ~Attended() = default;
    /// Does what is due; returns when it wants to be called again at the latest (never: when attend() says so).
    /// Context: the driver's thread.
    virtual Instant look(Instant now) = 0;

private:
    void lower(Instant by) {
        u64 old = by_.load(std::memory_order_relaxed);
        while (by.ns < old && !by_.compare_exchange_weak(old, by.ns, std::memory_order_release)) {
        }
    }
    std::atomic<u64> by_{~u64{0}};
};

}  // namespace ringlet::virtio
