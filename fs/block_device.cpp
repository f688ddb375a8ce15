// Waiting for one request.
#include "fs/block_device.hpp"

#include <algorithm>

namespace ringlet::fs {

Result<> BlockDevice::run(BlockRequest& r) {
    kernel::Event finished;
    r.error.reset();
    r.quarantined = false;
    r.context = &finished;
    r.done = [](BlockRequest& done) { static_cast<kernel::Event*>(done.context)->set(); };
    submit(r);
    flush_submissions();
    finished.wait();
    if (r.error) return fail(*r.error);
    return {};
}

Result<> BlockDevice::run(BlockRequest::Op op, Lba first, u64 sectors, BlockRequest::Unmap unmap) {
    using Op = BlockRequest::Op;
    if (op == Op::read || op == Op::write) return fail(Error::invalid);
    BlockRequest r;
    r.op = op;
    if (op == Op::flush) return run(r);
    const BlockLimits l = limits();
    const u64 bytes = op == Op::discard        ? l.max_discard_bytes
                      : op == Op::secure_erase ? l.max_secure_erase_bytes
                                               : l.max_write_zeroes_bytes;
    const u64 most = bytes / l.block_size * (l.block_size / kSectorSize);
    if (most == 0) return fail(Error::unsupported);
    r.unmap = unmap;
    for (r.lba = first; sectors != 0; sectors -= r.sectors) {
        const Lba at = r.lba;
        r.sectors = std::min(sectors, most);
        TRY(run(r));
        r.lba = at + r.sectors;  // a partition has moved it on the way
    }
    return {};
}

}  // namespace ringlet::fs
