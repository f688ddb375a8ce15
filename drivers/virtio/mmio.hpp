// Virtio over MMIO, version 2 (virtio 1.2 §4.2) and version 1, the legacy interface (§4.2.4) that QEMU's `virt` and
// `microvm` have unless told otherwise. Context: thread; status() and interrupt_status() also interrupts.
#pragma once

#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

/// What both versions have in common.
class MmioRegisters {
public:
    u16 device_type() const { return type_; }
    Status status();
    void set_status(Status s);
    u16 queue_size_max(u16 queue);
    bool fixed_queue_sizes() const { return false; }
    void use_messages(bool) {}
    bool set_config_vector(u16 vector) { return vector == kNoVector; }
    bool set_queue_vector(u16, u16 vector) { return vector == kNoVector; }
    InterruptStatus interrupt_status();
    bool cut_off() { return false; }  // nobody else can stop it
    usize config_bytes() const { return bytes_ - kConfig; }
    u8 config_u8(usize offset);
    u16 config_u16(usize offset);
    u32 config_u32(usize offset);
    void set_config_u8(usize offset, u8 value);
    void set_config_u32(usize offset, u32 value);

protected:
    static constexpr usize kConfig = 0x100;
    /// Errors: not_found (no device behind it: normal), unsupported (another version), invalid (not virtio at all).
    static Result<MmioRegisters> open(std::uintptr_t registers, usize bytes, u32 version);

    std::uintptr_t base_ = 0;
    usize bytes_ = 0;
    u16 type_ = 0;

private:
    constexpr MmioRegisters(std::uintptr_t base, usize bytes, u16 type) : base_(base), bytes_(bytes), type_(type) {}
};

class Mmio : public MmioRegisters {
public:
    static constexpr std::string_view kName = "mmio";
    static constexpr bool kLegacy = false;

    /// `registers` is mapped device memory of `bytes` bytes. Errors: not_found (no device behind it: normal),
    /// unsupported (version 1: see MmioLegacy), invalid (not virtio at all). Context: thread.
    static Result<Mmio> open(std::uintptr_t registers, usize bytes);

    std::string_view name() const { return kName; }
    bool legacy() const { return kLegacy; }
    FeatureBits device_features();
    void set_driver_features(FeatureBits f);
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where);
    Result<> reset_queue(u16 queue);
    u32 config_generation();

private:
    explicit Mmio(const MmioRegisters& r) : MmioRegisters(r) {}
    bool notify_position_ = false;  ///< NOTIFICATION_DATA was negotiated
};
static_assert(Transport<Mmio>);

class MmioLegacy : public MmioRegisters {
public:
    static constexpr std::string_view kName = "mmio-legacy";
    static constexpr bool kLegacy = true;

    /// As Mmio::open. unsupported: any version but 1.
    static Result<MmioLegacy> open(std::uintptr_t registers, usize bytes);

    std::string_view name() const { return kName; }
    bool legacy() const { return kLegacy; }
    FeatureBits device_features();
    void set_driver_features(FeatureBits f);
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where);
    Result<> reset_queue(u16) { return fail(Error::unsupported); }
    u32 config_generation() { return 0; }

private:
    explicit MmioLegacy(const MmioRegisters& r) : MmioRegisters(r) {}
};
static_assert(Transport<MmioLegacy>);

}  // namespace ringlet::virtio
