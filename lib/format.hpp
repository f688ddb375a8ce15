// Text formatting into a caller's buffer: `{}` decimal or text, `{:x}` hexadecimal, `{:08x}` zero-padded,
// `{:>8}` / `{:<8}` aligned to a width. `{{` is a brace. The number of fields is checked at compile time.
// No allocation; output that does not fit is cut and reported by the returned length. Context: any, interrupts too.
#pragma once

#include <concepts>
#include <span>
#include <string_view>
#include <type_traits>

#include "lib/function_ref.hpp"
#include "lib/result.hpp"
#include "lib/strong.hpp"
#include "lib/types.hpp"

namespace ringlet {

/// Receives pieces of text in order.
using TextSink = FunctionRef<void(std::string_view)>;

namespace detail {

/// An argument in two words, so that a call site costs little code.
struct FormatArg {
    enum class Kind : u32 { number, negative, text, character } kind;
    u32 length = 0;  ///< of a text
    union {
        u64 number = 0;
        const char* characters;
    };
    constexpr FormatArg(Kind k, u64 n) : kind(k), number(n) {}
    constexpr FormatArg(std::string_view t)
        : kind(Kind::text), length(static_cast<u32>(t.size())), characters(t.data()) {}
    constexpr std::string_view text() const { return {characters, length}; }
};

template <class T> constexpr FormatArg make_arg(const T& v) {
    using Kind = FormatArg::Kind;
    if constexpr (std::is_same_v<T, bool>)
        return {std::string_view(v ? "true" : "false")};
    else if constexpr (std::is_same_v<T, char>)
        return {Kind::character, static_cast<u8>(v)};
    else if constexpr (std::is_same_v<T, Error>)
        return {to_string(v)};
    else if constexpr (std::is_enum_v<T>)
        return {Kind::number, static_cast<u64>(v)};
    else if constexpr (std::signed_integral<T>)
        return v < 0 ? FormatArg{Kind::negative, u64{0} - static_cast<u64>(v)}
                     : FormatArg{Kind::number, static_cast<u64>(v)};
    else if constexpr (std::unsigned_integral<T>)
        return {Kind::number, v};
    else if constexpr (std::is_convertible_v<const T&, std::string_view>)
        return {std::string_view(v)};
    else if constexpr (requires { v.raw; })
        return {Kind::number, static_cast<u64>(v.raw)};
    else if constexpr (std::is_convertible_v<const T&, u64>)
        return {Kind::number, static_cast<u64>(v)};
    else if constexpr (std::is_pointer_v<T>)
        return {Kind::number, reinterpret_cast<std::uintptr_t>(v)};
    else
        static_assert(sizeof(T) == 0, "this type cannot be formatted: convert it to text or a number first");
}

/// The arguments of one call: an array, even of none.
template <class... A> struct FormatArgs {
    FormatArg all[sizeof...(A)];
    FormatArgs(const A&... a) : all{make_arg(a)...} {}
    std::span<const FormatArg> span() const { return all; }
};
template <> struct FormatArgs<> {
    std::span<const FormatArg> span() const { return {}; }
};

consteval int count_fields(std::string_view f) {
    int n = 0;
    for (usize i = 0; i < f.size(); ++i) {
        if (f[i] != '{') continue;
        if (i + 1 < f.size() && f[i + 1] == '{') {
            ++i;
            continue;
        }
        while (i < f.size() && f[i] != '}') ++i;
        if (i == f.size()) return -1;
        ++n;
    }
    return n;
}

void vformat(TextSink sink, std::string_view format, std::span<const FormatArg> args);
std::string_view vformat_to(std::span<char> to, std::string_view format, std::span<const FormatArg> args);
void format_count_mismatch();  // not constexpr: calling it ends constant evaluation with this name in the error

}  // namespace detail

template <class... A> struct FormatString {
    std::string_view text;
    template <class S>
    requires std::convertible_to<const S&, std::string_view>
    consteval FormatString(const S& s) : text(s) {
        if (detail::count_fields(text) != static_cast<int>(sizeof...(A))) detail::format_count_mismatch();
    }
};

/// Sends the formatted text to `sink` in pieces.
template <class... A> void format(TextSink sink, FormatString<std::type_identity_t<A>...> f, const A&... a) {
    detail::vformat(sink, f.text, detail::FormatArgs<A...>(a...).span());
}

/// Formats into `to` and returns what was written, cut at the end of the buffer. Not NUL-terminated.
template <class... A>
std::string_view format_to(std::span<char> to, FormatString<std::type_identity_t<A>...> f, const A&... a) {
    return detail::vformat_to(to, f.text, detail::FormatArgs<A...>(a...).span());
}

}  // namespace ringlet
