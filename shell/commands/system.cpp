// help, free, ps, uptime, date, dmesg, poweroff, reboot, panic, echo, clear, version: the machine.
#include <ringlet/system.hpp>

#include "lib/calendar.hpp"
#include "shell/commands/commands.hpp"

namespace ringlet::shell {

std::string_view date_text(i64 unix_seconds, std::span<char, 32> to) {
    i64 days = unix_seconds / 86400, second = unix_seconds % 86400;
    if (second < 0) {
        second += 86400;
        --days;
    }
    const CivilDate date = civil_from_days(days);
    return format_to(to, "{:04}-{:02}-{:02} {:02}:{:02}:{:02}", date.year, date.month, date.day, second / 3600,
                     second / 60 % 60, second % 60);
}

Outcome help(Shell& shell, const Arguments& args) {
    shell.for_each_command([&](const Command& c) {
        if (args.count == 1 || args[1] == c.name) print("{:<24} {}\n", c.usage, c.summary);
    });
    for (const Report& r : reports())
        if (args.count == 1 || args[1] == r.name) print("{:<24} {}\n", r.usage, r.summary);
    return Outcome::done;
}

Outcome free(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    const auto pages = page_stats();
    const auto heap = heap_stats();
    const u64 total = pages.total_pages * kPageSize, unused = pages.free_pages * kPageSize;
    print("{:<8} {:>12} {:>12} {:>12}\n", "", "total", "used", "free");
    print("{:<8} {:>8} KiB {:>8} KiB {:>8} KiB\n", "Memory", total / 1024, (total - unused) / 1024, unused / 1024);
    print("{:<8} {:>8} KiB {:>8} KiB {:>8} KiB\n", "Heap", heap.reserved_bytes / 1024, heap.used_bytes / 1024,
          (heap.reserved_bytes - heap.used_bytes) / 1024);
    if (pages.bad_frees != 0) print("{} bad frees were refused\n", pages.bad_frees);
    if (pages.damaged != 0) print("{} times free memory had been written to\n", pages.damaged);
    return Outcome::done;
}

Outcome ps(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    print("{:>4} {:<16} {:<9} {:>4} {:>10} {:>10} {:>8}\n", "ID", "NAME", "STATE", "PRIO", "CPU ms", "SWITCHES",
          "STACK");
    for_each_thread([](const kernel::ThreadInfo& t) {
        print("{:>4} {:<16} {:<9} {:>4} {:>10} {:>10} {:>8}\n", t.id, std::string_view(t.name), t.state, t.priority,
              t.cpu_time_ns / 1'000'000, t.switches, t.stack_bytes);
    });
    return Outcome::done;
}

Outcome uptime(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    const u64 up = now().ns, seconds = up / 1'000'000'000;
    const u64 idle = up == 0 ? 0 : idle_time_ns() / (up / 1000 + 1);
    print("up {} days, {:02}:{:02}:{:02}, {}.{}% idle, {} us busy\n", seconds / 86400, seconds / 3600 % 24,
          seconds / 60 % 60, seconds % 60, idle / 10, idle % 10, (up - idle_time_ns()) / 1000);
    return Outcome::done;
}

Outcome date(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    char text[32];
    const u64 ns = wall_clock_ns();
    if (ns == 0)
        print("unknown: this machine has no real-time clock\n");
    else
        print("{} UTC\n", date_text(static_cast<i64>(ns / 1'000'000'000), text));
    return Outcome::done;
}

Outcome dmesg(Shell& shell, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    bool stop = false;
    log_read([&](Instant t, LogLevel level, std::string_view text) {
        if (stop || (stop = shell.interrupted())) return;
        static constexpr std::string_view kMarks[] = {"debug: ", "", "warning: ", "error: "};
        print("[{:5}.{:06}] {}{}\n", t.ns / 1'000'000'000, t.ns / 1000 % 1'000'000,
              kMarks[static_cast<usize>(level) % 4], text);
    });
    return Outcome::done;
}

Outcome poweroff_machine(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    poweroff();
}

Outcome reboot_machine(Shell&, const Arguments& args) {
    if (args.count != 1) return Outcome::usage;
    reboot();
}

Outcome panic_machine(Shell&, const Arguments&) {
    panic_on_purpose("asked for on the shell");
}

Outcome echo(Shell&, const Arguments& args) {
    for (usize i = 1; i < args.count; ++i) print("{}{}", i == 1 ? "" : " ", args[i]);
    print("\n");
    return Outcome::done;
}

Outcome clear(Shell&, const Arguments&) {
    print("\x1b[H\x1b[2J");
    return Outcome::done;
}

Outcome version(Shell&, const Arguments&) {
    print("Ringlet {} on {}, {}\n", kVersion, kernel::architecture(), kernel::cpu_model());
    return Outcome::done;
}

}  // namespace ringlet::shell
