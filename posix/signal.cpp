// Signals: who may have which action, who has which pending, and running handlers. A signal for another thread makes it
// wake from its wait, and there it runs the handler, or interrupts it where it computes (handler.hpp).
#include <signal.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "kernel/log.hpp"
#include "kernel/panic.hpp"
#include "kernel/sync/spinlock.hpp"
#include "posix/error.hpp"
#include "posix/handler.hpp"
#include "posix/signals.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

struct Actions {
    struct sigaction of[NSIG] = {};
};
constinit kernel::Guarded<Actions, kernel::Rank::readiness, kernel::Spinlock> actions;
thread_local u64 handled = 0, interrupting = 0;
constinit u64 process_pending = 0;  ///< sent to no thread in particular

constexpr u64 bit(int signal) {
    return u64{1} << signal;
}

bool is_signal(int number) {
    return number > 0 && number < NSIG;
}

bool is_ignored(const struct sigaction& action, int signal) {
    if (action.sa_handler != SIG_DFL) return action.sa_handler == SIG_IGN;
    return signal == SIGCHLD || signal == SIGURG || signal == SIGCONT || signal == SIGWINCH;
}

[[noreturn]] void end_by(int signal) {
    if (signal == SIGABRT) kernel::panic("abort() called");
    kernel::log(kernel::LogLevel::error, "ended by signal {}", signal);
    _exit(128 + signal);
}

Outcome<> send(__ringlet_thread& thread, int signal) {
    if (signal == 0) return {};
    if (!is_signal(signal)) return refuse(EINVAL);
    __atomic_fetch_or(&thread.pending, bit(signal), __ATOMIC_SEQ_CST);
    if (&thread == pthread_self())
        run_pending_signals();
    else
        poke(thread);
    return {};
}

Outcome<> set_action(int signal, const struct sigaction* to, struct sigaction* old) {
    if (!is_signal(signal)) return refuse(EINVAL);
    if (to != nullptr && (signal == SIGKILL || signal == SIGSTOP)) return refuse(EINVAL);
    auto held = actions.lock();
    if (old != nullptr) *old = held->of[signal];
    if (to != nullptr) held->of[signal] = *to;
    return {};
}

Outcome<> set_mask(int how, const sigset_t* set, sigset_t* old) {
    __ringlet_thread& thread = *pthread_self();
    if (old != nullptr) *old = thread.blocked;
    if (set == nullptr) return {};
    if (how == SIG_BLOCK)
        thread.blocked |= *set;
    else if (how == SIG_UNBLOCK)
        thread.blocked &= ~*set;
    else if (how == SIG_SETMASK)
        thread.blocked = *set;
    else
        return refuse(EINVAL);
    thread.blocked &= ~(bit(SIGKILL) | bit(SIGSTOP));
    run_pending_signals();
    return {};
}

/// The number of a pending signal of `set`, which is no longer pending then; 0: none.
int take_pending(__ringlet_thread& thread, u64 set) {
    for (u64* pending : {&thread.pending, &process_pending}) {
        while (const u64 ready = __atomic_load_n(pending, __ATOMIC_SEQ_CST) & set) {
            const int signal = __builtin_ctzll(ready);
            if ((__atomic_fetch_and(pending, ~bit(signal), __ATOMIC_SEQ_CST) & bit(signal)) != 0) return signal;
        }
    }
    return 0;
}

void wait_for_poke() {
    static constexpr u32 kNever = 0;
    cancellable_wait(kNever, 0);
    test_cancel();
}

}  // namespace

namespace ringlet::posix {

/// The signal is blocked while its handler runs.
void act(__ringlet_thread& thread, siginfo_t& info, arch::Registers* at) {
    const int signal = info.si_signo;
    struct sigaction action;
    {
        auto held = actions.lock();
        action = held->of[signal];
        if ((action.sa_flags & SA_RESETHAND) != 0) held->of[signal].sa_handler = SIG_DFL;
    }
    if (is_ignored(action, signal)) return;
    if (action.sa_handler == SIG_DFL) end_by(signal);
    const sigset_t blocked = thread.blocked;
    thread.blocked |= action.sa_mask | ((action.sa_flags & SA_NODEFER) != 0 ? 0 : bit(signal));
    const int error = errno;
    call_handler(thread, action, info, blocked, at);
    errno = error;
    ++handled;
    if ((action.sa_flags & SA_RESTART) == 0) ++interrupting;
}

std::optional<struct sigaction> handler_of(const __ringlet_thread& thread, int signal) {
    const struct sigaction action = actions.lock()->of[signal];
    const bool runs = action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN;
    if (!runs || (thread.blocked & bit(signal)) != 0) return std::nullopt;
    return action;
}

void run_pending_signals(arch::Registers* at) {
    __ringlet_thread& thread = *pthread_self();
    while (const int signal = take_pending(thread, ~u64{thread.blocked})) {
        siginfo_t info{};
        info.si_signo = signal;
        info.si_code = SI_USER;
        act(thread, info, at);
    }
}

bool signal_due() {
    __ringlet_thread& thread = *pthread_self();
    for (;;) {
        const u64 sent =
            __atomic_load_n(&thread.pending, __ATOMIC_SEQ_CST) | __atomic_load_n(&process_pending, __ATOMIC_SEQ_CST);
        const u64 ready = sent & ~u64{thread.blocked};
        if (ready == 0) return false;
        const int signal = __builtin_ctzll(ready);
        if (!is_ignored(actions.lock()->of[signal], signal)) return true;
        take_pending(thread, bit(signal));
    }
}

u64 signals_handled() {
    return handled;
}

u64 signals_interrupting() {
    return interrupting;
}

void signal_process(int signal) {
    __atomic_fetch_or(&process_pending, bit(signal), __ATOMIC_SEQ_CST);
    poke_all();  // who is first to look and does not block it takes it
}

bool signal_is_handled(int signal) {
    const auto handler = actions.lock()->of[signal].sa_handler;
    return handler != SIG_DFL && handler != SIG_IGN;
}

}  // namespace ringlet::posix

extern "C" {

int sigaction(int signal, const struct sigaction* to, struct sigaction* old) {
    return answer(set_action(signal, to, old));
}
_sig_func_ptr signal(int number, _sig_func_ptr handler) {
    struct sigaction to {
    }, old;
    to.sa_handler = handler;
    to.sa_flags = SA_RESTART;
    return answer(set_action(number, &to, &old)) == 0 ? old.sa_handler : SIG_ERR;
}
int raise(int signal) {
    return answer(send(*pthread_self(), signal));
}
int pthread_kill(pthread_t thread, int signal) {
    return code_of(send(*thread, signal));
}
int _kill(pid_t pid, int signal) {
    if (pid != getpid() && pid != 0 && pid != -1) return answer(Outcome<>(refuse(ESRCH)));
    if (signal == 0) return 0;
    if (!is_signal(signal)) return answer(Outcome<>(refuse(EINVAL)));
    signal_process(signal);
    run_pending_signals();
    return 0;
}
int killpg(pid_t group, int signal) {
    return _kill(group, signal);
}

int sigprocmask(int how, const sigset_t* set, sigset_t* old) {
    return answer(set_mask(how, set, old));
}
int pthread_sigmask(int how, const sigset_t* set, sigset_t* old) {
    return code_of(set_mask(how, set, old));
}
int sigpending(sigset_t* set) {
    *set = static_cast<sigset_t>((pthread_self()->pending | process_pending) & pthread_self()->blocked);
    return 0;
}
int sigsuspend(const sigset_t* mask) {
    __ringlet_thread& thread = *pthread_self();
    const sigset_t before = thread.blocked;
    const u64 seen = handled;
    thread.blocked = *mask;
    run_pending_signals();
    while (handled == seen) wait_for_poke();
    thread.blocked = before;
    errno = EINTR;
    return -1;
}
int pause() {
    const sigset_t mask = pthread_self()->blocked;
    return sigsuspend(&mask);
}
int sigwait(const sigset_t* set, int* signal) {
    __ringlet_thread& thread = *pthread_self();
    while ((*signal = take_pending(thread, *set)) == 0) wait_for_poke();
    return 0;
}
int sigwaitinfo(const sigset_t* set, siginfo_t* info) {
    int signal = 0;
    sigwait(set, &signal);
    if (info != nullptr) {
        *info = {};
        info->si_signo = signal;
        info->si_code = SI_USER;
    }
    return signal;
}

#undef sigaddset
#undef sigdelset
#undef sigemptyset
#undef sigfillset
#undef sigismember
int sigemptyset(sigset_t* set) {
    *set = 0;
    return 0;
}
int sigfillset(sigset_t* set) {
    *set = ~sigset_t{0};
    return 0;
}
int sigaddset(sigset_t* set, int signal) {
    if (!is_signal(signal)) return answer(Outcome<>(refuse(EINVAL)));
    *set |= bit(signal);
    return 0;
}
int sigdelset(sigset_t* set, int signal) {
    if (!is_signal(signal)) return answer(Outcome<>(refuse(EINVAL)));
    *set &= ~bit(signal);
    return 0;
}
int sigismember(const sigset_t* set, int signal) {
    if (!is_signal(signal)) return answer(Outcome<>(refuse(EINVAL)));
    return (*set & bit(signal)) != 0;
}

}  // extern "C"
