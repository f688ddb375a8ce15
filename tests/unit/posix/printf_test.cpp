// print_formatted() against the host's printf: the same characters, or the test says for which format and value.
#include <array>
#include <bit>
#include <cerrno>
#include <climits>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <string>

#include <catch2/catch.hpp>

#include "posix/decimal.hpp"
#include "posix/printf.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

struct Printed {
    int count;
    std::string text;
    friend bool operator==(const Printed&, const Printed&) = default;
};
std::ostream& operator<<(std::ostream& to, const Printed& p) {
    return to << p.count << " \"" << p.text << '"';
}

Printed ours(const char* format, ...) {
    Printed p;
    const auto sink = [&](std::string_view piece) { p.text += piece; };
    va_list arguments;
    va_start(arguments, format);
    p.count = print_formatted(sink, format, arguments);
    va_end(arguments);
    return p;
}

Printed theirs(const char* format, ...) {
    static std::array<char, 40'000> text;
    va_list arguments;
    va_start(arguments, format);
    const int count = std::vsnprintf(text.data(), text.size(), format, arguments);
    va_end(arguments);
    return {count, count < 0 ? "" : std::string(text.data(), static_cast<usize>(count))};
}

#define CHECK_SAME(...) CHECK(ours(__VA_ARGS__) == theirs(__VA_ARGS__))

class Random {
public:
    u64 bits() { return engine_(); }
    int below(int n) { return static_cast<int>(engine_() % static_cast<u64>(n)); }
    /// Flags, width and precision, each or none.
    std::string directive(std::string_view conversions, std::string_view length = "") {
        std::string format = "%";
        for (const char flag : {'-', '+', ' ', '#', '0'})
            if (below(4) == 0) format += flag;
        if (below(2) == 0) format += std::to_string(below(40) + 1);
        if (below(2) == 0) format += below(8) == 0 ? "." : "." + std::to_string(below(below(6) == 0 ? 400 : 25));
        format += length;
        return format + conversions[static_cast<usize>(below(static_cast<int>(conversions.size())))];
    }
    /// Every exponent as likely as any other, and now and then few digits, powers of two, or what has no number.
    double real() {
        switch (below(8)) {
        case 0:
            return below(2'000'000) / 1000.0 - 1000;
        case 1:
            return std::ldexp(1.0, below(2098) - 1074);
        case 2:
            return (below(20001) - 10000) * 0.5;
        case 3:
            return std::pow(10.0, below(600) - 300) * (1 + below(9));
        default:
            return std::bit_cast<double>(bits());
        }
    }
    long double long_real() {
        if (below(2) == 0) return real();
        const int exponent = below(32700) - 16400;
        return std::ldexp(static_cast<long double>(bits() | u64(1) << 63), exponent - 63) * (below(2) == 0 ? -1 : 1);
    }

private:
    std::mt19937_64 engine_{Catch::rngSeed() + 1};
};

constexpr int kRounds = 60'000;
constexpr std::string_view kReal = "eEfFgGaA";

}  // namespace

#pragma GCC diagnostic ignored "-Wformat"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

TEST_CASE("printf prints doubles as the host does") {
    Random random;
    for (int i = 0; i < kRounds; ++i) {
        const std::string format = random.directive(kReal);
        const double value = random.real();
        INFO(format << ' ' << std::hexfloat << value);
        REQUIRE(ours(format.c_str(), value) == theirs(format.c_str(), value));
    }
}

TEST_CASE("printf prints long doubles as the host does") {
    Random random;
    for (int i = 0; i < kRounds / 10; ++i) {
        const std::string format = random.directive(kReal, "L");
        const long double value = random.long_real();
        INFO(format << ' ' << std::hexfloat << value);
        REQUIRE(ours(format.c_str(), value) == theirs(format.c_str(), value));
    }
}

TEST_CASE("printf prints integers as the host does") {
    Random random;
    for (const std::string_view length : {"", "hh", "h", "l", "ll", "j", "z", "t"})
        for (int i = 0; i < kRounds / 10; ++i) {
            const std::string format = random.directive("diuoxX", length);
            const u64 value = random.below(4) == 0 ? 0 : random.bits() >> random.below(64);
            INFO(format << ' ' << value);
            REQUIRE(ours(format.c_str(), value) == theirs(format.c_str(), value));
        }
}

TEST_CASE("printf: the ends of what numbers there are") {
    using Double = std::numeric_limits<double>;
    using Long = std::numeric_limits<long double>;
    for (const char* format : {"%f", "%e", "%g", "%a", "%.0f", "%.0e", "%#.0f", "%+.30g", "%.1100f", "%010.3G", "%.0a"})
        for (const double value :
             {0.0, -0.0, Double::max(), Double::min(), Double::denorm_min(), Double::infinity(), -Double::quiet_NaN(),
              0.5, 1.5, 2.5, 9.5, 99.5, 999999.5, 0.00009999995, 1e15, 1e23}) {
            INFO(format << ' ' << value);
            CHECK_SAME(format, value);
        }
    for (const char* format : {"%Lf", "%Le", "%Lg", "%La", "%.16500Lf", "%.3La", "%.0La"})
        for (const long double value : {0.0L, Long::max(), -Long::min(), Long::denorm_min(), Long::infinity(), 0.1L}) {
            INFO(format << ' ' << value);
            CHECK_SAME(format, value);
        }
    CHECK_SAME("%d %u %ld %lx", INT_MIN, UINT_MAX, LONG_MIN, ULONG_MAX);
    CHECK_SAME("%.0d|%.0o|%#.0o|%#x|%+.0d", 0, 0, 0, 0, 0);
}

TEST_CASE("printf: binary128, as aarch64 has it") {
    // 1 + 2^-112, and the largest and smallest; their decimals are known.
    const auto text = [](u128 mantissa, int exponent, int power, int count) {
        Decimal d(Float{.mantissa = mantissa, .exponent = exponent});
        std::string digits;
        for (int i = 0; i < count; ++i) digits += static_cast<char>('0' + d.digit(power - i));
        return digits;
    };
    CHECK(text((u128(1) << 112) + 1, -112, 0, 40) == "1000000000000000000000000000000000192592");
    CHECK(text((u128(1) << 113) - 1, 16383 - 112, 4932, 36) == "118973149535723176508575932662800701");
    Decimal least(Float{.mantissa = 1, .exponent = -16494});
    CHECK(least.first() == -4966);
    CHECK(least.last() == -16494);
    least.round(-4966);
    CHECK(least.digit(-4966) == 6);
    CHECK(least.last() == -4966);
}

TEST_CASE("printf: strings, characters, positions, counts") {
    CHECK_SAME("%s|%10s|%-10s|%.2s|%10.3s|%.0s|%%|%c|%-3c|%3c", "one", "two", "three", "four", "five", "six", 'a', 'b',
               'c');
    CHECK_SAME("%*d|%-*d|%*d|%.*d|%.*f|%*.*e|", 5, 1, 5, 2, -5, 3, 4, 4, -1, 5.0, 15, 2, 6.0);
    CHECK_SAME("%2$s %1$s %2$s", "a", "b");
    CHECK_SAME("%3$*1$.*2$f %4$Lg %5$lld %1$d", 12, 3, 2.0, 1.25L, 1LL << 40);
    CHECK_SAME("%.3s", "abcdef");
    const char without_end[] = {'a', 'b', 'c'};
    CHECK(ours("%.3s", without_end) == Printed{3, "abc"});
    CHECK(ours("%s %.2s", nullptr, nullptr) == Printed{9, "(null) (n"});
    CHECK(ours("%p %10p", nullptr, reinterpret_cast<void*>(0xbeef)) == Printed{14, "0x0     0xbeef"});
    int i = 0;
    signed char c = 0;
    short s = 0;
    long l = 0;
    CHECK(ours("12%n3%hhn4%hn5%ln", &i, &c, &s, &l) == Printed{5, "12345"});
    CHECK((i == 2 && c == 3 && s == 4 && l == 5));
}

TEST_CASE("printf: wide characters") {
    REQUIRE(std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr);
    CHECK_SAME("%ls|%8ls|%-8ls|%.4ls|%.3ls|%S", L"ä€", L"ä€", L"ä€", L"ä€", L"ä€", L"x");
    CHECK_SAME("%lc|%C|%4lc|%lc", L'€', L'a', L'ä', 0);
    errno = 0;
    CHECK(ours("%lc", wint_t(0xd800)).count == -1);
    CHECK(errno == EILSEQ);
    std::setlocale(LC_CTYPE, "C");
}

TEST_CASE("printf: formats that are none, and sizes that no int holds") {
    CHECK(ours("%") == Printed{1, "%"});
    CHECK(ours("a%y%-5") == Printed{6, "a%y%-5"});
    for (const char* format : {"%2147483648d", "%.99999999999d", "%2147483647d%d", "%.2147483647f"}) {
        errno = 0;
        CHECK(ours(format, 0, 0).count == -1);
        CHECK(errno == EOVERFLOW);
    }
}
