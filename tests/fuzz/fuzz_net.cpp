// libFuzzer's entry for one of the runs of net.hpp: RINGLET_FUZZ_RUN names it. See docs/testing.md for the command.
#include <cstdio>
#include <cstdlib>

#include "lib/assert.hpp"
#include "tests/fuzz/net.hpp"

// Our own invariants: for a fuzzer the end.
void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const ringlet::u8* data, ringlet::usize size) {
    ringlet::fuzz::RINGLET_FUZZ_RUN({data, size});
    return 0;
}
