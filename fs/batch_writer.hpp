// Many pieces of memory to many places of a disk: neighbours become one request, everything leaves with one kick, and
// one thread waits for all of it. Nothing is allocated after create(). Context: thread, one at a time.
#pragma once

#include <atomic>
#include <memory>

#include "fs/block_device.hpp"

namespace ringlet::fs {

class BatchWriter {
public:
    /// `device` outlives the writer. no_memory.
    static Result<std::unique_ptr<BatchWriter>> create(BlockDevice& device);
    BatchWriter(const BatchWriter&) = delete;

    /// Adds a piece that stays as it is until finish() has returned. Waits for earlier ones when all requests are in
    /// use. `bytes`: a multiple of the device's block, within its limits for one segment.
    void add(Lba lba, IoSegment piece);
    /// Sends what was added and waits for all. The first error since the last finish().
    Result<> finish();
    /// finish(), then everything completed so far is durable. A device without a cache answers at once.
    Result<> finish_and_flush();

    /// The device was given up without confirming that it stopped: no memory that was added may ever be used again.
    bool quarantined() const { return quarantined_; }
    u64 requests() const { return requests_; }

private:
    static constexpr u32 kRequests = 16, kSegments = 32;
    struct Slot {
        BlockRequest request;
        IoSegment segments[kSegments];
        u32 used = 0;
        u64 bytes = 0;
        Lba next;
    };
    explicit BatchWriter(BlockDevice& device) : device_(device), limits_(device.limits()) {}
    bool extends(const Slot& slot, Lba lba, const IoSegment& piece) const;
    static void request_done(BlockRequest& r);
    void send_and_wait();

    BlockDevice& device_;
    const BlockLimits limits_;
    std::unique_ptr<Slot[]> slots_;
    u32 filled_ = 0;  ///< slots with something in them
    std::atomic<u32> outstanding_{0};
    kernel::Event all_done_;
    std::optional<Error> error_;
    bool quarantined_ = false;
    u64 requests_ = 0;
};

}  // namespace ringlet::fs
