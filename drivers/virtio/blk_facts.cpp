#include "drivers/virtio/blk_facts.hpp"

#include <algorithm>
#include <bit>

namespace ringlet::virtio {

using Op = fs::BlockRequest::Op;
using Feature = BlkSpec::Feature;

namespace {

/// A device that offers an operation but no sectors or segments for it cannot do it. Whole logical blocks.
u64 range_limit(u32 sectors, u32 segments, u32 block) {
    return segments == 0 ? 0 : align_down<u64>(u64{sectors} * fs::kSectorSize, block);
}
/// A hint: one that makes no sense is no hint.
u32 granularity(u32 sectors, u32 block) {
    const u64 bytes = u64{sectors} * fs::kSectorSize;
    return bytes < block || bytes > 1_GiB ? block : u32(bytes);
}

void read_topology(const BlkFacts& f, fs::BlockLimits& l) {
    l.physical_block_size = l.block_size;
    if (f.physical_exp < 16 && u64{l.block_size} << f.physical_exp <= 1_MiB)
        l.physical_block_size = l.block_size << f.physical_exp;
    const u64 offset = u64{f.alignment} * l.block_size;
    if (offset < l.physical_block_size) l.alignment_offset = u32(offset);
    const u64 min_io = u64{f.min_io} * l.block_size, opt_io = u64{f.opt_io} * l.block_size;
    if (min_io <= 1_GiB) l.min_io_bytes = u32(min_io);
    if (opt_io <= 1_GiB) l.optimal_io_bytes = u32(opt_io);
}

}  // namespace

Result<BlkGeometry> understand(const BlkFacts& f, FeatureBits negotiated, u32 max_segments) {
    const auto has = [&](Feature x) { return negotiated.test(unsigned(x)); };
    BlkGeometry g;
    fs::BlockLimits& l = g.limits;
    g.sectors = f.capacity;
    g.read_only = has(Feature::ro);
    if (has(Feature::blk_size)) l.block_size = f.blk_size;
    if (!std::has_single_bit(l.block_size) || l.block_size < fs::kSectorSize || l.block_size > 65536)
        return fail(Error::unsupported);
    if (has(Feature::size_max)) l.max_segment_bytes = std::min(l.max_segment_bytes, align_down(f.size_max, u32{512}));
    if (l.max_segment_bytes < l.block_size || g.sectors > kMaxSectors) return fail(Error::unsupported);
    l.max_segments = std::min(has(Feature::seg_max) ? std::max(f.seg_max, u32{1}) : 1, max_segments);
    if (has(Feature::topology)) read_topology(f, l);
    l.physical_block_size = std::max(l.physical_block_size, l.block_size);
    if (has(Feature::discard)) {
        l.max_discard_bytes = range_limit(f.discard_sectors, f.discard_segs, l.block_size);
        l.discard_granularity = granularity(f.discard_align, l.block_size);
    }
    if (has(Feature::write_zeroes)) {
        l.max_write_zeroes_bytes = range_limit(f.zero_sectors, f.zero_segs, l.block_size);
        l.write_zeroes_unmaps = f.zero_unmaps != 0;
    }
    if (has(Feature::secure_erase)) {
        l.max_secure_erase_bytes = range_limit(f.erase_sectors, f.erase_segs, l.block_size);
        l.secure_erase_granularity = granularity(f.erase_align, l.block_size);
    }
    return g;
}

namespace {

std::optional<Error> refuse_data(const fs::BlockRequest& r, const fs::BlockLimits& l, u64& bytes) {
    if (r.data.empty() || r.data.size() > l.max_segments) return Error::invalid;
    for (const fs::IoSegment& d : r.data) {
        const usize n = d.bytes.size();
        if (n == 0 || n > l.max_segment_bytes || n % fs::kSectorSize != 0) return Error::invalid;
        bytes += n;
    }
    return bytes > l.max_request_bytes ? std::optional(Error::invalid) : std::nullopt;
}

std::optional<Error> refuse_range(const fs::BlockRequest& r, const fs::BlockLimits& l) {
    const u64 most = r.op == Op::discard        ? l.max_discard_bytes
                     : r.op == Op::secure_erase ? l.max_secure_erase_bytes
                                                : l.max_write_zeroes_bytes;
    if (most == 0) return Error::unsupported;
    if (!r.data.empty() || r.sectors == 0 || r.sectors > most / fs::kSectorSize) return Error::invalid;
    return std::nullopt;
}

}  // namespace

std::optional<Error> refuse(const fs::BlockRequest& r, const BlkGeometry& g, u64 sectors) {
    if (r.op > Op::secure_erase) return Error::unsupported;
    if (r.timeout <= Duration{}) return Error::invalid;
    if (r.op == Op::flush) return r.data.empty() ? std::nullopt : std::optional(Error::invalid);
    if (r.op != Op::read && g.read_only) return Error::read_only;
    u64 bytes = 0;
    if (has_range(r.op)) {
        if (const auto e = refuse_range(r, g.limits)) return e;
        bytes = r.sectors * fs::kSectorSize;
    } else if (const auto e = refuse_data(r, g.limits, bytes)) {
        return e;
    }
    const u64 block = g.limits.block_size;
    if (((bytes | r.lba.raw * fs::kSectorSize) & (block - 1)) != 0) return Error::invalid;  // a power of two
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

BlkCommand command(const fs::BlockRequest& r) {
    static constexpr u32 kTypes[] = {BlkSpec::kTypeIn,      BlkSpec::kTypeOut,         BlkSpec::kTypeFlush,
                                     BlkSpec::kTypeDiscard, BlkSpec::kTypeWriteZeroes, BlkSpec::kTypeSecureErase};
    BlkCommand c{};
    c.header.type = r.op == kOpGetId         ? BlkSpec::kTypeGetId
                    : r.op == kOpGetLifetime ? BlkSpec::kTypeGetLifetime
                                             : kTypes[unsigned(r.op)];
    if (r.op == Op::read || r.op == Op::write) c.header.sector = r.lba.raw;  // §5.2.6.1: 0 for everything else
    if (has_range(r.op)) {
        c.range.sector = r.lba.raw;
        c.range.num_sectors = u32(r.sectors);
        // §5.2.6.1: unmap is for write zeroes only.
        const bool unmap = r.op == Op::write_zeroes && r.unmap == fs::BlockRequest::Unmap::allowed;
        c.range.flags = unmap ? BlkSpec::kRangeUnmap : 0;
    }
    return c;
}

usize clean_serial(std::span<const u8> raw, std::span<char> to) {
    usize n = 0;
    for (const u8 c : raw) {
        if (c == 0 || n == to.size()) break;
        if (c < ' ' || c > '~' || (n == 0 && c == ' ')) continue;
        to[n++] = char(c);
    }
    while (n != 0 && to[n - 1] == ' ') --n;
    return n;
}

}  // namespace ringlet::virtio
