// Reading what a logical unit says about itself (SPC-4 §6.6, §7.5, §7.8; SBC-3 §5.16, §6.5, §6.6). Every function takes
// the bytes that really arrived; lengths inside them are believed only as far as those bytes reach. Values come out
// safe to compute with. Errors: corrupt unless stated. Context: any.
#pragma once

#include <array>
#include <optional>

#include "drivers/scsi/cdb.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/result.hpp"

namespace ringlet::scsi {

enum class DeviceType : u8 { disk = 0x00, cdrom = 0x05, simplified_disk = 0x0e, zoned_disk = 0x14, none = 0x1f };

/// Printable ASCII without blanks at the end, whatever the device sent.
template <usize kN> struct Text {
    std::array<char, kN> chars{};
    u8 length = 0;
    std::string_view view() const { return {chars.data(), length}; }
};

struct Inquiry {
    DeviceType type = DeviceType::none;
    bool connected = false;  ///< qualifier 0: there is a unit at this number (1: could be, 3: never)
    bool removable = false;
    bool queueing = false;  ///< CmdQue
    u8 version = 0;         ///< 5: SPC-3 …
    Text<8> vendor;
    Text<16> product;
    Text<4> revision;
    /// READ and WRITE work as in SBC, or READ as in MMC.
    bool has_blocks() const {
        return type == DeviceType::disk || type == DeviceType::cdrom || type == DeviceType::simplified_disk;
    }
};
Result<Inquiry> parse_inquiry(Bytes from);

/// Which pages of VpdPage there are.
class VpdPages {
public:
    void add(VpdPage p) { bits_ |= bit(p); }
    bool has(VpdPage p) const { return (bits_ & bit(p)) != 0; }

private:
    static constexpr u8 bit(VpdPage p) {
        switch (p) {
        case VpdPage::supported:
            return 1;
        case VpdPage::serial:
            return 2;
        case VpdPage::identification:
            return 4;
        case VpdPage::block_limits:
            return 8;
        case VpdPage::characteristics:
            return 16;
        case VpdPage::provisioning:
            return 32;
        }
        return 0;
    }
    u8 bits_ = 0;
};
Result<VpdPages> parse_vpd_supported(Bytes from);

using Serial = Text<36>;
Result<Serial> parse_vpd_serial(Bytes from);

/// The best name of the unit itself (not of its port): NAA, else EUI-64, else T10, else the vendor's. As text:
/// hexadecimal for the first two.
struct Identity {
    u8 kind = 0xff;  ///< designator type; 0xff: none
    Text<40> text;
    friend bool operator==(const Identity& a, const Identity& b) {
        return a.kind == b.kind && a.text.view() == b.text.view();
    }
};
Result<Identity> parse_vpd_identification(Bytes from);

/// 0 means "not said", except where a comment says otherwise.
struct BlockLimits {
    u32 max_transfer_blocks = 0;
    u32 optimal_blocks = 0;
    u32 max_unmap_blocks = 0;  ///< 0: UNMAP is not supported
    u32 max_unmap_ranges = 0;  ///< 0: UNMAP is not supported
    u32 unmap_granularity = 0, unmap_alignment = 0;
    u64 max_write_same_blocks = 0;
};
Result<BlockLimits> parse_vpd_block_limits(Bytes from);

struct Characteristics {
    u16 rotation = 0;  ///< 0: not said, 1: no moving parts, else revolutions per minute
};
Result<Characteristics> parse_vpd_characteristics(Bytes from);

struct Provisioning {
    bool unmap = false, write_same_16 = false, write_same_10 = false;  ///< LBPU, LBPWS, LBPWS10
    bool reads_zeros = false;                                          ///< LBPRZ: unmapped blocks read as zeros
    bool thin = false;
};
Result<Provisioning> parse_vpd_provisioning(Bytes from);

struct Capacity {
    u64 blocks = 0;
    u32 block_size = 512;  ///< a power of two from 512 to 65536
    u32 blocks_per_physical = 1;
    bool provisioned = false;  ///< LBPME: unmapping is possible
    bool reads_zeros = false;  ///< LBPRZ
    u64 sectors() const { return blocks * (block_size / 512); }
};
/// Errors: corrupt; unsupported (a block size that nobody could work with, or more than 8 EiB); too_large (10 only:
/// READ CAPACITY (16) knows).
Result<Capacity> parse_capacity_10(Bytes from);
Result<Capacity> parse_capacity_16(Bytes from);

inline constexpr u8 kCachingPage = 0x08, kAllPages = 0x3f;
struct Modes {
    bool write_protected = false;
    std::optional<bool> write_cache;  ///< WCE; nothing when there was no caching page
};
Result<Modes> parse_mode_sense_6(Bytes from);
Result<Modes> parse_mode_sense_10(Bytes from);

/// A logical unit number of one level: 0 to 16383 (SAM-5 §4.7).
struct LunList {
    FixedVector<u16, 256> luns;  ///< ascending, each once
    u32 list_bytes = 0;          ///< what the target says its whole list has
    u32 ignored = 0;             ///< well-known, hierarchical or beyond the limit
};
/// `max_lun`: greater numbers are ignored.
Result<void> parse_report_luns(Bytes from, u16 max_lun, LunList& to);

}  // namespace ringlet::scsi
