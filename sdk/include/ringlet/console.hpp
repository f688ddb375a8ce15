// The serial console for applications: formatted output and keystrokes. Context: thread.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "kernel/console.hpp"
#include "kernel/time/clock.hpp"
#include "lib/format.hpp"

namespace ringlet {

/// Collects what comes in small pieces and hands it to the console in pieces of 512 bytes, the rest at its end: each piece
/// costs a device a request, and QEMU drops a console's when its reader lags 200 of them behind.
class ConsoleWriter {
public:
    ConsoleWriter() = default;
    ConsoleWriter(const ConsoleWriter&) = delete;
    ~ConsoleWriter() { flush(); }
    void operator()(std::string_view piece);
    void flush();

private:
    char text_[512];
    usize size_ = 0;
};

/// `print("{} files\n", n);` — see lib/format.hpp for the fields. Any length, no allocation; what is short (512 bytes)
/// reaches the console in one piece.
void vprint(std::string_view format, std::span<const detail::FormatArg> args);
template <class... A> void print(FormatString<std::type_identity_t<A>...> f, const A&... a) {
    vprint(f.text, detail::FormatArgs<A...>(a...).span());
}

/// The next key, or nothing after `timeout`.
inline std::optional<char> read_key(Duration timeout) {
    return kernel::console_read(kernel::now() + timeout);
}
inline char read_key() {
    return *kernel::console_read(Instant::never());
}

}  // namespace ringlet
