// Things to do at a time: behind timerfd, alarm() and timer_create(). One thread serves all of them; it is made by the
// first that is set. Context: thread, holding no lock of rank <= descriptor.
#pragma once

#include "lib/list.hpp"
#include "lib/time.hpp"
#include "posix/error.hpp"

namespace ringlet::posix {

/// A first time and then every `interval` (0: once). never(): not set.
struct Schedule {
    Instant next = Instant::never();
    Duration interval{};
    /// Moves on to the next time after `now`; how many there were since.
    u64 advance(Instant now);
};

class Alarm : public ListNode<> {
public:
    Alarm() = default;
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;
    /// Derived classes end with clear(): after it ring() is not running.
    virtual ~Alarm() = default;

    /// What was set before. EAGAIN: there is no thread to be had.
    Outcome<Schedule> set(const Schedule& to);
    Schedule schedule() const;
    /// Takes the times that have passed off its schedule: how many.
    u64 take_passed(Instant now);
    void clear() { (void)set({}); }

protected:
    /// On the alarms' thread, under their lock: quick, calls no function of Alarm. `passed`: how often its time came.
    virtual void ring(u64 passed) = 0;
    /// Does the thread move the schedule on? Else take_passed() does, and ring() comes once until then.
    virtual bool advances_itself() const { return true; }

private:
    friend struct Alarms;
    Schedule schedule_;
    bool rung_ = false;
};

}  // namespace ringlet::posix
