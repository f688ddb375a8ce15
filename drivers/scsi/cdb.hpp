// Command descriptor blocks: what a SCSI command looks like on the wire (SPC-4 §6, SBC-3 §5). Pure functions on bytes;
// nothing here waits, allocates or knows how a command travels. Context: any.
#pragma once

#include <array>

#include "lib/bytes.hpp"

namespace ringlet::scsi {

enum class Direction : u8 { none, in, out };  ///< of the data, seen from us

enum class Op : u8 {  // operation codes
    test_unit_ready = 0x00,
    request_sense = 0x03,
    inquiry = 0x12,
    mode_sense_6 = 0x1a,
    start_stop_unit = 0x1b,
    read_capacity_10 = 0x25,
    read_10 = 0x28,
    write_10 = 0x2a,
    synchronize_cache_10 = 0x35,
    write_same_10 = 0x41,
    unmap = 0x42,
    mode_sense_10 = 0x5a,
    read_16 = 0x88,
    write_16 = 0x8a,
    synchronize_cache_16 = 0x91,
    write_same_16 = 0x93,
    service_action_in_16 = 0x9e,
    report_luns = 0xa0,
};

/// A command and how much data goes with it. Values are built by the functions below and never by hand.
struct Cdb {
    std::array<u8, 16> bytes{};  ///< zero beyond `length`
    u8 length = 6;
    Direction direction = Direction::none;
    u32 data_bytes = 0;  ///< what the device may transfer at most

    Op op() const { return Op(bytes[0]); }
};

/// The vital product data pages that are understood here (SPC-4 §7.8, SBC-3 §6.6).
enum class VpdPage : u8 {
    supported = 0x00,
    serial = 0x80,
    identification = 0x83,
    block_limits = 0xb0,
    characteristics = 0xb1,
    provisioning = 0xb2,
};

// Lengths that are asked for. The answers may be shorter, and say so.
inline constexpr u32 kInquiryBytes = 36, kVpdBytes = 252, kCapacity10Bytes = 8, kCapacity16Bytes = 32;
inline constexpr u32 kModeBytes = 64, kSenseBytes = 96;

Cdb test_unit_ready();
Cdb request_sense();
Cdb inquiry();
Cdb inquiry(VpdPage page);
Cdb read_capacity_10();
Cdb read_capacity_16();
/// `bytes`: room for the answer, at least 16.
Cdb report_luns(u32 bytes);
Cdb mode_sense_6(u8 page);
Cdb mode_sense_10(u8 page);
/// Spins the medium up, or down.
enum class Motion : u8 { stop = 0, start = 1, eject = 2, load = 3 };
Cdb start_stop(Motion motion);

/// The short form where `lba` and `blocks` fit (a CD-ROM knows no other), else the long one. Lengths in logical blocks
/// of `block_size` bytes; blocks * block_size fits 32 bits.
Cdb read(u64 lba, u32 blocks, u32 block_size);
Cdb write(u64 lba, u32 blocks, u32 block_size);
/// 0 blocks: from `lba` to the end of the medium.
Cdb synchronize_cache(u64 lba, u32 blocks);

/// Each of `blocks` blocks becomes what the one block of data holds, or is unmapped if that reads back the same.
enum class Unmap : u8 { no, yes };
Cdb write_same_10(u32 lba, u16 blocks, Unmap unmap, u32 block_size);
Cdb write_same_16(u64 lba, u32 blocks, Unmap unmap, u32 block_size);

/// UNMAP with a list of one range; its parameter list goes into `list`.
inline constexpr usize kUnmapListBytes = 24;
Cdb unmap(u64 lba, u32 blocks, std::span<std::byte, kUnmapListBytes> list);

}  // namespace ringlet::scsi
