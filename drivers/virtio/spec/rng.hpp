// Entropy device, virtio 1.2 §5.4: constants only, under the specification's names. Checked, never executed.
#pragma once

#include "drivers/virtio/features.hpp"

namespace ringlet::virtio {

struct RngSpec {
    static constexpr u16 kDeviceId = 4;
    static constexpr std::string_view kName = "entropy";
    static constexpr std::string_view kUnit = "rng";

    enum class Feature : u8 {};  // §5.4.3: none; and no configuration space (§5.4.4)
    static constexpr std::array<Needs, 0> kNeeds{};
    static constexpr std::array<FeatureName, 0> kNames{};

    static constexpr u16 kRequestQueue = 0;  // §5.4.2
};

}  // namespace ringlet::virtio
