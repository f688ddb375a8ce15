// Commands on their way: from a request to a slot and a chain, and from an answer to an error or another attempt.
#include "drivers/virtio/scsi_host.hpp"

#include <algorithm>

#include "kernel/log.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

using fs::BlockRequest;
using Op = BlockRequest::Op;
using kernel::log;
using kernel::LogLevel;

namespace {

constexpr u8 kMaxAttempts = 8;
constexpr Duration kPause = Duration::from_ms(100);
constexpr u32 kZeroBytes = 4096;

bool moves_data(Op op) {
    return op == Op::read || op == Op::write;
}
bool modifies(Op op) {
    return op != Op::read && op != Op::flush;
}

u64 bytes_of(const BlockRequest& r) {
    u64 bytes = 0;
    for (const fs::IoSegment& d : r.data) bytes += d.bytes.size();
    return bytes;
}

std::optional<Error> refuse_data(const BlockRequest& r, const fs::BlockLimits& l) {
    if (r.data.empty() || r.data.size() > l.max_segments) return Error::invalid;
    for (const fs::IoSegment& d : r.data) {
        const usize n = d.bytes.size();
        if (n == 0 || n > l.max_segment_bytes || n % fs::kSectorSize != 0) return Error::invalid;
    }
    const u64 bytes = bytes_of(r);
    if (bytes > l.max_request_bytes || bytes % l.block_size != 0) return Error::invalid;
    return std::nullopt;
}

ScsiSpec::Lun lun_field(ScsiAddress at) {
    return {1, u8(at.target), u8(0x40 | at.lun >> 8), u8(at.lun)};
}

}  // namespace

// --- ScsiDisk

fs::BlockLimits ScsiDisk::limits() const {
    auto s = host_.state_.lock();
    return limits_;
}
fs::BlockIdentity ScsiDisk::identity() {
    return {.vendor = inquiry_.vendor.view(),
            .product = inquiry_.product.view(),
            .revision = inquiry_.revision.view(),
            .serial = serial_.view(),
            .world_wide_name = identity_.text.view()};
}
void ScsiDisk::submit(BlockRequest& r) {
    host_.submit(*this, r);
}
void ScsiDisk::flush_submissions() {
    host_.kick(u32{1} << queue_);
}

// --- Requests

std::optional<Error> ScsiHost::refuse(const ScsiDisk& disk, const BlockRequest& r) const {
    const fs::BlockLimits& l = disk.limits_;
    if (!disk.present()) return Error::device_broken;
    if (!disk.unit_.medium) return Error::not_found;
    if (r.op == Op::flush) return r.data.empty() ? std::nullopt : std::optional(Error::invalid);
    if (modifies(r.op) && disk.unit_.read_only()) return Error::read_only;
    u64 sectors = r.sectors;
    if (moves_data(r.op)) {
        if (const auto why = refuse_data(r, l)) return why;
        sectors = bytes_of(r) / fs::kSectorSize;
    } else {
        const u64 most = r.op == Op::discard        ? l.max_discard_bytes
                         : r.op == Op::write_zeroes ? l.max_write_zeroes_bytes
                                                    : 0;
        if (most == 0) return Error::unsupported;
        if (!r.data.empty() || sectors == 0 || sectors > most / fs::kSectorSize) return Error::invalid;
    }
    const u64 per_block = l.block_size / fs::kSectorSize, end = disk.sectors();
    if (r.lba.raw % per_block != 0 || sectors % per_block != 0) return Error::invalid;
    if (r.lba.raw > end || sectors > end - r.lba.raw) return Error::invalid;
    return std::nullopt;
}

void ScsiHost::submit(ScsiDisk& disk, BlockRequest& r) {
    r.quarantined = false;
    r.attempts = 0;
    r.deadline = {};
    {
        auto s = state_.lock();
        r.error = s->dead ? std::optional(Error::device_broken) : refuse(disk, r);
        const bool nothing_to_do = r.op == Op::flush && !disk.unit_.write_cache;
        if (!r.error && !nothing_to_do) return disk.waiting_.push_back(r);
    }
    r.done(r);
}

scsi::Cdb ScsiHost::command_for(const ScsiDisk& disk, const BlockRequest& r, Slot& to) const {
    const scsi::Unit& u = disk.unit_;
    const u32 block = u.capacity.block_size;
    const u64 per_block = block / fs::kSectorSize, lba = r.lba.raw / per_block;
    const u32 blocks = u32((moves_data(r.op) ? bytes_of(r) / fs::kSectorSize : r.sectors) / per_block);
    const bool give_up =
        r.op == Op::discard || (r.unmap == BlockRequest::Unmap::allowed && disk.limits_.write_zeroes_unmaps);
    const scsi::Unmap unmap = give_up ? scsi::Unmap::yes : scsi::Unmap::no;
    switch (r.op) {
    case Op::read:
        return scsi::read(lba, blocks, block);
    case Op::write:
        return scsi::write(lba, blocks, block);
    case Op::flush:
        return scsi::synchronize_cache(0, 0);
    case Op::discard:
        if (u.unmap == scsi::UnmapWay::unmap) return scsi::unmap(lba, blocks, to.parameters);
        if (u.unmap == scsi::UnmapWay::write_same_10) break;
        return scsi::write_same_16(lba, blocks, unmap, block);
    default:
        if (u.zero == scsi::ZeroWay::write_same_10) break;
        return scsi::write_same_16(lba, blocks, unmap, block);
    }
    return lba > 0xffff'ffff ? scsi::write_same_16(lba, blocks, unmap, block)
                             : scsi::write_same_10(u32(lba), u16(blocks), unmap, block);
}

// --- Slots

Result<> ScsiHost::allocate(const ScsiLimits& limits, u16 depth, u16 events) {
    limits_ = limits;
    depth_ = depth;
    // One command more than requests can have: the worker's own.
    const u16 count = u16(depth * limits.request_queues + 1);
    control_at_ = align_up(usize{count} * sizeof(Slot), kPageSize);
    scratch_at_ = control_at_ + kPageSize;
    zeros_at_ = scratch_at_ + kPageSize;
    static_assert(kEventSlot * 33 <= kPageSize);
    ASSERT(events <= 32 && limits.request_queues <= kMaxQueues);
    memory_ = TRY(kernel::DmaRegion::allocate(zeros_at_ + kZeroBytes));
    std::unique_ptr<Command[]> commands(new (std::nothrow) Command[count]);
    if (!commands) return fail(Error::no_memory);
    auto s = state_.lock();
    s->commands = std::move(commands);
    s->command_count = count;
    s->free_head.fill(kNone);
    for (u16 i = count; i-- != 0;) {
        Command& c = s->commands[i];
        c.slot = i;
        c.queue = i == count - 1 ? u16(0) : u16(i / depth);
        c.next_free = s->free_head[c.queue];
        s->free_head[c.queue] = i;
    }
    return {};
}

void ScsiHost::free_command(State& s, Command& c) {
    const u16 slot = c.slot, queue = c.queue;
    c = {};
    c.slot = slot;
    c.queue = queue;
    c.next_free = s.free_head[queue];
    s.free_head[queue] = slot;
}

ScsiHost::Command* ScsiHost::next(State& s, u16 q, ScsiRequests& done) {
    if (s.waiting[q] == 0 && (q != 0 || s.sync_waiting == nullptr)) return nullptr;
    const u16 head = s.free_head[q];
    if (head == kNone || s.dead || s.resetting) return nullptr;
    Command& c = s.commands[head];
    if (q == 0) {
        if (Sync* sync = s.sync_waiting) {
            s.sync_waiting = sync->next;
            sync->queued = false;
            c.sync = sync;
            c.at = sync->at;
            c.tag = ++s.last_tag << 16 | head;
            s.free_head[q] = c.next_free;
            return &c;
        }
        if (c.next_free == kNone) return nullptr;  // the worker's
    }
    const usize n = s.disks.size();
    usize i = s.next_disk[q] < n ? s.next_disk[q] : 0;
    for (usize looked = 0; looked < n; ++looked, i = i + 1 == n ? 0 : i + 1) {
        ScsiDisk& d = *s.disks[i];
        if (d.queue_ != q || d.waiting_.empty() || d.in_flight_ >= limits_.per_unit) continue;
        if (d.paused_until_ != Instant{}) {
            if (kernel::now() < d.paused_until_) continue;
            d.paused_until_ = {};
        }
        BlockRequest* r = d.waiting_.pop_front();
        while (d.stale_ && r != nullptr) {  // the unit is another than when they were looked at
            r->error = refuse(d, *r);
            if (!r->error) break;
            done.push_back(*r);
            r = d.waiting_.pop_front();
        }
        if (d.waiting_.empty() && d.in_flight_ == 0) d.stale_ = false;  // whatever comes is refused by submit()
        if (r == nullptr) continue;
        c.request = r;
        c.disk = &d;
        c.at = d.address_;
        c.tag = ++s.last_tag << 16 | head;
        s.free_head[q] = c.next_free;
        s.next_disk[q] = u16(i + 1);
        return &c;
    }
    return nullptr;
}

usize ScsiHost::fill(Command& c, std::span<Segment> pieces, usize& readable) {
    Slot& to = slot(c.slot);
    const DmaAddr at = memory_.addr(usize{c.slot} * sizeof(Slot));
    const scsi::Cdb cdb = c.sync != nullptr ? c.sync->cdb : command_for(*c.disk, *c.request, to);
    to.request = {.lun = lun_field(c.at), .id = c.tag, .task_attr = Spec::kTaskSimple, .prio = 0, .crn = 0, .cdb = {}};
    std::copy(cdb.bytes.begin(), cdb.bytes.end(), to.request.cdb.begin());
    to.response.response = kPoison;
    to.response.status = kPoison;
    to.response.sense_len = 0;
    to.response.residual = 0;
    usize n = 0;
    const auto data = [&] {
        if (c.sync != nullptr) {
            pieces[n++] = {memory_.addr(scratch_at_ + c.sync->data_offset), cdb.data_bytes};
        } else if (moves_data(c.request->op)) {
            for (const fs::IoSegment& d : c.request->data) pieces[n++] = {d.dma, u32(d.bytes.size())};
        } else if (cdb.op() == scsi::Op::unmap) {
            pieces[n++] = {at + offsetof(Slot, parameters), cdb.data_bytes};
        } else {
            pieces[n++] = {memory_.addr(zeros_at_), cdb.data_bytes};
        }
    };
    pieces[n++] = {at, sizeof(Spec::CommandRequest)};
    if (cdb.direction == scsi::Direction::out) data();
    readable = n;
    pieces[n++] = {at + offsetof(Slot, response), sizeof(Spec::CommandResponse)};
    if (cdb.direction == scsi::Direction::in) data();
    return n;
}

void ScsiHost::sent(State& s, Command& c, Instant now) {
    c.sent = true;
    ++s.in_flight;
    if (c.sync != nullptr) {
        c.sync->slot = c.slot;
        c.sync->tag = c.tag;
        c.deadline = now + kInternalTimeout;
    } else {
        BlockRequest& r = *c.request;
        const Duration allowed = r.timeout.ns > 0 ? r.timeout : BlockRequest::kTimeout;
        if (r.deadline == Instant{}) r.deadline = now + allowed;
        ++r.attempts;
        ++c.disk->in_flight_;
        c.deadline = std::min(r.deadline, now + kRemindAfter);
        c.reminded = c.deadline == r.deadline;
    }
    if (c.deadline < s.armed) wake();  // mostly not: the worker has an earlier date already
}

void ScsiHost::put_back(State& s, Command& c) {
    if (c.sync != nullptr) {
        c.sync->next = s.sync_waiting;
        c.sync->queued = true;
        s.sync_waiting = c.sync;
    } else {
        c.disk->waiting_.push_front(*c.request);
    }
    free_command(s, c);
}

// --- Answers

void ScsiHost::log_sense(const Command& c, const scsi::Sense& sense) const {
    const u8 op = slot(c.slot).request.cdb[0];
    const std::string_view text = scsi::describe(sense);
    log(LogLevel::warning, "{}: {}:{}: command {:02x}: {}, {:02x}/{:02x}{}{}", name_, c.at.target, c.at.lun, op,
        scsi::to_string(sense.key), sense.asc, sense.ascq, text.empty() ? "" : ": ", text);
}

scsi::Verdict ScsiHost::read_response(const Command& c, bool& bad_target, u32& residual) {
    using scsi::Action;
    // One copy: what is judged is what was read once.
    Spec::CommandResponse r;
    std::memcpy(static_cast<void*>(&r), &slot(c.slot).response, offsetof(Spec::CommandResponse, sense));
    residual = r.residual;
    const auto failed = [](Error e) { return scsi::Verdict{.action = Action::fail, .error = e}; };
    const auto again = [](bool patience) {
        return scsi::Verdict{.action = Action::retry, .again = true, .patience = patience};
    };
    switch (r.response) {
    case Spec::kOk:
        break;
    case Spec::kAborted:
    case Spec::kReset:
        return c.aborting ? failed(Error::timed_out) : again(false);
    case Spec::kBadTarget:
        bad_target = true;
        return {.action = Action::rescan, .error = Error::device_broken};
    case Spec::kBusy:
    case Spec::kTransportFailure:
    case Spec::kNexusFailure:
        return again(true);
    case Spec::kOverrun:
    case Spec::kTargetFailure:
    case Spec::kFailure:
        return failed(Error::io);
    default:  // our poison among them
        counters_.bad_responses.add();
        return failed(Error::io);
    }
    if (r.status == u8(scsi::Status::good)) return {};
    std::memcpy(&r.sense, &slot(c.slot).response.sense, sizeof r.sense);
    const Bytes sense = std::as_bytes(std::span(r.sense)).first(std::min<usize>(r.sense_len, r.sense.size()));
    const auto parsed = scsi::parse_sense(sense);
    const scsi::Verdict v = scsi::judge(scsi::Status(r.status), sense);
    if (parsed && parsed->key == scsi::SenseKey::unit_attention) counters_.unit_attentions.add();
    const bool expected = c.sync != nullptr || (v.again && (v.patience || c.request->attempts < kMaxAttempts));
    if (parsed && ((tunables_.debug_level & 1) != 0 || !expected)) log_sense(c, *parsed);
    return v;
}

void ScsiHost::note_action(State& s, Command& c, const scsi::Verdict& v) {
    using scsi::Action;
    switch (v.action) {
    case Action::medium_removed:
    case Action::capacity_changed:
        if (c.disk != nullptr) c.disk->refresh_ = true;
        return wake();
    case Action::rescan:
        if (c.disk == nullptr) return;  // a scan is under way
        s.scan_wanted = true;
        return wake();
    default:
        return;
    }
}

void ScsiHost::complete_request(Command& c, const scsi::Verdict& v, u32 residual, ScsiRequests& done) {
    using scsi::Action;
    BlockRequest& r = *c.request;
    ScsiDisk& d = *c.disk;
    --d.in_flight_;
    if (v.action == Action::done) {
        r.error = moves_data(r.op) && residual != 0 ? std::optional(Error::io) : std::nullopt;
        return done.push_back(r);
    }
    const bool other_disk = v.other_medium && d.inquiry_.removable && modifies(r.op);
    if (v.again && !other_disk && !c.aborting && d.present() && r.attempts < kMaxAttempts) {
        const bool in_time = !v.patience || kernel::now() + kPause < r.deadline;
        if (in_time) {
            counters_.retries.add();
            if (v.patience) {
                --r.attempts;
                d.paused_until_ = kernel::now() + kPause;
                wake();
            }
            return d.waiting_.push_front(r);
        }
    }
    r.error = c.aborting ? Error::timed_out : v.again ? (v.patience ? Error::timed_out : Error::io) : v.error;
    if (r.error == Error::unsupported && !moves_data(r.op)) {  // promised, but not kept
        if (r.op == Op::discard) d.limits_.max_discard_bytes = 0;
        if (r.op == Op::write_zeroes) d.limits_.max_write_zeroes_bytes = 0;
        if (r.op == Op::flush) d.unit_.write_cache = false, r.error.reset();
        d.cached_.store(d.unit_.write_cache, std::memory_order_relaxed);
        d.generation_.fetch_add(1, std::memory_order_relaxed);
    }
    done.push_back(r);
}

void ScsiHost::complete(State& s, u16 index, ScsiRequests& done) {
    Command& c = s.commands[index];
    ASSERT(c.sent);  // the queue only gives out tokens that it holds
    bool bad_target = false;
    u32 residual = 0;
    const scsi::Verdict v = read_response(c, bad_target, residual);
    note_action(s, c, v);
    --s.in_flight;
    if (c.sync != nullptr) {
        Sync& sync = *c.sync;
        sync.verdict = v;
        sync.bad_target = bad_target;
        sync.arrived = sync.cdb.data_bytes - std::min(residual, sync.cdb.data_bytes);
        sync.finished = true;
        wake();
    } else {
        complete_request(c, v, residual, done);
    }
    free_command(s, c);
}

bool ScsiHost::be_patient(State& s, u16 q, bool patient) {
    const u32 bit = u32{1} << q;
    s.patient = patient ? s.patient | bit : s.patient & ~bit;
    if (s.patient == 0) s.look_by = Instant::never();
    if (!patient) return false;
    s.look_by = std::min(s.look_by, kernel::now() + kPatience);
    if (s.look_by < s.armed) wake();
    return true;
}

void ScsiHost::tmf_answered(State& s) {
    s.tmf_response = *static_cast<volatile u8*>(memory_.at<u8>(control_at_ + 32));
    s.tmf_done = true;
    wake();
}

void ScsiHost::take_event(State& s, u16 buffer, u32 written) {
    Spec::Event e;
    std::memcpy(&e, memory_.at<std::byte>(control_at_ + kEventSlot * (buffer + 1u)), sizeof e);
    counters_.events.add();
    if (written < sizeof e) {
        counters_.bad_events.add();
    } else if ((e.event & Spec::kEventsMissed) != 0 || !s.events.try_push_back(e)) {
        counters_.events_missed.add();
        s.scan_wanted = true;
        for (ScsiDisk* d : s.disks) d->refresh_ = true;
    }
    wake();
}

}  // namespace ringlet::virtio
