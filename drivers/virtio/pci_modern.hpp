// Virtio over PCI, the modern interface: virtio 1.2 §4.1. Works on register windows that were found and bounds-checked
// by open_pci() (drivers/virtio/discover.hpp). Context: thread; status() and interrupt_status() also interrupts.
#pragma once

#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

/// Where the capabilities of §4.1.4 lie, as mapped addresses.
struct PciRegions {
    u16 device_type = 0;
    std::uintptr_t common = 0;  ///< at least kCommonBytes
    std::uintptr_t notify = 0;
    u32 notify_bytes = 0;
    u32 notify_multiplier = 0;
    std::uintptr_t isr = 0;
    std::uintptr_t device = 0;  ///< 0: no device configuration
    u32 device_bytes = 0;
};

class PciModern {
public:
    static constexpr u32 kCommonBytes = 56;  ///< through queue_device; later fields belong to features not used here

    explicit constexpr PciModern(const PciRegions& regions) : r_(regions) {}

    std::string_view name() const { return "pci"; }
    u16 device_type() const { return r_.device_type; }
    Status status();
    void set_status(Status s);
    FeatureBits device_features();
    void set_driver_features(FeatureBits f);
    u16 queue_size_max(u16 queue);
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where);
    bool set_config_vector(u16 vector);
    bool set_queue_vector(u16 queue, u16 vector);
    InterruptStatus interrupt_status();
    usize config_bytes() const { return r_.device_bytes; }
    u32 config_generation();
    u8 config_u8(usize offset);
    u16 config_u16(usize offset);
    u32 config_u32(usize offset);
    void set_config_u8(usize offset, u8 value);
    void set_config_u32(usize offset, u32 value);

private:
    PciRegions r_;
};
static_assert(Transport<PciModern>);

}  // namespace ringlet::virtio
