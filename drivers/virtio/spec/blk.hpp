// Block device, virtio 1.2 §5.2: constants only, under the specification's names. Checked, never executed.
#pragma once

#include <cstddef>

#include "drivers/virtio/features.hpp"
#include "lib/endian.hpp"

namespace ringlet::virtio {

struct BlkSpec {
    static constexpr u16 kDeviceId = 2;
    static constexpr std::string_view kName = "block";

    enum class Feature : u8 {  // §5.2.3
        size_max = 1,
        seg_max = 2,
        geometry = 4,
        ro = 5,
        blk_size = 6,
        flush = 9,
        topology = 10,
        config_wce = 11,
        mq = 12,
        discard = 13,
        write_zeroes = 14,
        lifetime = 15,
        secure_erase = 16,
    };
    static constexpr Needs kNeeds[] = {
        needs(Feature::config_wce, Feature::flush),  // §5.2.5.1: writeback mode is useless without a flush
    };
    static constexpr FeatureName kNames[] = {
        {0, "barrier"},       {1, "size_max"},  {2, "seg_max"},       {4, "geometry"},    {5, "ro"},  {6, "blk_size"},
        {7, "scsi"},          {9, "flush"},     {10, "topology"},     {11, "config_wce"}, {12, "mq"}, {13, "discard"},
        {14, "write_zeroes"}, {15, "lifetime"}, {16, "secure_erase"}, {17, "zoned"},
    };

    static constexpr u16 kRequestQueue = 0;  // §5.2.2

    struct Config {  // §5.2.4
        le64 capacity;
        le32 size_max, seg_max;
        struct {
            le16 cylinders;
            u8 heads, sectors;
        } geometry;
        le32 blk_size;
        struct {
            u8 physical_block_exp, alignment_offset;
            le16 min_io_size;
            le32 opt_io_size;
        } topology;
        u8 writeback, unused0;
        le16 num_queues;
    };
    static_assert(sizeof(Config) == 36 && offsetof(Config, blk_size) == 20 && offsetof(Config, num_queues) == 34);
    static constexpr ConfigField<u64, offsetof(Config, capacity), Always{}> kCapacity{};
    static constexpr ConfigField<u32, offsetof(Config, size_max), Feature::size_max> kSizeMax{};
    static constexpr ConfigField<u32, offsetof(Config, seg_max), Feature::seg_max> kSegMax{};
    static constexpr ConfigField<u32, offsetof(Config, blk_size), Feature::blk_size> kBlkSize{};
    static constexpr ConfigField<u16, offsetof(Config, num_queues), Feature::mq> kNumQueues{};

    struct Request {  // §5.2.6: virtio_blk_req, what precedes the data
        le32 type, reserved;
        le64 sector;
    };
    static_assert(sizeof(Request) == 16);
    static constexpr u32 kTypeIn = 0, kTypeOut = 1, kTypeFlush = 4, kTypeGetId = 8;
    static constexpr u8 kStatusOk = 0, kStatusIoErr = 1, kStatusUnsupp = 2;
    static constexpr usize kIdBytes = 20;
};

}  // namespace ringlet::virtio
