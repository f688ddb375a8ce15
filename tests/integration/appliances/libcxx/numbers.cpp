// Numbers and text, exact to the last bit, long double too; the mathematical functions; 128-bit integers.
#include <charconv>
#include <cmath>
#include <complex>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>

#include "check.hpp"

namespace {

void check_conversions() {
    char text[64];
    const auto end = std::to_chars(text, text + sizeof text, 0.1);
    CHECK(std::string(text, end.ptr) == "0.1");
    double number = 0;
    const std::string_view digits = "3.25";
    std::from_chars(digits.begin(), digits.end(), number);
    CHECK(number == 3.25);
    CHECK(std::stod("1.5e-3") == 1.5e-3);
    CHECK(std::to_string(1.5) == "1.500000");
    CHECK(std::stold("1.25") == 1.25L);
    CHECK(std::stold("0.1") == 0.1L);
    CHECK(std::stold("-1e-4900") == -1e-4900L);
    CHECK(std::strtold("-1e-4940", nullptr) == -1e-4940L);
    long double wide = 0;
    CHECK(std::sscanf("2.75", "%Lf", &wide) == 1 && wide == 2.75L);
    std::snprintf(text, sizeof text, "%d %s %.6f %Lf %lld %zu", 42, "text", 3.14159265, 2.5L, 1LL << 40, sizeof text);
    CHECK(std::string(text) == "42 text 3.141593 2.500000 1099511627776 64");
}

void check_functions() {
    CHECK(std::truncl(-3.7L) == -3 && std::floor(-3.2L) == -4 && std::round(2.5L) == 3 && std::rint(2.5L) == 2);
    CHECK(std::fmod(7.5L, 2.0L) == 1.5L && std::remainder(7.0L, 4.0L) == -1 && std::ilogb(10.0L) == 3);
    CHECK(std::nextafter(1.0L, 2.0L) == 1 + std::numeric_limits<long double>::epsilon());
    CHECK(std::abs(std::sin(1.0) - 0.8414709848078965) < 1e-15);
    CHECK(std::abs(std::pow(std::complex<double>(0, 1), 2) + 1.0) < 1e-12);
    CHECK(std::abs(std::tgamma(5.0) - 24) < 1e-9);
    CHECK(std::abs(static_cast<double>(std::sqrt(2.0L)) - std::sqrt(2.0)) < 1e-15);
    CHECK(std::cyl_bessel_j(0, 1.0) > 0.765);
    const auto large = static_cast<unsigned __int128>(1) << 100;
    const auto third = static_cast<unsigned long>((static_cast<unsigned __int128>(1) << 36) / 3);
    CHECK(static_cast<unsigned long>(large / 3 >> 64) == third);
}

}  // namespace

void check_numbers() {
    check_conversions();
    check_functions();
}

int defined_elsewhere() {
    return 42;
}
