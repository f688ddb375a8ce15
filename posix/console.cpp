// A terminal (POSIX XBD §11) on the kernel's console. In canonical mode a line is edited here, with echo, and read when
// it is finished; otherwise characters are read as they come, by VMIN and VTIME. A character that means a signal sends
// it as it arrives, whether somebody reads or not, and stays as a mark: what was typed of the line before it is
// forgotten. Output goes straight to the console.
#include "posix/console.hpp"

#include <limits.h>
#include <sys/ioctl.h>
#include <termios.h>

#define TTYDEFCHARS
#include <sys/ttydefaults.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "kernel/console.hpp"
#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "posix/time_conversion.hpp"

namespace ringlet::posix {

namespace {

struct Line {
    char text[MAX_CANON] = {};
    usize size = 0, told = 0;
    bool finished = false;      ///< by a newline or ^D: what is not told yet can be read
    std::optional<char> ahead;  ///< typed, and only looked at
};

class Console final : public Description {
public:
    Console();
    Outcome<usize> read(MutableBytes to) override;
    Outcome<usize> write(Bytes from) override;
    Outcome<> stat(struct stat& out) override;
    Outcome<int> control(unsigned long request, void* argument) override;
    short ready() override;
    bool is_terminal() const override { return true; }
    /// Context: that of kernel::console_input().
    void input_arrived(char c) {
        if (mine_ && is_signal(c)) signal_process(is_char(c, VINTR) ? SIGINT : SIGQUIT);
        stir();
    }

private:
    bool is(tcflag_t local) const { return (settings_.c_lflag & local) != 0; }
    bool is_char(char c, int which) const { return static_cast<cc_t>(c) == settings_.c_cc[which]; }
    bool is_signal(char c) const { return is(ISIG) && (is_char(c, VINTR) || is_char(c, VQUIT)); }
    void echo(std::string_view text) const {
        if (is(ECHO)) kernel::console_write(text);
    }
    /// Takes what was typed: into the line in canonical mode; false when there is nothing more.
    void edit(Line& line, char c);
    void erase(Line& line, usize count);
    std::optional<char> next_char(Line& line);
    std::optional<char> next_raw(Line& line);
    Outcome<usize> read_line(MutableBytes to);
    Outcome<usize> read_raw(MutableBytes to);

    termios settings_{};
    winsize size_{.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    bool mine_ = false;  ///< input is this program's, not the shell's
    kernel::Guarded<Line, kernel::Rank::descriptor, kernel::Mutex> line_;
};

alignas(Console) constinit std::byte storage[sizeof(Console)] = {};
constinit Console* the_console = nullptr;

Console::Console() : Description(O_RDWR) {
    settings_.c_iflag = ICRNL;
    settings_.c_oflag = OPOST | ONLCR;
    settings_.c_cflag = CREAD | CS8;
    settings_.c_lflag = ICANON | ECHO | ECHOE | ECHOK | ISIG | IEXTEN;
    std::copy_n(ttydefchars, NCCS, settings_.c_cc);
    cfsetspeed(&settings_, B115200);
    mine_ = kernel::console_claim_input();
}

/// The next character, by the input flags.
std::optional<char> Console::next_char(Line& line) {
    if (line.ahead) return std::exchange(line.ahead, std::nullopt);
    while (const auto c = kernel::console_read({})) {
        if (*c == '\r' && (settings_.c_iflag & IGNCR) != 0) continue;
        if (*c == '\r' && (settings_.c_iflag & ICRNL) != 0) return '\n';
        if (*c == '\n' && (settings_.c_iflag & INLCR) != 0) return '\r';
        return c;
    }
    return std::nullopt;
}

/// The next that is not a mark.
std::optional<char> Console::next_raw(Line& line) {
    for (;;)
        if (const auto c = next_char(line); !c || !is_signal(*c)) return c;
}

void Console::erase(Line& line, usize count) {
    for (; count > 0 && line.size > 0; --count) {
        // A character of UTF-8 goes as a whole.
        do --line.size;
        while (line.size > 0 && (line.text[line.size] & 0xc0) == 0x80);
        if (is(ECHOE)) echo("\b \b");
    }
}

void Console::edit(Line& line, char c) {
    if (is_signal(c)) {
        if (!is(NOFLSH)) line = {};  // as far as it was typed before the mark
        return;
    }
    if (is_char(c, VERASE) || is_char(c, VERASE2)) return erase(line, 1);
    if (is_char(c, VKILL)) return erase(line, line.size);
    if (is_char(c, VEOF)) {
        line.finished = true;
        return;
    }
    if (line.size == sizeof line.text - (c == '\n' ? 0 : 1)) return echo("\a");
    line.text[line.size++] = c;
    echo({&c, 1});
    if (c == '\n' || (is_char(c, VEOL) && settings_.c_cc[VEOL] != _POSIX_VDISABLE)) line.finished = true;
}

Outcome<usize> Console::read_line(MutableBytes to) {
    for (;;) {
        const u32 seen = changes();
        {
            auto line = line_.lock();
            while (!line->finished) {
                const auto c = next_char(*line);
                if (!c) break;
                edit(*line, *c);
            }
            if (line->finished) {
                const usize n = std::min(to.size(), line->size - line->told);
                std::memcpy(to.data(), line->text + line->told, n);
                line->told += n;
                if (line->told == line->size) *line = {};
                return n;
            }
        }
        if (!blocks()) return refuse(EAGAIN);
        TRY_POSIX(await_change(seen));
    }
}

Outcome<usize> Console::read_raw(MutableBytes to) {
    const usize least = settings_.c_cc[VMIN];
    const Duration patience = Duration::from_ms(100) * settings_.c_cc[VTIME];
    usize n = 0;
    Instant until = least == 0 ? after(patience) : Instant::never();
    for (;;) {
        const u32 seen = changes();
        for (; n < to.size(); ++n) {
            const auto c = next_raw(*line_.lock());
            if (!c) break;
            to[n] = static_cast<std::byte>(*c);
            if (least != 0 && patience.ns != 0) until = after(patience);
        }
        if (n == to.size() || (n != 0 && n >= least)) return n;
        if (!blocks()) return n != 0 ? Outcome<usize>(n) : refuse(EAGAIN);
        if (kernel::now() >= until) return n;
        const auto changed = await_change(seen, until);
        if (!changed) return n != 0 ? Outcome<usize>(n) : refuse(changed.error());
    }
}

Outcome<usize> Console::read(MutableBytes to) {
    if (!mine_) return usize{0};  // the shell reads it: for the program it is at its end
    return is(ICANON) ? read_line(to) : read_raw(to);
}

Outcome<usize> Console::write(Bytes from) {
    kernel::console_write({reinterpret_cast<const char*>(from.data()), from.size()});
    return from.size();
}

Outcome<> Console::stat(struct stat& out) {
    out = {};
    out.st_mode = S_IFCHR | 0620;
    out.st_nlink = 1;
    out.st_rdev = 5 << 8 | 1;
    out.st_blksize = 512;
    return {};
}

short Console::ready() {
    if (!mine_) return POLLIN | POLLOUT;
    auto line = line_.lock();
    if (!is(ICANON)) {
        line->ahead = next_raw(*line);
        return line->ahead ? POLLIN | POLLOUT : POLLOUT;
    }
    while (!line->finished) {
        const auto c = next_char(*line);
        if (!c) break;
        edit(*line, *c);
    }
    return line->finished ? POLLIN | POLLOUT : POLLOUT;
}

Outcome<int> Console::control(unsigned long request, void* argument) {
    switch (request) {
    case TIOCGETA:
        *static_cast<termios*>(argument) = settings_;
        return 0;
    case TIOCSETAF:
        while (kernel::console_read({})) {
        }
        *line_.lock() = {};
        [[fallthrough]];
    case TIOCSETA:
    case TIOCSETAW:
        settings_ = *static_cast<const termios*>(argument);
        stir();  // who waits by the old rules looks again
        return 0;
    case TIOCGWINSZ:
        *static_cast<winsize*>(argument) = size_;
        return 0;
    case TIOCSWINSZ:
        size_ = *static_cast<const winsize*>(argument);
        return 0;
    case TIOCDRAIN:
        return 0;
    case FIONREAD:
        *static_cast<int*>(argument) = (ready() & POLLIN) != 0 ? 1 : 0;
        return 0;
    default:
        return refuse(ENOTTY);
    }
}

}  // namespace

// Made by the first call, which is start_application()'s; never destroyed.
Ref console_description() {
    if (the_console == nullptr) {
        the_console = new (storage) Console;
        kernel::console_on_input([](char c) { the_console->input_arrived(c); });
    }
    the_console->retain();
    return Ref(the_console);
}

}  // namespace ringlet::posix
