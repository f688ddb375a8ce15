// Sleepers hang on one of a few lists, by the address of their word. The list's lock covers the look at the word: who
// changed it before waking either finds the sleeper, or the sleeper found the change.
#include "posix/futex.hpp"

#include <bit>

#include "kernel/sync/spinlock.hpp"
#include "posix/sleeper.hpp"

namespace ringlet::posix {

namespace {

/// First in, first out.
struct Line {
    Sleeper* first = nullptr;
    void add(Sleeper& sleeper) {
        Sleeper** end = &first;
        while (*end != nullptr) end = &(*end)->next;
        *end = &sleeper;
    }
    void remove(Sleeper& sleeper) {
        for (Sleeper** at = &first; *at != nullptr; at = &(*at)->next) {
            if (*at != &sleeper) continue;
            *at = sleeper.next;
            return;
        }
    }
};
using Bucket = kernel::Guarded<Line, kernel::Rank::device, kernel::Spinlock>;

constexpr usize kBuckets = 64;
constinit Bucket buckets[kBuckets];

Bucket& bucket_of(const u32& word) {
    const auto address = reinterpret_cast<std::uintptr_t>(&word) / sizeof(u32);
    return buckets[(address * 0x9e37'79b9'7f4a'7c15) >> 58];
}
static_assert(kBuckets == 64, "bucket_of() takes six bits");

}  // namespace

constinit std::atomic<void (*)(Sleeper& sleeper, Instant deadline)> lead_network{nullptr};

Slept futex_wait(const u32& word, u32 expected, Instant deadline, const u32* unless, Meanwhile meanwhile) {
    Sleeper self(word);
    Bucket& bucket = bucket_of(word);
    {
        auto line = bucket.lock();
        if (__atomic_load_n(&word, __ATOMIC_SEQ_CST) != expected) return Slept::woken;
        if (unless != nullptr && __atomic_load_n(unless, __ATOMIC_SEQ_CST) != 0) return Slept::woken;
        line->add(self);
    }
    const auto lead = meanwhile == Meanwhile::network ? lead_network.load(std::memory_order_acquire) : nullptr;
    if (lead != nullptr)
        lead(self, deadline);
    else
        self.waiter.event.wait_until(deadline);
    // The lock again, whoever woke us: until it is free the waker may still be at work on `self`.
    auto line = bucket.lock();
    if (self.woken.load()) return Slept::woken;
    line->remove(self);
    return Slept::timed_out;
}

usize futex_wake(const u32& word, usize most) {
    usize count = 0;
    auto line = bucket_of(word).lock();
    for (Sleeper** at = &line->first; *at != nullptr && count < most;) {
        Sleeper& sleeper = **at;
        if (sleeper.word != &word) {
            at = &sleeper.next;
            continue;
        }
        *at = sleeper.next;
        sleeper.woken.store(true);
        sleeper.waiter.rouse();
        ++count;
    }
    return count;
}

}  // namespace ringlet::posix
