#include "posix/print_directive.hpp"

#include <algorithm>
#include <cstring>

namespace ringlet::posix {

namespace {

/// The digits at `at`; 0 when there are none, -1 when no int holds them.
int take_number(const char*& at) {
    int n = 0;
    for (; *at >= '0' && *at <= '9'; ++at)
        if (n >= 0 && (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *at - '0', &n))) n = -1;
    return n;
}

/// Takes "12$" off; 0 when there is none.
int take_position(const char*& at) {
    const char* after = at;
    const int n = take_number(after);
    if (n <= 0 || *after != '$') return 0;
    at = after + 1;
    return n;
}

void take_flags(const char*& at, Directive& d) {
    for (;; ++at) {
        switch (*at) {
        case '-':
            d.left = true;
            break;
        case '+':
            d.plus = true;
            break;
        case ' ':
            d.space = true;
            break;
        case '#':
            d.alternate = true;
            break;
        case '0':
            d.zero = true;
            break;
        case '\'':  // groups of thousands: no locale here has any
            break;
        default:
            return;
        }
    }
}

Length take_length(const char*& at) {
    switch (*at) {
    case 'h':
        return *++at == 'h' ? ++at, Length::byte : Length::half;
    case 'l':
        if (at[1] == 'l') ++at;
        return ++at, Length::wide;
    case 'j':
    case 'z':
    case 't':
    case 'q':
        return ++at, Length::wide;
    case 'L':
        return ++at, Length::long_real;
    default:
        return Length::word;
    }
}

bool exists(char conversion) {
    constexpr auto kLetters = [] {
        u64 set = 0;
        for (const char c : {'d', 'i', 'u', 'o', 'x', 'X', 'p', 'c', 's', 'n', 'e', 'E', 'f', 'F', 'g', 'G', 'a', 'A'})
            set |= u64(1) << (c - 'A');
        return set;
    }();
    const unsigned letter = static_cast<unsigned char>(conversion) - unsigned{'A'};
    return conversion == '%' || (letter < 64 && (kLetters >> letter & 1) != 0);
}

}  // namespace

Directive Directive::read(const char*& at) {
    Directive d;
    ++at;
    d.argument = take_position(at);
    take_flags(at, d);
    if (*at == '*')
        ++at, d.width_from = take_position(at);
    else
        d.width = take_number(at);
    if (*at == '.') {
        ++at;
        if (*at == '*')
            ++at, d.precision_from = take_position(at);
        else if (*at == '-')
            ++at, take_number(at);
        else
            d.precision = take_number(at), d.overflows = d.precision < 0;
    }
    d.overflows |= d.width < 0;
    d.length = take_length(at);
    if (*at == 0) return d;
    d.conversion = *at++;
    if (d.conversion == 'S' || d.conversion == 'C') {
        d.length = Length::wide;
        d.conversion = static_cast<char>(d.conversion | 0x20);
    }
    if (!exists(d.conversion)) d.conversion = 0;
    return d;
}

Argument Directive::argument_type() const {
    switch (conversion) {
    case '%':
        return Argument::none;
    case 'p':
    case 's':
    case 'n':
        return Argument::long_word;
    case 'c':
        return Argument::word;
    case 'd':
    case 'i':
    case 'u':
    case 'o':
    case 'x':
    case 'X':
        return length >= Length::wide ? Argument::long_word : Argument::word;
    default:
        return length == Length::long_real ? Argument::long_real : Argument::real;
    }
}

PrintArguments::PrintArguments(va_list from) {
    va_copy(rest_, from);
}
PrintArguments::~PrintArguments() {
    va_end(rest_);
}

PrintArguments::Value PrintArguments::take(int position, Argument type) {
    if (position > 0 && position <= count_) return ordered_[position - 1];
    Value value{};
    switch (type) {
    case Argument::none:
        break;
    case Argument::word:
        value.word = static_cast<u64>(va_arg(rest_, int));
        break;
    case Argument::long_word:
        value.word = va_arg(rest_, u64);
        break;
    case Argument::real:
        value.real = va_arg(rest_, double);
        break;
    case Argument::long_real:
        value.long_real = va_arg(rest_, long double);
    }
    return value;
}

void PrintArguments::order(const char* format) {
    Argument types[kMost] = {};
    int last = 0;
    const auto note = [&](int position, Argument type) {
        if (position <= 0 || position > kMost || type == Argument::none) return;
        types[position - 1] = type;
        last = std::max(last, position);
    };
    for (const char* at = format; *(at = strchrnul(at, '%')) != 0;) {
        const Directive d = Directive::read(at);
        if (d.conversion == 0) continue;
        note(d.argument, d.argument_type());
        note(d.width_from, Argument::word);
        note(d.precision_from, Argument::word);
    }
    for (int i = 0; i < last; ++i)  // one that nobody names has to be an int: nothing says more
        ordered_[i] = take(0, types[i] == Argument::none ? Argument::word : types[i]);
    count_ = last;
}

}  // namespace ringlet::posix
