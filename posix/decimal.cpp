// Doubling and halving in base 10^9 is exact: 10^9 is divisible by 2^9, so a limb's remainder has its place in the
// next.
#include "posix/decimal.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

namespace ringlet::posix {

namespace {

constexpr u32 kPowers[] = {1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000, 100'000'000};

/// From the parts of IEEE 754's formats: `fraction` has `bits` bits, the first bit of a mantissa is implied.
Float from_parts(u128 fraction, int bits, int exponent, int exponent_bits, bool negative) {
    const int most = (1 << exponent_bits) - 1, bias = most / 2;
    Float f{.mantissa = fraction, .fraction_bits = bits, .negative = negative};
    if (exponent == most) f.kind = fraction != 0 ? Float::Kind::not_a_number : Float::Kind::infinite;
    if (exponent != 0) f.mantissa |= u128(1) << bits;
    f.exponent = std::max(exponent, 1) - bias - bits;
    return f;
}

/// x87's: the first bit is not implied; %a shows it as the first of four.
Float from_x87(u64 mantissa, unsigned sign_and_exponent) {
    const int exponent = sign_and_exponent & 0x7fff;
    Float f{.mantissa = mantissa, .fraction_bits = 60, .negative = (sign_and_exponent & 0x8000) != 0};
    if (exponent == 0x7fff) f.kind = mantissa << 1 != 0 ? Float::Kind::not_a_number : Float::Kind::infinite;
    f.exponent = std::max(exponent, 1) - 16383 - 63;
    return f;
}

}  // namespace

Float Float::of(double value) {
    const u64 bits = std::bit_cast<u64>(value);
    return from_parts(bits & ((u64(1) << 52) - 1), 52, static_cast<int>(bits >> 52 & 0x7ff), 11, bits >> 63 != 0);
}

Float Float::of(long double value) {
    if constexpr (std::numeric_limits<long double>::digits == 64) {
        struct {
            u64 mantissa;
            u16 rest;
        } x87;
        std::memcpy(&x87, &value, 10);
        return from_x87(x87.mantissa, x87.rest);
    } else {
        static_assert(std::numeric_limits<long double>::digits == 64 ||
                      std::numeric_limits<long double>::digits == 113);
        u64 words[2];
        std::memcpy(words, &value, sizeof value);
        const u64 high = words[1] & ((u64(1) << 48) - 1);
        return from_parts(u128(high) << 64 | words[0], 112, static_cast<int>(words[1] >> 48 & 0x7fff), 15,
                          words[1] >> 63 != 0);
    }
}

Decimal::Decimal(const Float& number) {
    constexpr int kStep = 29;  // 2^29 < 10^9
    u128 mantissa = number.mantissa;
    int exponent = number.exponent;
    while (mantissa != 0 && exponent < 0 && (mantissa & 1) == 0) mantissa >>= 1, ++exponent;
    point_ = exponent >= 0 ? kWhole : kSmall;
    top_ = end_ = point_ + 1;
    for (int bits = 4 * kStep; bits > 0;) {
        bits -= kStep;
        shift_up(kStep, static_cast<u32>(mantissa >> bits) & ((1u << kStep) - 1));
    }
    if (mantissa == 0) return;
    for (; exponent > 0; exponent -= std::min(exponent, kStep)) shift_up(std::min(exponent, kStep), 0);
    for (; exponent < 0; exponent += std::min(-exponent, kDigits)) shift_down(std::min(-exponent, kDigits));
}

/// Times 2^bits, plus `low` < 2^bits.
void Decimal::shift_up(int bits, u32 low) {
    u64 carry = low;
    for (int i = end_ - 1; i >= top_; --i) {
        const u64 x = (u64(limbs_[i]) << bits) + carry;
        limbs_[i] = static_cast<u32>(x % kBase);
        carry = x / kBase;
    }
    if (carry != 0) limbs_[--top_] = static_cast<u32>(carry);
}

void Decimal::shift_down(int bits) {
    u32 carry = 0;
    for (int i = top_; i < end_; ++i) {
        const u32 x = limbs_[i];
        limbs_[i] = (x >> bits) + carry;
        carry = (x & ((1u << bits) - 1)) * (kBase >> bits);
    }
    if (carry != 0) limbs_[end_++] = carry;
    strip();
}

void Decimal::strip() {
    while (top_ < end_ && limbs_[top_] == 0) ++top_;
}

namespace {
/// The limb, counted from the point up, and the place in it.
struct Place {
    int limb, digit;
};
constexpr Place place_of(int power) {
    const int limb = power >= 0 ? power / 9 : -((8 - power) / 9);
    return {limb, power - 9 * limb};
}
static_assert(place_of(-1).limb == -1 && place_of(-1).digit == 8 && place_of(-9).limb == -1 &&
              place_of(-10).limb == -2 && place_of(9).limb == 1);
}  // namespace

int Decimal::index_of(int power) const {
    return point_ - place_of(power).limb;
}

int Decimal::first() const {
    if (top_ == end_) return 0;
    int power = kDigits * (point_ - top_);
    for (u32 limb = limbs_[top_]; limb >= 10; limb /= 10) ++power;
    return power;
}

int Decimal::last() const {
    int i = end_ - 1;
    while (i >= top_ && limbs_[i] == 0) --i;
    if (i < top_) return 0;
    int power = kDigits * (point_ - i);
    for (u32 limb = limbs_[i]; limb % 10 == 0; limb /= 10) ++power;
    return power;
}

unsigned Decimal::digit(int power) const {
    const int i = index_of(power);
    return i < top_ || i >= end_ ? 0 : limbs_[i] / kPowers[place_of(power).digit] % 10;
}

bool Decimal::rounds_up(int power) const {
    const unsigned next = digit(power - 1);
    if (next != 5) return next > 5;
    const int i = index_of(power - 1);
    return (digit(power) & 1) != 0 || limbs_[i] % kPowers[place_of(power - 1).digit] != 0 ||
           std::any_of(&limbs_[i] + 1, &limbs_[0] + end_, [](u32 limb) { return limb != 0; });
}

void Decimal::round(int power) {
    if (index_of(power - 1) >= end_) return;
    const bool up = rounds_up(power);
    const int at = index_of(power);
    const u32 unit = kPowers[place_of(power).digit];
    while (top_ > at) limbs_[--top_] = 0;
    limbs_[at] -= limbs_[at] % unit;
    end_ = at + 1;
    u32 carry = up ? unit : 0;
    for (int i = at; carry != 0; --i) {
        if (i < top_) limbs_[--top_] = 0;
        const u32 sum = limbs_[i] + carry;
        carry = sum >= kBase ? 1 : 0;
        limbs_[i] = sum - carry * kBase;
    }
    strip();
}

}  // namespace ringlet::posix
