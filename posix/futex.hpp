// Sleeping on a word: what mutexes, condition variables, semaphores and everything else here wait by. A thread sleeps
// as long as the word has a value; who changes it wakes. Context: thread, holding no spinlock.
#pragma once

#include <atomic>

#include "lib/time.hpp"

namespace ringlet::posix {

enum class Slept : u8 {
    woken,      ///< by futex_wake(), or because the word no longer had the value. Look again
    timed_out,  ///< the deadline passed
};

/// What a sleeping thread does: `network`: runs the stack when nobody else does, so that what it waits for, when it
/// comes from there, costs no switch of threads. For waits for something from outside, with no lock of rank <= net
/// held.
enum class Meanwhile : u8 { nothing, network };

/// Sleeps if `word` is `expected`, and `unless`, when given, is 0. The look and the falling asleep are one step for
/// whoever changes one of them and then wakes those who sleep on `word`.
Slept futex_wait(const u32& word, u32 expected, Instant deadline = Instant::never(), const u32* unless = nullptr,
                 Meanwhile meanwhile = Meanwhile::nothing);
/// Wakes at most `most` of those who sleep on `word`, the longest first; how many it were.
usize futex_wake(const u32& word, usize most);
inline constexpr usize kEverybody = ~usize{0};

/// A word that several threads change: all uses of a futex word go through this.
inline std::atomic_ref<u32> shared(u32& word) {
    return std::atomic_ref<u32>(word);
}

}  // namespace ringlet::posix
