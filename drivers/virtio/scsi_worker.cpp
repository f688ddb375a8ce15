// What takes time: the worker's loop, commands of our own, task management, timeouts and the way back from a reset. A
// request without an answer for a while makes the bell ring again: an emulator that translates code for one processor
// may drop the barrier between our index and the look at whether a bell is wanted. One that is late is aborted; if that
// does not bring it back its unit is reset, then (if allowed) the nexus, then the whole device, after which everything
// unanswered is sent again and the late one fails with Error::timed_out.
#include <algorithm>

#include "drivers/virtio/scsi_host.hpp"
#include "kernel/log.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::virtio {

using fs::BlockRequest;
using kernel::log;
using kernel::LogLevel;

namespace {

constexpr Duration kGrace = Duration::from_ms(500);  // for what a device says it has ended
constexpr Duration kPollEvery = Duration::from_ms(1), kIdlePollEvery = Duration::from_ms(100);
constexpr Duration kWindow = Duration::from_s(10);  // and what may be spent in it
constexpr u32 kWindowWork = 64;

std::string_view to_string(ScsiTmf what) {
    static constexpr std::string_view kNames[] = {"abort task",     "abort task set",  "clear ACA",
                                                  "clear task set", "I_T nexus reset", "logical unit reset",
                                                  "query task",     "query task set"};
    return kNames[u8(what) & 7];
}

}  // namespace

ScsiHost::~ScsiHost() {
    for (ScsiDisk* d : state_.lock()->disks) delete d;
}

// --- The loop

Result<> ScsiHost::start_worker() {
    has_worker_ = true;
    auto thread = kernel::ThreadHandle::spawn({.name = name_, .priority = 20, .stack_bytes = 24576}, [this] {
        while (!stopping_.load(std::memory_order_acquire)) {
            while (service()) {
            }
            wait(next_service());
        }
    });
    if (!thread) return fail(thread.error());
    worker_ = std::move(*thread);
    return {};
}

void ScsiHost::stop_worker() {
    stopping_.store(true, std::memory_order_release);
    wake_.set();
    worker_ = {};
}

void ScsiHost::wait(Instant until) {
    {
        auto s = state_.lock();
        if (polled()) until = std::min(until, kernel::now() + (s->in_flight != 0 ? kPollEvery : kIdlePollEvery));
        until = std::min(until, s->look_by);
        s->armed = until;
    }
    if (wait_hook_ != nullptr)
        wait_hook_(wait_context_, until);
    else if (until.is_never())
        wake_.wait();
    else
        (void)wake_.wait_until(until);
    if (polled()) look();
    look_if_due();
}

/// What a patient queue was not interrupted for.
void ScsiHost::look_if_due() {
    u32 queues;
    {
        auto s = state_.lock();
        if (s->look_by > kernel::now()) return;
        s->look_by = Instant::never();
        queues = s->patient;
    }
    if (queues == 0) return;
    counters_.looks.add();
    look_patiently(queues);
}

/// True: the budget of slow work allows one more.
bool ScsiHost::spend() {
    const Instant now = kernel::now();
    if (now >= window_ + kWindow) window_ = now, spent_ = 0;
    if (spent_ >= kWindowWork) return false;
    ++spent_;
    return true;
}

Instant ScsiHost::next_service() {
    const Instant now = kernel::now();
    auto s = state_.lock();
    Instant until = s->look_by;
    if (s->dead) return Instant::never();
    for (u16 i = 0; i < s->command_count; ++i)
        if (s->commands[i].sent) until = std::min(until, s->commands[i].deadline);
    bool work = s->scan_wanted || !s->events.empty();
    for (const ScsiDisk* d : s->disks) {
        if (d->paused_until_ != Instant{} && !d->waiting_.empty()) until = std::min(until, d->paused_until_);
        work = work || d->refresh_;
    }
    if (s->reset_wanted) until = now;
    if (work) until = std::min(until, spent_ < kWindowWork ? now : window_ + kWindow);
    s->armed = until;
    return until;
}

bool ScsiHost::service() {
    enum class Work : u8 { none, recover, escalate, remind, kick, event, scan, refresh } work = Work::none;
    Spec::Event event{};
    ScsiDisk* disk = nullptr;
    u16 slot = 0;
    u64 tag = 0;
    look_if_due();
    const Instant now = kernel::now();
    {
        auto s = state_.lock();
        if (s->dead) return false;
        for (u16 i = 0; i < s->command_count; ++i) {
            const Command& c = s->commands[i];
            if (!c.sent || c.deadline > now || c.sync != nullptr) continue;
            work = c.reminded ? Work::escalate : Work::remind, slot = i, tag = c.tag;
            break;
        }
        for (ScsiDisk* d : s->disks)
            if (work == Work::none && d->paused_until_ != Instant{} && d->paused_until_ <= now)
                d->paused_until_ = {}, work = Work::kick;
        if (s->reset_wanted) work = Work::recover;
    }
    if (work == Work::none && spend()) {
        auto s = state_.lock();
        if (!s->events.empty()) {
            work = Work::event, event = s->events[0];
            std::rotate(s->events.begin(), s->events.begin() + 1, s->events.end());
            s->events.pop_back();
        } else if (s->scan_wanted) {
            work = Work::scan;
        } else {
            for (ScsiDisk* d : s->disks)
                if (d->refresh_) work = Work::refresh, disk = d;
            if (disk != nullptr) disk->refresh_ = false;
        }
        if (work == Work::none) --spent_;
    }
    switch (work) {
    case Work::none:
        return false;
    case Work::recover:
        return recover(), true;
    case Work::escalate:
        return escalate(slot, tag), true;
    case Work::remind:
        return remind_device(), true;
    case Work::kick:
        return kick(~u32{0}), true;
    case Work::event:
        return handle(event), true;
    case Work::scan:
        return scan(), true;
    case Work::refresh:
        return refresh(*disk), true;
    }
    return false;
}

// --- Commands of our own

bool ScsiHost::all_finished(std::span<Sync> batch) {
    auto s = state_.lock();
    return std::all_of(batch.begin(), batch.end(), [](const Sync& c) { return c.finished; });
}

/// What was never sent is given up.
void ScsiHost::unqueue(std::span<Sync> batch) {
    auto s = state_.lock();
    for (Sync& c : batch) {
        if (!c.queued) continue;
        for (Sync** at = &s->sync_waiting; *at != nullptr; at = &(*at)->next) {
            if (*at != &c) continue;
            *at = c.next;
            break;
        }
        c.queued = false;
        c.finished = true;
        c.verdict = {.action = scsi::Action::fail, .error = Error::timed_out};
    }
}

void ScsiHost::run_batch(std::span<Sync> batch) {
    {
        auto s = state_.lock();
        Sync** end = &s->sync_waiting;
        while (*end != nullptr) end = &(*end)->next;
        for (Sync& c : batch) {
            c.queued = !s->dead;
            c.finished = s->dead;
            c.verdict = {.action = scsi::Action::fail, .error = Error::device_broken};
            if (!c.queued) continue;
            *end = &c;
            end = &c.next;
        }
    }
    kick(1);
    const Instant deadline = kernel::now() + kInternalTimeout;
    while (!all_finished(batch)) {
        if (polled()) look();
        if (all_finished(batch)) return;
        if (state_.lock()->reset_wanted) {
            recover();  // ends them all
        } else if (kernel::now() < deadline) {
            wait(deadline);
        } else {
            unqueue(batch);
            for (Sync& c : batch)
                if (outstanding(c.slot, c.tag)) escalate(c.slot, c.tag);
        }
    }
}

Result<Bytes> ScsiHost::run(ScsiAddress at, const scsi::Cdb& cdb) {
    constexpr int kAttempts = 100;
    int hurried = 0;
    ASSERT(cdb.direction != scsi::Direction::out && cdb.data_bytes <= kPageSize);
    for (int attempt = 0; attempt < kAttempts; ++attempt) {
        Sync c{.cdb = cdb, .at = at};
        if (dead()) return fail(Error::device_broken);  // its memory may be gone, too
        std::memset(memory_.at<std::byte>(scratch_at_), 0, cdb.data_bytes);
        run_batch({&c, 1});
        const scsi::Verdict& v = c.verdict;
        if (v.action == scsi::Action::done) return Bytes(memory_.bytes().subspan(scratch_at_, c.arrived));
        if (!v.again) return fail(v.error);
        if (v.patience) {
            wait(kernel::now() + Duration::from_ms(100));
        } else if (++hurried == 8) {
            return fail(Error::io);
        }
    }
    return fail(Error::timed_out);
}

// --- Task management and timeouts

ScsiTmfAnswer ScsiHost::task_management(ScsiTmf what, ScsiAddress at, u64 tag) {
    {
        auto s = state_.lock();
        if (s->dead || s->tmf_busy || s->reset_wanted) return ScsiTmfAnswer::silent;
        *memory_.at<Spec::TmfRequest>(control_at_) = {.type = Spec::kTypeTmf,
                                                      .subtype = u32(what),
                                                      .lun = {1, u8(at.target), u8(0x40 | at.lun >> 8), u8(at.lun)},
                                                      .id = tag};
        *memory_.at<u8>(control_at_ + 32) = kPoison;
        s->tmf_busy = true;
        s->tmf_done = false;
    }
    counters_.tmfs.add();
    if (!send_tmf()) return ScsiTmfAnswer::silent;
    const Instant deadline = kernel::now() + kTmfTimeout;
    for (;;) {
        if (polled()) look();
        {
            auto s = state_.lock();
            if (s->tmf_done) {
                s->tmf_busy = false;
                break;
            }
            if (s->reset_wanted) return ScsiTmfAnswer::silent;
        }
        if (kernel::now() >= deadline) return ScsiTmfAnswer::silent;  // the slot stays the device's until its reset
        wait(deadline);
    }
    switch (state_.lock()->tmf_response) {
    case Spec::kOk:
        return ScsiTmfAnswer::complete;
    case Spec::kFunctionSucceeded:
        return ScsiTmfAnswer::succeeded;
    case Spec::kFunctionRejected:
        return ScsiTmfAnswer::rejected;
    case Spec::kIncorrectLun:
        return ScsiTmfAnswer::incorrect_lun;
    case Spec::kBadTarget:
        return ScsiTmfAnswer::bad_target;
    default:
        return ScsiTmfAnswer::failed;
    }
}

u64 ScsiHost::oldest_tag(const ScsiDisk& disk) {
    auto s = state_.lock();
    u64 oldest = 0;
    for (u16 i = 0; i < s->command_count; ++i) {
        const Command& c = s->commands[i];
        if (c.sent && c.disk == &disk && (oldest == 0 || c.tag < oldest)) oldest = c.tag;
    }
    return oldest;
}

bool ScsiHost::outstanding(u16 slot, u64 tag) {
    auto s = state_.lock();
    return slot < s->command_count && s->commands[slot].sent && s->commands[slot].tag == tag;
}

/// True: the command has come back, within `patience`.
bool ScsiHost::wait_back(u16 slot, u64 tag, Duration patience) {
    const Instant deadline = kernel::now() + patience;
    look();  // its completion may lie in a queue whose interrupt is still to come
    while (outstanding(slot, tag)) {
        if (kernel::now() >= deadline || state_.lock()->reset_wanted) return false;
        wait(deadline);
    }
    return true;
}

/// Before anything is called late. All commands at once, since one bell is for all of them.
void ScsiHost::remind_device() {
    {
        auto s = state_.lock();
        for (u16 i = 0; i < s->command_count; ++i) {
            Command& c = s->commands[i];
            if (!c.sent || c.reminded || c.sync != nullptr) continue;
            c.reminded = true;
            c.deadline = c.request->deadline;
        }
    }
    counters_.reminders.add();
    remind();
    look();
}

void ScsiHost::escalate(u16 slot, u64 tag) {
    ScsiAddress at;
    {
        auto s = state_.lock();
        if (slot >= s->command_count) return;
        Command& c = s->commands[slot];
        if (!c.sent || c.tag != tag) return;
        c.aborting = true;
        at = c.at;
    }
    counters_.timeouts.add();
    for (const ScsiTmf what : {ScsiTmf::abort_task, ScsiTmf::logical_unit_reset, ScsiTmf::i_t_nexus_reset}) {
        if (what == ScsiTmf::i_t_nexus_reset && tunables_.bus_reset_disable) break;
        log(LogLevel::warning, "{}: {}:{}: no answer in time, {}", name_, at.target, at.lun, to_string(what));
        const ScsiTmfAnswer answer = task_management(what, at, what == ScsiTmf::abort_task ? tag : 0);
        const bool ended = answer == ScsiTmfAnswer::complete || answer == ScsiTmfAnswer::succeeded;
        if (wait_back(slot, tag, ended ? kGrace : Duration{})) return kick(~u32{0});
        if (answer == ScsiTmfAnswer::silent) break;
    }
    recover();
}

// --- Recovery

/// A command that the device will not answer any more.
void ScsiHost::give_back(State& s, Command& c, ScsiRequests& done, bool quiet) {
    --s.in_flight;
    if (c.sync != nullptr) {
        c.sync->verdict = {.action = scsi::Action::fail, .error = Error::timed_out};
        c.sync->finished = true;
    } else {
        BlockRequest& r = *c.request;
        ScsiDisk& d = *c.disk;
        --d.in_flight_;
        const bool late = c.aborting || r.deadline <= kernel::now();
        if (quiet && !late && d.present()) {
            d.waiting_.push_front(r);
        } else {
            r.error = !quiet ? Error::device_broken : late ? Error::timed_out : Error::device_broken;
            r.quarantined = !quiet;
            done.push_back(r);
        }
    }
    free_command(s, c);
}

/// Everything that was sent, the newest first, so that the oldest is sent first again.
void ScsiHost::take_back(State& s, ScsiRequests& done, bool quiet) {
    for (;;) {
        Command* newest = nullptr;
        for (u16 i = 0; i < s.command_count; ++i) {
            Command& c = s.commands[i];
            if (c.sent && (newest == nullptr || c.tag > newest->tag)) newest = &c;
        }
        if (newest == nullptr) break;
        give_back(s, *newest, done, quiet);
    }
    for (Sync* c = std::exchange(s.sync_waiting, nullptr); c != nullptr; c = c->next) {
        c->queued = false;
        c->verdict = {.action = scsi::Action::fail, .error = Error::timed_out};
        c->finished = true;
    }
    s.tmf_busy = false;
}

void ScsiHost::recover() {
    ScsiRequests done;
    state_.lock()->resetting = true;
    const bool quiet = halt();
    {
        auto s = state_.lock();
        take_back(*s, done, quiet);
    }
    finish_all(done);
    if (!quiet || !may_recover() || !restart()) return bury(quiet);
    {
        auto s = state_.lock();
        s->resetting = s->reset_wanted = false;
        s->scan_wanted = true;  // events may have been lost
    }
    kick(~u32{0});
}

/// For ever.
void ScsiHost::bury(bool quiet) {
    give_up();
    finish_everything(quiet);
}

void ScsiHost::finish_everything(bool quiet) {
    ScsiRequests done;
    {
        auto s = state_.lock();
        s->dead = true;
        take_back(*s, done, quiet);
        for (ScsiDisk* d : s->disks) {
            d->present_.store(false, std::memory_order_relaxed);
            while (BlockRequest* r = d->waiting_.pop_front()) {
                r->error = Error::device_broken;
                done.push_back(*r);
            }
        }
    }
    for (BlockRequest* r = done.pop_front(); r != nullptr; r = done.pop_front()) {
        if (!r->error || *r->error == Error::timed_out) r->error = Error::device_broken;
        r->done(*r);
    }
    if (!quiet) memory_.abandon();
}

}  // namespace ringlet::virtio
