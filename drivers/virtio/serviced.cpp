// The thread of a driver with slow work.
#include "drivers/virtio/serviced.hpp"

#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

Result<> Serviced::start_thread(std::string_view name, u8 priority) {
    auto thread = TRY(kernel::ThreadHandle::spawn(
        {.name = name, .priority = priority, .stack_bytes = 8192},
        [](void* p) {
            Serviced& self = *static_cast<Serviced*>(p);
            for (;;) self.event_.wait_until(self.service(kernel::now()));
        },
        this));
    thread.detach();
    return {};
}

}  // namespace ringlet::virtio
