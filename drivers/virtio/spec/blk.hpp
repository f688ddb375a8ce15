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
        le32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
        le32 max_write_zeroes_sectors, max_write_zeroes_seg;
        u8 write_zeroes_may_unmap, unused1[3];
        le32 max_secure_erase_sectors, max_secure_erase_seg, secure_erase_sector_alignment;
    };
    static_assert(sizeof(Config) == 72 && offsetof(Config, blk_size) == 20 && offsetof(Config, num_queues) == 34);
    static_assert(offsetof(Config, max_write_zeroes_sectors) == 48 && offsetof(Config, max_secure_erase_sectors) == 60);
    static constexpr ConfigField<u64, offsetof(Config, capacity), Always{}> kCapacity{};
    static constexpr ConfigField<u32, offsetof(Config, size_max), Feature::size_max> kSizeMax{};
    static constexpr ConfigField<u32, offsetof(Config, seg_max), Feature::seg_max> kSegMax{};
    static constexpr ConfigField<u32, offsetof(Config, blk_size), Feature::blk_size> kBlkSize{};
    static constexpr ConfigField<u16, offsetof(Config, num_queues), Feature::mq> kNumQueues{};
    static constexpr ConfigField<u16, offsetof(Config, geometry.cylinders), Feature::geometry> kCylinders{};
    static constexpr ConfigField<u8, offsetof(Config, geometry.heads), Feature::geometry> kHeads{};
    static constexpr ConfigField<u8, offsetof(Config, geometry.sectors), Feature::geometry> kTrackSectors{};
    static constexpr ConfigField<u8, offsetof(Config, topology.physical_block_exp), Feature::topology> kPhysicalExp{};
    static constexpr ConfigField<u8, offsetof(Config, topology.alignment_offset), Feature::topology> kAlignment{};
    static constexpr ConfigField<u16, offsetof(Config, topology.min_io_size), Feature::topology> kMinIo{};
    static constexpr ConfigField<u32, offsetof(Config, topology.opt_io_size), Feature::topology> kOptIo{};
    static constexpr ConfigField<u8, offsetof(Config, writeback), Feature::config_wce> kWriteback{};
    static constexpr ConfigField<u32, offsetof(Config, max_discard_sectors), Feature::discard> kDiscardSectors{};
    static constexpr ConfigField<u32, offsetof(Config, max_discard_seg), Feature::discard> kDiscardSegs{};
    static constexpr ConfigField<u32, offsetof(Config, discard_sector_alignment), Feature::discard> kDiscardAlign{};
    static constexpr ConfigField<u32, offsetof(Config, max_write_zeroes_sectors), Feature::write_zeroes> kZeroSectors{};
    static constexpr ConfigField<u32, offsetof(Config, max_write_zeroes_seg), Feature::write_zeroes> kZeroSegs{};
    static constexpr ConfigField<u8, offsetof(Config, write_zeroes_may_unmap), Feature::write_zeroes> kZeroUnmaps{};
    static constexpr ConfigField<u32, offsetof(Config, max_secure_erase_sectors), Feature::secure_erase>
        kEraseSectors{};
    static constexpr ConfigField<u32, offsetof(Config, max_secure_erase_seg), Feature::secure_erase> kEraseSegs{};
    static constexpr ConfigField<u32, offsetof(Config, secure_erase_sector_alignment), Feature::secure_erase>
        kEraseAlign{};

    struct Request {  // §5.2.6: virtio_blk_req, what precedes the data
        le32 type, reserved;
        le64 sector;
    };
    static_assert(sizeof(Request) == 16);
    struct Range {  // §5.2.6: virtio_blk_discard_write_zeroes
        le64 sector;
        le32 num_sectors, flags;
    };
    static_assert(sizeof(Range) == 16);
    static constexpr u32 kRangeUnmap = 1;
    struct Lifetime {  // §5.2.6: virtio_blk_lifetime
        le16 pre_eol_info, device_lifetime_est_typ_a, device_lifetime_est_typ_b;
    };
    static_assert(sizeof(Lifetime) == 6);
    static constexpr u32 kTypeIn = 0, kTypeOut = 1, kTypeFlush = 4, kTypeGetId = 8, kTypeGetLifetime = 10,
                         kTypeDiscard = 11, kTypeWriteZeroes = 13, kTypeSecureErase = 14;
    static constexpr u8 kStatusOk = 0, kStatusIoErr = 1, kStatusUnsupp = 2;
    static constexpr usize kIdBytes = 20;
};

}  // namespace ringlet::virtio
