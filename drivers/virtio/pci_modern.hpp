// Virtio over PCI, the modern interface: virtio 1.2 §4.1. Works on register windows that were found and bounds-checked
// by open_pci() (drivers/virtio/discover.hpp). Context: thread; status(), interrupt_status() and cut_off() also
// interrupts.
#pragma once

#include "drivers/pci/function.hpp"
#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

/// Where the capabilities of §4.1.4 lie, as mapped addresses (the notification area may also be ports).
struct PciRegions {
    u16 device_type = 0;
    std::uintptr_t common = 0;  ///< at least PciModern::kCommonBytes
    u32 common_bytes = 56;
    pci::IoWindow notify;  ///< Kind::memory: a mapped address
    u32 notify_bytes = 0;
    u32 notify_multiplier = 0;
    std::uintptr_t isr = 0;
    std::uintptr_t device = 0;  ///< 0: no device configuration
    u32 device_bytes = 0;
    pci::Function* function = nullptr;  ///< for cut_off(); nullptr: it cannot be
};

class PciModern {
public:
    static constexpr std::string_view kName = "pci";
    static constexpr bool kLegacy = false;
    static constexpr u32 kCommonBytes = 56;  ///< through queue_device; NOTIF_CONFIG_DATA and RING_RESET add 2 each

    explicit constexpr PciModern(const PciRegions& regions) : r_(regions) {}

    std::string_view name() const { return kName; }
    u16 device_type() const { return r_.device_type; }
    bool legacy() const { return kLegacy; }
    bool fixed_queue_sizes() const { return false; }
    Status status();
    void set_status(Status s);
    FeatureBits device_features();
    void set_driver_features(FeatureBits f);
    u16 queue_size_max(u16 queue);
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where);
    Result<> reset_queue(u16 queue);
    void use_messages(bool) {}
    bool set_config_vector(u16 vector);
    bool set_queue_vector(u16 queue, u16 vector);
    InterruptStatus interrupt_status();
    bool cut_off() { return r_.function != nullptr && r_.function->cut_off(); }
    usize config_bytes() const { return r_.device_bytes; }
    u32 config_generation();
    u8 config_u8(usize offset);
    u16 config_u16(usize offset);
    u32 config_u32(usize offset);
    void set_config_u8(usize offset, u8 value);
    void set_config_u32(usize offset, u32 value);

private:
    Result<Doorbell> doorbell(u16 queue);

    PciRegions r_;
    bool notify_position_ = false, notify_config_data_ = false;  ///< negotiated: what the doorbell is told (§2.9)
};
static_assert(Transport<PciModern>);

}  // namespace ringlet::virtio
