// What printf() and its relatives do, into any sink. In place of newlib's, which has a formatter of 25 to 30 KB for
// each kind of stream and one more for floating point. ISO C17 §7.21.6.1, and positions (%1$d) as in POSIX. Pure.
// Context: any thread, 8 KB of stack.
#pragma once

#include <cstdarg>
#include <string_view>

#include "lib/function_ref.hpp"

namespace ringlet::posix {

using PrintSink = FunctionRef<void(std::string_view)>;

/// How many characters went to `sink`; -1 and errno: EOVERFLOW more than INT_MAX, EILSEQ a wide character that has
/// none. The %n are written to. A directive that does not exist is printed as it stands.
int print_formatted(PrintSink sink, const char* format, va_list arguments);

}  // namespace ringlet::posix
