// Virtio over PCI, the interface from before 1.0: virtio 1.2 §4.1.4.10. Everything lies in BAR 0, a piece of I/O space:
// 32 feature bits, rings where and as large as the device says (§2.7.2), no FEATURES_OK, no generation. Works on a
// window that was found and bounds-checked by open_pci_legacy(). Context: as PciModern.
#pragma once

#include "drivers/pci/function.hpp"
#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

class PciLegacy {
public:
    static constexpr std::string_view kName = "pci-legacy";
    static constexpr bool kLegacy = true;
    static constexpr u32 kLeastBytes = 24;  ///< the header with its two vectors

    /// `bytes` of the BAR, at least kLeastBytes. `function` is for cut_off() and may be nullptr.
    constexpr PciLegacy(u16 device_type, pci::IoWindow bar, u32 bytes, pci::Function* function)
        : bar_(bar), function_(function), bytes_(bytes), type_(device_type) {}

    std::string_view name() const { return kName; }
    u16 device_type() const { return type_; }
    bool legacy() const { return kLegacy; }
    bool fixed_queue_sizes() const { return true; }
    Status status();
    void set_status(Status s);
    FeatureBits device_features();
    void set_driver_features(FeatureBits f);
    u16 queue_size_max(u16 queue);
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where);
    Result<> reset_queue(u16) { return fail(Error::unsupported); }
    /// The vectors are in the header, and the configuration behind them, only while MSI-X is on.
    void use_messages(bool on) { messages_ = on; }
    bool set_config_vector(u16 vector);
    bool set_queue_vector(u16 queue, u16 vector);
    InterruptStatus interrupt_status();
    bool cut_off() { return function_ != nullptr && function_->cut_off(); }
    usize config_bytes() const { return bytes_ - config_at(0); }
    u32 config_generation() { return 0; }
    u8 config_u8(usize offset);
    u16 config_u16(usize offset);
    u32 config_u32(usize offset);
    void set_config_u8(usize offset, u8 value);
    void set_config_u32(usize offset, u32 value);

private:
    usize config_at(usize offset) const { return (messages_ ? 24 : 20) + offset; }

    pci::IoWindow bar_;
    pci::Function* function_;
    u32 bytes_;
    u16 type_;
    bool messages_ = false;
};
static_assert(Transport<PciLegacy>);

}  // namespace ringlet::virtio
