// What a disk must look like. The filesystem owns this interface; drivers implement it. Requests are
// intrusive: they live with whoever waits for them, and nothing is allocated per request.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "kernel/sched/event.hpp"
#include "lib/bytes.hpp"
#include "lib/list.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"

namespace ringlet::fs {

inline constexpr usize kSectorSize = 512;  ///< the unit of Lba, whatever the device's block size

/// One piece of memory that takes part in a transfer; DMA-able, a multiple of 512 bytes.
struct IoSegment {
    MutableBytes bytes;
    DmaAddr dma;
};

/// Owned by the submitter, untouched by it from submit() until `done` was called.
struct BlockRequest : ListNode<BlockRequest> {
    enum class Op : u8 { read, write, flush } op = Op::read;
    Lba lba;
    std::span<const IoSegment> data;  ///< empty for flush; outlives the request
    std::optional<Error> error;       ///< set by the device before done() when it failed
    /// Called exactly once, from interrupt or thread context, with no lock of the driver's held. The request
    /// may be reused or gone as soon as it was called.
    void (*done)(BlockRequest&) = nullptr;
    void* context = nullptr;  ///< the submitter's
};

struct BlockLimits {
    u32 block_size = 512;  ///< logical block: requests are multiples of it, aligned to it
    u32 max_segments = 1;  ///< per request, at least 1
    u32 max_segment_bytes = 1 << 20;
    u32 max_request_bytes = 1 << 20;
};

class BlockDevice {
public:
    virtual ~BlockDevice() = default;
    virtual std::string_view name() const = 0;  ///< "vda"
    virtual u64 sectors() const = 0;            ///< of 512 bytes; may change when the host resizes
    virtual bool read_only() const = 0;
    virtual BlockLimits limits() const = 0;
    /// Queues a request that is within limits() and the device; an invalid one is completed with
    /// Error::invalid. Never blocks. Everything submitted before one flush_submissions() leaves with at most
    /// one kick.
    virtual void submit(BlockRequest& r) = 0;
    virtual void flush_submissions() = 0;

    /// Submits one request and sleeps until it is done. Context: thread.
    Result<> run(BlockRequest& r);
};

}  // namespace ringlet::fs
