// What a command's end means: status byte and sense data (SPC-4 §4.5, fixed and descriptor format) become an error for
// the submitter and something to do for the driver. Pure functions; sense bytes come from the device and are trusted in
// nothing, least of all their lengths. Context: any, interrupts included.
#pragma once

#include <optional>
#include <string_view>

#include "lib/bytes.hpp"
#include "lib/result.hpp"

namespace ringlet::scsi {

enum class Status : u8 {  // SAM-5 §5.3.1
    good = 0x00,
    check_condition = 0x02,
    condition_met = 0x04,
    busy = 0x08,
    reservation_conflict = 0x18,
    task_set_full = 0x28,
    aca_active = 0x30,
    task_aborted = 0x40,
};

enum class SenseKey : u8 {
    no_sense,
    recovered_error,
    not_ready,
    medium_error,
    hardware_error,
    illegal_request,
    unit_attention,
    data_protect,
    blank_check,
    vendor_specific,
    copy_aborted,
    aborted_command,
    reserved,
    volume_overflow,
    miscompare,
    completed,
};

struct Sense {
    SenseKey key = SenseKey::no_sense;
    u8 asc = 0, ascq = 0;            ///< additional sense code and its qualifier; 0: none
    bool deferred = false;           ///< about an earlier command than the one it came with
    std::optional<u64> information;  ///< mostly the block where it happened
    constexpr u16 code() const { return u16(asc << 8 | ascq); }
};

/// Nothing: there is no sense data here (too short, or a format that nobody has defined).
std::optional<Sense> parse_sense(Bytes from);

enum class Action : u8 {
    done,              ///< the command has done its work
    retry,             ///< send it again: it was never begun (unit attention), or the unit becomes ready
    fail,              ///< `error` is final
    medium_removed,    ///< as fail; and the drive is empty now
    rescan,            ///< the inventory of logical units has changed
    capacity_changed,  ///< capacity, write protection, limits: ask the unit again
};

/// `action` says what else there is to do; when it is neither done nor fail, `again` says whether this command may be
/// sent again.
struct Verdict {
    Action action = Action::done;
    bool again = false;
    bool patience = false;      ///< not at once: the unit is busy, or not ready yet
    bool other_medium = false;  ///< what was meant for the medium before must not reach this one
    Error error = Error::io;
};

/// `sense`: the bytes that the device says it has written, possibly none.
Verdict judge(Status status, Bytes sense);
Verdict judge(const Sense& sense);

/// A phrase for the log; "" for codes that nobody needs explained.
std::string_view describe(const Sense& sense);
std::string_view to_string(SenseKey key);
std::string_view to_string(Status status);

}  // namespace ringlet::scsi
