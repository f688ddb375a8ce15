// Building command descriptor blocks: all numbers in them are big-endian.
#include "drivers/scsi/cdb.hpp"

#include "lib/endian.hpp"

namespace ringlet::scsi {

namespace {

template <class T> void put(Cdb& c, usize at, T value) {
    static_assert(alignof(T) == 1);
    std::memcpy(c.bytes.data() + at, &value, sizeof value);
}

Cdb make(Op op, u8 length, Direction direction = Direction::none, u32 data_bytes = 0) {
    Cdb c{.bytes = {}, .length = length, .direction = direction, .data_bytes = data_bytes};
    c.bytes[0] = u8(op);
    return c;
}

Cdb ten(Op op, u32 lba, u16 blocks, Direction direction, u32 data_bytes) {
    Cdb c = make(op, 10, direction, data_bytes);
    put(c, 2, be32(lba));
    put(c, 7, be16(blocks));
    return c;
}
Cdb sixteen(Op op, u64 lba, u32 blocks, Direction direction, u32 data_bytes) {
    Cdb c = make(op, 16, direction, data_bytes);
    put(c, 2, be64(lba));
    put(c, 10, be32(blocks));
    return c;
}
bool fits_ten(u64 lba, u32 blocks) {
    return lba <= 0xffff'ffff && blocks <= 0xffff;
}
Cdb move(Op short_form, Op long_form, u64 lba, u32 blocks, Direction direction, u32 data_bytes) {
    if (fits_ten(lba, blocks)) return ten(short_form, u32(lba), u16(blocks), direction, data_bytes);
    return sixteen(long_form, lba, blocks, direction, data_bytes);
}

constexpr u8 kEvpd = 0x01, kDisableBlockDescriptors = 0x08, kUnmapBit = 0x08, kReadCapacity16 = 0x10;

}  // namespace

Cdb test_unit_ready() {
    return make(Op::test_unit_ready, 6);
}

Cdb request_sense() {
    Cdb c = make(Op::request_sense, 6, Direction::in, kSenseBytes);
    c.bytes[4] = u8(kSenseBytes);
    return c;
}

Cdb inquiry() {
    Cdb c = make(Op::inquiry, 6, Direction::in, kInquiryBytes);
    put(c, 3, be16(kInquiryBytes));
    return c;
}

Cdb inquiry(VpdPage page) {
    Cdb c = make(Op::inquiry, 6, Direction::in, kVpdBytes);
    c.bytes[1] = kEvpd;
    c.bytes[2] = u8(page);
    put(c, 3, be16(kVpdBytes));
    return c;
}

Cdb read_capacity_10() {
    return make(Op::read_capacity_10, 10, Direction::in, kCapacity10Bytes);
}

Cdb read_capacity_16() {
    Cdb c = sixteen(Op::service_action_in_16, 0, kCapacity16Bytes, Direction::in, kCapacity16Bytes);
    c.bytes[1] = kReadCapacity16;
    return c;
}

Cdb report_luns(u32 bytes) {
    Cdb c = make(Op::report_luns, 12, Direction::in, bytes);
    put(c, 6, be32(bytes));
    return c;
}

Cdb mode_sense_6(u8 page) {
    Cdb c = make(Op::mode_sense_6, 6, Direction::in, kModeBytes);
    c.bytes[1] = kDisableBlockDescriptors;
    c.bytes[2] = page;
    c.bytes[4] = u8(kModeBytes);
    return c;
}

Cdb mode_sense_10(u8 page) {
    Cdb c = ten(Op::mode_sense_10, 0, u16(kModeBytes), Direction::in, kModeBytes);
    c.bytes[1] = kDisableBlockDescriptors;
    c.bytes[2] = page;
    return c;
}

Cdb start_stop(Motion motion) {
    Cdb c = make(Op::start_stop_unit, 6);
    c.bytes[4] = u8(motion);
    return c;
}

Cdb read(u64 lba, u32 blocks, u32 block_size) {
    return move(Op::read_10, Op::read_16, lba, blocks, Direction::in, blocks * block_size);
}

Cdb write(u64 lba, u32 blocks, u32 block_size) {
    return move(Op::write_10, Op::write_16, lba, blocks, Direction::out, blocks * block_size);
}

Cdb synchronize_cache(u64 lba, u32 blocks) {
    return move(Op::synchronize_cache_10, Op::synchronize_cache_16, lba, blocks, Direction::none, 0);
}

Cdb write_same_10(u32 lba, u16 blocks, Unmap unmap, u32 block_size) {
    Cdb c = ten(Op::write_same_10, lba, blocks, Direction::out, block_size);
    if (unmap == Unmap::yes) c.bytes[1] = kUnmapBit;
    return c;
}

Cdb write_same_16(u64 lba, u32 blocks, Unmap unmap, u32 block_size) {
    Cdb c = sixteen(Op::write_same_16, lba, blocks, Direction::out, block_size);
    if (unmap == Unmap::yes) c.bytes[1] = kUnmapBit;
    return c;
}

Cdb unmap(u64 lba, u32 blocks, std::span<std::byte, kUnmapListBytes> list) {
    struct List {  // SBC-3 §5.28: header, then descriptors of 16 bytes
        be16 bytes_after{kUnmapListBytes - 2}, descriptor_bytes{16};
        be32 reserved{0};
        be64 lba{0};
        be32 blocks{0}, reserved_too{0};
    } parameters;
    static_assert(sizeof(List) == kUnmapListBytes);
    parameters.lba = lba;
    parameters.blocks = blocks;
    std::memcpy(list.data(), &parameters, sizeof parameters);
    return ten(Op::unmap, 0, u16(kUnmapListBytes), Direction::out, u32(kUnmapListBytes));
}

}  // namespace ringlet::scsi
