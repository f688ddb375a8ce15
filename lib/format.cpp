#include "lib/format.hpp"

#include <algorithm>

#include "lib/parse.hpp"

namespace ringlet::detail {

namespace {

struct Spec {
    bool hex = false, zero = false;
    char align = 0;
    unsigned width = 0;
};

Spec parse_spec(std::string_view s) {
    Spec spec;
    usize i = s.empty() || s[0] != ':' ? s.size() : 1;
    if (i < s.size() && (s[i] == '<' || s[i] == '>')) spec.align = s[i++];
    if (i < s.size() && s[i] == '0') {
        spec.zero = true;
        ++i;
    }
    while (i < s.size() && s[i] >= '0' && s[i] <= '9')
        spec.width = spec.width * 10 + static_cast<unsigned>(s[i++] - '0');
    if (spec.width > 64) spec.width = 64;
    spec.hex = i < s.size() && s[i] == 'x';
    return spec;
}

void pad(TextSink sink, char with, usize count) {
    for (; count != 0; --count) sink({&with, 1});
}

void emit(TextSink sink, const FormatArg& arg, Spec spec) {
    char digits[24];
    std::string_view body;
    bool minus = false;
    char single = 0;
    if (arg.kind == FormatArg::Kind::character) {
        single = static_cast<char>(arg.number);
        body = {&single, 1};
    } else if (arg.kind == FormatArg::Kind::text) {
        body = arg.text();
    } else {
        minus = arg.kind == FormatArg::Kind::negative;
        const unsigned base = spec.hex ? 16 : 10;
        char* p = digits + sizeof digits;
        u64 n = arg.number;
        do *--p = "0123456789abcdef"[n % base];
        while ((n /= base) != 0);
        body = {p, static_cast<usize>(digits + sizeof digits - p)};
        if (spec.align == 0) spec.align = '>';
    }
    const usize length = body.size() + minus;
    const usize fill = length < spec.width ? spec.width - length : 0;
    if (spec.align == '>' && !spec.zero) pad(sink, ' ', fill);
    if (minus) sink("-");
    if (spec.zero) pad(sink, '0', fill);
    sink(body);
    if (spec.align != '>' && !spec.zero) pad(sink, ' ', fill);
}

}  // namespace

void vformat(TextSink sink, std::string_view format, std::span<const FormatArg> args) {
    usize next = 0, literal = 0, i = 0;
    while (i < format.size()) {
        const char c = format[i];
        if (c != '{' && c != '}') {
            ++i;
            continue;
        }
        if (literal != i) sink(substring(format, literal, i - literal));
        if (c == '}' || (i + 1 < format.size() && format[i + 1] == '{')) {
            sink(substring(format, i, 1));
            i += i + 1 < format.size() && format[i + 1] == c ? 2 : 1;
        } else {
            const usize close = format.find('}', i);
            if (close == format.npos || next == args.size()) return;  // excluded by FormatString
            emit(sink, args[next++], parse_spec(substring(format, i + 1, close - i - 1)));
            i = close + 1;
        }
        literal = i;
    }
    if (literal != i) sink(substring(format, literal));
}

std::string_view vformat_to(std::span<char> to, std::string_view format, std::span<const FormatArg> args) {
    usize used = 0;
    auto append = [&](std::string_view piece) {
        const usize n = std::min(piece.size(), to.size() - used);
        std::copy_n(piece.data(), n, to.data() + used);
        used += n;
    };
    vformat(append, format, args);
    return {to.data(), used};
}

}  // namespace ringlet::detail
