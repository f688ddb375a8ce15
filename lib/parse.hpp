// Parts, words and numbers out of text (command lines, shell, headers). Never throws, never overflows. Context: any.
#pragma once

#include <concepts>
#include <optional>
#include <string_view>

#include "lib/types.hpp"

namespace ringlet {

/// The `count` characters at `from`, as far as `text` has them. In place of text.substr(), which may throw: one call of
/// that brings the unwinder into the image of a C program (tools/check_throws.py).
constexpr std::string_view substring(std::string_view text, usize from, usize count = std::string_view::npos) {
    if (from > text.size()) from = text.size();
    return {text.data() + from, count < text.size() - from ? count : text.size() - from};
}

/// The whole of `text` as an unsigned number in `base` (10, or 16 without prefix); nothing if empty, foreign or too
/// large.
template <std::unsigned_integral T> constexpr std::optional<T> parse_number(std::string_view text, unsigned base = 10) {
    if (text.empty()) return std::nullopt;
    T value = 0;
    for (char c : text) {
        unsigned digit;
        if (c >= '0' && c <= '9')
            digit = static_cast<unsigned>(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = static_cast<unsigned>(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = static_cast<unsigned>(c - 'A') + 10;
        else
            return std::nullopt;
        if (digit >= base) return std::nullopt;
        if (__builtin_mul_overflow(value, static_cast<T>(base), &value)) return std::nullopt;
        if (__builtin_add_overflow(value, static_cast<T>(digit), &value)) return std::nullopt;
    }
    return value;
}

/// Takes the next word (separated by spaces or tabs) off the front of `rest`; empty when there is none.
constexpr std::string_view next_word(std::string_view& rest) {
    usize start = 0;
    while (start < rest.size() && (rest[start] == ' ' || rest[start] == '\t')) ++start;
    usize end = start;
    while (end < rest.size() && rest[end] != ' ' && rest[end] != '\t') ++end;
    const std::string_view word = substring(rest, start, end - start);
    rest.remove_prefix(end);
    return word;
}

}  // namespace ringlet
