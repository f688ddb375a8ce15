// main() in an image with the C and C++ libraries: a thread of its own, constructors of globals, main(), exit().
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <ringlet/application.hpp>
#include <unistd.h>

#include "kernel/log.hpp"
#include "kernel/sched/thread.hpp"
#include "kernel/system.hpp"
#include "kernel/time/clock.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/futex.hpp"
#include "posix/memory.hpp"
#include "posix/signals.hpp"
#include "posix/thread.hpp"

using namespace ringlet;

namespace {

constinit u32 ended = 0;  ///< a futex word: the application is at its end

/// Before the machine goes off: an application that handles SIGTERM has this long to end.
constexpr Duration kPatience = Duration::from_s(10);

void ask_to_end() {
    if (posix::shared(ended).load() != 0) return;
    if (posix::is_application_thread() || !posix::signal_is_handled(SIGTERM)) return;
    posix::signal_process(SIGTERM);
    if (posix::futex_wait(ended, 0, kernel::now() + kPatience) == posix::Slept::timed_out)
        kernel::log(kernel::LogLevel::warning, "the application has not ended {} s after SIGTERM",
                    kPatience.ms() / 1000);
}

}  // namespace

extern "C" {

int main(int argc, char** argv, char** environment);

using Function = void (*)();
// The linker script's.
extern const Function __init_array_start[], __init_array_end[], __fini_array_start[], __fini_array_end[];
extern char** environ;
extern const char ringlet_has_cxx_runtime;

/// newlib's: makes stdin, stdout and stderr of its global state, which is what exit() flushes. Only in an image that
/// has streams.
[[gnu::weak]] void __sinit(struct _reent*);

/// Never called, and so not in any image. newlib has these two of its own; a reference from here, which is linked
/// first, has the linker find those of print_calls.cpp before it comes to newlib's archive.
int _vfprintf_r(_reent*, FILE*, const char*, va_list);
int _svfprintf_r(_reent*, FILE*, const char*, va_list);
void ringlet_prefer(const char* format, va_list arguments) {
    _vfprintf_r(nullptr, nullptr, format, arguments);
    _svfprintf_r(nullptr, nullptr, format, arguments);
}

/// For posix_spawn and the like, and for exit() of newlib, which calls it when it runs destructors.
void _fini() {
    const auto count = __fini_array_end - __fini_array_start;
    for (auto i = count; i > 0; --i) __fini_array_start[i - 1]();
}

void _exit(int status) {
    posix::shared(ended).store(1);
    posix::futex_wake(ended, posix::kEverybody);
    end_application(status);
}

}  // extern "C"

namespace {

struct Arguments {
    int argc;
    char** argv;
    char** environment;
};

[[noreturn]] void run(void* p) {
    const Arguments given = *static_cast<Arguments*>(p);
    posix::start_memory_caches();
    posix::adopt_main_thread();
    posix::open_console();
    if (__sinit != nullptr) __sinit(_GLOBAL_REENT);
    environ = given.environment;
    for (const Function* f = __init_array_start; f != __init_array_end; ++f) (*f)();
    std::atexit(_fini);
    std::exit(main(given.argc, given.argv, environ));
}

}  // namespace

int ringlet::start_application(int argc, char** argv, char** environment, usize stack_bytes) {
    static constinit Arguments given;
    given = {argc, argv, environment};
    kernel::set_first_step(ask_to_end);
    auto thread = kernel::ThreadHandle::spawn({.name = "application", .stack_bytes = stack_bytes}, run, &given);
    if (!thread) {
        kernel::log(kernel::LogLevel::error, "no thread for main(): {}", thread.error());
        return 1 + (ringlet_has_cxx_runtime == 0);
    }
    thread->join();  // main() ended by pthread_exit(): the last of the other threads ends the run
    for (;;) kernel::sleep_for(Duration::from_s(3600));
}
