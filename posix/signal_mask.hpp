// Another signal mask for the length of a call: ppoll(), pselect(), epoll_pwait().
#pragma once

#include "posix/signals.hpp"
#include "posix/thread.hpp"

namespace ringlet::posix {

class MaskFor {
public:
    /// nullptr: the mask stays.
    explicit MaskFor(const sigset_t* mask) : before_(pthread_self()->blocked), handled_(signals_handled()) {
        if (mask == nullptr) return;
        pthread_self()->blocked = *mask;
        run_pending_signals();
    }
    ~MaskFor() { pthread_self()->blocked = before_; }
    MaskFor(const MaskFor&) = delete;
    /// What the call has come to, when it holds nothing any more: the handlers of what interrupted it run with the new
    /// mask.
    template <class T> Outcome<T> finish(const Outcome<T>& outcome) const {
        if (!outcome && outcome.error().code == EINTR) {
            test_cancel();
            run_pending_signals();
        }
        return outcome;
    }
    /// A signal came with the new mask.
    bool interrupted() const { return signals_handled() != handled_; }

private:
    sigset_t before_;
    u64 handled_;
};

}  // namespace ringlet::posix
