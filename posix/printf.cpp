#include "posix/printf.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <span>

#include "posix/decimal.hpp"
#include "posix/print_directive.hpp"

namespace ringlet::posix {

namespace {

class Printer {
public:
    explicit Printer(PrintSink sink) : sink_(sink) {}

    [[gnu::noinline]] void put(std::string_view text) {
        if (text.empty()) return;
        total_ += text.size();
        if (total_ <= INT_MAX) sink_(text);
    }
    [[gnu::noinline]] void fill(char with, i64 count) {
        if (count <= 0) return;
        char some[16];
        std::memset(some, with, sizeof some);
        for (; count > 0 && total_ <= INT_MAX; count -= sizeof some)
            put({some, static_cast<usize>(std::min<i64>(count, sizeof some))});
    }
    /// Begins a field: `sign` (or 0x) and zeros, before a body of `size` characters. The spaces that go behind it.
    [[gnu::noinline]] i64 open(const Directive& d, std::string_view sign, i64 zeros, i64 size) {
        i64 spaces = d.width - static_cast<i64>(sign.size()) - zeros - size;
        if (d.zero && !d.left && spaces > 0) zeros += spaces, spaces = 0;
        if (!d.left && spaces > 0) fill(' ', spaces);
        if (!sign.empty()) put(sign);
        if (zeros > 0) fill('0', zeros);
        return d.left ? spaces : 0;
    }
    void field(const Directive& d, std::string_view sign, i64 zeros, std::string_view body) {
        const i64 after = open(d, sign, zeros, static_cast<i64>(body.size()));
        put(body);
        if (after > 0) fill(' ', after);
    }
    void integer(Directive& d, u64 value);
    [[gnu::cold]] void real(Directive& d, const Float& value);
    void text(Directive& d, const char* s);
    [[gnu::cold]] bool wide(Directive& d, const wchar_t* s);
    u64 total() const { return total_; }

private:
    [[gnu::cold]] void decimal(const Directive& d, std::string_view sign, const Float& value);
    [[gnu::cold]] void hexadecimal(const Directive& d, std::string_view sign, const Float& value);
    [[gnu::cold]] void digits(const Decimal& number, int from, i64 count);

    PrintSink sink_;
    u64 total_ = 0;
};

std::string_view sign_of(const Directive& d, bool negative) {
    return negative ? "-" : d.plus ? "+" : d.space ? " " : "";
}

constexpr bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
constexpr const char* digits_of(bool upper) {
    return upper ? "0123456789ABCDEF" : "0123456789abcdef";
}

void Printer::integer(Directive& d, u64 value) {
    const bool is_signed = d.conversion == 'd' || d.conversion == 'i', pointer = d.conversion == 'p';
    const bool hex = d.conversion == 'x' || d.conversion == 'X' || pointer;
    std::string_view sign;
    if (is_signed)
        sign = sign_of(d, static_cast<i64>(value) < 0);
    else if (hex && (pointer || (d.alternate && value != 0)))
        sign = d.conversion == 'X' ? "0X" : "0x";
    if (is_signed && static_cast<i64>(value) < 0) value = -value;
    char text[24];
    char* const end = text + sizeof text;
    char* p = end;
    const unsigned base = hex ? 16 : d.conversion == 'o' ? 8 : 10;
    for (; value != 0; value /= base) *--p = digits_of(d.conversion == 'X')[value % base];
    i64 least = d.precision >= 0 ? d.precision : 1;
    if (d.conversion == 'o' && d.alternate) least = std::max<i64>(least, end - p + 1);
    if (d.precision >= 0) d.zero = false;
    field(d, sign, std::max<i64>(0, least - (end - p)), {p, static_cast<usize>(end - p)});
}

void Printer::real(Directive& d, const Float& value) {
    const std::string_view sign = sign_of(d, value.negative);
    if (value.kind != Float::Kind::finite) {
        const bool infinite = value.kind == Float::Kind::infinite;
        d.zero = false;
        field(d, sign, 0, is_upper(d.conversion) ? (infinite ? "INF" : "NAN") : (infinite ? "inf" : "nan"));
    } else if (d.conversion == 'a' || d.conversion == 'A') {
        hexadecimal(d, sign, value);
    } else {
        decimal(d, sign, value);
    }
}

/// `letter`, a sign, and at least `least` digits.
[[gnu::cold]] std::string_view exponent_text(std::span<char, 8> text, char letter, int exponent, int least) {
    char* p = text.data() + text.size();
    for (int n = std::abs(exponent); n != 0 || least > 0; n /= 10, --least) *--p = static_cast<char>('0' + n % 10);
    *--p = exponent < 0 ? '-' : '+';
    *--p = letter;
    return {p, static_cast<usize>(text.data() + text.size() - p)};
}

void Printer::digits(const Decimal& number, int from, i64 count) {
    char some[16];
    while (count > 0 && from >= Decimal::kLowest) {
        const i64 n = std::min<i64>(count, sizeof some);
        for (i64 i = 0; i < n; ++i) some[i] = static_cast<char>('0' + number.digit(from--));
        put({some, static_cast<usize>(n)});
        count -= n;
    }
    fill('0', count);
}

void Printer::decimal(const Directive& d, std::string_view sign, const Float& value) {
    const bool upper = is_upper(d.conversion);
    const char style = static_cast<char>(d.conversion | 0x20);
    i64 precision = d.precision >= 0 ? d.precision : 6;
    const auto least = [&](i64 from) { return static_cast<int>(std::max<i64>(from - precision, Decimal::kLowest)); };
    Decimal number(value);
    bool scientific = style == 'e';
    if (style == 'g') {
        precision = std::max<i64>(precision, 1) - 1;  // behind the first digit
        number.round(least(number.first()));
        const int first = number.first();
        scientific = first < -4 || first > precision;
        if (!scientific) precision -= first;
        if (!d.alternate) precision = std::min<i64>(precision, std::max(0, (scientific ? first : 0) - number.last()));
    } else {
        number.round(least(scientific ? number.first() : 0));
    }
    char buffer[8];
    const int first = scientific ? number.first() : std::max(number.first(), 0);
    const std::string_view exponent =
        scientific ? exponent_text(buffer, upper ? 'E' : 'e', first, 2) : std::string_view{};
    const int whole = scientific ? 1 : first + 1;
    const std::string_view point = precision > 0 || d.alternate ? "." : "";
    const i64 after = open(d, sign, 0, whole + static_cast<i64>(point.size() + exponent.size()) + precision);
    digits(number, first, whole);
    put(point);
    digits(number, first - whole, precision);
    put(exponent);
    fill(' ', after);
}

void Printer::hexadecimal(const Directive& d, std::string_view sign, const Float& value) {
    const bool upper = is_upper(d.conversion);
    u128 mantissa = value.mantissa;
    int behind = value.fraction_bits / 4;  // digits
    int exponent = mantissa == 0 ? 0 : value.exponent + value.fraction_bits;
    if (d.precision >= 0 && d.precision < behind) {
        const int cut = 4 * (behind - d.precision);
        const u128 rest = mantissa & ((u128(1) << cut) - 1), half = u128(1) << (cut - 1);
        mantissa >>= cut;
        mantissa += rest > half || (rest == half && (mantissa & 1) != 0);
        behind = d.precision;
    }
    if (mantissa >> (4 * behind) == 16) mantissa >>= 4, exponent += 4;  // x87: ffff... became 10000...
    if (d.precision < 0)
        for (; behind > 0 && (mantissa & 15) == 0; --behind) mantissa >>= 4;
    char text[32], buffer[8];
    text[0] = digits_of(upper)[static_cast<unsigned>(mantissa >> (4 * behind))];
    for (int i = 0; i < behind; ++i)
        text[1 + i] = digits_of(upper)[static_cast<unsigned>(mantissa >> (4 * (behind - 1 - i))) & 15];
    const std::string_view tail = exponent_text(buffer, upper ? 'P' : 'p', exponent, 1);
    const i64 zeros = std::max<i64>(0, d.precision - behind);
    const std::string_view point = behind > 0 || zeros > 0 || d.alternate ? "." : "";
    char prefix[4];
    usize n = sign.copy(prefix, 1);
    prefix[n++] = '0';
    prefix[n++] = upper ? 'X' : 'x';
    const i64 after = open(d, {prefix, n}, 0, 1 + static_cast<i64>(point.size() + tail.size()) + behind + zeros);
    put({text, 1});
    put(point);
    put({text + 1, static_cast<usize>(behind)});
    fill('0', zeros);
    put(tail);
    fill(' ', after);
}

void Printer::text(Directive& d, const char* s) {
    if (s == nullptr) s = "(null)";
    d.zero = false;
    field(d, "", 0, {s, d.precision < 0 ? std::strlen(s) : strnlen(s, static_cast<usize>(d.precision))});
}

/// As multibyte characters; the precision counts bytes, and none is cut. False: a character has none.
bool Printer::wide(Directive& d, const wchar_t* s) {
    if (s == nullptr) return text(d, nullptr), true;
    d.zero = false;
    constexpr usize kFailed = static_cast<usize>(-1);
    char bytes[MB_LEN_MAX];
    mbstate_t state{};
    i64 size = 0;
    const wchar_t* end = s;
    for (; *end != 0; ++end) {
        const usize n = std::wcrtomb(bytes, *end, &state);
        if (n == kFailed) return false;
        if (d.precision >= 0 && size + static_cast<i64>(n) > d.precision) break;
        size += static_cast<i64>(n);
        if (d.precision >= 0 && size == d.precision) {
            ++end;
            break;
        }
    }
    const i64 after = open(d, "", 0, size);
    mbstate_t again{};
    for (; s != end; ++s) put({bytes, std::wcrtomb(bytes, *s, &again)});
    fill(' ', after);
    return true;
}

[[gnu::cold]] void store_count(void* to, Length length, u64 count) {
    switch (length) {
    case Length::byte:
        *static_cast<signed char*>(to) = static_cast<signed char>(count);
        break;
    case Length::half:
        *static_cast<short*>(to) = static_cast<short>(count);
        break;
    case Length::word:
        *static_cast<int*>(to) = static_cast<int>(count);
        break;
    default:
        *static_cast<long*>(to) = static_cast<long>(count);
    }
}

/// Of its own size, and then as long as the longest.
u64 integer_of(const Directive& d, u64 given) {
    const bool is_signed = d.conversion == 'd' || d.conversion == 'i';
    switch (d.conversion == 'p' ? Length::wide : d.length) {
    case Length::byte:
        return is_signed ? static_cast<u64>(static_cast<signed char>(given)) : static_cast<unsigned char>(given);
    case Length::half:
        return is_signed ? static_cast<u64>(static_cast<short>(given)) : static_cast<unsigned short>(given);
    case Length::word:
        return is_signed ? static_cast<u64>(static_cast<int>(given)) : static_cast<unsigned>(given);
    default:
        return given;
    }
}

/// False: errno says why.
bool print_one(Printer& printer, Directive& d, PrintArguments& from) {
    if (d.width_from >= 0) {
        d.width = static_cast<int>(from.take(d.width_from, Argument::word).word);
        if (d.width < 0) {
            if (d.width == INT_MIN) return errno = EOVERFLOW, false;
            d.left = true, d.width = -d.width;
        }
    }
    if (d.precision_from >= 0) d.precision = static_cast<int>(from.take(d.precision_from, Argument::word).word);
    const Argument type = d.argument_type();
    const auto value = type == Argument::none ? PrintArguments::Value{} : from.take(d.argument, type);
    switch (d.conversion) {
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
    case 'p':
        printer.integer(d, integer_of(d, value.word));
        return true;
    case 'c': {
        d.zero = false;
        if (d.length == Length::wide) {
            const wchar_t one[] = {static_cast<wchar_t>(value.word), 0};
            if (one[0] != 0) return d.precision = -1, printer.wide(d, one);
        }
        const char c = static_cast<char>(value.word);
        printer.field(d, "", 0, {&c, 1});
        return true;
    }
    case 's':
        if (d.length == Length::wide) return printer.wide(d, reinterpret_cast<const wchar_t*>(value.word));
        printer.text(d, reinterpret_cast<const char*>(value.word));
        return true;
    case 'n':
        store_count(reinterpret_cast<void*>(value.word), d.length, printer.total());
        return true;
    case '%':
        printer.put("%");
        return true;
    default:
        printer.real(d, type == Argument::real ? Float::of(value.real) : Float::of(value.long_real));
        return true;
    }
}

}  // namespace

int print_formatted(PrintSink sink, const char* format, va_list arguments) {
    Printer printer(sink);
    PrintArguments from(arguments);
    for (const char* at = format; *at != 0;) {
        const char* const percent = at;
        while (*at != 0 && *at != '%') ++at;
        printer.put({percent, static_cast<usize>(at - percent)});
        if (*at == 0) break;
        const char* const begin = at;
        Directive d = Directive::read(at);
        if (d.overflows) return errno = EOVERFLOW, -1;
        if (d.conversion == 0) {
            printer.put({begin, static_cast<usize>(at - begin)});
            continue;
        }
        if (d.argument > 0 && !from.are_ordered()) from.order(format);
        if (!print_one(printer, d, from)) return -1;
        if (printer.total() > INT_MAX) return errno = EOVERFLOW, -1;
    }
    if (printer.total() > INT_MAX) return errno = EOVERFLOW, -1;
    return static_cast<int>(printer.total());
}

}  // namespace ringlet::posix
