// Mutexes, condition variables, read-write locks, barriers and spinlocks, all on futex words. A mutex nobody waits for
// costs one exchange each way. Not robust against a holder that ends: no process can die here and leave one behind.
#include <pthread.h>

#include <sched.h>

#include "posix/error.hpp"
#include "posix/thread.hpp"
#include "posix/time_conversion.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

constexpr u32 kFree = 0, kHeld = 1, kContended = 2;

Outcome<> take(pthread_mutex_t& m) {
    u32 free = kFree;
    if (!shared(m.__word).compare_exchange_strong(free, kHeld, std::memory_order_acquire)) return refuse(EBUSY);
    return {};
}

/// EDEADLK; EAGAIN: locked too often. True: the caller has it already, and once more now.
Outcome<bool> lock_again(pthread_mutex_t& m) {
    if (m.__type == PTHREAD_MUTEX_NORMAL || shared(m.__word).load(std::memory_order_relaxed) == kFree) return false;
    if (__atomic_load_n(&m.__owner, __ATOMIC_RELAXED) != pthread_self()) return false;
    if (m.__type != PTHREAD_MUTEX_RECURSIVE) return refuse(EDEADLK);
    if (m.__count == UINT32_MAX) return refuse(EAGAIN);
    ++m.__count;
    return true;
}

void own(pthread_mutex_t& m) {
    if (m.__type != PTHREAD_MUTEX_NORMAL) __atomic_store_n(&m.__owner, pthread_self(), __ATOMIC_RELAXED);
}

Outcome<> lock(pthread_mutex_t& m, Instant deadline) {
    if (TRY_POSIX(lock_again(m))) return {};
    if (!take(m))
        while (shared(m.__word).exchange(kContended, std::memory_order_acquire) != kFree)
            if (futex_wait(m.__word, kContended, deadline) == Slept::timed_out) return refuse(ETIMEDOUT);
    own(m);
    return {};
}

Outcome<> lock_by(pthread_mutex_t& m, clockid_t clock, const timespec* when) {
    if (const auto again = lock_again(m); !again || *again) return again ? Outcome<>{} : refuse(again.error());
    if (take(m)) {
        own(m);
        return {};
    }
    return lock(m, TRY_POSIX(deadline_of(clock, *when)));
}

Outcome<> unlock(pthread_mutex_t& m) {
    if (m.__type != PTHREAD_MUTEX_NORMAL) {
        if (shared(m.__word).load(std::memory_order_relaxed) == kFree || m.__owner != pthread_self())
            return refuse(EPERM);
        if (m.__count != 0) {
            --m.__count;
            return {};
        }
        __atomic_store_n(&m.__owner, nullptr, __ATOMIC_RELAXED);
    }
    if (shared(m.__word).exchange(kFree, std::memory_order_release) == kContended) futex_wake(m.__word, 1);
    return {};
}

/// The sequence number is read with the mutex held: who signals afterwards moves it, and the sleep does not begin.
Outcome<> wait(pthread_cond_t& c, pthread_mutex_t& m, Instant deadline) {
    test_cancel();
    const u32 seen = shared(c.__seq).load();
    shared(c.__waiters).fetch_add(1);
    if (const auto given = unlock(m); !given) {
        shared(c.__waiters).fetch_sub(1);
        return given;
    }
    const Slept how = cancellable_wait(c.__seq, seen, deadline);
    shared(c.__waiters).fetch_sub(1);
    (void)lock(m, Instant::never());
    test_cancel();
    return how == Slept::timed_out ? Outcome<>(refuse(ETIMEDOUT)) : Outcome<>{};
}

Outcome<> wait_by(pthread_cond_t& c, pthread_mutex_t& m, clockid_t clock, const timespec* when) {
    return wait(c, m, TRY_POSIX(deadline_of(clock, *when)));
}

int signal_all_but(pthread_cond_t& c, usize most) {
    if (shared(c.__waiters).load() == 0) return 0;
    shared(c.__seq).fetch_add(1);
    futex_wake(c.__seq, most);
    return 0;
}

constexpr u32 kWriter = UINT32_MAX;

Outcome<> try_read(pthread_rwlock_t& l) {
    u32 holders = shared(l.__word).load(std::memory_order_relaxed);
    while (holders < kWriter - 1)
        if (shared(l.__word).compare_exchange_weak(holders, holders + 1, std::memory_order_acquire)) return {};
    return refuse(holders == kWriter ? EBUSY : EAGAIN);
}
Outcome<> read(pthread_rwlock_t& l, Instant deadline) {
    for (;;) {
        const auto tried = try_read(l);
        if (tried || tried.error().code != EBUSY) return tried;
        if (futex_wait(l.__word, kWriter, deadline) == Slept::timed_out) return refuse(ETIMEDOUT);
    }
}

Outcome<> try_write(pthread_rwlock_t& l) {
    u32 nobody = 0;
    if (!shared(l.__word).compare_exchange_strong(nobody, kWriter, std::memory_order_acquire)) return refuse(EBUSY);
    return {};
}
Outcome<> write(pthread_rwlock_t& l, Instant deadline) {
    shared(l.__writers).fetch_add(1);
    Outcome<> result;
    for (;;) {
        u32 holders = 0;
        if (shared(l.__word).compare_exchange_strong(holders, kWriter, std::memory_order_acquire)) break;
        if (futex_wait(l.__word, holders, deadline) == Slept::timed_out) {
            result = refuse(ETIMEDOUT);
            break;
        }
    }
    shared(l.__writers).fetch_sub(1);
    return result;
}
int release(pthread_rwlock_t& l) {
    if (shared(l.__word).load(std::memory_order_relaxed) == kWriter) {
        shared(l.__word).store(0, std::memory_order_release);
        futex_wake(l.__word, kEverybody);
    } else if (shared(l.__word).fetch_sub(1, std::memory_order_release) == 1 && shared(l.__writers).load() != 0) {
        futex_wake(l.__word, kEverybody);
    }
    return 0;
}

// By absolute time: it is looked at only when the lock is not free (POSIX, pthread_rwlock_timedrdlock).
Outcome<> read_by(pthread_rwlock_t& l, clockid_t clock, const timespec& when) {
    const auto tried = try_read(l);
    if (tried || tried.error().code != EBUSY) return tried;
    return read(l, TRY_POSIX(deadline_of(clock, when)));
}
Outcome<> write_by(pthread_rwlock_t& l, clockid_t clock, const timespec& when) {
    if (try_write(l)) return {};
    return write(l, TRY_POSIX(deadline_of(clock, when)));
}

}  // namespace

extern "C" {

int pthread_mutex_init(pthread_mutex_t* m, const pthread_mutexattr_t* a) {
    *m = PTHREAD_MUTEX_INITIALIZER;
    if (a != nullptr) m->__type = static_cast<u32>(a->type);
    return 0;
}
int pthread_mutex_destroy(pthread_mutex_t* m) {
    return shared(m->__word).load() == kFree ? 0 : EBUSY;
}
int pthread_mutex_lock(pthread_mutex_t* m) {
    return code_of(lock(*m, Instant::never()));
}
int pthread_mutex_trylock(pthread_mutex_t* m) {
    const auto again = lock_again(*m);
    if (!again) return again.error().code == EDEADLK ? EBUSY : again.error().code;
    if (*again) return 0;
    const auto taken = take(*m);
    if (taken) own(*m);
    return code_of(taken);
}
int pthread_mutex_timedlock(pthread_mutex_t* m, const timespec* when) {
    return code_of(lock_by(*m, CLOCK_REALTIME, when));
}
int pthread_mutex_clocklock(pthread_mutex_t* m, clockid_t clock, const timespec* when) {
    return code_of(lock_by(*m, clock, when));
}
int pthread_mutex_unlock(pthread_mutex_t* m) {
    return code_of(unlock(*m));
}

int pthread_cond_init(pthread_cond_t* c, const pthread_condattr_t* a) {
    *c = PTHREAD_COND_INITIALIZER;
    if (a != nullptr) c->__clock = static_cast<u32>(a->clock);
    return 0;
}
int pthread_cond_destroy(pthread_cond_t* c) {
    return shared(c->__waiters).load() == 0 ? 0 : EBUSY;
}
int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
    return code_of(wait(*c, *m, Instant::never()));
}
int pthread_cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* when) {
    return code_of(wait_by(*c, *m, c->__clock == 0 ? CLOCK_REALTIME : static_cast<clockid_t>(c->__clock), when));
}
int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* when) {
    return code_of(wait_by(*c, *m, clock, when));
}
int pthread_cond_signal(pthread_cond_t* c) {
    return signal_all_but(*c, 1);
}
int pthread_cond_broadcast(pthread_cond_t* c) {
    return signal_all_but(*c, kEverybody);
}

int pthread_rwlock_init(pthread_rwlock_t* l, const pthread_rwlockattr_t*) {
    *l = PTHREAD_RWLOCK_INITIALIZER;
    return 0;
}
int pthread_rwlock_destroy(pthread_rwlock_t* l) {
    return shared(l->__word).load() == 0 ? 0 : EBUSY;
}
int pthread_rwlock_rdlock(pthread_rwlock_t* l) {
    return code_of(read(*l, Instant::never()));
}
int pthread_rwlock_tryrdlock(pthread_rwlock_t* l) {
    return code_of(try_read(*l));
}
int pthread_rwlock_timedrdlock(pthread_rwlock_t* l, const timespec* when) {
    return code_of(read_by(*l, CLOCK_REALTIME, *when));
}
int pthread_rwlock_clockrdlock(pthread_rwlock_t* l, clockid_t clock, const timespec* when) {
    return code_of(read_by(*l, clock, *when));
}
int pthread_rwlock_wrlock(pthread_rwlock_t* l) {
    return code_of(write(*l, Instant::never()));
}
int pthread_rwlock_trywrlock(pthread_rwlock_t* l) {
    return code_of(try_write(*l));
}
int pthread_rwlock_timedwrlock(pthread_rwlock_t* l, const timespec* when) {
    return code_of(write_by(*l, CLOCK_REALTIME, *when));
}
int pthread_rwlock_clockwrlock(pthread_rwlock_t* l, clockid_t clock, const timespec* when) {
    return code_of(write_by(*l, clock, *when));
}
int pthread_rwlock_unlock(pthread_rwlock_t* l) {
    return release(*l);
}

int pthread_barrier_init(pthread_barrier_t* b, const pthread_barrierattr_t*, unsigned count) {
    if (count == 0) return EINVAL;
    *b = {.__count = count, .__arrived = 0, .__seq = 0, .__leaving = 0};
    return 0;
}
/// Waits for those who are still on their way out: the barrier's memory may go away when this returns.
int pthread_barrier_destroy(pthread_barrier_t* b) {
    if (shared(b->__arrived).load() != 0) return EBUSY;
    while (shared(b->__leaving).load() != 0) sched_yield();
    return 0;
}
int pthread_barrier_wait(pthread_barrier_t* b) {
    const u32 round = shared(b->__seq).load();
    shared(b->__leaving).fetch_add(1);
    const bool last = shared(b->__arrived).fetch_add(1) + 1 == b->__count;
    if (last) {
        shared(b->__arrived).store(0);
        shared(b->__seq).fetch_add(1);
        futex_wake(b->__seq, kEverybody);
    } else {
        while (shared(b->__seq).load() == round) futex_wait(b->__seq, round);
    }
    shared(b->__leaving).fetch_sub(1);
    return last ? PTHREAD_BARRIER_SERIAL_THREAD : 0;
}

// A spinning thread would keep its holder from running where there is one CPU: it gives way instead.
int pthread_spin_init(pthread_spinlock_t* s, int) {
    *s = 0;
    return 0;
}
int pthread_spin_destroy(pthread_spinlock_t*) {
    return 0;
}
int pthread_spin_trylock(pthread_spinlock_t* s) {
    return shared(*s).exchange(1, std::memory_order_acquire) == 0 ? 0 : EBUSY;
}
int pthread_spin_lock(pthread_spinlock_t* s) {
    while (pthread_spin_trylock(s) != 0) sched_yield();
    return 0;
}
int pthread_spin_unlock(pthread_spinlock_t* s) {
    shared(*s).store(0, std::memory_order_release);
    return 0;
}

}  // extern "C"
