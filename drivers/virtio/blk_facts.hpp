// What a virtio disk says about itself, made safe, and what may be asked of it (virtio 1.2 §5.2.4 to §5.2.6): the parts
// of the block driver that do not depend on its configuration. Context: any; values only.
#pragma once

#include <optional>

#include "drivers/virtio/spec/blk.hpp"
#include "fs/block_device.hpp"

namespace ringlet::virtio {

/// The configuration space as read; a field whose feature was not negotiated is 0.
struct BlkFacts {
    u64 capacity = 0;
    u32 size_max = 0, seg_max = 0, blk_size = 0;
    u16 cylinders = 0;
    u8 heads = 0, track_sectors = 0;
    u8 physical_exp = 0, alignment = 0;
    u16 min_io = 0;
    u32 opt_io = 0;
    u16 queues = 0;
    u32 discard_sectors = 0, discard_segs = 0, discard_align = 0;
    u32 zero_sectors = 0, zero_segs = 0;
    u8 zero_unmaps = 0;
    u32 erase_sectors = 0, erase_segs = 0, erase_align = 0;
};

/// What limits() gives, and more.
struct BlkGeometry {
    u64 sectors = 0;
    fs::BlockLimits limits;
    bool read_only = false;
    friend bool operator==(const BlkGeometry&, const BlkGeometry&) = default;
};
inline constexpr u64 kMaxSectors = u64{1} << 54;  ///< 8 EiB: byte offsets fit 63 bits

/// `max_segments`: what the driver has room for. Errors: unsupported (values that no driver could work with).
Result<BlkGeometry> understand(const BlkFacts& facts, FeatureBits negotiated, u32 max_segments);
/// Why a request cannot be sent to such a device; nothing when it can.
std::optional<Error> refuse(const fs::BlockRequest& r, const BlkGeometry& g, u64 sectors);
/// The specification's status byte as an error.
std::optional<Error> status_error(u8 status);

/// The request's header and, for the operations on a range, what follows it.
struct BlkCommand {
    BlkSpec::Request header;
    BlkSpec::Range range;
};
/// Two operations that only the driver itself asks for; their answer fits into the request's slot.
inline constexpr auto kOpGetId = fs::BlockRequest::Op(0x80);
inline constexpr auto kOpGetLifetime = fs::BlockRequest::Op(0x81);
BlkCommand command(const fs::BlockRequest& r);
constexpr bool has_range(fs::BlockRequest::Op op) {
    return op >= fs::BlockRequest::Op::discard && op <= fs::BlockRequest::Op::secure_erase;
}

/// A serial number's printable characters, without the blanks around them. Returns how many.
usize clean_serial(std::span<const u8> raw, std::span<char> to);

}  // namespace ringlet::virtio
