// The ring layout that a driver's configuration asks for. Drivers name RingOf<Spec, kFeatures>, never a layout.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "drivers/virtio/features.hpp"
#include "drivers/virtio/packed_ring.hpp"
#include "drivers/virtio/split_ring.hpp"

namespace ringlet::virtio {

/// A ring whose layout the device has a say in: RingOptions::packed decides at create(). A closed switch, one branch
/// that is always predicted. Sizes are those that both layouts allow.
class EitherRing {
public:
    static constexpr bool valid_size(u16 n) { return SplitRing::valid_size(n); }
    static constexpr usize footprint(u16 n) { return std::max(SplitRing::footprint(n), PackedRing::footprint(n)); }
    static Result<EitherRing> create(const RingOptions& options);
    EitherRing(EitherRing&& o) noexcept;
    EitherRing& operator=(EitherRing&&) = delete;
    ~EitherRing();

    bool packed() const { return is_packed_; }
    u16 size() const { return is_packed_ ? packed_.size() : split_.size(); }
    QueueAddrs addrs() const { return is_packed_ ? packed_.addrs() : split_.addrs(); }
    u16 max_segments() const { return is_packed_ ? packed_.max_segments() : split_.max_segments(); }
    u16 free() const { return is_packed_ ? packed_.free() : split_.free(); }
    u16 in_flight() const { return is_packed_ ? packed_.in_flight() : split_.in_flight(); }
    std::optional<u16> push(std::span<const Segment> readable, std::span<const Segment> writable) {
        return is_packed_ ? packed_.push(readable, writable) : split_.push(readable, writable);
    }
    bool publish() { return is_packed_ ? packed_.publish() : split_.publish(); }
    u16 position() const { return is_packed_ ? packed_.position() : split_.position(); }
    std::optional<Completion> pop() { return is_packed_ ? packed_.pop() : split_.pop(); }
    void suppress() { return is_packed_ ? packed_.suppress() : split_.suppress(); }
    bool rearm() { return is_packed_ ? packed_.rearm() : split_.rearm(); }
    bool rearm_after(u16 chains) { return is_packed_ ? packed_.rearm_after(chains) : split_.rearm_after(chains); }
    bool broken() const { return is_packed_ ? packed_.broken() : split_.broken(); }
    u64 bad_used() const { return is_packed_ ? packed_.bad_used() : split_.bad_used(); }
    void reset() { return is_packed_ ? packed_.reset() : split_.reset(); }

private:
    explicit EitherRing(SplitRing r) : split_(std::move(r)), is_packed_(false) {}
    explicit EitherRing(PackedRing r) : packed_(std::move(r)), is_packed_(true) {}

    union {
        SplitRing split_;
        PackedRing packed_;
    };
    bool is_packed_;
};
static_assert(Ring<EitherRing>);

/// Split when RING_PACKED is not listed, packed when it is required, the device's choice when it is optional.
template <class Spec, Features<Spec> kF>
using RingOf = std::conditional_t<kF.required.contains(Common::ring_packed), PackedRing,
                                  std::conditional_t<kF.optional.contains(Common::ring_packed), EitherRing, SplitRing>>;

/// The mistake in a queue size, one sentence per layout. `static_assert(RingSizeChecked<Spec, kF, size>::value)`.
template <class Spec, Features<Spec> kF, u16 kSize> struct RingSizeChecked {
    static constexpr bool kPower = SplitRing::valid_size(kSize);
    static_assert(kPower || kF.lists(Common::ring_packed),
                  "a split ring's size must be a power of two from 1 to 32768");
    static_assert(kPower || !kF.optional.contains(Common::ring_packed),
                  "with RING_PACKED optional a ring's size must suit both layouts: a power of two from 1 to 32768");
    static_assert(PackedRing::valid_size(kSize) || !kF.required.contains(Common::ring_packed),
                  "a packed ring's size must lie between 1 and 32768");
    static constexpr bool value = true;
};

}  // namespace ringlet::virtio
