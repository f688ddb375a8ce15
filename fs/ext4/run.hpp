// Where a piece of a file lies, and the piece that was asked for last. Context: thread.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>

#include "lib/types.hpp"

namespace ringlet::fs::ext4 {

/// Consecutive file blocks that lie consecutively on the disk, or nowhere.
struct Run {
    u64 physical = 0;        ///< 0: a hole
    u64 length = 1;          ///< blocks, at least 1
    bool unwritten = false;  ///< on the disk, but what lies there is not the file's

    bool reads_zeros() const { return physical == 0 || unwritten; }
};

/// The run that was found last, so that a file is read without a walk through its map. Several readers may find and
/// keep at a time; forget() is for whoever has the map alone.
///
/// Three words and a count: odd while somebody changes them. A reader's loads are acquire and a writer's stores
/// release, so that whoever sees a new word sees the odd count at his second look.
class LastRun {
public:
    std::optional<Run> find(u64 logical) const {
        const u32 seen = changes_.load(std::memory_order_acquire);
        const u64 where = where_.load(std::memory_order_acquire);
        const u64 what = what_.load(std::memory_order_acquire);
        const u64 into = logical - static_cast<u32>(where), length = where >> 32;
        if ((seen & 1) != 0 || into >= length || changes_.load(std::memory_order_relaxed) != seen) return std::nullopt;
        const u64 start = what & ~kUnwritten;
        return Run{start == 0 ? 0 : start + into, length - into, (what & kUnwritten) != 0};
    }
    /// The run that begins with `logical`. When somebody else is at it, his stays.
    void keep(u32 logical, const Run& run) {
        u32 seen = changes_.load(std::memory_order_relaxed);
        if ((seen & 1) != 0 || !changes_.compare_exchange_strong(seen, seen + 1, std::memory_order_acquire)) return;
        const u64 length = std::min<u64>(run.length, ~u32{0});
        where_.store(length << 32 | logical, std::memory_order_release);
        what_.store(run.physical | (run.unwritten ? kUnwritten : 0), std::memory_order_release);
        changes_.store(seen + 2, std::memory_order_release);
    }
    void forget() { keep(0, {0, 0, false}); }

private:
    static constexpr u64 kUnwritten = u64{1} << 63;
    std::atomic<u32> changes_{0};
    std::atomic<u64> where_{0};  ///< the first block of the file, and above it how many
    std::atomic<u64> what_{0};   ///< the first block on the disk
};

}  // namespace ringlet::fs::ext4
