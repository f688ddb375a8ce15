// Sequence numbers (RFC 9293 §3.4). The only legal way to compare them in this tree: they live on a circle of 2^32,
// and "less" means "less than half a circle ahead". Context: any.
#pragma once

#include "lib/types.hpp"

namespace ringlet::net::tcp {

class SeqNum {
    u32 value_ = 0;

public:
    constexpr SeqNum() = default;
    constexpr explicit SeqNum(u32 value) : value_(value) {}
    constexpr u32 raw() const { return value_; }
    friend constexpr bool operator==(SeqNum, SeqNum) = default;
    friend constexpr bool operator<(SeqNum a, SeqNum b) { return static_cast<i32>(a.value_ - b.value_) < 0; }
    friend constexpr bool operator>(SeqNum a, SeqNum b) { return b < a; }
    friend constexpr bool operator<=(SeqNum a, SeqNum b) { return !(b < a); }
    friend constexpr bool operator>=(SeqNum a, SeqNum b) { return !(a < b); }
    friend constexpr SeqNum operator+(SeqNum a, u32 n) { return SeqNum(a.value_ + n); }
    friend constexpr SeqNum operator-(SeqNum a, u32 n) { return SeqNum(a.value_ - n); }
    /// The distance from `b` up to `a`; the caller knows that b <= a.
    friend constexpr u32 operator-(SeqNum a, SeqNum b) { return a.value_ - b.value_; }
    constexpr SeqNum& operator+=(u32 n) {
        value_ += n;
        return *this;
    }
    /// low <= *this < low + length, on the circle; never inside an empty interval.
    constexpr bool within(SeqNum low, u32 length) const { return value_ - low.value_ < length; }
};
static_assert(SeqNum(0xffff'fff0) < SeqNum(0x10) && SeqNum(0x10) - SeqNum(0xffff'fff0) == 0x20);

constexpr SeqNum max(SeqNum a, SeqNum b) {
    return a < b ? b : a;
}
constexpr SeqNum min(SeqNum a, SeqNum b) {
    return a < b ? a : b;
}

}  // namespace ringlet::net::tcp
