// The log ring: records of (time, level, length, text) in 16 KiB, the oldest overwritten. Context: any
// (spinlock; the console sink is called outside it).
#include "kernel/log.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernel/sync/spinlock.hpp"
#include "kernel/time/clock.hpp"
#include "lib/parse.hpp"

namespace ringlet::kernel {

namespace {

constexpr usize kMaxText = 240;

struct Header {
    u64 when_ns;
    LogLevel level;
    u8 length;
} __attribute__((packed));

struct Line {
    Instant when;
    LogLevel level = LogLevel::debug;
    usize length = 0;
    char text[kMaxText];
};

struct Ring {
    static constexpr u64 kSize = 16_KiB;
    std::byte data[kSize] = {};
    u64 head = 0, tail = 0;  ///< positions ever written and still kept; data[position % kSize]

    void copy_in(const void* from, usize n) {
        for (usize i = 0; i < n; ++i) data[(head + i) % kSize] = static_cast<const std::byte*>(from)[i];
        head += n;
    }
    void copy_out(u64 position, void* to, usize n) const {
        for (usize i = 0; i < n; ++i) static_cast<std::byte*>(to)[i] = data[(position + i) % kSize];
    }
    Header header_at(u64 position) const {
        Header h;
        copy_out(position, &h, sizeof h);
        return h;
    }
    void append(Instant when, LogLevel level, std::string_view text) {
        const Header h{when.ns, level, static_cast<u8>(text.size())};
        while (head + sizeof h + text.size() - tail > kSize) tail += sizeof h + header_at(tail).length;
        copy_in(&h, sizeof h);
        copy_in(text.data(), text.size());
    }
    /// The line at `position` (moved to the oldest kept one); false at the end.
    bool next(u64& position, Line& line) const {
        position = std::max(position, tail);
        if (position == head) return false;
        const Header h = header_at(position);
        line.when = {h.when_ns};
        line.level = h.level;
        line.length = std::min<usize>(h.length, kMaxText);
        copy_out(position + sizeof h, line.text, line.length);
        position += sizeof h + h.length;
        return true;
    }
};
constinit Guarded<Ring, Rank::leaf, Spinlock> ring;
constinit std::atomic<void (*)(std::string_view)> console{nullptr};
constinit std::atomic<LogLevel> console_least{LogLevel::info};

void send(void (*sink)(std::string_view), Instant when, std::string_view text) {
    char line[kMaxText + 24];
    sink(format_to(line, "[{:>5}.{:06}] {}\n", when.ns / 1'000'000'000, when.ns / 1000 % 1'000'000, text));
}

}  // namespace

void log_write(LogLevel level, std::string_view text) {
    text = substring(text, 0, kMaxText);
    const Instant when = now();
    ring.lock()->append(when, level, text);
    const auto sink = console.load(std::memory_order_acquire);
    if (sink != nullptr && level >= console_least.load(std::memory_order_relaxed)) send(sink, when, text);
}

void log_set_console(void (*sink)(std::string_view), LogLevel least) {
    console_least.store(least, std::memory_order_relaxed);
    console.store(sink, std::memory_order_release);
    if (sink == nullptr) return;
    log_read([&](Instant when, LogLevel level, std::string_view text) {
        if (level >= least) send(sink, when, text);
    });
}

void log_read(FunctionRef<void(Instant, LogLevel, std::string_view)> sink) {
    Line line;
    const u64 end = ring.lock()->head;  // what is logged meanwhile is not ours: `sink` may log
    for (u64 position = 0; position < end && ring.lock()->next(position, line);)
        sink(line.when, line.level, {line.text, line.length});
}

}  // namespace ringlet::kernel
