// The part of the virtio-scsi driver that does not depend on its configuration (virtio 1.2 §5.6): commands and their
// slots, what an answer means, finding units, events, timeouts and task management. The queues themselves are the
// template's (scsi.hpp), which feeds them with next() and returns what comes out of them to complete().
//
// Context: submit() and flush_submissions() any; completion in the interrupt. Everything slow (service(): scans,
// events, timeouts, resets) runs in one thread, the driver's worker, and waits only with a bound. One spinlock over
// everything; done() and on_disk() are called without it.
#pragma once

#include <array>
#include <memory>

#include "drivers/virtio/counters.hpp"
#include "drivers/virtio/ring.hpp"
#include "drivers/virtio/scsi_disk.hpp"
#include "drivers/virtio/spec/scsi.hpp"
#include "kernel/mm/dma.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::virtio {

enum class ScsiTmf : u8 {  // §5.6.6.2, the values of `subtype`
    abort_task,
    abort_task_set,
    clear_aca,
    clear_task_set,
    i_t_nexus_reset,
    logical_unit_reset,
    query_task,
    query_task_set,
};
enum class ScsiTmfAnswer : u8 { complete, succeeded, rejected, incorrect_lun, bad_target, failed, silent };

/// What is told at boot, by FreeBSD's names (hw.vtscsi.*).
struct ScsiTunables {
    bool bus_reset_disable = true;  ///< false: I_T NEXUS RESET is tried before the whole device is reset
    u8 debug_level = 0;             ///< bit 0: every sense is logged, those that are retried too
};

/// Who hears of disks. Shared by all SCSI hosts of an image: it also numbers the names. Outlives the drivers.
struct ScsiRegistry {
    /// A disk is there (again): at boot in the booting thread, later in the driver's. It lives as long as its driver.
    void (*on_disk)(void* context, fs::BlockDevice& disk) = nullptr;
    /// Its unit has gone: it answers everything with an error. May be nullptr.
    void (*on_gone)(void* context, fs::BlockDevice& disk) = nullptr;
    void* context = nullptr;
    u16 disks = 0, drives = 0;  ///< names given away: sda…, sr0…
};

/// What the device says about itself, made safe.
struct ScsiLimits {
    u16 request_queues = 1;
    u16 max_segments = 1;  ///< of data, per command
    u32 max_request_bytes = 1 << 20;
    u32 per_unit = 1;  ///< commands in flight
    u16 max_target = 0, max_lun = 0;
};

class ScsiHost {
public:
    static constexpr usize kMaxDisks = 64;  ///< that a host can ever have found
    static constexpr Duration kInternalTimeout = Duration::from_s(10), kTmfTimeout = Duration::from_s(5);

    ScsiHost(const ScsiHost&) = delete;
    ScsiHost& operator=(const ScsiHost&) = delete;

    /// One round of what the worker does: true when there was something to do. Context: the worker, or a test that has
    /// none.
    bool service();
    /// When service() must be called next, at the latest.
    Instant next_service();
    /// Looks at every target. Context: as service().
    void scan();
    /// Asks the device to deal with a unit's commands. `tag`: of abort_task and query_task. Context: as service().
    ScsiTmfAnswer task_management(ScsiTmf what, ScsiAddress at, u64 tag = 0);
    /// The tag of the oldest command in flight for a request of this disk; 0: there is none.
    u64 oldest_tag(const ScsiDisk& disk);

    template <class F> void for_each_disk(F visit) {
        usize n;
        {
            auto s = state_.lock();
            n = s->disks.size();
        }
        for (usize i = 0; i < n; ++i) visit(*disk_at(i));
    }
    /// A test's clock: called instead of sleeping.
    void set_wait(void (*hook)(void* context, Instant until), void* context) {
        wait_hook_ = hook;
        wait_context_ = context;
    }

protected:
    using Spec = ScsiSpec;
    struct Slot {  // DMA side of one command; none crosses a page
        Spec::CommandRequest request;
        u8 unused0[13];
        Spec::CommandResponse response;
        u8 unused1[4];
        std::array<std::byte, scsi::kUnmapListBytes> parameters;
        u8 unused2[56];
    };
    static_assert(sizeof(Slot) == 256 && offsetof(Slot, response) == 64 && offsetof(Slot, parameters) == 176);

    /// A command of our own, which the worker waits for.
    struct Sync {
        scsi::Cdb cdb;
        ScsiAddress at;
        u32 data_offset = 0;  ///< in the scratch page
        Sync* next = nullptr;
        bool queued = false, finished = false;
        scsi::Verdict verdict{};
        bool bad_target = false;
        u32 arrived = 0;  ///< bytes of data
        u16 slot = kNone;
        u64 tag = 0;
    };
    struct Command {
        fs::BlockRequest* request = nullptr;
        ScsiDisk* disk = nullptr;
        Sync* sync = nullptr;
        u64 tag = 0;
        Instant deadline;
        ScsiAddress at;
        u16 queue = 0, next_free = 0, slot = 0;
        bool sent = false, aborting = false, reminded = false;
    };
    static constexpr u16 kNone = 0xffff;
    static constexpr usize kMaxQueues = 6, kEventSlot = 64, kMaxEvents = 16;
    static constexpr u8 kPoison = 0xff;      ///< a response that the device has not written
    static constexpr u16 kPatienceFrom = 4;  ///< with less in flight every completion interrupts
    /// The longest that a completion may wait for others: then the worker looks without an interrupt.
    static constexpr Duration kPatience = Duration::from_ms(1);
    /// A command without an answer for so long: perhaps the device missed the bell. It is rung once more.
    static constexpr Duration kRemindAfter = Duration::from_s(1);

    struct State {
        std::unique_ptr<Command[]> commands;
        u16 command_count = 0;
        std::array<u16, kMaxQueues> free_head{};
        std::array<u16, kMaxQueues> next_disk{};  ///< whose turn it is
        std::array<u32, kMaxQueues> waiting{};    ///< requests at the disks of each queue
        FixedVector<ScsiDisk*, kMaxDisks> disks;
        Sync* sync_waiting = nullptr;
        FixedVector<Spec::Event, kMaxEvents> events;
        u32 in_flight = 0;
        u64 last_tag = 0;
        Instant armed = Instant::never();    ///< when the worker wakes by itself
        Instant look_by = Instant::never();  ///< when it looks at the patient queues
        u32 patient = 0;                     ///< request queues whose next completions may come without an interrupt
        bool tmf_busy = false, tmf_done = false;
        u8 tmf_response = kPoison;
        bool dead = false, resetting = false, reset_wanted = false, scan_wanted = false;
    };

    ScsiHost(std::string_view name, ScsiRegistry& registry, ScsiTunables tunables)
        : name_(name), registry_(registry), tunables_(tunables) {}
    virtual ~ScsiHost();

    /// All memory there will ever be: `depth` commands for each queue. Errors: no_memory.
    Result<> allocate(const ScsiLimits& limits, u16 depth, u16 events);
    Result<> start_worker();
    void stop_worker();
    /// The end: everything unanswered ends with an error.
    void finish_everything(bool quiet);

    // What the template has: each takes the lock by itself.
    virtual void kick(u32 queues) = 0;            ///< feeds these request queues, a bit for each
    virtual void look() = 0;                      ///< as if every queue had interrupted
    virtual void look_patiently(u32 queues) = 0;  ///< at request queues that may hold what nobody was told of
    virtual void remind() = 0;                    ///< rings every request queue's bell, wanted or not
    virtual bool send_tmf() = 0;                  ///< the request is in the control slot
    virtual bool halt() = 0;                      ///< reset; false: not confirmed
    virtual Result<> restart() = 0;               ///< queues drained, then everything as at the start
    virtual bool may_recover() = 0;
    virtual void give_up() = 0;
    virtual bool polled() const = 0;

    // For the template, with the lock held.
    /// The next command for queue `q`, in a slot of its own; nullptr: nothing to send, or nothing to send it in.
    Command* next(State& s, u16 q, ScsiRequests& done);
    /// Its chain: returns how many of `pieces` (room for max_segments + 2) are used; the first `readable` are for the
    /// device to read.
    usize fill(Command& c, std::span<Segment> pieces, usize& readable);
    void sent(State& s, Command& c, Instant now);
    void put_back(State& s, Command& c);  ///< did not fit
    void complete(State& s, u16 slot, ScsiRequests& done);
    void take_event(State& s, u16 buffer, u32 written);
    void tmf_answered(State& s);
    /// Notes whether a request queue has patience; returns it.
    bool be_patient(State& s, u16 q, bool patient);
    Segment event_buffer(u16 index) const { return {control_addr(kEventSlot * (index + 1u)), sizeof(Spec::Event)}; }
    Segment tmf_request() const { return {control_addr(0), sizeof(Spec::TmfRequest)}; }
    Segment tmf_response() const { return {control_addr(32), 1}; }
    void wake() { wake_.set(); }
    static void finish_all(ScsiRequests& done) {
        while (fs::BlockRequest* r = done.pop_front()) r->done(*r);  // may be gone afterwards
    }

    mutable kernel::Guarded<State, kernel::Rank::device, kernel::Spinlock> state_;
    ScsiLimits limits_;
    struct {
        Counter timeouts, retries, unit_attentions, tmfs, events, events_missed, bad_events, scans, bad_responses,
            looks, reminders;
    } counters_;

private:
    friend class ScsiDisk;
    void submit(ScsiDisk& disk, fs::BlockRequest& r);
    std::optional<Error> refuse(const ScsiDisk& disk, const fs::BlockRequest& r) const;
    scsi::Cdb command_for(const ScsiDisk& disk, const fs::BlockRequest& r, Slot& slot) const;
    void free_command(State& s, Command& c);
    void complete_request(Command& c, const scsi::Verdict& v, u32 residual, ScsiRequests& done);
    void note_action(State& s, Command& c, const scsi::Verdict& v);
    scsi::Verdict read_response(const Command& c, bool& bad_target, u32& residual);
    void log_sense(const Command& c, const scsi::Sense& sense) const;
    ScsiDisk* disk_at(usize i);

    // The worker.
    bool dead() const { return state_.lock()->dead; }
    void wait(Instant until);
    void look_if_due();
    void unqueue(std::span<Sync> batch);
    bool spend();
    Result<Bytes> run(ScsiAddress at, const scsi::Cdb& cdb);
    void run_batch(std::span<Sync> batch);
    bool all_finished(std::span<Sync> batch);
    void take_back(State& s, ScsiRequests& done, bool quiet);
    void give_back(State& s, Command& c, ScsiRequests& done, bool quiet);
    bool outstanding(u16 slot, u64 tag);
    bool wait_back(u16 slot, u64 tag, Duration patience);
    void remind_device();
    void escalate(u16 slot, u64 tag);
    void recover();
    void bury(bool quiet);
    void handle(const Spec::Event& e);
    void scan_targets(u16 first, u16 count);
    void scan_target(u16 target, const Sync& answer);
    void probe(ScsiAddress at);
    void adopt(ScsiAddress at, const scsi::Unit& unit);
    void refresh(ScsiDisk& disk);
    void publish(State& s, ScsiDisk& disk, const scsi::Unit& unit);
    void remove(ScsiDisk& disk);
    ScsiDisk* find(ScsiAddress at);
    ScsiDisk* find_twin(const scsi::Unit& unit);
    void announce(ScsiDisk& disk);
    void name(ScsiDisk& disk);

    DmaAddr control_addr(usize offset) const { return memory_.addr(control_at_ + offset); }
    Slot& slot(u16 i) const { return *memory_.at<Slot>(usize{i} * sizeof(Slot)); }

    std::string_view name_;
    ScsiRegistry& registry_;
    ScsiTunables tunables_;
    kernel::DmaRegion memory_;  ///< slots, control page, scratch page, zeros
    usize control_at_ = 0, scratch_at_ = 0, zeros_at_ = 0;
    u16 depth_ = 0;
    kernel::Event wake_;
    kernel::ThreadHandle worker_;
    std::atomic<bool> stopping_{false};
    bool has_worker_ = false;
    Instant window_;  ///< the worker's budget of slow work, so that a device cannot keep it busy for ever
    u32 spent_ = 0;
    void (*wait_hook_)(void*, Instant) = nullptr;
    void* wait_context_ = nullptr;
};

}  // namespace ringlet::virtio
