// A driver whose slow work is done by a thread of its own: interrupts only wake it. The work is a function of the time,
// so that a host test can be the thread. Context: the thread; wake() from anywhere.
#pragma once

#include "kernel/sched/event.hpp"
#include "kernel/sched/thread.hpp"
#include "lib/time.hpp"

namespace ringlet::virtio {

class Serviced {
public:
    /// Does what is due, with a bound. Returns when to come again at the latest.
    virtual Instant service(Instant now) = 0;
    /// Context: any.
    void wake() { event_.set(); }
    /// Calls service() from now on, after each wake() and when it asked for it. The driver then lives for ever.
    /// Errors: no_memory.
    Result<> start_thread(std::string_view name, u8 priority = 16);

protected:
    ~Serviced() = default;
    kernel::Event event_;
};

}  // namespace ringlet::virtio
