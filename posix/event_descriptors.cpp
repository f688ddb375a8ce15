// eventfd and timerfd: a counter, and a clock, that can be waited for like a socket.
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cstring>

#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "posix/alarms.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/thread.hpp"
#include "posix/time_conversion.hpp"

namespace ringlet::posix {

namespace {

constexpr u64 kMost = UINT64_MAX - 1;

Outcome<usize> tell(u64 value, MutableBytes to) {
    std::memcpy(to.data(), &value, sizeof value);
    return sizeof value;
}

class EventDescription final : public Description {
public:
    EventDescription(u64 value, int flags)
        : Description(O_RDWR | (flags & EFD_NONBLOCK)), value_(value), one_by_one_((flags & EFD_SEMAPHORE) != 0) {}

    Outcome<usize> read(MutableBytes to) override {
        if (to.size() < sizeof(u64)) return refuse(EINVAL);
        for (;;) {
            const u32 seen = changes();
            if (const u64 taken = take()) {
                stir();
                return tell(taken, to);
            }
            if (!blocks()) return refuse(EAGAIN);
            TRY_POSIX(await_change(seen));
        }
    }

    Outcome<usize> write(Bytes from) override {
        if (from.size() < sizeof(u64)) return refuse(EINVAL);
        u64 more;
        std::memcpy(&more, from.data(), sizeof more);
        if (more > kMost) return refuse(EINVAL);
        for (;;) {
            const u32 seen = changes();
            if (give(more)) {
                stir();
                return sizeof more;
            }
            if (!blocks()) return refuse(EAGAIN);
            TRY_POSIX(await_change(seen));
        }
    }

    short ready() override {
        auto value = value_.lock();
        const int bits = (*value != 0 ? POLLIN | POLLRDNORM : 0) | (*value < kMost ? POLLOUT | POLLWRNORM : 0);
        return static_cast<short>(bits);
    }

private:
    u64 take() {
        auto value = value_.lock();
        const u64 taken = one_by_one_ && *value != 0 ? 1 : *value;
        *value -= taken;
        return taken;
    }
    bool give(u64 more) {
        auto value = value_.lock();
        if (more > kMost - *value) return false;
        *value += more;
        return true;
    }

    kernel::Guarded<u64, kernel::Rank::descriptor, kernel::Mutex> value_;
    const bool one_by_one_;
};

}  // namespace

class TimerDescription final : public Description, public Alarm {
public:
    TimerDescription(clockid_t c, int flags) : Description(O_RDONLY | (flags & TFD_NONBLOCK)), clock(c) {}
    ~TimerDescription() override { clear(); }
    TimerDescription* as_timer() override { return this; }

    Outcome<usize> read(MutableBytes to) override {
        if (to.size() < sizeof(u64)) return refuse(EINVAL);
        for (;;) {
            const u32 seen = changes();
            if (const u64 passed = take_passed(kernel::now())) return tell(passed, to);
            if (!blocks()) return refuse(EAGAIN);
            TRY_POSIX(await_change(seen));
        }
    }
    short ready() override { return schedule().next <= kernel::now() ? POLLIN | POLLRDNORM : 0; }
    Outcome<Schedule> change(const Schedule& to) {
        const Schedule before = TRY_POSIX(set(to));
        stir();
        return before;
    }

    const clockid_t clock;

private:
    void ring(u64) override { stir(); }
    bool advances_itself() const override { return false; }
};

}  // namespace ringlet::posix

using namespace ringlet;
using namespace ringlet::posix;

namespace {

Outcome<int> make_event(u64 value, int flags) {
    if ((flags & ~(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)) != 0) return refuse(EINVAL);
    return insert_new<EventDescription>((flags & EFD_CLOEXEC) != 0, value, flags);
}

Outcome<int> make_timer(clockid_t clock, int flags) {
    if ((flags & ~(TFD_NONBLOCK | TFD_CLOEXEC)) != 0) return refuse(EINVAL);
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return refuse(EINVAL);
    return insert_new<TimerDescription>((flags & TFD_CLOEXEC) != 0, clock, flags);
}

/// The timer behind `fd`, kept open by `held`.
Outcome<TimerDescription*> timer_of(int fd, Ref& held) {
    held = TRY_POSIX(description(fd));
    TimerDescription* timer = held->as_timer();
    if (timer == nullptr) return refuse(EINVAL);
    return timer;
}

Outcome<> set_timer(int fd, int flags, const itimerspec& to, itimerspec* old) {
    Ref held;
    TimerDescription* const timer = TRY_POSIX(timer_of(fd, held));
    if ((flags & ~TFD_TIMER_ABSTIME) != 0) return refuse(EINVAL);
    const Schedule schedule = TRY_POSIX(schedule_of(timer->clock, (flags & TFD_TIMER_ABSTIME) != 0, to));
    const Schedule before = TRY_POSIX(timer->change(schedule));
    if (old != nullptr) *old = timerspec_of(before);
    return {};
}

Outcome<> tell_timer(int fd, itimerspec& out) {
    Ref held;
    out = timerspec_of(TRY_POSIX(timer_of(fd, held))->schedule());
    return {};
}

}  // namespace

extern "C" {

int eventfd(unsigned value, int flags) {
    return answer(make_event(value, flags));
}
int eventfd_read(int fd, eventfd_t* value) {
    return read(fd, value, sizeof *value) == sizeof *value ? 0 : -1;
}
int eventfd_write(int fd, eventfd_t value) {
    return write(fd, &value, sizeof value) == sizeof value ? 0 : -1;
}
int timerfd_create(clockid_t clock, int flags) {
    return answer(make_timer(clock, flags));
}
int timerfd_settime(int fd, int flags, const itimerspec* to, itimerspec* old) {
    return answer(set_timer(fd, flags, *to, old));
}
int timerfd_gettime(int fd, itimerspec* now) {
    return answer(tell_timer(fd, *now));
}

}  // extern "C"
