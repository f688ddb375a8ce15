// A filesystem that is in the image: a read-only disk whose contents were compressed when the image was built
// (tools/pack_rootfs.py), chunk by chunk, and are unpacked when they are read. Each chunk is checked against its
// CRC-32C. The block cache is above it, as above every disk. Context: thread.
#pragma once

#include <memory>

#include <zlib.h>

#include "fs/block_device.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "lib/endian.hpp"

namespace ringlet::fs {

/// At the start; `index_crc32c` is over the header before it, and the index.
struct PackedHeader {
    static constexpr char kMagic[8] = {'R', 'I', 'N', 'G', 'P', 'A', 'K', '1'};
    char magic[8];
    le64 disk_bytes;
    le32 chunk_bytes;  ///< unpacked; a power of two, 4 KiB to 1 MiB
    le32 chunks;
    le32 index_crc32c;
    le32 reserved;
};
static_assert(sizeof(PackedHeader) == 32);

/// chunks + 1 of them follow; the last one says where the end is. A chunk takes the bytes up to the next one's: none,
/// it is all zeros; chunk_bytes, it is stored as it is; else it is raw deflate (RFC 1951).
struct PackedChunk {
    le32 offset;  ///< from the header's first byte
    le32 crc32c;  ///< of what it unpacks to
};
static_assert(sizeof(PackedChunk) == 8);

class PackedDisk final : public BlockDevice {
public:
    /// `packed` and `name` live for ever. Errors: corrupt (the header or the index cannot be right), no_memory.
    static Result<std::unique_ptr<PackedDisk>> open(std::string_view name, Bytes packed);

    std::string_view name() const override { return name_; }
    u64 sectors() const override { return disk_bytes_ / kSectorSize; }
    bool read_only() const override { return true; }
    BlockLimits limits() const override;
    /// A chunk that is not what was packed: Error::corrupt. Sleeps while another thread unpacks.
    void submit(BlockRequest& r) override;
    void flush_submissions() override {}

private:
    /// One chunk is kept unpacked: who reads on finds it there.
    struct Unpacker {
        z_stream stream{};
        std::unique_ptr<std::byte[]> chunk;
        u32 held = ~0u;  ///< its number
        ~Unpacker() { inflateEnd(&stream); }
    };
    PackedDisk(std::string_view name, Bytes packed, const PackedHeader& header, std::unique_ptr<Unpacker> unpacker);
    Result<> read(const BlockRequest& r);
    Result<> unpack(Unpacker& unpacker, u32 number);
    usize bytes_of(u32 number) const;  ///< less than a chunk at the end

    std::string_view name_;
    Bytes packed_;
    u64 disk_bytes_;
    u32 chunk_bytes_, chunks_;
    const PackedChunk* index_;
    kernel::Guarded<std::unique_ptr<Unpacker>, kernel::Rank::device, kernel::Mutex> unpacker_;
};

}  // namespace ringlet::fs
