// <syslog.h> on the kernel's log. Context: thread.
#include <syslog.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "kernel/log.hpp"

using namespace ringlet;
using kernel::LogLevel;

namespace {

constinit std::atomic<const char*> sender{nullptr};
constinit std::atomic<int> options{0};
constinit std::atomic<int> wanted{LOG_UPTO(LOG_DEBUG)};

constexpr LogLevel level_of(int priority) {
    const int p = LOG_PRI(priority);
    return p <= LOG_ERR       ? LogLevel::error
           : p == LOG_WARNING ? LogLevel::warning
           : p == LOG_DEBUG   ? LogLevel::debug
                              : LogLevel::info;
}

/// A line under construction; what does not fit is cut off.
struct Line {
    char text[512];
    usize size = 0;

    std::string_view view() const { return {text, size}; }
    void add(std::string_view more) {
        const usize n = std::min(more.size(), sizeof text - 1 - size);
        std::copy_n(more.data(), n, text + size);
        size += n;
    }
    void add_formatted(const char* format, va_list more) {
        const int n = vsnprintf(text + size, sizeof text - size, format, more);
        if (n > 0) size = std::min(size + static_cast<usize>(n), sizeof text - 1);
    }
};

/// The format with %m replaced by what errno means.
void expand(const char* format, int error, char (&to)[512]) {
    usize n = 0;
    const auto put = [&](char c) {
        if (n < sizeof to - 1) to[n++] = c;
    };
    for (; *format != '\0'; ++format) {
        if (*format != '%' || format[1] == '\0') {
            put(*format);
        } else if (*++format == 'm') {
            for (const char* c = strerror(error); *c != '\0'; ++c) {
                if (*c == '%') put('%');
                put(*c);
            }
        } else {
            put('%');
            put(*format);
        }
    }
    to[n] = '\0';
}

}  // namespace

extern "C" {

/// `name` is kept, not copied, as everywhere.
void openlog(const char* name, int how, int) {
    sender = name;
    options = how;
}
void closelog() {
    sender = nullptr;
    options = 0;
}
int setlogmask(int mask) {
    return mask != 0 ? wanted.exchange(mask) : wanted.load();
}

void vsyslog(int priority, const char* format, va_list more) {
    const int error = errno;
    if ((wanted & LOG_MASK(LOG_PRI(priority))) == 0) return;
    Line line;
    const char* name = sender;
    if (name != nullptr) {
        line.add(name);
        if ((options & LOG_PID) != 0) line.add("[1]");
        line.add(": ");
    }
    char expanded[512];
    expand(format, error, expanded);
    line.add_formatted(expanded, more);
    while (line.size != 0 && line.text[line.size - 1] == '\n') --line.size;
    kernel::log_write(level_of(priority), line.view());
    if ((options & LOG_PERROR) != 0) {
        line.text[line.size++] = '\n';
        (void)!write(STDERR_FILENO, line.text, line.size);
    }
    errno = error;
}
void syslog(int priority, const char* format, ...) {
    va_list more;
    va_start(more, format);
    vsyslog(priority, format, more);
    va_end(more);
}

}  // extern "C"
