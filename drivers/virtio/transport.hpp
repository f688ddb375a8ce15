// The control plane of a device (virtio 1.2 §4): probe, configuration, reset. Never used per packet: what the hot path
// needs of a transport is a Doorbell. Context: thread, except status() and interrupt_status() (any).
#pragma once

#include <concepts>
#include <string_view>

#include "drivers/virtio/doorbell.hpp"
#include "drivers/virtio/features.hpp"
#include "drivers/virtio/ring.hpp"

namespace ringlet::virtio {

/// §2.1
enum class Status : u8 {
    reset = 0,
    acknowledge = 1,
    driver = 2,
    driver_ok = 4,
    features_ok = 8,
    needs_reset = 64,
    failed = 128,
    gone = 255,  ///< all ones: nobody answers on the bus
};
constexpr Status operator|(Status a, Status b) {
    return Status(u8(a) | u8(b));
}
constexpr bool any(Status a, Status b) {
    return (u8(a) & u8(b)) != 0;
}

/// Why a device interrupted a shared line (§4.1.4.5, §4.2.2 InterruptStatus).
struct InterruptStatus {
    static constexpr u32 kQueue = 1, kConfig = 2;
    u32 bits = 0;
};

inline constexpr u16 kNoVector = 0xffff;

template <class T>
concept Transport = requires(T t, const T c, u16 n, FeatureBits f, Status s, QueueAddrs where, usize offset) {
    { c.name() } -> std::same_as<std::string_view>;
    { c.device_type() } -> std::same_as<u16>;
    { c.legacy() } -> std::same_as<bool>;  // an interface from before VERSION_1: §2.7.2, §3.1.2, §4.1.4.10, §4.2.4
    { c.fixed_queue_sizes() } -> std::same_as<bool>;  // of these, one whose queues are as large as the device says
    { t.status() } -> std::same_as<Status>;
    { t.set_status(s) } -> std::same_as<void>;
    { t.device_features() } -> std::same_as<FeatureBits>;
    { t.set_driver_features(f) } -> std::same_as<void>;
    { t.queue_size_max(n) } -> std::same_as<u16>;                       // 0: no such queue
    { t.enable_queue(n, n, where) } -> std::same_as<Result<Doorbell>>;  // queue, size; the hot path leaves here
    { t.reset_queue(n) } -> std::same_as<Result<>>;                     // RING_RESET, awaited with a bound (§2.6.1)
    { t.use_messages(true) } -> std::same_as<void>;                     // MSI-X was switched on or off
    { t.set_config_vector(n) } -> std::same_as<bool>;                   // written and read back (§4.1.5.1.2.1)
    { t.set_queue_vector(n, n) } -> std::same_as<bool>;                 // queue, vector
    { t.interrupt_status() } -> std::same_as<InterruptStatus>;          // read and acknowledged
    { t.cut_off() } -> std::same_as<bool>;  // without the device's help; true: it can touch memory no more
    { t.config_bytes() } -> std::same_as<usize>;
    { t.config_generation() } -> std::same_as<u32>;
    { t.config_u8(offset) } -> std::same_as<u8>;
    { t.config_u16(offset) } -> std::same_as<u16>;
    { t.config_u32(offset) } -> std::same_as<u32>;
    { t.set_config_u8(offset, u8{}) } -> std::same_as<void>;
    { t.set_config_u32(offset, u32{}) } -> std::same_as<void>;
};

/// Resets and waits until the device says so, with a bound (§2.4.2, §4.1.4.3.2). device_broken: it never did.
inline constexpr unsigned kResetPolls = 20'000;
template <Transport T> Result<> reset_and_wait(T& t) {
    t.set_status(Status::reset);
    for (unsigned polls = 0; polls < kResetPolls; ++polls)
        if (t.status() == Status::reset) return {};
    return fail(Error::device_broken);
}

}  // namespace ringlet::virtio
