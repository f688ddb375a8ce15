// What a SCSI host says about itself, made safe.
#include "drivers/virtio/scsi.hpp"

#include <algorithm>

namespace ringlet::virtio {

Result<ScsiLimits> check_limits(const ScsiDeviceLimits& said, u16 request_queues, u16 max_segments, u16 max_lun) {
    // The layout of commands and answers depends on these two; a reset puts them back to the default (§5.6.4.1).
    if (said.sense_size != ScsiSpec::kSenseBytes || said.cdb_size != ScsiSpec::kCdbBytes)
        return fail(Error::unsupported);
    if (said.num_queues == 0 || said.max_target > 255) return fail(Error::unsupported);
    constexpr u32 kMostSectors = u32{1} << 20;  // half a GiB per command is enough
    ScsiLimits l;
    l.request_queues = u16(std::min<u32>(said.num_queues, request_queues));
    l.max_segments = u16(std::clamp<u32>(said.seg_max, 1, max_segments));
    // At least one block of the largest size; 0 is what devices without a limit say.
    const u32 sectors = said.max_sectors == 0 ? 2048 : std::min(said.max_sectors, kMostSectors);
    l.max_request_bytes = std::max<u32>(sectors, 128) * 512;
    l.per_unit = std::max<u32>(said.cmd_per_lun, 1);
    l.max_target = said.max_target;
    l.max_lun = u16(std::min<u32>(said.max_lun, max_lun));
    return l;
}

}  // namespace ringlet::virtio
