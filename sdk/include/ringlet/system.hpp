// The machine and the image, for applications and the shell: memory, threads, log, time, ending the run, and the
// reports that the composition root registers (PCI functions, virtio devices, interrupts).
#pragma once

#include <span>
#include <string_view>

#include "kernel/irq/irq.hpp"
#include "kernel/log.hpp"
#include "kernel/mm/heap.hpp"
#include "kernel/mm/page_allocator.hpp"
#include "kernel/random.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/system.hpp"
#include "kernel/time/clock.hpp"
#include "lib/format.hpp"

namespace ringlet {

using kernel::for_each_irq;
using kernel::for_each_thread;
using kernel::heap_stats;
using kernel::idle_time_ns;
using kernel::log;
using kernel::log_read;
using kernel::LogLevel;
using kernel::now;
using kernel::page_stats;
using kernel::poweroff;
using kernel::random_fill;
using kernel::reboot;
using kernel::wall_clock_ns;

inline constexpr std::string_view kVersion = "0.1.0";

/// A named text about something below the SDK; `arguments` is what followed the name on a shell line.
struct Report {
    std::string_view name;     ///< "lspci"
    std::string_view usage;    ///< "lspci [-v]"
    std::string_view summary;  ///< one line for `help`
    void (*write)(TextSink to, std::string_view arguments);
};
/// The reports of this image. Set once at boot.
std::span<const Report> reports();
void set_reports(std::span<const Report> all);

/// Ends the run with a panic, as an internal error would. For tests and for the shell.
[[noreturn]] void panic_on_purpose(std::string_view reason);

}  // namespace ringlet
