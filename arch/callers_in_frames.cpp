// callers() where all functions that call others have frames.
#include "arch/backtrace.hpp"
#include "arch/callers.hpp"

namespace ringlet::arch {

usize callers(std::uintptr_t, std::uintptr_t frame, std::span<Caller> to) {
    std::uintptr_t addresses[32];
    const usize count = backtrace(frame, std::span(addresses).first(to.size() < 32 ? to.size() : 32));
    for (usize i = 0; i < count; ++i) to[i] = {.address = addresses[i], .in_frame = true};
    return count;
}

std::uintptr_t caller_of_frameless(std::uintptr_t, std::uintptr_t) {
    return 0;
}

}  // namespace ringlet::arch
