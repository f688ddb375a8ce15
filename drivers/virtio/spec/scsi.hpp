// SCSI host, virtio 1.2 §5.6: constants only, under the specification's names. Checked, never executed.
#pragma once

#include <array>
#include <cstddef>

#include "drivers/virtio/features.hpp"
#include "lib/endian.hpp"

namespace ringlet::virtio {

struct ScsiSpec {
    static constexpr u16 kDeviceId = 8;
    static constexpr std::string_view kName = "scsi";

    enum class Feature : u8 { inout = 0, hotplug = 1, change = 2, t10_pi = 3 };  // §5.6.3
    static constexpr std::array<Needs, 0> kNeeds{};
    static constexpr FeatureName kNames[] = {{0, "inout"}, {1, "hotplug"}, {2, "change"}, {3, "t10_pi"}};

    static constexpr u16 kControlQueue = 0, kEventQueue = 1, kFirstRequestQueue = 2;  // §5.6.2

    struct Config {  // §5.6.4
        le32 num_queues, seg_max, max_sectors, cmd_per_lun, event_info_size, sense_size, cdb_size;
        le16 max_channel, max_target;
        le32 max_lun;
    };
    static_assert(sizeof(Config) == 36 && offsetof(Config, max_channel) == 28 && offsetof(Config, max_lun) == 32);
    static constexpr ConfigField<u32, offsetof(Config, num_queues), Always{}> kNumQueues{};
    static constexpr ConfigField<u32, offsetof(Config, seg_max), Always{}> kSegMax{};
    static constexpr ConfigField<u32, offsetof(Config, max_sectors), Always{}> kMaxSectors{};
    static constexpr ConfigField<u32, offsetof(Config, cmd_per_lun), Always{}> kCmdPerLun{};
    static constexpr ConfigField<u32, offsetof(Config, event_info_size), Always{}> kEventInfoSize{};
    static constexpr ConfigField<u32, offsetof(Config, sense_size), Always{}> kSenseSize{};
    static constexpr ConfigField<u32, offsetof(Config, cdb_size), Always{}> kCdbSize{};
    static constexpr ConfigField<u16, offsetof(Config, max_target), Always{}> kMaxTarget{};
    static constexpr ConfigField<u32, offsetof(Config, max_lun), Always{}> kMaxLun{};

    using Lun = std::array<u8, 8>;  ///< §5.6.6.1: 1, target, then a single-level LUN in flat format
    static constexpr u32 kSenseBytes = 96, kCdbBytes = 32;  // VIRTIO_SCSI_SENSE_DEFAULT_SIZE, _CDB_DEFAULT_SIZE

    struct CommandRequest {  // §5.6.6.1: what precedes the data
        Lun lun;
        le64 id;
        u8 task_attr, prio, crn;
        std::array<u8, kCdbBytes> cdb;
    };
    struct CommandResponse {  // what precedes the data that comes in
        le32 sense_len, residual;
        le16 status_qualifier;
        u8 status, response;
        std::array<u8, kSenseBytes> sense;
    };
    static_assert(sizeof(CommandRequest) == 51 && sizeof(CommandResponse) == 108);
    static constexpr u8 kTaskSimple = 0;

    // Responses (§5.6.6.1), of commands and of task management.
    static constexpr u8 kOk = 0, kOverrun = 1, kAborted = 2, kBadTarget = 3, kReset = 4, kBusy = 5,
                        kTransportFailure = 6, kTargetFailure = 7, kNexusFailure = 8, kFailure = 9,
                        kFunctionSucceeded = 10, kFunctionRejected = 11, kIncorrectLun = 12;

    struct TmfRequest {  // §5.6.6.2
        le32 type, subtype;
        Lun lun;
        le64 id;
    };
    static_assert(sizeof(TmfRequest) == 24);
    static constexpr u32 kTypeTmf = 0;

    struct Event {  // §5.6.6.3
        le32 event;
        Lun lun;
        le32 reason;
    };
    static_assert(sizeof(Event) == 16);
    static constexpr u32 kEventsMissed = 0x8000'0000;
    static constexpr u32 kNoEvent = 0, kTransportReset = 1, kAsyncNotify = 2, kParamChange = 3;
    static constexpr u32 kResetHard = 0, kResetRescan = 1, kResetRemoved = 2;
};

}  // namespace ringlet::virtio
