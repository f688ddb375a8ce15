// A set of small numbers as a tree of bitmaps: insert, erase, test and "the lowest member" in O(log64 n).
// Each level has one bit per non-zero word of the level below. The words belong to the caller and begin as
// zeroes (the empty set). Context: the owner's lock.
#pragma once

#include <bit>

#include "lib/types.hpp"

namespace ringlet::kernel {

class BitTree {
public:
    /// Words needed for a set of numbers below `bits` (at least 1).
    static constexpr usize words(usize bits) {
        usize total = 0, level = bits;
        do {
            level = (level + 63) / 64;
            total += level;
        } while (level > 1);
        return total;
    }

    BitTree(u64* words, usize bits) : words_(words), bits_(bits) {}

    bool contains(usize i) const { return i < bits_ && (words_[i / 64] >> (i % 64) & 1) != 0; }
    void insert(usize i) {
        usize size = bits_;
        for (u64* level = words_;;) {
            const u64 before = level[i / 64];
            level[i / 64] = before | u64{1} << (i % 64);
            size = (size + 63) / 64;
            if (before != 0 || size <= 1) return;
            level += size;
            i /= 64;
        }
    }
    void erase(usize i) {
        usize size = bits_;
        for (u64* level = words_;;) {
            const u64 after = level[i / 64] & ~(u64{1} << (i % 64));
            level[i / 64] = after;
            size = (size + 63) / 64;
            if (after != 0 || size <= 1) return;
            level += size;
            i /= 64;
        }
    }
    /// The set must not be empty.
    usize lowest() const {
        const u64* levels[8];
        unsigned depth = 0;
        const u64* level = words_;
        for (usize size = (bits_ + 63) / 64;; size = (size + 63) / 64) {
            levels[depth++] = level;
            level += size;
            if (size <= 1) break;
        }
        usize at = 0;
        while (depth-- != 0) at = at * 64 + static_cast<usize>(std::countr_zero(levels[depth][at]));
        return at;
    }

private:
    u64* words_;
    usize bits_;
};

}  // namespace ringlet::kernel
