#include "fs/packed_disk.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "arch/crc32c.hpp"

namespace ringlet::fs {

using arch::crc32c;

namespace {

void* inflate_allocate(void*, unsigned count, unsigned each) {
    return operator new (usize{count} * each, std::nothrow);
}
void inflate_free(void*, void* p) {
    operator delete(p);
}

u32 checked(Bytes bytes) {
    return ~crc32c(~0u, bytes);
}

}  // namespace

Result<std::unique_ptr<PackedDisk>> PackedDisk::open(std::string_view name, Bytes packed) {
    PackedHeader header;
    if (packed.size() < sizeof header) return fail(Error::corrupt);
    std::memcpy(&header, packed.data(), sizeof header);
    const u64 disk_bytes = header.disk_bytes, chunk_bytes = header.chunk_bytes, chunks = header.chunks;
    if (std::memcmp(header.magic, PackedHeader::kMagic, sizeof header.magic) != 0 ||
        !std::has_single_bit(chunk_bytes) || chunk_bytes < 4_KiB || chunk_bytes > 1_MiB ||
        disk_bytes % kSectorSize != 0 || disk_bytes > chunks * chunk_bytes ||
        disk_bytes + chunk_bytes <= chunks * chunk_bytes)
        return fail(Error::corrupt);
    const u64 index_bytes = (chunks + 1) * sizeof(PackedChunk);
    if (index_bytes > packed.size() - sizeof header) return fail(Error::corrupt);
    const Bytes index = packed.subspan(sizeof header, index_bytes);
    const u32 crc = crc32c(~0u, packed.first(offsetof(PackedHeader, index_crc32c)));
    if (~crc32c(crc, index) != header.index_crc32c) return fail(Error::corrupt);
    std::unique_ptr<Unpacker> unpacker(new (std::nothrow) Unpacker);
    if (!unpacker) return fail(Error::no_memory);
    unpacker->chunk.reset(new (std::nothrow) std::byte[chunk_bytes]);
    unpacker->stream.zalloc = inflate_allocate;
    unpacker->stream.zfree = inflate_free;
    if (!unpacker->chunk || inflateInit2(&unpacker->stream, -MAX_WBITS) != Z_OK) return fail(Error::no_memory);
    std::unique_ptr<PackedDisk> disk(new (std::nothrow) PackedDisk(name, packed, header, std::move(unpacker)));
    if (!disk) return fail(Error::no_memory);
    return disk;
}

PackedDisk::PackedDisk(std::string_view name, Bytes packed, const PackedHeader& header,
                       std::unique_ptr<Unpacker> unpacker)
    : name_(name), packed_(packed), disk_bytes_(header.disk_bytes), chunk_bytes_(header.chunk_bytes),
      chunks_(header.chunks), index_(reinterpret_cast<const PackedChunk*>(packed.data() + sizeof header)),
      unpacker_(std::move(unpacker)) {}

BlockLimits PackedDisk::limits() const {
    return {.max_segments = 128, .physical_block_size = 4096, .optimal_io_bytes = chunk_bytes_};
}

void PackedDisk::submit(BlockRequest& r) {
    using Op = BlockRequest::Op;
    Result<> done;
    if (r.op == Op::read)
        done = read(r);
    else if (r.op != Op::flush)
        done = fail(Error::read_only);
    if (!done) r.error = done.error();
    r.done(r);
}

usize PackedDisk::bytes_of(u32 number) const {
    return std::min<u64>(chunk_bytes_, disk_bytes_ - u64{number} * chunk_bytes_);
}

Result<> PackedDisk::read(const BlockRequest& r) {
    u64 total = 0;
    for (const IoSegment& s : r.data) total += s.bytes.size();
    if (r.lba.raw > sectors() || total % kSectorSize != 0 || total / kSectorSize > sectors() - r.lba.raw)
        return fail(Error::invalid);
    auto held = unpacker_.lock();
    Unpacker& unpacker = **held;
    u64 at = r.lba.raw * kSectorSize;
    for (const IoSegment& s : r.data) {
        for (MutableBytes left = s.bytes; !left.empty();) {
            const auto number = static_cast<u32>(at / chunk_bytes_);
            if (unpacker.held != number) TRY(unpack(unpacker, number));
            const usize from = at % chunk_bytes_, n = std::min(left.size(), bytes_of(number) - from);
            std::memcpy(left.data(), unpacker.chunk.get() + from, n);
            left = left.subspan(n);
            at += n;
        }
    }
    return {};
}

Result<> PackedDisk::unpack(Unpacker& unpacker, u32 number) {
    unpacker.held = ~0u;
    const u64 from = index_[number].offset, to = index_[number + 1].offset;
    if (from > to || to > packed_.size()) return fail(Error::corrupt);
    const Bytes packed = packed_.subspan(from, to - from);
    const std::span room(unpacker.chunk.get(), bytes_of(number));
    if (packed.empty()) {
        std::ranges::fill(room, std::byte{0});
    } else if (packed.size() == room.size()) {
        std::ranges::copy(packed, room.begin());
    } else {
        z_stream& z = unpacker.stream;
        inflateReset(&z);
        z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(packed.data()));
        z.avail_in = static_cast<uInt>(packed.size());
        z.next_out = reinterpret_cast<Bytef*>(room.data());
        z.avail_out = static_cast<uInt>(room.size());
        if (inflate(&z, Z_FINISH) != Z_STREAM_END || z.avail_out != 0) return fail(Error::corrupt);
    }
    if (checked(room) != index_[number].crc32c) return fail(Error::corrupt);
    unpacker.held = number;
    return {};
}

}  // namespace ringlet::fs
