// A directive of a printf() format, and the arguments of a call. Pure. Context: any.
#pragma once

#include <cstdarg>

#include "lib/types.hpp"

namespace ringlet::posix {

/// How an argument was passed.
enum class Argument : u8 { none, word, long_word, real, long_real };
/// Of an integer, or of characters: word (char), wide (wchar_t).
enum class Length : u8 { byte, half, word, wide, long_real };

struct Directive {
    bool left = false, plus = false, space = false, alternate = false, zero = false;
    bool overflows = false;  ///< a width or precision that no int holds
    char conversion = 0;     ///< in lower case S and C, with Length::wide; 0: there is no such directive
    Length length = Length::word;
    int width = 0, precision = -1;
    // Which arguments: 0 the next one, else its position; -1 none.
    int argument = 0, width_from = -1, precision_from = -1;

    /// Takes the directive at `at`, a '%', off the front.
    static Directive read(const char*& at);
    Argument argument_type() const;
};

class PrintArguments {
public:
    union Value {
        u64 word;  ///< or a pointer
        double real;
        long double long_real;
    };
    explicit PrintArguments(va_list from);
    ~PrintArguments();
    PrintArguments(const PrintArguments&) = delete;
    PrintArguments& operator=(const PrintArguments&) = delete;

    /// The one at `position`, when they are ordered; else the next.
    Value take(int position, Argument type);
    /// For positions: reads all that `format` names.
    [[gnu::cold]] void order(const char* format);
    bool are_ordered() const { return count_ != 0; }

private:
    static constexpr int kMost = 32;  ///< NL_ARGMAX

    va_list rest_;
    int count_ = 0;
    Value ordered_[kMost];
};

}  // namespace ringlet::posix
