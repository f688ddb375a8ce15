// pthread_create() to pthread_join(), cancellation, and what a thread does at its end.
#include "posix/thread.hpp"

#include <cstdlib>
#include <cstring>
#include <new>

#include <sched.h>

#include "kernel/sched/interruption.hpp"
#include "kernel/sync/spinlock.hpp"
#include "posix/error.hpp"
#include "posix/handler.hpp"
#include "posix/memory.hpp"
#include "posix/signals.hpp"

using namespace ringlet;
using namespace ringlet::posix;
using Pthread = __ringlet_thread;

namespace {

thread_local Pthread* self = nullptr;
constinit u32 living = 0;  ///< threads that run the application: when the last ends, the run does

struct Threads {
    List<Pthread> all;
};
constinit kernel::Guarded<Threads, kernel::Rank::readiness, kernel::Spinlock> threads;  ///< that can get signals

/// From here on signals reach it.
void enter(Pthread& thread) {
    self = &thread;
    thread.here = &kernel::this_thread();
    auto held = threads.lock();
    held->all.push_back(thread);
}

Pthread& own() {
    if (self == nullptr) [[unlikely]] {
        auto* made = new (std::nothrow) Pthread;
        if (made == nullptr) abort();
        enter(*made);
    }
    return *self;
}

/// Under the lock of `threads`: it does not end meanwhile.
void poke_living(Pthread& thread) {
    shared(thread.poked).store(1);
    if (const u32* word = __atomic_load_n(&thread.sleeps_on, __ATOMIC_SEQ_CST)) futex_wake(*word, kEverybody);
    if (thread.here != nullptr) kernel::interrupt(*thread.here);
}

/// Handlers that pthread_cleanup_push() left, then all that hangs on the thread.
[[noreturn]] void leave(Pthread& thread, void* result) {
    thread.result = result;
    thread.ending = true;
    while (_pthread_cleanup_context* const context = thread.cleanup) {
        thread.cleanup = context->_previous;
        context->_routine(context->_arg);
    }
    kernel::exit_thread();  // calls end_of_thread()
}

void begin(void* p) {
    Pthread& thread = *static_cast<Pthread*>(p);
    enter(thread);
    while (shared(thread.ready).load() == 0) futex_wait(thread.ready, 0);
    leave(thread, thread.start(thread.argument));
}

/// The thread has ended; nobody else has its pthread_t any more.
void bury(Pthread& thread) {
    thread.handle.join();
    delete &thread;
}

Outcome<Pthread*> create(const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    auto* thread = new (std::nothrow) Pthread;
    if (thread == nullptr) return refuse(EAGAIN);
    thread->start = start;
    thread->argument = argument;
    thread->made_here = true;
    if (self != nullptr) thread->blocked = self->blocked;
    if (attributes != nullptr && attributes->detachstate == PTHREAD_CREATE_DETACHED) thread->fate = Pthread::detached;
    const usize stack = attributes != nullptr && attributes->stacksize != 0 ? attributes->stacksize : kDefaultStack;
    shared(living).fetch_add(1);
    auto handle = kernel::ThreadHandle::spawn({.name = "pthread", .stack_bytes = stack}, begin, thread);
    if (!handle) {
        shared(living).fetch_sub(1);
        delete thread;
        return refuse(handle.error() == Error::invalid ? EINVAL : EAGAIN);
    }
    thread->handle = std::move(*handle);
    shared(thread->ready).store(1);
    futex_wake(thread->ready, 1);
    return thread;
}

Outcome<void*> join(Pthread& thread) {
    if (&thread == self) return refuse(EDEADLK);
    if (!thread.made_here) return refuse(EINVAL);
    test_cancel();
    while (shared(thread.fate).load() == Pthread::runs) {
        cancellable_wait(thread.fate, Pthread::runs);
        test_cancel();
    }
    if (shared(thread.fate).load() == Pthread::detached) return refuse(EINVAL);
    void* result = thread.result;
    bury(thread);
    return result;
}

Outcome<> detach(Pthread& thread) {
    if (!thread.made_here) return refuse(EINVAL);
    u32 was = Pthread::runs;
    if (shared(thread.fate).compare_exchange_strong(was, Pthread::detached)) return {};
    if (was == Pthread::detached) return refuse(EINVAL);
    bury(thread);
    return {};
}

}  // namespace

namespace ringlet::posix {

void adopt_main_thread() {
    use_global_reent();
    start_interruptions();
    shared(living).fetch_add(1);
    Pthread& thread = own();
    thread.made_here = true;  // pthread_exit() in main() leaves the others running
    thread.fate = Pthread::runs;
    kernel::set_thread_exit_step([] {
        end_of_thread();
        close_memory_cache();
    });
}

void end_of_thread() {
    destroy_specific();
    Pthread* const thread = self;
    if (thread == nullptr) return give_up_reent();
    const bool counts = thread->made_here;
    if (counts && shared(living).fetch_sub(1) == 1) exit(0);
    give_up_reent();
    {
        auto held = threads.lock();
        List<Pthread>::remove(*thread);
        thread->here = nullptr;
    }
    self = nullptr;
    if (!counts) {
        delete thread;
    } else if (shared(thread->fate).exchange(Pthread::ended) == Pthread::detached) {
        thread->handle.detach();
        delete thread;
    } else {
        futex_wake(thread->fate, kEverybody);  // may be gone already: only its address is used
    }
}

void poke(Pthread& thread) {
    auto held = threads.lock();
    poke_living(thread);
}

void poke_all() {
    auto held = threads.lock();
    for (Pthread& thread : held->all) poke_living(thread);
}

Slept interruptible_wait(const u32& word, u32 expected, Instant deadline, Meanwhile meanwhile) {
    Pthread& thread = own();
    __atomic_store_n(&thread.sleeps_on, &word, __ATOMIC_SEQ_CST);
    const Slept how = futex_wait(word, expected, deadline, &thread.poked, meanwhile);
    __atomic_store_n(&thread.sleeps_on, static_cast<const u32*>(nullptr), __ATOMIC_SEQ_CST);
    return shared(thread.poked).exchange(0) != 0 ? Slept::woken : how;
}

Slept cancellable_wait(const u32& word, u32 expected, Instant deadline) {
    const Slept how = interruptible_wait(word, expected, deadline, Meanwhile::nothing);
    if (how == Slept::woken) run_pending_signals();
    return how;
}

bool is_application_thread() {
    return self != nullptr;
}

bool cancel_due() {
    if (self == nullptr || shared(self->cancelled).load() == 0) return false;
    return self->cancel_state == PTHREAD_CANCEL_ENABLE && !self->ending;
}

void test_cancel() {
    if (cancel_due()) leave(*self, PTHREAD_CANCELED);
}

}  // namespace ringlet::posix

extern "C" {

int pthread_create(pthread_t* out, const pthread_attr_t* attributes, void* (*start)(void*), void* argument) {
    const auto thread = create(attributes, start, argument);
    if (!thread) return thread.error().code;
    *out = *thread;
    return 0;
}

int pthread_join(pthread_t thread, void** result) {
    const auto value = join(*thread);
    if (!value) return value.error().code;
    if (result != nullptr) *result = *value;
    return 0;
}

int pthread_detach(pthread_t thread) {
    return code_of(detach(*thread));
}

pthread_t pthread_self() {
    return &own();
}

int pthread_equal(pthread_t a, pthread_t b) {
    return a == b;
}

void pthread_exit(void* result) {
    leave(own(), result);
}

// A thread is cancelled at the next cancellation point, whatever its type says: between two instructions nobody could
// say what it holds.
int pthread_cancel(pthread_t thread) {
    shared(thread->cancelled).store(1);
    poke(*thread);
    return 0;
}
int pthread_setcancelstate(int state, int* old) {
    if (state != PTHREAD_CANCEL_ENABLE && state != PTHREAD_CANCEL_DISABLE) return EINVAL;
    const int was = std::exchange(own().cancel_state, state);
    if (old != nullptr) *old = was;
    return 0;
}
int pthread_setcanceltype(int type, int* old) {
    if (type != PTHREAD_CANCEL_DEFERRED && type != PTHREAD_CANCEL_ASYNCHRONOUS) return EINVAL;
    if (old != nullptr) *old = PTHREAD_CANCEL_DEFERRED;
    return type == PTHREAD_CANCEL_DEFERRED ? 0 : ENOTSUP;
}
void pthread_testcancel() {
    test_cancel();
}

void _pthread_cleanup_push(_pthread_cleanup_context* context, void (*routine)(void*), void* argument) {
    context->_routine = routine;
    context->_arg = argument;
    context->_previous = own().cleanup;
    own().cleanup = context;
}
void _pthread_cleanup_pop(_pthread_cleanup_context* context, int run) {
    own().cleanup = context->_previous;
    if (run != 0) context->_routine(context->_arg);
}

int pthread_getname_np(pthread_t thread, char* to, size_t size) {
    if (size <= std::strlen(thread->name)) return ERANGE;
    std::strcpy(to, thread->name);
    return 0;
}
int pthread_setname_np(pthread_t thread, const char* name) {
    if (std::strlen(name) >= sizeof thread->name) return ERANGE;
    std::strcpy(thread->name, name);
    return 0;
}

int sched_yield() {
    kernel::yield();
    return 0;
}
void pthread_yield() {
    kernel::yield();
}

}  // extern "C"
