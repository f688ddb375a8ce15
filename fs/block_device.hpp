// What a disk must look like. The filesystem owns this interface; drivers implement it. Requests are intrusive: they
// live with whoever waits for them, and nothing is allocated per request.
//
// Order. Requests in flight together may be served in any order, flushes among them; who needs an order waits for
// done(). A write whose done() was called before a flush was submitted is durable when that flush completes without an
// error; of a write that was still in flight then, nothing is promised. So a barrier is: wait for the writes, flush,
// wait, go on. (A device in write-through mode has every write durable at done(); its flushes complete at once.)
// After an error, a time-out included, what the range holds is undefined until it was written again; a request that was
// being served when its device was reset may be served a second time before done() is called, never after it.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "kernel/sched/event.hpp"
#include "lib/bytes.hpp"
#include "lib/list.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"
#include "lib/time.hpp"

namespace ringlet::fs {

inline constexpr usize kSectorSize = 512;  ///< the unit of Lba, whatever the device's block size

/// One piece of memory that takes part in a transfer; DMA-able, a multiple of 512 bytes.
struct IoSegment {
    MutableBytes bytes;
    DmaAddr dma;
};

/// Owned by the submitter, untouched by it from submit() until `done` was called.
struct BlockRequest : ListNode<BlockRequest> {
    enum class Op : u8 { read, write, flush, discard, write_zeroes, secure_erase };
    enum class Unmap : u8 { no, allowed };
    static constexpr Duration kTimeout = Duration::from_s(30);

    Op op = Op::read;
    Unmap unmap = Unmap::no;  ///< write_zeroes: the device may also give the space up
    /// Set together with `error`: the device was given up for ever without confirming that it stopped, so it may still
    /// access `data`. That memory must never be used for anything again (kernel::DmaRegion::abandon()).
    bool quarantined = false;
    Lba lba;                          ///< not for flush
    std::span<const IoSegment> data;  ///< read and write; outlives the request
    u64 sectors = 0;                  ///< discard, write_zeroes, secure_erase: how many, of 512 bytes
    std::optional<Error> error;       ///< set by the device before done() when it failed
    /// How long the device may have it, from when the device gets it; then Error::timed_out. `never` is not offered.
    Duration timeout = kTimeout;
    /// Called exactly once, from interrupt or thread context, with no lock of the driver's held. The request may be
    /// reused or gone as soon as it was called.
    void (*done)(BlockRequest&) = nullptr;
    void* context = nullptr;  ///< the submitter's

    // The driver's from submit() until done().
    Instant deadline;
    u8 attempts = 0;
};

/// What one request may ask for, and what the medium likes. Bytes throughout.
struct BlockLimits {
    u32 block_size = 512;  ///< logical block: requests are multiples of it, aligned to it
    u32 max_segments = 1;  ///< per request, at least 1
    u32 max_segment_bytes = 1 << 20;
    u32 max_request_bytes = 1 << 20;
    // 0: the operation is not supported.
    u64 max_discard_bytes = 0;
    u64 max_write_zeroes_bytes = 0;
    u64 max_secure_erase_bytes = 0;
    bool write_zeroes_unmaps = false;  ///< Unmap::allowed may have an effect
    u32 discard_granularity = 512;     ///< a smaller or unaligned discard may have no effect
    u32 secure_erase_granularity = 512;
    // Hints.
    u32 physical_block_size = 512;  ///< a write of less costs the device a read
    u32 alignment_offset = 0;       ///< where the first physical block begins
    u32 min_io_bytes = 0;           ///< 0: unknown
    u32 optimal_io_bytes = 0;       ///< 0: unknown

    friend bool operator==(const BlockLimits&, const BlockLimits&) = default;
};

/// Printable ASCII, owned by the device; empty: unknown.
struct BlockIdentity {
    std::string_view vendor, product, revision, serial;
    std::string_view world_wide_name;  ///< SCSI VPD 0x83
};

enum class WriteCache : u8 {
    write_through,  ///< a completed write is durable
    write_back,     ///< a completed write is durable after a flush
};

/// Wear, as eMMC counts it (EXT_CSD): steps of 10 %, 1..10, 11: beyond; 0: unknown.
struct BlockLifetime {
    u16 pre_end_of_life = 0;  ///< 1: normal, 2: warning, 3: urgent
    u16 used_a = 0, used_b = 0;
};

class BlockDevice {
public:
    virtual ~BlockDevice() = default;
    virtual std::string_view name() const = 0;  ///< "vda"
    virtual u64 sectors() const = 0;            ///< of 512 bytes; may change when the host resizes
    virtual bool read_only() const = 0;
    virtual BlockLimits limits() const = 0;
    /// Moves on whenever sectors(), read_only() or limits() have changed. Context: any.
    virtual u32 generation() const { return 0; }
    /// May ask the device the first time, and sleep. Context: thread.
    virtual BlockIdentity identity() { return {}; }
    virtual WriteCache write_cache() const { return WriteCache::write_through; }
    /// Durable before it returns: what was in the cache when write_through is chosen. Errors: unsupported (the device
    /// has no such switch), read_only, and those of a flush. Context: thread.
    virtual Result<> set_write_cache(WriteCache) { return fail(Error::unsupported); }
    /// Errors: unsupported, and those of a request. Context: thread.
    virtual Result<BlockLifetime> lifetime() { return fail(Error::unsupported); }

    /// Queues a request that is within limits() and the device. An invalid one is completed with Error::invalid, one
    /// that the device does not know with Error::unsupported, one that writes to a read-only device with
    /// Error::read_only. Never blocks. Everything submitted before one flush_submissions() leaves with at most one kick
    /// per hardware queue. Context: any; with no spinlock held.
    virtual void submit(BlockRequest& r) = 0;
    virtual void flush_submissions() = 0;

    /// Submits one request and sleeps until it is done. Context: thread.
    Result<> run(BlockRequest& r);
    /// flush, write_zeroes, discard or secure_erase of any length: as many requests as limits() make of it.
    Result<> run(BlockRequest::Op op, Lba first, u64 sectors, BlockRequest::Unmap unmap = BlockRequest::Unmap::no);
};

}  // namespace ringlet::fs
