// GCC's coverage for libFuzzer. libstdc++'s <expected> needs a newer clang than the one whose libFuzzer is at hand, so
// the product is compiled by GCC with -fsanitize-coverage=trace-pc,trace-cmp; libFuzzer wants counters in memory. Each
// place in the code gets one of 65536 by its address. Compiled without that option itself.
#include <cstdint>

namespace {
constexpr unsigned kCounters = 1u << 16;
std::uint8_t counters[kCounters];
}  // namespace

extern "C" {
void __sanitizer_cov_8bit_counters_init(std::uint8_t* start, std::uint8_t* stop);

void __sanitizer_cov_trace_pc() {
    const auto pc = reinterpret_cast<std::uintptr_t>(__builtin_return_address(0));
    ++counters[(pc ^ pc >> 16) % kCounters];
}

__attribute__((constructor)) static void announce() {
    __sanitizer_cov_8bit_counters_init(counters, counters + kCounters);
}
}
