// pthread_once. A function that throws has not run: the next one tries again (std::call_once).
#include <pthread.h>

#include "posix/futex.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

constexpr u32 kNotYet = 0, kRuns = 1, kDone = 2, kAwaited = 3;

void settle(u32& word, u32 to) {
    if (shared(word).exchange(to) == kAwaited) futex_wake(word, kEverybody);
}

struct Attempt {
    u32& word;
    u32 ends_as = kNotYet;
    ~Attempt() { settle(word, ends_as); }
};

}  // namespace

extern "C" int pthread_once(pthread_once_t* once, void (*run)()) {
    u32& word = once->__word;
    for (;;) {
        u32 seen = kNotYet;
        if (shared(word).compare_exchange_strong(seen, kRuns)) {
            Attempt attempt{word};
            run();
            attempt.ends_as = kDone;
            return 0;
        }
        if (seen == kDone) return 0;
        if (seen == kRuns && !shared(word).compare_exchange_strong(seen, kAwaited)) continue;
        futex_wait(word, kAwaited);
    }
}
