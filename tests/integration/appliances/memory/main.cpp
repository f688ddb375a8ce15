// Memory at the end of a serial line, for tests/integration/test_balloon.py. Each line is a command, each answer a
// line:
//   take N    allocates and fills N pieces of 1 MiB, or as many as there are: "took M"
//   check     what was taken is as it was filled: "ok" or "damaged"
//   drop      gives everything back: "ok"
//   spoil     writes to a piece that was given back: "ok"
//   balloon   the counters of the balloon and its queues
#include <memory>
#include <new>

#include <ringlet/console.hpp>
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
        else if (word == "balloon")
            report();
        else if (!word.empty())
            print("error: {}?\n", word);
    }
}
