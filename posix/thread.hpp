// A thread as the C library knows it. Context: thread.
#pragma once

#include <pthread.h>
#include <signal.h>

#include "kernel/sched/thread.hpp"
#include "lib/list.hpp"
#include "lib/time.hpp"
#include "posix/error.hpp"
#include "posix/futex.hpp"
#include "posix/signals.hpp"

/// What a pthread_t points to. Of pthread_create()'s threads it lives until they are joined or, detached, end; any
/// other thread gets one when it first asks, until it ends.
struct __ringlet_thread : ringlet::ListNode<> {
    enum Fate : ringlet::u32 { runs, detached, ended };

    void* (*start)(void*) = nullptr;
    void* argument = nullptr;
    void* result = nullptr;
    ringlet::kernel::ThreadHandle handle;
    ringlet::u32 ready = 0;    ///< a futex word: `handle` is set
    ringlet::u32 fate = runs;  ///< a futex word: who joins sleeps on it
    bool made_here = false;    ///< by pthread_create()

    ringlet::u32 poked = 0;  ///< not 0: it is to be cancelled, or has a signal: it must not fall asleep
    ringlet::u32 cancelled = 0;
    const ringlet::u32* sleeps_on = nullptr;
    int cancel_state = PTHREAD_CANCEL_ENABLE;
    bool ending = false;
    _pthread_cleanup_context* cleanup = nullptr;  ///< what pthread_cleanup_push() left, the latest first

    ringlet::kernel::Thread* here = nullptr;  ///< the thread that it is, from its beginning to its end
    stack_t alternate{};                      ///< for signal handlers; no bytes: none
    sigset_t blocked = 0;
    ringlet::u64 pending = 0;  ///< signals sent to this thread, by number
    char name[16] = {};
};

namespace ringlet::posix {

/// Bytes of a thread's stack, unless its attributes say otherwise. main()'s is ApplianceConfig::main_stack_bytes.
inline constexpr usize kDefaultStack = 128 * 1024;

/// Cancellation points look here: ends the thread when somebody asked for it and it may be. Holding nothing.
void test_cancel();
/// Would test_cancel() end the thread? Who holds something gives it back first: calls that wait say EINTR for it, and
/// finish() comes to it.
bool cancel_due();
/// What a call does after a handler that was set with SA_RESTART.
enum class AfterHandler : u8 { goes_on, ends };
/// answer() for a call that waits, and so is a cancellation point and can be interrupted. It says EINTR when something
/// came (await_word()), and has given back all that it held: only here the thread ends, or a handler runs, which need
/// not return. Then the call says EINTR, or is made once more.
template <class R = int, AfterHandler kAfter = AfterHandler::goes_on, class Call> R finish(Call call) {
    const auto count = kAfter == AfterHandler::ends ? signals_handled : signals_interrupting;
    for (;;) {
        const u64 before = count();
        const auto outcome = call();
        if (outcome || outcome.error().code != EINTR) return answer<R>(outcome);
        test_cancel();
        run_pending_signals();
        if (count() != before) return answer<R>(outcome);
    }
}
/// futex_wait() that pthread_cancel() and signals end early: woken. The caller looks for itself what it was.
Slept interruptible_wait(const u32& word, u32 expected, Instant deadline, Meanwhile meanwhile);
/// The same for callers that hold nothing: handlers have run. They look with test_cancel().
Slept cancellable_wait(const u32& word, u32 expected, Instant deadline = Instant::never());
/// Wakes `thread` from a cancellable_wait(), or from the next one, and interrupts what it computes.
void poke(__ringlet_thread& thread);
/// Wakes every thread of the application in the same way.
void poke_all();

/// Is the caller a thread of the application?
bool is_application_thread();

/// The thread that runs main(): its pthread_t, its reent. Called on it, first of all.
void adopt_main_thread();
/// What every thread does at its end.
void end_of_thread();

/// The first thread uses newlib's global state, so that exit() finds its streams.
void use_global_reent();
void give_up_reent();
/// Runs the destructors of the thread's specific values.
void destroy_specific();

}  // namespace ringlet::posix
