// The kernel log: a ring in memory (read by `dmesg`) that is also written to the console sink once there is one.
// Context: any, interrupts included; never blocks, never allocates.
#pragma once

#include "lib/format.hpp"
#include "lib/time.hpp"

namespace ringlet::kernel {

enum class LogLevel : u8 { debug, info, warning, error };

void log_write(LogLevel level, std::string_view text);

/// Not inlined: what formats a line is there once, not at every caller.
[[gnu::noinline, gnu::cold]] inline void vlog(LogLevel level, std::string_view format,
                                              std::span<const detail::FormatArg> args) {
    char line[240];
    log_write(level, detail::vformat_to(line, format, args));
}

/// `log(LogLevel::info, "blk0: {} MiB", size);` One line, without the newline; cut at 240 characters.
template <class... A> void log(LogLevel level, FormatString<std::type_identity_t<A>...> f, const A&... a) {
    vlog(level, f.text, detail::FormatArgs<A...>(a...).span());
}

/// Where lines go besides the ring. `sink` must be callable from any context. Lines logged before are sent at once.
void log_set_console(void (*sink)(std::string_view), LogLevel least);
/// Hands every retained line, oldest first, to `sink` as (seconds.micros) level text.
void log_read(FunctionRef<void(Instant, LogLevel, std::string_view)> sink);

}  // namespace ringlet::kernel
