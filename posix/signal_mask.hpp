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
    /// A signal came with the new mask.
    bool interrupted() const { return signals_handled() != handled_; }

private:
    sigset_t before_;
    u64 handled_;
};

}  // namespace ringlet::posix
