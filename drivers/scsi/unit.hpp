// One logical unit: what it is, what it can do, and which command does what a disk is asked for. Sans-IO: commands are
// values, and identify() is told how to run one. Context: any; identify() and refresh() wherever `run` may wait.
#pragma once

#include "drivers/scsi/answers.hpp"
#include "drivers/scsi/sense.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::scsi {

/// Runs a command at the unit, unit attentions and busy units dealt with. What arrived stays valid until the next call.
/// Errors: unsupported (the unit knows no such command), not_found (no medium), and whatever ends an attempt.
using Run = FunctionRef<Result<Bytes>(const Cdb&)>;

enum class UnmapWay : u8 { none, unmap, write_same_16, write_same_10 };
enum class ZeroWay : u8 { none, write_same_16, write_same_10 };

struct Unit {
    Inquiry inquiry;
    Serial serial;
    Identity identity;
    // What may change while it runs:
    bool medium = false;  ///< there is something to read; otherwise the rest is empty
    Capacity capacity;
    BlockLimits limits;
    Provisioning provisioning;
    Characteristics characteristics;
    bool write_protected = false;
    bool write_cache = false;  ///< a flush has a meaning
    UnmapWay unmap = UnmapWay::none;
    ZeroWay zero = ZeroWay::none;
    u32 max_unmap_blocks = 0, max_zero_blocks = 0;  ///< per command; 0 exactly when there is no way

    bool read_only() const { return write_protected || inquiry.type == DeviceType::cdrom; }
    u64 sectors() const { return medium ? capacity.sectors() : 0; }
};

/// Everything about a unit, from its first INQUIRY on. Errors: no such unit (not_found), not a disk (unsupported),
/// and what `run` failed with on a command that every disk must know.
Result<Unit> identify(Run run);
/// Capacity, protection, cache and limits once more. Errors: as identify(); `u` has no medium then.
Result<> refresh(Run run, Unit& u);

}  // namespace ringlet::scsi
