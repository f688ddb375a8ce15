// The parts of the block driver that do not depend on its configuration: what the device says and what submitters ask.
#include "drivers/virtio/blk.hpp"

namespace ringlet::virtio {

namespace {
constexpr u64 kMaxSectors = u64{1} << 54;
}

Result<> check_geometry(const BlkGeometry& g) {
    const u32 block = g.limits.block_size;
    if (block < fs::kSectorSize || block > 65536 || (block & (block - 1)) != 0) return fail(Error::unsupported);
    if (g.limits.max_segment_bytes < block) return fail(Error::unsupported);
    if (g.sectors > kMaxSectors) return fail(Error::unsupported);
    return {};
}

std::optional<Error> refuse(const fs::BlockRequest& r, const BlkGeometry& g, u64 sectors) {
    if (r.op == fs::BlockRequest::Op::flush) return r.data.empty() ? std::nullopt : std::optional(Error::invalid);
    if (r.op == fs::BlockRequest::Op::write && g.read_only) return Error::read_only;
    if (r.data.empty() || r.data.size() > g.limits.max_segments) return Error::invalid;
    u64 bytes = 0;
    for (const fs::IoSegment& d : r.data) {
        if (d.bytes.empty() || d.bytes.size() > g.limits.max_segment_bytes) return Error::invalid;
        if (d.bytes.size() % fs::kSectorSize != 0) return Error::invalid;
        bytes += d.bytes.size();
    }
    const u64 sectors_per_block = g.limits.block_size / fs::kSectorSize;
    if (bytes > g.limits.max_request_bytes || bytes % g.limits.block_size != 0) return Error::invalid;
    if (r.lba.raw % sectors_per_block != 0) return Error::invalid;
    if (r.lba.raw > sectors || bytes / fs::kSectorSize > sectors - r.lba.raw) return Error::invalid;
    return std::nullopt;
}

std::optional<Error> status_error(u8 status) {
    switch (status) {
    case BlkSpec::kStatusOk:
        return std::nullopt;
    case BlkSpec::kStatusUnsupp:
        return Error::unsupported;
    default:
        return Error::io;  // IOERR, or a value the device had no right to write (our poison among them)
    }
}

}  // namespace ringlet::virtio
