// The transport that is only known at run time: a closed switch over the built-in ones, itself a Transport, so that an
// image has one instantiation of each driver. A value; not used per packet. Also carries what the device can be heard
// by. Context: as Transport.
#pragma once

#include "drivers/virtio/interrupts.hpp"
#include "drivers/virtio/mmio.hpp"
#include "drivers/virtio/pci_modern.hpp"

namespace ringlet::virtio {

class AnyTransport {
    enum class Which : u8 { pci, mmio };
    template <class Self, class F> static decltype(auto) visit(Self& self, F f) {
        switch (self.which_) {
        case Which::mmio:
            return f(self.mmio_);
        case Which::pci:
            break;
        }
        return f(self.pci_);
    }

public:
    AnyTransport(const PciModern& pci) : which_(Which::pci), pci_(pci) {}
    AnyTransport(const Mmio& mmio) : which_(Which::mmio), mmio_(mmio) {}

    std::string_view name() const {
        return visit(*this, [](auto& t) { return t.name(); });
    }
    u16 device_type() const {
        return visit(*this, [](auto& t) { return t.device_type(); });
    }
    Status status() {
        return visit(*this, [](auto& t) { return t.status(); });
    }
    void set_status(Status s) {
        visit(*this, [s](auto& t) { t.set_status(s); });
    }
    FeatureBits device_features() {
        return visit(*this, [](auto& t) { return t.device_features(); });
    }
    void set_driver_features(FeatureBits f) {
        visit(*this, [f](auto& t) { t.set_driver_features(f); });
    }
    u16 queue_size_max(u16 q) {
        return visit(*this, [q](auto& t) { return t.queue_size_max(q); });
    }
    Result<Doorbell> enable_queue(u16 q, u16 size, QueueAddrs where) {
        return visit(*this, [=](auto& t) { return t.enable_queue(q, size, where); });
    }
    bool set_config_vector(u16 v) {
        return visit(*this, [v](auto& t) { return t.set_config_vector(v); });
    }
    bool set_queue_vector(u16 q, u16 v) {
        return visit(*this, [=](auto& t) { return t.set_queue_vector(q, v); });
    }
    InterruptStatus interrupt_status() {
        return visit(*this, [](auto& t) { return t.interrupt_status(); });
    }
    usize config_bytes() {
        return visit(*this, [](auto& t) { return t.config_bytes(); });
    }
    u32 config_generation() {
        return visit(*this, [](auto& t) { return t.config_generation(); });
    }
    u8 config_u8(usize at) {
        return visit(*this, [at](auto& t) { return t.config_u8(at); });
    }
    u16 config_u16(usize at) {
        return visit(*this, [at](auto& t) { return t.config_u16(at); });
    }
    u32 config_u32(usize at) {
        return visit(*this, [at](auto& t) { return t.config_u32(at); });
    }
    void set_config_u8(usize at, u8 value) {
        visit(*this, [=](auto& t) { t.set_config_u8(at, value); });
    }
    void set_config_u32(usize at, u32 value) {
        visit(*this, [=](auto& t) { t.set_config_u32(at, value); });
    }

private:
    Which which_;
    union {
        PciModern pci_;
        Mmio mmio_;
    };
};
static_assert(Transport<AnyTransport>);
static_assert(std::is_trivially_copyable_v<AnyTransport>);

/// A device that was found, not yet a driver: what probe() of every driver takes. An image sealed for one board may use
/// a concrete transport instead.
template <Transport T> struct BasicDevice {
    T transport;
    Wiring wiring;
};
using Device = BasicDevice<AnyTransport>;

}  // namespace ringlet::virtio
