// Feature bits (virtio 1.2 §2.2, §6). Bit numbers are scoped per device type: a block bit does not fit into a network
// set. A driver states what it requires and what it can use; has<f>() then has three answers, two of them free:
// required -> true, unlisted -> false, optional -> one bit test. Context: any; values only.
#pragma once

#include <array>
#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>

#include "lib/types.hpp"

namespace ringlet::virtio {

/// §6, the bits of every device type.
enum class Common : u8 {
    indirect_desc = 28,
    event_idx = 29,
    version_1 = 32,
    access_platform = 33,
    ring_packed = 34,
    in_order = 35,
    order_platform = 36,
    sr_iov = 37,
    notification_data = 38,
    notif_config_data = 39,
    ring_reset = 40,
};

/// All 128 bits that the transports can carry. Structural.
struct FeatureBits {
    u64 word[2] = {0, 0};

    static constexpr FeatureBits of(unsigned bit) {
        FeatureBits b;
        b.word[bit / 64] = u64{1} << bit % 64;
        return b;
    }
    constexpr bool test(unsigned bit) const { return word[bit / 64] >> bit % 64 & 1; }
    constexpr bool any() const { return (word[0] | word[1]) != 0; }
    constexpr FeatureBits without(FeatureBits o) const { return {{word[0] & ~o.word[0], word[1] & ~o.word[1]}}; }
    friend constexpr FeatureBits operator|(FeatureBits a, FeatureBits b) {
        return {{a.word[0] | b.word[0], a.word[1] | b.word[1]}};
    }
    friend constexpr FeatureBits operator&(FeatureBits a, FeatureBits b) {
        return {{a.word[0] & b.word[0], a.word[1] & b.word[1]}};
    }
    friend constexpr bool operator==(FeatureBits, FeatureBits) = default;
};

/// What a legacy device can offer (§6.1, §4.1.4.10, §4.2.4): bit 31 is the last one.
inline constexpr FeatureBits kLegacyFeatures{{0xffff'ffff, 0}};

template <class... F> constexpr FeatureBits mask(F... f) {
    return (FeatureBits::of(unsigned(f)) | ... | FeatureBits{});
}

/// A row of a device type's table of prerequisites: `feature` needs one of `any_of`. Rows are ANDed.
struct Needs {
    u8 feature = 0;
    FeatureBits any_of;
};
template <class F, class... G> constexpr Needs needs(F feature, G... any_of) {
    return {u8(feature), mask(any_of...)};
}

/// For people: the name of a bit.
struct FeatureName {
    u8 bit = 0;
    std::string_view name;
};
inline constexpr FeatureName kCommonNames[] = {
    {24, "notify_on_empty"}, {27, "any_layout"},      {28, "indirect_desc"},     {29, "event_idx"},
    {32, "version_1"},       {33, "access_platform"}, {34, "ring_packed"},       {35, "in_order"},
    {36, "order_platform"},  {37, "sr_iov"},          {38, "notification_data"}, {39, "notif_config_data"},
    {40, "ring_reset"},
};

template <class F, class Spec>
concept FeatureOf = std::same_as<F, Common> || std::same_as<F, typename Spec::Feature>;

/// A set of the features of one device type. Structural.
template <class Spec> struct FeatureSet {
    FeatureBits bits;

    template <class... F>
    requires(std::is_enum_v<F>&&...) constexpr FeatureSet(F... f) : bits(mask(f...)) {
        static_assert((FeatureOf<F, Spec> && ...),
                      "a feature set takes the features of its own device type and the common ones, no others");
    }
    template <FeatureOf<Spec> F> constexpr bool contains(F f) const { return bits.test(unsigned(f)); }
};

/// What a driver demands and what it can make use of. Structural: a template argument.
template <class Spec> struct Features {
    FeatureSet<Spec> required, optional;
    constexpr FeatureBits listed() const { return required.bits | optional.bits; }
    template <FeatureOf<Spec> F> constexpr bool lists(F f) const { return listed().test(unsigned(f)); }
};

/// Each required feature has a required prerequisite, each optional one a listed one.
template <class Spec> consteval bool prerequisites_listed(Features<Spec> f) {
    for (const Needs& row : Spec::kNeeds) {
        if (f.required.bits.test(row.feature) && !(f.required.bits & row.any_of).any()) return false;
        if (f.optional.bits.test(row.feature) && !(f.listed() & row.any_of).any()) return false;
    }
    return true;
}

/// The mistakes in a feature configuration, one sentence each. `static_assert(FeaturesChecked<Spec, kF>::value)`.
template <class Spec, Features<Spec> kF> struct FeaturesChecked {
    static_assert(!(kF.required.bits & kF.optional.bits).any(),
                  "a feature is either required or optional, it cannot be listed as both");
    static_assert(kF.lists(Common::version_1),
                  "VERSION_1 must be listed: required, or optional for a driver that also works on legacy devices");
    static_assert(kF.required.contains(Common::version_1) || !kF.required.bits.without(kLegacyFeatures).any(),
                  "a feature that legacy devices cannot offer is required, so VERSION_1 must be required too");
    static_assert(prerequisites_listed<Spec>(kF),
                  "a listed feature lacks its prerequisite, for example segmentation offload without checksum offload");
    static constexpr bool value = true;
};

/// What driver and device agreed upon.
template <class Spec, Features<Spec> kF> class Negotiated {
    FeatureBits bits_;

public:
    constexpr Negotiated() = default;
    /// The listed part of the device's offer, less `declined`, less optional features whose prerequisite is not in it
    /// (a device must not offer such; if it does, we do not follow).
    explicit constexpr Negotiated(FeatureBits device, FeatureBits declined = {})
        : bits_((device & kF.listed()).without(declined.without(kF.required.bits))) {
        if (!bits_.test(unsigned(Common::version_1))) bits_ = bits_ & kLegacyFeatures;
        for (usize pass = 0; pass <= std::size(Spec::kNeeds); ++pass) {
            for (const Needs& row : Spec::kNeeds) {
                if (bits_.test(row.feature) && !(bits_ & row.any_of).any())
                    bits_ = bits_.without(FeatureBits::of(row.feature));
            }
        }
    }
    constexpr bool acceptable() const { return (bits_ & kF.required.bits) == kF.required.bits; }
    constexpr FeatureBits bits() const { return bits_; }

    template <auto kFeature> constexpr bool has() const {
        static_assert(FeatureOf<decltype(kFeature), Spec>, "this feature belongs to another device type");
        if constexpr (kF.required.contains(kFeature))
            return true;
        else if constexpr (kF.optional.contains(kFeature))
            return bits_.test(unsigned(kFeature));
        else
            return false;
    }
};

/// A field of the device's configuration space, readable only when its gate is listed (§2.5.1).
struct Always {};
template <class V, usize kAt, auto kGateFeature> struct ConfigField {
    using Value = V;
    static constexpr usize kOffset = kAt;
    static constexpr auto kGate = kGateFeature;
};

}  // namespace ringlet::virtio
