// The transport that is only known at run time, itself a Transport, so that an image has one instantiation of each
// driver. A value: a small state and a table of functions. A table instead of a switch, so that a transport that
// nobody opens (legacy ones, in an appliance that does not list them) is not in the image. Not used per packet.
// Context: as Transport.
#pragma once

#include <cstring>
#include <type_traits>

#include "drivers/virtio/interrupts.hpp"
#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

class AnyTransport {
public:
    template <Transport T>
    requires(!std::is_base_of_v<AnyTransport, T>) AnyTransport(const T& t) : ops_(&kOps<T>) {
        static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof state_ && alignof(T) <= alignof(u64));
        std::memcpy(state_, &t, sizeof t);
    }

    std::string_view name() const { return ops_->name; }
    u16 device_type() const { return ops_->device_type(state_); }
    bool legacy() const { return ops_->legacy; }
    bool fixed_queue_sizes() const { return ops_->fixed_queue_sizes(state_); }
    Status status() { return ops_->status(state_); }
    void set_status(Status s) { ops_->set_status(state_, s); }
    FeatureBits device_features() { return ops_->device_features(state_); }
    void set_driver_features(FeatureBits f) { ops_->set_driver_features(state_, f); }
    u16 queue_size_max(u16 queue) { return ops_->queue_size_max(state_, queue); }
    Result<Doorbell> enable_queue(u16 queue, u16 size, QueueAddrs where) {
        return ops_->enable_queue(state_, queue, size, where);
    }
    Result<> reset_queue(u16 queue) { return ops_->reset_queue(state_, queue); }
    void use_messages(bool on) { ops_->use_messages(state_, on); }
    bool set_config_vector(u16 vector) { return ops_->set_config_vector(state_, vector); }
    bool set_queue_vector(u16 queue, u16 vector) { return ops_->set_queue_vector(state_, queue, vector); }
    InterruptStatus interrupt_status() { return ops_->interrupt_status(state_); }
    bool cut_off() { return ops_->cut_off(state_); }
    usize config_bytes() { return ops_->config_bytes(state_); }
    u32 config_generation() { return ops_->config_generation(state_); }
    u8 config_u8(usize at) { return u8(ops_->config(state_, at, 1)); }
    u16 config_u16(usize at) { return u16(ops_->config(state_, at, 2)); }
    u32 config_u32(usize at) { return ops_->config(state_, at, 4); }
    void set_config_u8(usize at, u8 value) { ops_->set_config_u8(state_, at, value); }
    void set_config_u32(usize at, u32 value) { ops_->set_config_u32(state_, at, value); }

private:
    struct Ops {
        std::string_view name;
        bool legacy;
        u16 (*device_type)(const void*);
        bool (*fixed_queue_sizes)(const void*);
        Status (*status)(void*);
        void (*set_status)(void*, Status);
        FeatureBits (*device_features)(void*);
        void (*set_driver_features)(void*, FeatureBits);
        u16 (*queue_size_max)(void*, u16);
        Result<Doorbell> (*enable_queue)(void*, u16, u16, QueueAddrs);
        Result<> (*reset_queue)(void*, u16);
        void (*use_messages)(void*, bool);
        bool (*set_config_vector)(void*, u16);
        bool (*set_queue_vector)(void*, u16, u16);
        InterruptStatus (*interrupt_status)(void*);
        bool (*cut_off)(void*);
        usize (*config_bytes)(void*);
        u32 (*config_generation)(void*);
        u32 (*config)(void*, usize, unsigned width);
        void (*set_config_u8)(void*, usize, u8);
        void (*set_config_u32)(void*, usize, u32);
    };
    template <class T> static T& as(void* p) { return *static_cast<T*>(p); }
    template <class T>
    static constexpr Ops kOps{
        .name = T::kName,
        .legacy = T::kLegacy,
        .device_type = [](const void* p) { return static_cast<const T*>(p)->device_type(); },
        .fixed_queue_sizes = [](const void* p) { return static_cast<const T*>(p)->fixed_queue_sizes(); },
        .status = [](void* p) { return as<T>(p).status(); },
        .set_status = [](void* p, Status s) { as<T>(p).set_status(s); },
        .device_features = [](void* p) { return as<T>(p).device_features(); },
        .set_driver_features = [](void* p, FeatureBits f) { as<T>(p).set_driver_features(f); },
        .queue_size_max = [](void* p, u16 q) { return as<T>(p).queue_size_max(q); },
        .enable_queue = [](void* p, u16 q, u16 n, QueueAddrs at) { return as<T>(p).enable_queue(q, n, at); },
        .reset_queue = [](void* p, u16 q) { return as<T>(p).reset_queue(q); },
        .use_messages = [](void* p, bool on) { as<T>(p).use_messages(on); },
        .set_config_vector = [](void* p, u16 v) { return as<T>(p).set_config_vector(v); },
        .set_queue_vector = [](void* p, u16 q, u16 v) { return as<T>(p).set_queue_vector(q, v); },
        .interrupt_status = [](void* p) { return as<T>(p).interrupt_status(); },
        .cut_off = [](void* p) { return as<T>(p).cut_off(); },
        .config_bytes = [](void* p) { return usize(as<T>(p).config_bytes()); },
        .config_generation = [](void* p) { return as<T>(p).config_generation(); },
        .config = [](void* p, usize at, unsigned width) -> u32 {
            T& t = as<T>(p);
            return width == 1 ? t.config_u8(at) : width == 2 ? t.config_u16(at) : t.config_u32(at);
        },
        .set_config_u8 = [](void* p, usize at, u8 v) { as<T>(p).set_config_u8(at, v); },
        .set_config_u32 = [](void* p, usize at, u32 v) { as<T>(p).set_config_u32(at, v); },
    };

    const Ops* ops_;
    alignas(u64) std::byte state_[96];
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
