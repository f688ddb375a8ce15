// The alarms in no order: there are few, and each round looks at all. Their thread sleeps on a word that changes when
// one is set.
#include "posix/alarms.hpp"

#include <algorithm>

#include "kernel/sched/mutex.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/sync/lock.hpp"
#include "kernel/time/clock.hpp"
#include "posix/futex.hpp"

namespace ringlet::posix {

struct Alarms {
    List<Alarm> all;
    bool has_thread = false;

    /// Rings what is due, and says when the next is.
    Instant serve(Instant now) {
        Instant next = Instant::never();
        for (Alarm& alarm : all) {
            Schedule& s = alarm.schedule_;
            if (s.next <= now && !alarm.rung_) {
                alarm.rung_ = !alarm.advances_itself();
                alarm.ring(alarm.rung_ ? 1 : s.advance(now));
            }
            if (!alarm.rung_) next = std::min(next, s.next);
        }
        return next;
    }
};

namespace {

constinit kernel::Guarded<Alarms, kernel::Rank::service, kernel::Mutex> alarms;
constinit u32 changed = 0;  ///< a futex word

void run(void*) {
    for (;;) {
        const u32 seen = shared(changed).load();
        const Instant next = alarms.lock()->serve(kernel::now());
        futex_wait(changed, seen, next);
    }
}

}  // namespace

u64 Schedule::advance(Instant now) {
    if (next > now) return 0;
    if (interval.ns <= 0) {
        next = Instant::never();
        return 1;
    }
    const u64 passed = (now.ns - next.ns) / static_cast<u64>(interval.ns) + 1;
    next = Instant{next.ns + passed * static_cast<u64>(interval.ns)};
    return passed;
}

Outcome<Schedule> Alarm::set(const Schedule& to) {
    Schedule before;
    {
        auto held = alarms.lock();
        if (to.next != Instant::never() && !held->has_thread) {
            auto thread = kernel::ThreadHandle::spawn({.name = "alarms", .priority = 17}, run, nullptr);
            if (!thread) return refuse(EAGAIN);
            thread->detach();
            held->has_thread = true;
        }
        before = schedule_;
        schedule_ = to;
        rung_ = false;
        const bool wanted = to.next != Instant::never();
        if (wanted && !linked()) held->all.push_back(*this);
        if (!wanted && linked()) List<Alarm>::remove(*this);
    }
    shared(changed).fetch_add(1);
    futex_wake(changed, 1);
    return before;
}

Schedule Alarm::schedule() const {
    auto held = alarms.lock();
    return schedule_;
}

u64 Alarm::take_passed(Instant now) {
    u64 passed;
    {
        auto held = alarms.lock();
        passed = schedule_.advance(now);
        if (passed == 0 || !rung_) return passed;
        rung_ = false;
    }
    shared(changed).fetch_add(1);
    futex_wake(changed, 1);
    return passed;
}

}  // namespace ringlet::posix
