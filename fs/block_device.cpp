// Waiting for one request.
#include "fs/block_device.hpp"

namespace ringlet::fs {

Result<> BlockDevice::run(BlockRequest& r) {
    kernel::Event finished;
    r.error.reset();
    r.context = &finished;
    r.done = [](BlockRequest& done) { static_cast<kernel::Event*>(done.context)->set(); };
    submit(r);
    flush_submissions();
    finished.wait();
    if (r.error) return fail(*r.error);
    return {};
}

}  // namespace ringlet::fs
