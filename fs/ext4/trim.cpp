// Telling the device which blocks hold nothing.
#include <algorithm>

#include "fs/ext4/bits.hpp"
#include "fs/ext4/groups.hpp"

namespace ringlet::fs::ext4 {
namespace {

/// In requests no larger than the device takes.
Result<> discard(BlockDevice& device, u64 sector, u64 sectors) {
    const u64 most = std::max<u64>(device.limits().max_discard_bytes / kSectorSize, 1);
    while (sectors != 0) {
        BlockRequest request;
        request.op = BlockRequest::Op::discard;
        request.lba = Lba(sector);
        request.sectors = std::min(sectors, most);
        if (auto r = device.run(request); !r) return r;
        sector += request.sectors;
        sectors -= request.sectors;
    }
    return {};
}

}  // namespace

Result<u64> Groups::trim(BlockDevice& device, u64 least) {
    if (device.limits().max_discard_bytes == 0) return fail(Error::unsupported);
    const u64 blocks = std::max<u64>((least + geometry_.block_size - 1) >> geometry_.block_shift, 1);
    u64 trimmed = 0;
    for (u32 group = 0; group < geometry_.groups; ++group) {
        auto state = state_.lock();
        trimmed += TRY(trim_group(*state, device, group, static_cast<u32>(std::min<u64>(blocks, ~u32{0}))));
    }
    return trimmed << geometry_.block_shift;
}

/// Blocks that were told of. What waits for a commit is left out, with the run that it is part of.
Result<u64> Groups::trim_group(State& state, BlockDevice& device, u32 group, u32 least) {
    const GroupInfo info = TRY(read(group));
    if ((info.flags & kGroupBlocksUnused) != 0 || info.free_blocks < least) return 0;
    TRY(verify(group, Bitmap::blocks, info));
    const BlockRef bitmap = TRY(cache_.get(BlockNo(info.block_bitmap)));
    const u32 bits = blocks_in(group), sectors = geometry_.block_size / kSectorSize;
    u64 trimmed = 0;
    for (u32 at = next_clear(bitmap.bytes(), 0, bits); at < bits;) {
        const u32 end = next_set(bitmap.bytes(), at, bits);
        const BlockRange run{group_start(group) + at, end - at};
        if (run.count >= least && clip(state, run).count == run.count) {
            TRY(discard(device, run.first * sectors, u64{run.count} * sectors));
            trimmed += run.count;
        }
        at = next_clear(bitmap.bytes(), end, bits);
    }
    return trimmed;
}

}  // namespace ringlet::fs::ext4
