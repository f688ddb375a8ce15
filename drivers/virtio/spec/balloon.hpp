// Traditional memory balloon device, virtio 1.2 §5.5: constants only, under the specification's names. Checked, never
// executed.
#pragma once

#include <cstddef>

#include "drivers/virtio/features.hpp"
#include "lib/endian.hpp"

namespace ringlet::virtio {

struct BalloonSpec {
    static constexpr u16 kDeviceId = 5;
    static constexpr std::string_view kName = "balloon";
    static constexpr std::string_view kUnit = "balloon";

    enum class Feature : u8 {  // §5.5.3
        must_tell_host = 0,
        stats_vq = 1,
        deflate_on_oom = 2,
        free_page_hint = 3,
        page_poison = 4,
        page_reporting = 5,
    };
    static constexpr std::array<Needs, 0> kNeeds{};
    static constexpr FeatureName kNames[] = {
        {0, "must_tell_host"}, {1, "stats_vq"},    {2, "deflate_on_oom"},
        {3, "free_page_hint"}, {4, "page_poison"}, {5, "page_reporting"},
    };

    // §5.5.2. Devices exist that number densely: a queue whose feature they do not offer takes no number.
    static constexpr u16 kInflateQueue = 0, kDeflateQueue = 1, kStatsQueue = 2, kFreePageQueue = 3, kReportingQueue = 4;

    struct Config {  // §5.5.4
        le32 num_pages, actual, free_page_hint_cmd_id, poison_val;
    };
    static_assert(sizeof(Config) == 16);
    static constexpr ConfigField<u32, offsetof(Config, num_pages), Always{}> kNumPages{};
    static constexpr ConfigField<u32, offsetof(Config, actual), Always{}> kActual{};
    static constexpr ConfigField<u32, offsetof(Config, free_page_hint_cmd_id), Feature::free_page_hint> kHintCommand{};
    static constexpr ConfigField<u32, offsetof(Config, poison_val), Feature::page_poison> kPoisonVal{};
    static constexpr u32 kCommandStop = 0, kCommandDone = 1;  // VIRTIO_BALLOON_CMD_ID_*

    struct Stat {  // §5.5.6.3: virtio_balloon_stat
        le16 tag;
        le64 val;
    };
    static_assert(sizeof(Stat) == 10);
    static constexpr u16 kSwapIn = 0, kSwapOut = 1, kMajorFaults = 2, kMinorFaults = 3, kMemFree = 4, kMemTotal = 5,
                         kAvailable = 6, kCaches = 7, kHugeAllocated = 8, kHugeFailed = 9;
    static constexpr usize kStats = 10;

    static constexpr usize kPageBytes = 4096;  // §5.5.6: whatever the pages of driver and device are
};

}  // namespace ringlet::virtio
