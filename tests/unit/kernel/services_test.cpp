// Interrupt dispatch, the log, random numbers, deadlines, stacks, symbols and the panic screen.
#include <catch2/catch.hpp>

#include <arch/cpu.hpp>
#include <arch/host.hpp>
#include <arch/irq.hpp>
#include <arch/registers.hpp>
#include <csignal>
#include <cstring>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/hooks.hpp"
#include "kernel/chacha20.hpp"
#include "kernel/console.hpp"
#include "kernel/irq/irq.hpp"
#include "kernel/log.hpp"
#include "kernel/mm/stack.hpp"
#include "kernel/panic.hpp"
#include "kernel/random.hpp"
#include "kernel/symbols.hpp"
#include "kernel/time/clock.hpp"
#include "kernel/time/deadline_heap.hpp"
#include "tests/unit/kernel/machine.hpp"

using namespace ringlet;
using namespace ringlet::kernel;

namespace {

struct Source {
    int calls = 0, mine = 0;
    static IrqResult handle(void* context) {
        auto& self = *static_cast<Source*>(context);
        ++self.calls;
        if (self.mine == 0) return IrqResult::not_mine;
        --self.mine;
        return IrqResult::handled;
    }
};

std::string sunk;
void sink(std::string_view text) {
    sunk += text;
}

std::vector<std::string> log_lines() {
    std::vector<std::string> lines;
    log_read([&](Instant, LogLevel, std::string_view text) { lines.emplace_back(text); });
    return lines;
}

}  // namespace

TEST_CASE("A shared line calls every handler and counts each one's interrupts") {
    auto id = arch::attach_line({.number = 11});
    REQUIRE(id);
    Source a, b;
    REQUIRE(irq_request(*id, Source::handle, &a, "a"));
    CHECK_FALSE(arch::host::is_masked(*id));
    REQUIRE(irq_request(*id, Source::handle, &b, "b"));
    a.mine = 2;
    b.mine = 1;
    for (int i = 0; i < 4; ++i) arch::host::raise(*id);
    CHECK((a.calls == 4 && b.calls == 4));
    std::set<std::string> seen;
    for_each_irq([&](const IrqInfo& info) {
        CHECK(info.id == *id);
        CHECK(info.spurious == 2);
        CHECK(info.count == (info.name == "a" ? 2u : 1u));
        seen.insert(std::string(info.name));
    });
    CHECK(seen.size() == 2);
    irq_release(*id, Source::handle, &a);
    arch::host::raise(*id);
    CHECK((a.calls == 4 && b.calls == 5));
    irq_release(*id, Source::handle, &b);
    irq_release(*id, Source::handle, &b);  // not there: nothing
    CHECK(arch::host::is_masked(*id));
    arch::host::reset_irqs();
}

TEST_CASE("A line that screams unclaimed is masked with one log line") {
    auto id = arch::attach_line({.number = 5});
    Source quiet;
    REQUIRE(irq_request(*id, Source::handle, &quiet, "quiet"));
    for (int i = 0; i < 999; ++i) arch::host::raise(*id);
    quiet.mine = 1;
    arch::host::raise(*id);  // one claimed: the count starts again
    for (int i = 0; i < 999; ++i) arch::host::raise(*id);
    CHECK_FALSE(arch::host::is_masked(*id));
    arch::host::raise(*id);
    CHECK(arch::host::is_masked(*id));
    CHECK(log_lines().back().find("irq 5") == 0);
    irq_release(*id, Source::handle, &quiet);
    for (int i = 0; i < 1000; ++i) arch::host::raise(arch::IrqId{77});  // nobody's at all
    CHECK(arch::host::is_masked(arch::IrqId{77}));
    arch::host::reset_irqs();
}

TEST_CASE("The log keeps the newest lines whole and sends old ones to a new console") {
    log(LogLevel::info, "first {}", 1);
    log(LogLevel::debug, "detail");
    sunk.clear();
    log_set_console(sink, LogLevel::info);
    CHECK(sunk.find("] first 1\n") != sunk.npos);
    CHECK(sunk.find("detail") == sunk.npos);
    log(LogLevel::debug, "more detail");
    log(LogLevel::error, "bad");
    CHECK(sunk.find("more detail") == sunk.npos);
    CHECK(sunk.find("] bad\n") != sunk.npos);
    log_set_console(nullptr, LogLevel::info);
    std::mt19937 random(3);
    std::vector<std::string> written;
    for (int i = 0; i < 1000; ++i) {
        written.push_back(std::to_string(i) + std::string(random() % 300, static_cast<char>('a' + i % 26)));
        log_write(LogLevel::info, written.back());
        written.back().resize(std::min<usize>(written.back().size(), 240));
    }
    const auto kept = log_lines();
    REQUIRE(kept.size() > 16384 / 260);
    REQUIRE(kept.size() < 16384 / 10);
    CHECK(std::equal(kept.rbegin(), kept.rend(), written.rbegin()));
}

TEST_CASE("ChaCha20 gives the block of RFC 8439 §2.3.2") {
    std::array<u8, 32> bytes;
    for (usize i = 0; i < 32; ++i) bytes[i] = static_cast<u8>(i);
    const auto key = std::bit_cast<ChaChaKey>(bytes);
    const auto block = chacha20_block(key, 1, {0x09000000, 0x4a000000, 0});
    const std::array<u32, 16> expected{0xe4e7f110, 0x15593bd1, 0x1fdd0f50, 0xc47120a3, 0xc7f4d1c7, 0x0368c033,
                                       0x9aaa2204, 0x4e6cd4c3, 0x466482d2, 0x09aa9f07, 0x05d7c214, 0xa2028bd9,
                                       0xd19c12b5, 0xb94e16de, 0xe883d0cb, 0x4e3c50a2};
    CHECK(block == expected);
}

TEST_CASE("Random numbers do not repeat, whatever the length asked for") {
    random_init();
    std::set<std::string> seen;
    for (usize n : {16u, 31u, 32u, 33u, 64u, 65u, 5000u})
        for (int i = 0; i < 20; ++i) {
            std::string bytes(n, '\0');
            random_fill(std::as_writable_bytes(std::span(bytes)));
            CHECK(seen.insert(bytes.substr(n - 16)).second);
        }
    CHECK(random_u64() != random_u64());
    random_add_entropy(std::as_bytes(std::span("abc")));
    random_fill({});
}

TEST_CASE("The deadline heap pops in order after random pushes and erasures") {
    std::mt19937 random(11);
    std::vector<DeadlineNode> nodes(500);
    DeadlineHeap heap;
    std::multiset<u64> model;
    for (int step = 0; step < 20000; ++step) {
        DeadlineNode& node = nodes[random() % nodes.size()];
        if (node.queued) {
            model.erase(model.find(node.when.ns));
            heap.erase(node);
        } else {
            node.when = {random() % 1000};
            model.insert(node.when.ns);
            heap.push(node);
        }
        REQUIRE(heap.empty() == model.empty());
        if (!model.empty()) REQUIRE(heap.earliest().ns == *model.begin());
    }
    while (!heap.empty()) {
        REQUIRE(heap.earliest().ns == *model.begin());
        model.erase(model.begin());
        heap.erase(*heap.first());
    }
}

TEST_CASE("Under every stack lies a page that faults") {
    test::Ram ram(4_MiB);
    const arch::MmioRange regions[] = {ram.range(0, 4_MiB)};
    REQUIRE(page_allocator_init(regions, {}, test::kAllMapped));
    auto a = allocate_stack(20000), b = allocate_stack(8192);
    REQUIRE((a && b));
    CHECK(a->bytes == 20480);
    std::memset(a->memory().data(), 1, a->bytes);
    std::memset(b->memory().data(), 2, b->bytes);
    for (const Stack* s : {&*a, &*b}) {
        const pid_t child = fork();
        if (child == 0) {
            std::signal(SIGSEGV, [](int) { _exit(9); });
            *reinterpret_cast<volatile char*>(s->base - 1) = 0;
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 9));
    }
    const auto reused = a->base;
    free_stack(*a);
    auto c = allocate_stack(20000);
    CHECK(c->base == reused);
    free_stack(*b);
    free_stack(*c);
    release_cached_stacks();
}

extern "C" const std::byte ringlet_symbols[], ringlet_symbols_end[];

TEST_CASE("tools/symbols.py and symbol_lookup() agree on every function") {
    const Bytes table(ringlet_symbols, ringlet_symbols_end);
    char buffer[160];
    std::ifstream expected(SYMBOLS_EXPECTED);
    std::string line;
    int functions = 0;
    while (std::getline(expected, line)) {  // "hex-offset hex-size name"
        char* rest;
        const u64 offset = std::strtoull(line.c_str(), &rest, 16), size = std::strtoull(rest, &rest, 16);
        const std::string name = rest + 1;
        for (const u64 at : {offset, offset + size / 2, offset + size - 1}) {
            const Symbol s = symbol_lookup(table, at, buffer);
            REQUIRE(std::string(s.name) == name);
            REQUIRE(s.offset == at - offset);
        }
        ++functions;
    }
    CHECK(functions == 500);
    CHECK(symbol_lookup(table, 0, buffer).name.empty());  // before the first
    CHECK(symbol_lookup(table, 1'000'000'000, buffer).name.empty());
    // Damaged in any way it gives some answer, and reads nothing outside.
    std::mt19937 random(1);
    for (int i = 0; i < 3000; ++i) {
        std::vector<std::byte> bad(table.begin(), table.end());
        for (int k = 0; k < 4; ++k) bad[random() % (k < 3 ? 700 : bad.size())] = static_cast<std::byte>(random());
        bad.resize(random() % 3 == 0 ? random() % bad.size() : bad.size());
        bad.shrink_to_fit();
        symbol_lookup(bad, random() % 70000, buffer);
    }
    CHECK(symbol_lookup({}, 5, buffer).name.empty());
    CHECK(symbolize(0x1234).name.empty());
}

namespace {
struct Ended {
    arch::host::PowerEvent event;
    u8 status;
};
[[gnu::noinline]] void deep_inside() {
    panic("it is all over");
}
}  // namespace

TEST_CASE("The panic screen has its headline, reason, thread, registers and stack, and survives itself") {
    sunk.clear();
    arch::host::set_early_sink([](char c) { sunk += c; });
    arch::host::set_power_hook([](arch::host::PowerEvent event, u8 status) { throw Ended{event, status}; });
    set_panic_action(PanicAction::end_vm);
    try {
        deep_inside();
        FAIL();
    } catch (const Ended& end) {
        CHECK((end.event == arch::host::PowerEvent::end_vm && end.status == kPanicExitStatus));
    }
    CHECK(sunk.find("\nRINGLET PANIC: it is all over\r\n") != sunk.npos);
    CHECK(sunk.find("thread: boot") != sunk.npos);
    CHECK(sunk.find("#0 ?") != sunk.npos);
    CHECK(sunk.find("#2 ") != sunk.npos);
    sunk.clear();
    set_panic_action(PanicAction::reboot);
    const arch::Registers registers{.pc = 0x1234};
    CHECK_THROWS_AS(arch::hooks::fault("inner", registers), Ended);
    CHECK(sunk.find("RINGLET PANIC: inner") != sunk.npos);
    CHECK(sunk.find("#0") == sunk.npos);
    sunk.clear();
    CHECK_THROWS_AS(panic("third"), Ended);
    CHECK(sunk.empty());
    arch::enable_interrupts();
}

TEST_CASE("Console input: a full ring holds the device back until half of it is read; nothing is lost") {
    static int resumed = 0;
    console_on_room([] { ++resumed; });
    for (int i = 0; i < 256; ++i) {
        CHECK_FALSE(console_input_full());
        console_input(static_cast<char>(i));
    }
    CHECK(console_overruns() == 0);
    CHECK(console_input_full());
    for (int i = 0; i < 127; ++i) CHECK(console_read(Instant{0}) == static_cast<char>(i));
    CHECK(resumed == 0);
    for (int i = 127; i < 256; ++i) CHECK(console_read(Instant{0}) == static_cast<char>(i));
    CHECK(resumed == 1);
    for (int i = 0; i < 300; ++i) console_input('x');
    CHECK(console_overruns() == 44);
    CHECK_FALSE(console_discard_through('c'));
    CHECK(console_discard_through('x'));
    for (int i = 1; i < 256; ++i) CHECK(console_read(Instant{0}) == 'x');
    CHECK(resumed == 1);  // nobody asked for room
    for (const char c : std::string_view("abc\3de\3f")) console_input(c);
    CHECK(console_discard_through('\3'));
    CHECK(console_read(Instant{0}) == 'd');
    CHECK(console_discard_through('\3'));
    CHECK_FALSE(console_discard_through('\3'));
    CHECK(console_read(Instant{0}) == 'f');
    console_on_room(nullptr);
}

TEST_CASE("Console input: whoever looks for signals sees them behind what nobody reads") {
    static test::HeapRam ram(4_MiB);  // the console keeps what it takes
    const arch::MmioRange regions[] = {ram.range(0, 4_MiB)};
    REQUIRE(page_allocator_init(regions, {}, test::kAllMapped));
    static u32 seen = 0, marks = 0;
    console_on_room(nullptr);
    console_on_input([](char c) { ++seen, marks += c == '\3'; });
    const auto typed = [](u32 i) { return static_cast<char>('a' + i % 23); };
    console_input('!');  // not from the ring's beginning
    CHECK(console_read(Instant{0}) == '!');
    const u64 lost = console_overruns();
    for (u32 i = 0; i < 16383; ++i) {
        if (console_input_full()) FAIL("full after " << i);
        console_input(typed(i));
    }
    console_input('\3');
    CHECK(marks == 1);
    CHECK(seen == 16385);
    CHECK(console_input_full());  // that is the most
    console_input('x');
    CHECK(console_overruns() == lost + 1);
    u32 right = 0;
    for (u32 i = 0; i < 16383; ++i) right += console_read(Instant{0}) == typed(i);
    CHECK(right == 16383);
    CHECK(console_read(Instant{0}) == '\3');
    console_on_input(nullptr);
    CHECK_FALSE(console_input_pending());
}

TEST_CASE("The wall clock is the RTC plus uptime, until it is set") {
    arch::host::use_virtual_clock(Instant{5'000'000'000});
    arch::host::set_wall_clock(1'700'000'000);
    CHECK(wall_clock_ns() == 1'700'000'000'000'000'000);
    arch::host::advance_to(Instant{6'000'000'000});
    CHECK(wall_clock_ns() == 1'700'000'001'000'000'000);
    set_wall_clock_ns(42'000'000'000);
    arch::host::advance_to(Instant{7'000'000'000});
    CHECK(wall_clock_ns() == 43'000'000'000);
}
