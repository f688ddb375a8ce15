// alarm(), setitimer() and timer_create(): alarms that send a signal, call a function on a thread, or only run.
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "posix/alarms.hpp"
#include "posix/signals.hpp"
#include "posix/time_conversion.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

/// The one of alarm() and setitimer(ITIMER_REAL).
class RealTimer final : public Alarm {
    void ring(u64) override { signal_process(SIGALRM); }
};

class Timer final : public Alarm {
public:
    Timer(clockid_t c, const sigevent& e) : clock(c), event_(e) {}
    ~Timer() override { clear(); }
    const clockid_t clock;
    std::atomic<int> overrun{0};

private:
    void ring(u64 passed) override {
        overrun = static_cast<int>(std::min<u64>(passed - 1, INT32_MAX));
        if (event_.sigev_notify == SIGEV_SIGNAL) signal_process(event_.sigev_signo);
        if (event_.sigev_notify == SIGEV_THREAD) begin_thread();
    }
    /// None when memory is out: as a signal that is lost.
    void begin_thread() {
        auto* call = new (std::nothrow) Call{event_.sigev_notify_function, event_.sigev_value};
        if (call == nullptr) return;
        pthread_t thread;
        const auto run = [](void* p) -> void* {
            const Call it = *static_cast<Call*>(p);
            delete static_cast<Call*>(p);
            it.function(it.value);
            return nullptr;
        };
        if (pthread_create(&thread, nullptr, run, call) == 0)
            pthread_detach(thread);
        else
            delete call;
    }
    struct Call {
        void (*function)(sigval);
        sigval value;
    };
    sigevent event_;
};

constexpr usize kMostTimers = 64;
struct Timers {
    Timer* all[kMostTimers] = {};
    RealTimer* real = nullptr;
};
constinit kernel::Guarded<Timers, kernel::Rank::descriptor, kernel::Mutex> timers;

/// Made by the first call, and never destroyed: the alarms' thread runs on.
RealTimer& real_timer() {
    alignas(RealTimer) static constinit std::byte storage[sizeof(RealTimer)];
    auto held = timers.lock();
    if (held->real == nullptr) held->real = new (storage) RealTimer;
    return *held->real;
}

Outcome<timer_t> create(clockid_t clock, const sigevent* event) {
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC) return refuse(EINVAL);
    sigevent by_default{};
    by_default.sigev_notify = SIGEV_SIGNAL;
    by_default.sigev_signo = SIGALRM;
    if (event == nullptr) event = &by_default;
    const int how = event->sigev_notify;
    if (how != SIGEV_NONE && how != SIGEV_SIGNAL && how != SIGEV_THREAD) return refuse(EINVAL);
    if (how == SIGEV_SIGNAL && (event->sigev_signo <= 0 || event->sigev_signo >= NSIG)) return refuse(EINVAL);
    auto* timer = new (std::nothrow) Timer(clock, *event);
    if (timer == nullptr) return refuse(EAGAIN);
    {
        auto held = timers.lock();
        Timer** const free = std::find(std::begin(held->all), std::end(held->all), nullptr);
        if (free != std::end(held->all)) {
            *free = timer;
            return static_cast<timer_t>(free - std::begin(held->all));
        }
    }
    delete timer;
    return refuse(EAGAIN);
}

/// use(Timer&) on an existing timer, which stays meanwhile.
template <class Use> auto with(timer_t id, Use use) -> decltype(use(std::declval<Timer&>())) {
    auto held = timers.lock();
    if (id >= kMostTimers || held->all[id] == nullptr) return refuse(EINVAL);
    return use(*held->all[id]);
}

Outcome<> set(timer_t id, int flags, const itimerspec& to, itimerspec* old) {
    return with(id, [&](Timer& timer) -> Outcome<> {
        const Schedule schedule = TRY_POSIX(schedule_of(timer.clock, (flags & TIMER_ABSTIME) != 0, to));
        const Schedule before = TRY_POSIX(timer.set(schedule));
        if (old != nullptr) *old = timerspec_of(before);
        return {};
    });
}

itimerval timeval_of(const itimerspec& t) {
    const auto coarse = [](const timespec& s) {
        return timeval{.tv_sec = s.tv_sec, .tv_usec = static_cast<suseconds_t>(s.tv_nsec / 1000)};
    };
    return {.it_interval = coarse(t.it_interval), .it_value = coarse(t.it_value)};
}

Outcome<> set_real(const itimerval& to, itimerval* old) {
    const auto fine = [](const timeval& v) {
        return timespec{.tv_sec = v.tv_sec, .tv_nsec = static_cast<long>(v.tv_usec) * 1000};
    };
    const itimerspec t{.it_interval = fine(to.it_interval), .it_value = fine(to.it_value)};
    const Schedule before = TRY_POSIX(real_timer().set(TRY_POSIX(schedule_of(CLOCK_MONOTONIC, false, t))));
    if (old != nullptr) *old = timeval_of(timerspec_of(before));
    return {};
}

}  // namespace

extern "C" {

int timer_create(clockid_t clock, sigevent* event, timer_t* out) {
    const auto made = create(clock, event);
    if (made) *out = *made;
    return made ? 0 : answer(made);
}
int timer_delete(timer_t id) {
    Timer* gone = nullptr;
    {
        auto held = timers.lock();
        if (id < kMostTimers) gone = std::exchange(held->all[id], nullptr);
    }
    if (gone == nullptr) return answer(Outcome<>(refuse(EINVAL)));
    delete gone;
    return 0;
}
int timer_settime(timer_t id, int flags, const itimerspec* to, itimerspec* old) {
    return answer(set(id, flags, *to, old));
}
int timer_gettime(timer_t id, itimerspec* now) {
    return answer(with(id, [&](Timer& timer) -> Outcome<> {
        *now = timerspec_of(timer.schedule());
        return {};
    }));
}
int timer_getoverrun(timer_t id) {
    return answer(with(id, [](Timer& timer) -> Outcome<int> { return timer.overrun.load(); }));
}

// Of the three only the real one: the others count the time of a process among others.
int setitimer(int which, const itimerval* to, itimerval* old) {
    if (which != ITIMER_REAL) {
        errno = which == ITIMER_VIRTUAL || which == ITIMER_PROF ? ENOSYS : EINVAL;
        return -1;
    }
    return answer(set_real(*to, old));
}
int getitimer(int which, itimerval* now) {
    if (which != ITIMER_REAL) {
        errno = which == ITIMER_VIRTUAL || which == ITIMER_PROF ? ENOSYS : EINVAL;
        return -1;
    }
    *now = timeval_of(timerspec_of(real_timer().schedule()));
    return 0;
}
unsigned alarm(unsigned seconds) {
    itimerval old{};
    const itimerval to{.it_interval = {}, .it_value = {.tv_sec = static_cast<time_t>(seconds), .tv_usec = 0}};
    (void)set_real(to, &old);
    const auto left = static_cast<unsigned>(old.it_value.tv_sec);
    return left + (old.it_value.tv_usec >= 500'000 || (left == 0 && old.it_value.tv_usec != 0) ? 1 : 0);
}

}  // extern "C"
