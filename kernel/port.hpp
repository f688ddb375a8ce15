// Ports: named streams of bytes between an application and the host, beside the console (virtio console ports).
// Drivers implement PortDriver and name it; applications hold a Port. A port may come, go and be renamed at any time.
// Context: thread, unless a function says otherwise.
#pragma once

#include <string_view>
#include <utility>

#include "lib/bytes.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"

namespace ringlet::kernel {

/// One port, as its driver gives it. The functions are those of Port.
class PortDriver {
public:
    static constexpr usize kMaxName = 64;

    virtual Result<usize> read(MutableBytes to, Instant deadline) = 0;
    virtual Result<usize> write(Bytes from, Instant deadline) = 0;
    virtual bool wait_open(Instant deadline) = 0;
    virtual bool host_open() = 0;
    /// Somebody here listens, or no longer does: the host is told.
    virtual void set_guest_open(bool open) = 0;

protected:
    virtual ~PortDriver() = default;

private:
    friend class PortTable;
    PortDriver* next_ = nullptr;
    char name_[kMaxName] = {};
    u8 length_ = 0;
    bool listed_ = false, taken_ = false;
};

/// From now on Port::open(name) finds `port`; an empty name hides it. Longer names are cut. `port` lives until
/// port_forget(). Context: thread.
void port_name(PortDriver& port, std::string_view name);
void port_forget(PortDriver& port);
/// For the driver itself: nobody may open it any more. False: somebody has.
bool port_reserve(PortDriver& port);

/// A port in use; closed with the object. One thread may read while another one writes.
class Port {
public:
    /// Errors: not_found (no port has this name now), in_use.
    static Result<Port> open(std::string_view name);
    Port(Port&& o) noexcept : driver_(std::exchange(o.driver_, nullptr)) {}
    Port& operator=(Port&& o) noexcept { return std::swap(driver_, o.driver_), *this; }
    ~Port();

    /// At least one byte, at most to.size(). Errors: timed_out, closed (nothing is left to read and nobody at the host
    /// has the port open: see wait_open()), device_broken.
    Result<usize> read(MutableBytes to, Instant deadline) { return driver_->read(to, deadline); }
    /// How many bytes were taken: fewer than all when the deadline passed, or the host closed the port, meanwhile.
    /// Taken bytes may still be lost when the host closes it, or when the device has to be reset.
    /// Errors, when nothing was taken: timed_out, closed, device_broken.
    Result<usize> write(Bytes from, Instant deadline) { return driver_->write(from, deadline); }
    /// True: the host has the port open, or there is something to read. False: the deadline passed.
    bool wait_open(Instant deadline) { return driver_->wait_open(deadline); }
    bool host_open() { return driver_->host_open(); }

private:
    explicit Port(PortDriver& driver) : driver_(&driver) {}
    PortDriver* driver_;
};

}  // namespace ringlet::kernel
