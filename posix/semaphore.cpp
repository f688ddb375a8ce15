#include <semaphore.h>

#include "posix/error.hpp"
#include "posix/thread.hpp"
#include "posix/time_conversion.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

Outcome<> try_wait(sem_t& s) {
    u32 value = shared(s.__value).load();
    while (value != 0)
        if (shared(s.__value).compare_exchange_weak(value, value - 1)) return {};
    return refuse(EAGAIN);
}

Outcome<> wait(sem_t& s, Instant deadline) {
    for (;;) {
        test_cancel();
        if (try_wait(s)) return {};
        shared(s.__waiters).fetch_add(1);
        const Slept how = cancellable_wait(s.__value, 0, deadline);
        shared(s.__waiters).fetch_sub(1);
        if (how == Slept::timed_out) return try_wait(s) ? Outcome<>{} : refuse(ETIMEDOUT);
    }
}

Outcome<> wait_by(sem_t& s, clockid_t clock, const timespec& when) {
    if (try_wait(s)) return {};
    return wait(s, TRY_POSIX(deadline_of(clock, when)));
}

Outcome<> post(sem_t& s) {
    u32 value = shared(s.__value).load();
    do {
        if (value == SEM_VALUE_MAX) return refuse(EOVERFLOW);
    } while (!shared(s.__value).compare_exchange_weak(value, value + 1));
    if (shared(s.__waiters).load() != 0) futex_wake(s.__value, 1);
    return {};
}

}  // namespace

extern "C" {

int sem_init(sem_t* s, int, unsigned value) {
    if (value > SEM_VALUE_MAX) return answer(Outcome<>(refuse(EINVAL)));
    *s = {.__value = value, .__waiters = 0};
    return 0;
}
int sem_destroy(sem_t* s) {
    return shared(s->__waiters).load() == 0 ? 0 : answer(Outcome<>(refuse(EBUSY)));
}
int sem_wait(sem_t* s) {
    return answer(wait(*s, Instant::never()));
}
int sem_trywait(sem_t* s) {
    return answer(try_wait(*s));
}
int sem_timedwait(sem_t* s, const timespec* when) {
    return answer(wait_by(*s, CLOCK_REALTIME, *when));
}
int sem_clockwait(sem_t* s, clockid_t clock, const timespec* when) {
    return answer(wait_by(*s, clock, *when));
}
int sem_post(sem_t* s) {
    return answer(post(*s));
}
int sem_getvalue(sem_t* s, int* value) {
    *value = static_cast<int>(shared(s->__value).load());
    return 0;
}
sem_t* sem_open(const char*, int, ...) {
    errno = ENOSYS;
    return SEM_FAILED;
}
int sem_close(sem_t*) {
    errno = ENOSYS;
    return -1;
}
int sem_unlink(const char*) {
    errno = ENOSYS;
    return -1;
}

}  // extern "C"
