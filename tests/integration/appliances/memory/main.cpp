// Memory at the end of a serial line, for tests/integration/test_balloon.py. Each line is a command, each answer a
// line:
//   take N    allocates and fills N pieces of 1 MiB, or as many as there are: "took M"
//   check     what was taken is as it was filled: "ok" or "damaged"
//   drop      gives everything back: "ok"
//   spoil     writes to a piece that was given back: "ok"
//   balloon   the counters of the balloon and its queues
//   off       poweroff
//   disks     the shell's report on disks and caches, then "ok"
//   read PATH, write PATH MIB       a file, as fill() makes it: "ok" or an error
#include <memory>
#include <new>

#include <ringlet/console.hpp>
#include <ringlet/file.hpp>
#include <ringlet/system.hpp>

#include "drivers/virtio/device_info.hpp"
#include "lib/parse.hpp"

using namespace ringlet;

namespace {

constexpr usize kWords = (1 << 20) / sizeof(u64);
struct Piece {
    Piece* next;
    u64 words[kWords - 1];
};
Piece* taken;

u64 pattern(const Piece* p, usize i) {
    return reinterpret_cast<u64>(p) * 0x9e37'79b9'7f4a'7c15u + i;
}

u64 take(u64 most) {
    u64 n = 0;
    for (; n < most; ++n) {
        auto* p = new (std::nothrow) Piece;
        if (p == nullptr) break;
        for (usize i = 0; i < kWords - 1; ++i) p->words[i] = pattern(p, i);
        p->next = std::exchange(taken, p);
    }
    return n;
}

bool whole() {
    for (const Piece* p = taken; p != nullptr; p = p->next)
        for (usize i = 0; i < kWords - 1; ++i)
            if (p->words[i] != pattern(p, i)) return false;
    return true;
}

void drop() {
    while (taken != nullptr) delete std::exchange(taken, taken->next);
}

void spoil() {
    auto* p = new (std::nothrow) Piece;
    volatile u64* const word = &p->words[kWords / 2];
    delete p;
    *word = 1;
}

/// What lies at byte `offset` of every file.
u64 word_at(u64 offset) {
    return (offset + 1) * 0x9e37'79b9'7f4a'7c15u;
}

constexpr usize kPart = 64 << 10;
u64 part[kPart / sizeof(u64)];

Result<> write_file(std::string_view path, u64 mib) {
    fs::File file = TRY(files().open(path, OpenMode::create | OpenMode::truncate));
    for (u64 at = 0; at < mib << 20; at += kPart) {
        for (usize i = 0; i < std::size(part); ++i) part[i] = word_at(at + i * sizeof(u64));
        if (TRY(file.write(std::as_bytes(std::span(part)))) != kPart) return fail(Error::no_space);
    }
    return {};
}

Result<> read_file(std::string_view path) {
    fs::File file = TRY(files().open(path));
    for (u64 at = 0;; at += kPart) {
        const usize n = TRY(file.read(std::as_writable_bytes(std::span(part))));
        for (usize i = 0; i < n / sizeof(u64); ++i)
            if (part[i] != word_at(at + i * sizeof(u64))) return fail(Error::corrupt);
        if (n != kPart) return {};
    }
}

void say(const Result<>& done) {
    print("{}\n", done ? std::string_view("ok") : to_string(done.error()));
}

void report_disks() {
    for (const Report& r : reports())
        if (r.name == "disks") r.write([](std::string_view text) { print("{}", text); }, {});
    print("ok\n");
}

void report() {
    virtio::for_each_record([](const virtio::DeviceRecord& d) {
        d.for_each_value([](std::string_view name, u64 value) { print("{}={} ", name, value); });
        for (const virtio::QueueInfo& q : d.info().queues) print("{}.kicks={} ", q.name, q.counters.kicks);
    });
    print("\n");
}

}  // namespace

int main() {
    print("memory: ready\n");
    char line[80];
    usize length = 0;
    for (;;) {
        const char c = read_key();
        if (c != '\n' && c != '\r') {
            if (length < sizeof line) line[length++] = c;
            continue;
        }
        std::string_view rest(line, std::exchange(length, 0));
        const std::string_view word = next_word(rest);
        if (word == "take")
            print("took {}\n", take(parse_number<u64>(next_word(rest)).value_or(0)));
        else if (word == "check")
            print("{}\n", whole() ? "ok" : "damaged");
        else if (word == "drop")
            drop(), print("ok\n");
        else if (word == "spoil")
            spoil(), print("ok\n");
        else if (word == "off")
            poweroff();
        else if (word == "balloon")
            report();
        else if (word == "disks")
            report_disks();
        else if (word == "read")
            say(read_file(next_word(rest)));
        else if (word == "write") {
            const std::string_view path = next_word(rest);
            say(write_file(path, parse_number<u64>(next_word(rest)).value_or(0)));
        } else if (!word.empty())
            print("error: {}?\n", word);
    }
}
