// Device initialisation (virtio 1.2 §3.1.1) as a typestate. Before DRIVER_OK a device *is* its Handshake; go_live()
// consumes it and what remains is the negotiated set and the configuration space. A Handshake dropped half-way writes
// FAILED, so that no early return leaves a device half alive. Context: thread; all waits are bounded.
#pragma once

#include <array>
#include <optional>
#include <utility>

#include "drivers/virtio/transport.hpp"

namespace ringlet::virtio {

/// Reads of the configuration space, gated by features, stable over generations (§2.5.3), bounded.
template <class Spec, Features<Spec> kF, Transport T> class ConfigSpace {
public:
    static constexpr unsigned kGenerations = 100;

    ConfigSpace(T& t, Negotiated<Spec, kF> features) : t_(&t), features_(features) {}

    /// The value of a field whose feature is required (or that always exists); an optional of it when its feature is
    /// optional. Errors: device_broken (no such bytes, or the generation never stands still).
    template <class V, usize kOffset, auto kGate> auto read(ConfigField<V, kOffset, kGate> field) const {
        if constexpr (std::is_same_v<decltype(kGate), const Always>) {
            return value(field);
        } else {
            static_assert(kF.lists(kGate),
                          "this configuration field belongs to a feature that the driver does not list");
            if constexpr (kF.required.contains(kGate)) {
                return value(field);
            } else {
                using Answer = Result<std::optional<V>>;
                if (!features_.template has<kGate>()) return Answer(std::nullopt);
                const Result<V> v = value(field);
                return v ? Answer(std::optional<V>(*v)) : Answer(fail(v.error()));
            }
        }
    }

private:
    template <class V, usize kOffset, auto kGate> Result<V> value(ConfigField<V, kOffset, kGate>) const {
        if (t_->config_bytes() < kOffset + sizeof(V)) return fail(Error::device_broken);
        for (unsigned i = 0; i < kGenerations; ++i) {
            const u32 before = t_->config_generation();
            const V v = load<V>(kOffset);
            if (t_->config_generation() != before) continue;
            if constexpr (!kF.required.contains(Common::version_1))
                if (t_->legacy() && load<V>(kOffset) != v) continue;  // without generations: §2.5.4
            return v;
        }
        return fail(Error::device_broken);
    }
    template <class V> V load(usize at) const {
        if constexpr (sizeof(V) == 1 && std::is_integral_v<V>)
            return V(t_->config_u8(at));
        else if constexpr (sizeof(V) == 2 && std::is_integral_v<V>)
            return V(t_->config_u16(at));
        else if constexpr (sizeof(V) == 4 && std::is_integral_v<V>)
            return V(t_->config_u32(at));
        else if constexpr (sizeof(V) == 8 && std::is_integral_v<V>)
            return V(t_->config_u32(at) | u64{t_->config_u32(at + 4)} << 32);
        else {
            V bytes{};
            for (usize i = 0; i < bytes.size(); ++i) bytes[i] = t_->config_u8(at + i);
            return bytes;
        }
    }
    T* t_;
    Negotiated<Spec, kF> features_;
};

/// What of the handshake does not depend on the device type: there once in an image, however many drivers there are.
template <Transport T> struct HandshakeSteps {
    /// Steps 1-4a: reset (awaited), ACKNOWLEDGE, DRIVER, the offer.
    [[gnu::cold, gnu::noinline]] static Result<FeatureBits> offer(T& t) {
        TRY(reset_and_wait(t));
        t.set_status(Status::acknowledge);
        t.set_status(Status::acknowledge | Status::driver);
        return t.device_features();
    }
    /// Steps 4b-6: our set, FEATURES_OK and its confirmation (not over a legacy interface).
    [[gnu::cold, gnu::noinline]] static Result<> settle(T& t, FeatureBits agreed) {
        const bool legacy = t.legacy();
        t.set_driver_features(agreed);
        if (!legacy) t.set_status(Status::acknowledge | Status::driver | Status::features_ok);
        const Status answer = t.status();
        if (answer == Status::gone) return fail(Error::device_broken);
        if (!legacy && !any(answer, Status::features_ok)) return fail(Error::unsupported);
        return {};
    }
    /// Step 7.
    template <Ring R>
    [[gnu::cold, gnu::noinline]] static Result<std::pair<R, Doorbell>> queue(T& t, FeatureBits agreed, u16 index,
                                                                             RingOptions options) {
        const auto has = [&](Common f) { return agreed.test(unsigned(f)); };
        const u16 most = t.queue_size_max(index);
        while (options.size > most || !R::valid_size(options.size)) {
            if (options.size <= 1) return fail(Error::device_broken);
            options.size = u16(R::valid_size(most) && most < options.size ? most : options.size - 1);
        }
        if (!has(Common::version_1)) {  // §2.7.2
            options.legacy_entries = t.fixed_queue_sizes() ? most : options.size;
            if (!R::valid_size(options.legacy_entries)) return fail(Error::device_broken);
        }
        options.packed = has(Common::ring_packed);
        options.in_order = has(Common::in_order);
        options.event_idx = has(Common::event_idx);
        if (!has(Common::indirect_desc)) options.indirect_tables = 0;
        R ring = TRY(R::create(options));
        const Doorbell bell = TRY(t.enable_queue(index, ring.size(), ring.addrs()));
        return std::pair<R, Doorbell>(std::move(ring), bell);
    }
};

template <class Spec, Features<Spec> kF, Transport T> class Handshake {
    static_assert(FeaturesChecked<Spec, kF>::value);

    using Steps = HandshakeSteps<T>;

public:
    using Agreed = Negotiated<Spec, kF>;

    /// Steps 1-6: reset (awaited), ACKNOWLEDGE, DRIVER, features, FEATURES_OK re-read (not over a legacy interface).
    /// `declined`: optional features to leave out although offered. Errors: unsupported (a required feature is missing,
    /// or the device refused the set), device_broken (it does not answer).
    [[gnu::cold]] static Result<Handshake> begin(T& t, FeatureBits declined = {}) {
        const FeatureBits offered = TRY(Steps::offer(t));
        Handshake h(t, offered, Agreed(offered, declined));
        // ~Handshake writes FAILED. Header layouts and the ring's follow from VERSION_1: it belongs to the interface.
        if (!h.agreed_.acceptable() || h.legacy() != t.legacy()) return fail(Error::unsupported);
        TRY(Steps::settle(t, h.agreed_.bits()));
        return h;
    }
    Handshake(Handshake&& o) noexcept : t_(std::exchange(o.t_, nullptr)), offered_(o.offered_), agreed_(o.agreed_) {}
    Handshake& operator=(Handshake&& o) noexcept {
        std::swap(t_, o.t_);
        std::swap(offered_, o.offered_);
        std::swap(agreed_, o.agreed_);
        return *this;
    }
    ~Handshake() {
        if (t_ != nullptr) t_->set_status(Status::failed);
    }

    FeatureBits offered() const { return offered_; }
    const Agreed& features() const { return agreed_; }
    /// Without VERSION_1 (§3.1.2). Never, and no code, for a driver that requires it.
    bool legacy() const { return !agreed_.template has<Common::version_1>(); }
    ConfigSpace<Spec, kF, T> config() const { return {*t_, agreed_}; }

    /// Step 7, per queue: a ring of at most `wanted` entries, as large as the device allows, enabled. The transport's
    /// vectors are set before. Errors: device_broken (no such queue, or an impossible size), no_memory.
    template <Ring R> [[gnu::cold]] Result<std::pair<R, Doorbell>> queue(u16 index, RingOptions options) {
        return Steps::template queue<R>(*t_, agreed_.bits(), index, options);
    }
    /// The same after a reset, for a ring that exists already and was reset() too.
    template <Ring R> [[gnu::cold]] Result<Doorbell> queue_again(u16 index, const R& ring) {
        if (t_->queue_size_max(index) < ring.size()) return fail(Error::device_broken);
        return t_->enable_queue(index, ring.size(), ring.addrs());
    }

    /// Step 8: the device may run. From here on doorbells may ring, and not before.
    Agreed go_live() && {
        const Status steps = Status::acknowledge | Status::driver | Status::driver_ok;
        std::exchange(t_, nullptr)->set_status(legacy() ? steps : steps | Status::features_ok);
        return agreed_;
    }

private:
    Handshake(T& t, FeatureBits offered, Agreed agreed) : t_(&t), offered_(offered), agreed_(agreed) {}

    T* t_;
    FeatureBits offered_;
    Agreed agreed_;
};

}  // namespace ringlet::virtio
