// The decimal digits of a binary floating-point number, all of them, and rounding them: integers only. Pure.
// Context: any; an object has 7.4 KB.
#pragma once

#include <array>

#include "lib/types.hpp"

namespace ringlet::posix {

using u128 = unsigned __int128;

/// A float of any of the three formats of C: mantissa × 2^exponent, when it is finite.
struct Float {
    enum class Kind : u8 { finite, infinite, not_a_number };
    u128 mantissa = 0;
    int exponent = 0;
    int fraction_bits = 0;  ///< of the mantissa: the bits behind the first hexadecimal digit
    bool negative = false;
    Kind kind = Kind::finite;

    static Float of(double value);
    static Float of(long double value);  ///< of x87, or IEEE 754's binary128
};

/// A number in base 10^9. Powers are those of ten: 0 is the units' digit, -1 the first behind the point.
class Decimal {
public:
    /// No digit of any number is behind it.
    static constexpr int kLowest = -17'000;

    /// Finite, and smaller than 2^16384.
    explicit Decimal(const Float& number);
    Decimal(const Decimal&) = delete;
    Decimal& operator=(const Decimal&) = delete;

    /// Where its first digit is, and its last that is not 0. Of 0 both are 0.
    int first() const;
    int last() const;
    unsigned digit(int power) const;
    /// To a multiple of 10^power, half to even.
    void round(int power);

private:
    static constexpr u32 kBase = 1'000'000'000;
    static constexpr int kDigits = 9;  ///< of a limb
    // 2^16384 has 4,933 digits before the point, a binary128 at most 16,494 behind it and then 39 before; and a
    // place for a carry.
    static constexpr int kWhole = 550, kSmall = 6, kLimbs = kSmall + 1 + 16494 / kDigits + 1;

    int index_of(int power) const;
    void shift_up(int bits, u32 low);
    void shift_down(int bits);
    bool rounds_up(int power) const;
    void strip();

    int point_;      ///< index of the limb of the units
    int top_, end_;  ///< limbs [top_, end_) count, the largest first; the others are 0
    std::array<u32, kLimbs> limbs_;
};

}  // namespace ringlet::posix
