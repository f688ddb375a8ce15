// Virtio over MMIO, version 2: virtio 1.2 §4.2. Version 1 (legacy) is recognised and refused.
// Context: thread; status() and interrupt_status() also interrupts.
#pragma once

#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

class Mmio {
public:
    /// `registers` is mapped device memory of `bytes` bytes. Errors: not_found (no device behind it: normal),
    /// unsupported (version 1, which QEMU offers unless told `-global virtio-mmio.force-legacy=false`),
    /// invalid (not virtio at all). Context: thread.
    static Result<Mmio> open(std::uintptr_t registers, usize bytes);

    std::string_view name() const { return "mmio"; }
    u16 device_type() const { return type_; }
    Status status();
    void set_status(Status s);
    FeatureBits device_features();
    void set_driver_features(FeatureBits f);
    u16 queue_size_max(u16 queue);
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where);
    bool set_config_vector(u16 vector) { return vector == kNoVector; }
    bool set_queue_vector(u16, u16 vector) { return vector == kNoVector; }
    InterruptStatus interrupt_status();
    usize config_bytes() const { return bytes_ - kConfig; }
    u32 config_generation();
    u8 config_u8(usize offset);
    u16 config_u16(usize offset);
    u32 config_u32(usize offset);
    void set_config_u8(usize offset, u8 value);
    void set_config_u32(usize offset, u32 value);

private:
    static constexpr usize kConfig = 0x100;
    constexpr Mmio(std::uintptr_t base, usize bytes, u16 type) : base_(base), bytes_(bytes), type_(type) {}

    std::uintptr_t base_ = 0;
    usize bytes_ = 0;
    u16 type_ = 0;
};
static_assert(Transport<Mmio>);

}  // namespace ringlet::virtio
