// Reading sense data and judging it. The codes are those of SPC-4 Annex F.
#include "drivers/scsi/sense.hpp"

#include "lib/endian.hpp"

namespace ringlet::scsi {

namespace {

constexpr u8 kFixedNow = 0x70, kFixedDeferred = 0x71, kDescriptorNow = 0x72, kDescriptorDeferred = 0x73;

Sense parse_fixed(Bytes from) {  // §4.5.3; the additional length may promise more than there is, or less
    Sense s;
    s.key = SenseKey(u8(from[2]) & 15);
    const usize end = from.size() > 7 ? std::min(from.size(), usize{8} + u8(from[7])) : from.size();
    if (end > 12) s.asc = u8(from[12]);
    if (end > 13) s.ascq = u8(from[13]);
    if ((u8(from[0]) & 0x80) != 0)
        if (const auto information = read_at<be32>(from, 3)) s.information = u32(*information);
    return s;
}

Sense parse_descriptors(Bytes from) {  // §4.5.2
    Sense s;
    s.key = SenseKey(u8(from[1]) & 15);
    if (from.size() > 2) s.asc = u8(from[2]);
    if (from.size() > 3) s.ascq = u8(from[3]);
    if (from.size() < 8) return s;
    Bytes rest = from.subspan(8);
    rest = rest.first(std::min(rest.size(), usize{u8(from[7])}));
    while (rest.size() >= 2) {  // each has its type and its length behind these two bytes
        const usize bytes = usize{2} + u8(rest[1]);
        if (bytes > rest.size()) break;
        const bool valid = bytes >= 12 && (u8(rest[2]) & 0x80) != 0;
        if (u8(rest[0]) == 0 && valid) s.information = u64(*read_at<be64>(rest, 4));
        rest = rest.subspan(bytes);
    }
    return s;
}

constexpr Verdict again(Action action, bool patience = false) {
    return {.action = action, .again = true, .patience = patience, .other_medium = false, .error = Error::io};
}
constexpr Verdict final(Error error, Action action = Action::fail) {
    return {.action = action, .again = false, .patience = false, .other_medium = false, .error = error};
}

Verdict judge_not_ready(const Sense& s) {
    if (s.asc == 0x3a) return final(Error::not_found, Action::medium_removed);
    if (s.asc != 0x04) return final(Error::io);
    switch (s.ascq) {
    case 0x00:  // cause not reportable
    case 0x01:  // becoming ready
    case 0x07:  // operation in progress
    case 0x09:  // self-test in progress
    case 0x0a:  // asymmetric access state transition
    case 0x14:  // space allocation in progress
    case 0x1a:  // start stop unit in progress
        return again(Action::retry, true);
    default:
        return final(Error::io);
    }
}

Verdict judge_attention(const Sense& s) {  // the command that meets one is not begun (SAM-5 §5.14)
    switch (s.code()) {
    case 0x2a00:  // parameters changed
    case 0x2a01:  // mode parameters changed
    case 0x2a09:  // capacity data has changed
    case 0x3f03:  // inquiry data has changed
    case 0x3810:  // thin provisioning limits
        return again(Action::capacity_changed);
    case 0x2800: {  // medium may have changed
        Verdict v = again(Action::capacity_changed);
        v.other_medium = true;
        return v;
    }
    case 0x3f0e:  // reported LUNs data has changed
        return again(Action::rescan);
    default:
        return s.asc == 0x3a ? final(Error::not_found, Action::medium_removed) : again(Action::retry);
    }
}

Verdict judge_illegal(const Sense& s) {
    switch (s.asc) {
    case 0x20:  // invalid command operation code
    case 0x24:  // invalid field in CDB
    case 0x26:  // invalid field in parameter list
        return final(Error::unsupported);
    case 0x21:  // logical block address out of range: our idea of the capacity is old
        return final(Error::invalid, Action::capacity_changed);
    case 0x25:  // logical unit not supported: it is gone
        return final(Error::device_broken, Action::rescan);
    default:
        return final(Error::io);
    }
}

}  // namespace

std::optional<Sense> parse_sense(Bytes from) {
    if (from.size() < 3) return std::nullopt;
    Sense s;
    switch (u8(from[0]) & 0x7f) {
    case kFixedNow:
        return parse_fixed(from);
    case kFixedDeferred:
        s = parse_fixed(from);
        break;
    case kDescriptorNow:
        return parse_descriptors(from);
    case kDescriptorDeferred:
        s = parse_descriptors(from);
        break;
    default:
        return std::nullopt;
    }
    s.deferred = true;
    return s;
}

Verdict judge(const Sense& s) {
    // An earlier write has failed, and nobody can be told which: this command was not begun, and says so itself.
    if (s.deferred && s.key != SenseKey::no_sense && s.key != SenseKey::recovered_error) return final(Error::io);
    switch (s.key) {
    case SenseKey::no_sense:
    case SenseKey::recovered_error:
    case SenseKey::completed:
        return {};
    case SenseKey::not_ready:
        return judge_not_ready(s);
    case SenseKey::unit_attention:
        return judge_attention(s);
    case SenseKey::illegal_request:
        return judge_illegal(s);
    case SenseKey::data_protect:
        return final(s.code() == 0x2707 ? Error::no_space : Error::read_only);
    case SenseKey::volume_overflow:
        return final(Error::no_space);
    case SenseKey::aborted_command:  // 0x10: the protection information was wrong, and will be again
        return s.asc == 0x10 ? final(Error::io) : again(Action::retry);
    default:
        return final(Error::io);
    }
}

Verdict judge(Status status, Bytes sense) {
    switch (status) {
    case Status::good:
    case Status::condition_met:
        return {};
    case Status::check_condition: {
        const auto s = parse_sense(sense);
        return s ? judge(*s) : final(Error::io);
    }
    case Status::busy:
    case Status::task_set_full:
    case Status::aca_active:
        return again(Action::retry, true);
    case Status::task_aborted:
        return again(Action::retry);
    default:
        return final(Error::io);
    }
}

std::string_view to_string(SenseKey key) {
    static constexpr std::string_view kNames[] = {
        "no sense",       "recovered error", "not ready",   "medium error",    "hardware error", "illegal request",
        "unit attention", "data protect",    "blank check", "vendor specific", "copy aborted",   "aborted command",
        "reserved",       "volume overflow", "miscompare",  "completed"};
    return kNames[u8(key) & 15];
}

std::string_view to_string(Status status) {
    switch (status) {
    case Status::good:
        return "good";
    case Status::check_condition:
        return "check condition";
    case Status::condition_met:
        return "condition met";
    case Status::busy:
        return "busy";
    case Status::reservation_conflict:
        return "reservation conflict";
    case Status::task_set_full:
        return "task set full";
    case Status::aca_active:
        return "ACA active";
    case Status::task_aborted:
        return "task aborted";
    }
    return "unknown status";
}

std::string_view describe(const Sense& s) {
    struct Row {
        u16 code;
        bool any_qualifier;
        std::string_view text;
    };
    static constexpr Row kRows[] = {
        {0x0400, true, "not ready"},
        {0x0c00, true, "write error"},
        {0x1100, true, "unrecovered read error"},
        {0x2000, true, "unknown command"},
        {0x2100, true, "block address out of range"},
        {0x2400, true, "invalid field in command"},
        {0x2500, true, "no such logical unit"},
        {0x2600, true, "invalid field in parameters"},
        {0x2707, false, "out of space"},
        {0x2700, true, "write protected"},
        {0x2800, true, "medium may have changed"},
        {0x2900, true, "reset"},
        {0x2a09, false, "capacity has changed"},
        {0x2a00, true, "parameters changed"},
        {0x3a00, true, "no medium"},
        {0x3f0e, false, "logical units have changed"},
        {0x3f00, true, "operating conditions have changed"},
        {0x4400, true, "internal target failure"},
        {0x5d00, true, "failure predicted"},
    };
    for (const Row& r : kRows)
        if (r.code == s.code() || (r.any_qualifier && r.code >> 8 == s.asc)) return r.text;
    return {};
}

}  // namespace ringlet::scsi
