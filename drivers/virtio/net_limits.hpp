// What a network device says of itself in its configuration space, virtio 1.3 §5.1.4: the fields that exist with one of
// two features. Nothing is judged here. Context: thread, while starting.
#pragma once

#include <optional>

#include "drivers/virtio/net_control.hpp"

namespace ringlet::virtio {

/// A field of a required feature and one of an optional feature look the same.
template <class V> Result<std::optional<V>> as_optional(Result<std::optional<V>> v) {
    return v;
}
template <class V> Result<std::optional<V>> as_optional(Result<V> v) {
    return v ? Result<std::optional<V>>(*v) : Result<std::optional<V>>(fail(v.error()));
}

/// Nothing without MQ and RSS.
template <Features<NetSpec> kF, class Config> [[gnu::cold]] Result<std::optional<u16>> read_max_pairs(Config config) {
    using Feature = NetSpec::Feature;
    std::optional<u16> told;
    if constexpr (kF.lists(Feature::mq)) told = TRY(as_optional(config.read(NetSpec::kMaxVirtqueuePairs)));
    if constexpr (kF.lists(Feature::rss))
        if (!told) told = TRY(as_optional(config.read(NetSpec::kMaxVirtqueuePairsRss)));
    return told;
}

template <Features<NetSpec> kF, class Config>
[[gnu::cold]] Result<NetAbilities> read_abilities(Config config, FeatureBits negotiated, u16 pairs) {
    using Feature = NetSpec::Feature;
    NetAbilities a{.features = negotiated, .pairs = pairs};
    if constexpr (kF.lists(Feature::rss)) {
        a.rss_table = TRY(as_optional(config.read(NetSpec::kRssMaxTable))).value_or(0);
        a.rss_key = TRY(as_optional(config.read(NetSpec::kRssMaxKeySize))).value_or(0);
        a.hash_types = TRY(as_optional(config.read(NetSpec::kRssHashTypes))).value_or(0);
    }
    if constexpr (kF.lists(Feature::hash_report)) {
        if (a.rss_key == 0) {
            a.rss_key = TRY(as_optional(config.read(NetSpec::kHashMaxKeySize))).value_or(0);
            a.hash_types = TRY(as_optional(config.read(NetSpec::kHashTypes))).value_or(0);
        }
    }
    return a;
}

}  // namespace ringlet::virtio
