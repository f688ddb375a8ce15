// Which units there are: REPORT LUNS at every target, then one conversation with each unit (drivers/scsi/unit.hpp), and
// what events and unit attentions say has changed since. Context: the worker, or the booting thread before there is
// one.
#include <algorithm>
#include <new>

#include "drivers/virtio/scsi_host.hpp"
#include "kernel/log.hpp"

namespace ringlet::virtio {

using kernel::log;
using kernel::LogLevel;

namespace {

constexpr u16 kBatch = 32;       // targets asked with one kick
constexpr u32 kShortList = 128;  // of 15 units; more are asked for again
static_assert(kBatch * kShortList <= kPageSize);

/// The same unit, wherever it is: one that names itself, and by the same name.
bool same_unit(const scsi::Inquiry& i, const scsi::Identity& id, const scsi::Serial& serial, const scsi::Unit& u) {
    if (i.type != u.inquiry.type || i.product.view() != u.inquiry.product.view()) return false;
    if (id.kind != 0xff || u.identity.kind != 0xff) return id == u.identity && serial.view() == u.serial.view();
    return serial.length != 0 && serial.view() == u.serial.view();
}

fs::BlockLimits limits_of(const scsi::Unit& u, const ScsiLimits& host) {
    constexpr u64 kMost = u64{1} << 30;
    constexpr u32 kZeroBytes = 4096;
    const u32 block = u.capacity.block_size;
    u64 most = host.max_request_bytes;
    if (u.limits.max_transfer_blocks != 0) most = std::min(most, u64{u.limits.max_transfer_blocks} * block);
    fs::BlockLimits l;
    l.block_size = block;
    l.max_segments = host.max_segments;
    l.max_request_bytes = std::max(u32(std::min(most, kMost)) & ~(block - 1), block);
    l.max_segment_bytes = l.max_request_bytes;
    const bool one_block_fits = block <= kZeroBytes;
    if (u.unmap == scsi::UnmapWay::unmap || one_block_fits) l.max_discard_bytes = u64{u.max_unmap_blocks} * block;
    if (one_block_fits) l.max_write_zeroes_bytes = u64{u.max_zero_blocks} * block;
    const bool same_unmaps =
        u.zero == scsi::ZeroWay::write_same_10 ? u.provisioning.write_same_10 : u.provisioning.write_same_16;
    l.write_zeroes_unmaps = u.capacity.provisioned && same_unmaps;
    l.discard_granularity = u32(std::min(std::max<u64>(u.limits.unmap_granularity, 1) * block, kMost));
    l.physical_block_size = u32(std::min(u64{block} * u.capacity.blocks_per_physical, kMost));
    l.optimal_io_bytes = u32(std::min(u64{u.limits.optimal_blocks} * block, kMost));
    return l;
}

}  // namespace

ScsiDisk* ScsiHost::disk_at(usize i) {
    return state_.lock()->disks[i];
}

ScsiDisk* ScsiHost::find(ScsiAddress at) {
    auto s = state_.lock();
    for (ScsiDisk* d : s->disks)
        if (d->present() && d->address_ == at) return d;
    return nullptr;
}

/// A disk whose unit has gone, and this is the same.
ScsiDisk* ScsiHost::find_twin(const scsi::Unit& unit) {
    auto s = state_.lock();
    for (ScsiDisk* d : s->disks)
        if (!d->present() && d->in_flight_ == 0 && same_unit(d->inquiry_, d->identity_, d->serial_, unit)) return d;
    return nullptr;
}

// --- Scanning

void ScsiHost::scan() {
    counters_.scans.add();
    state_.lock()->scan_wanted = false;
    for (u32 first = 0; first <= limits_.max_target; first += kBatch)
        scan_targets(u16(first), u16(std::min<u32>(kBatch, limits_.max_target - first + 1)));
}

void ScsiHost::scan_targets(u16 first, u16 count) {
    if (dead()) return;
    std::array<Sync, kBatch> batch;
    for (u16 i = 0; i < count; ++i) {
        batch[i].cdb = scsi::report_luns(kShortList);
        batch[i].at = {.target = u16(first + i), .lun = 0};
        batch[i].data_offset = i * kShortList;
    }
    std::memset(memory_.at<std::byte>(scratch_at_), 0, kPageSize);
    run_batch(std::span(batch).first(count));
    // The lists first: the conversations below use the same memory.
    std::array<bool, kBatch> there;
    for (u16 i = 0; i < count; ++i) there[i] = !batch[i].bad_target;
    for (u16 i = 0; i < count; ++i) {
        const u16 target = u16(first + i);
        if (there[i]) {
            scan_target(target, batch[i]);
            continue;
        }
        for_each_disk([&](ScsiDisk& d) {
            if (d.present() && d.address_.target == target) remove(d);
        });
    }
}

void ScsiHost::scan_target(u16 target, const Sync& first_answer) {
    if (!first_answer.verdict.again && first_answer.verdict.action != scsi::Action::done &&
        first_answer.verdict.error == Error::timed_out)
        return;  // it is there, but says nothing: what was known of it stays
    const auto answer = run({target, 0}, scsi::report_luns(u32(kPageSize)));
    scsi::LunList list;
    if (!answer || !scsi::parse_report_luns(*answer, limits_.max_lun, list)) {
        if (answer || answer.error() == Error::unsupported) probe({target, 0});  // older than REPORT LUNS
        return;
    }
    if (list.ignored != 0)
        log(LogLevel::debug, "{}: target {}: {} logical units are beyond what is looked at", name_, target,
            list.ignored);
    for_each_disk([&](ScsiDisk& d) {
        if (!d.present() || d.address_.target != target) return;
        if (std::find(list.luns.begin(), list.luns.end(), d.address_.lun) == list.luns.end()) remove(d);
    });
    for (const u16 lun : list.luns) probe({target, lun});
}

void ScsiHost::probe(ScsiAddress at) {
    const auto unit = scsi::identify([&](const scsi::Cdb& cdb) { return run(at, cdb); });
    if (unit) return adopt(at, *unit);
    if (ScsiDisk* d = find(at);
        d != nullptr && (unit.error() == Error::not_found || unit.error() == Error::device_broken))
        return remove(*d);
    if (unit.error() != Error::not_found && unit.error() != Error::unsupported && unit.error() != Error::device_broken)
        log(LogLevel::warning, "{}: unit {}:{}: {}", name_, at.target, at.lun, unit.error());
}

void ScsiHost::adopt(ScsiAddress at, const scsi::Unit& unit) {
    ScsiDisk* d = find(at);
    if (d != nullptr && !same_unit(d->inquiry_, d->identity_, d->serial_, unit) &&
        (unit.identity.kind != 0xff || unit.serial.length != 0)) {
        remove(*d);  // another one in its place
        d = nullptr;
    }
    const bool news = d == nullptr;
    if (d == nullptr) d = find_twin(unit);
    const bool made = d == nullptr;
    if (made) {
        if (state_.lock()->disks.full())
            return log(LogLevel::error, "{}: more than {} disks: unit {}:{} is left alone", name_, kMaxDisks, at.target,
                       at.lun);
        d = new (std::nothrow) ScsiDisk(*this);
        if (d == nullptr) return log(LogLevel::error, "{}: out of memory for another disk", name_);
        d->inquiry_ = unit.inquiry;
        d->serial_ = unit.serial;
        d->identity_ = unit.identity;
        name(*d);
    }
    {
        auto s = state_.lock();
        d->address_ = at;
        if (made) {
            d->queue_ = u16(s->disks.size() % limits_.request_queues);
            d->waiting_.count_in(s->waiting[d->queue_]);
            s->disks.try_push_back(d);
        }
        d->present_.store(true, std::memory_order_relaxed);
        publish(*s, *d, unit);
    }
    if (news) announce(*d);
    if (news && registry_.on_disk != nullptr) registry_.on_disk(registry_.context, *d);
}

/// With the lock: what the unit says is what its disk is from now on.
void ScsiHost::publish(State&, ScsiDisk& d, const scsi::Unit& unit) {
    const fs::BlockLimits limits = limits_of(unit, limits_);
    const bool other = d.sectors() != unit.sectors() || d.read_only() != unit.read_only() ||
                       d.unit_.medium != unit.medium || d.limits_.block_size != limits.block_size;
    d.unit_ = unit;
    d.limits_ = limits;
    if (other) d.stale_ = !d.waiting_.empty() || d.in_flight_ != 0;
    d.sectors_.store(unit.sectors(), std::memory_order_relaxed);
    d.read_only_.store(unit.read_only(), std::memory_order_relaxed);
    d.cached_.store(unit.write_cache, std::memory_order_relaxed);
    if (other) d.generation_.fetch_add(1, std::memory_order_relaxed);
}

void ScsiHost::remove(ScsiDisk& d) {
    ScsiRequests done;
    {
        auto s = state_.lock();
        d.present_.store(false, std::memory_order_relaxed);
        d.sectors_.store(0, std::memory_order_relaxed);
        d.generation_.fetch_add(1, std::memory_order_relaxed);
        d.refresh_ = false;
        d.paused_until_ = {};
        while (fs::BlockRequest* r = d.waiting_.pop_front()) {
            r->error = Error::device_broken;
            done.push_back(*r);
        }
    }
    log(LogLevel::info, "{}: unit {}:{} has gone", d.name(), d.address_.target, d.address_.lun);
    finish_all(done);
    if (registry_.on_gone != nullptr) registry_.on_gone(registry_.context, d);
}

void ScsiHost::refresh(ScsiDisk& d) {
    if (!d.present()) return;
    scsi::Unit unit;
    {
        auto s = state_.lock();
        unit = d.unit_;
    }
    const u64 before = d.sectors();
    const auto done = scsi::refresh([&](const scsi::Cdb& cdb) { return run(d.address_, cdb); }, unit);
    if (!done && (done.error() == Error::device_broken || done.error() == Error::not_found)) return remove(d);
    if (!done) return log(LogLevel::warning, "{}: cannot be asked for its capacity: {}", d.name(), done.error());
    {
        auto s = state_.lock();
        publish(*s, d, unit);
    }
    if (d.sectors() != before)
        log(LogLevel::info, "{}: now {} KiB{}", d.name(), d.sectors() / 2, unit.medium ? "" : ", no medium");
    kick(u32{1} << d.queue_);
}

void ScsiHost::name(ScsiDisk& d) {
    if (d.inquiry_.type == scsi::DeviceType::cdrom) {
        d.name_length_ = u8(format_to(d.name_, "sr{}", registry_.drives++).size());
        return;
    }
    const u16 n = registry_.disks++;
    char* to = d.name_;
    *to++ = 's', *to++ = 'd';
    if (n >= 26) *to++ = char('a' + (n / 26 - 1) % 26);
    *to++ = char('a' + n % 26);
    d.name_length_ = u8(to - d.name_);
}

void ScsiHost::announce(ScsiDisk& d) {
    log(LogLevel::info, "{}: {}:{} {} {}{}{}", d.name(), d.address_.target, d.address_.lun, d.inquiry_.vendor.view(),
        d.inquiry_.product.view(), d.serial_.length != 0 ? ", serial " : "", d.serial_.view());
}

// --- Events

void ScsiHost::handle(const Spec::Event& e) {
    const Spec::Lun& lun = e.lun;
    const u16 number = u16((lun[2] << 8 | lun[3]) & 0x3fff);
    const bool plain = lun[0] == 1 && (lun[2] == 0 || lun[2] >> 6 == 1);
    const ScsiAddress at{.target = lun[1], .lun = number};
    const u32 what = e.event, reason = e.reason;
    if (what == Spec::kNoEvent) return;
    if (!plain || at.target > limits_.max_target || at.lun > limits_.max_lun) return counters_.bad_events.add();
    ScsiDisk* const d = find(at);
    const auto ask_again = [&] {
        if (d != nullptr) refresh(*d);
    };
    switch (what) {
    case Spec::kTransportReset:
        if (reason == Spec::kResetRemoved) return d != nullptr ? remove(*d) : void();
        if (reason == Spec::kResetRescan) return probe(at);
        return reason == Spec::kResetHard ? ask_again() : counters_.bad_events.add();
    case Spec::kParamChange:
        if (reason == (0x3f | 0x0e << 8)) {
            state_.lock()->scan_wanted = true;
            return;
        }
        return ask_again();
    case Spec::kAsyncNotify:
        return ask_again();
    default:
        return counters_.bad_events.add();
    }
}

}  // namespace ringlet::virtio
