// libFuzzer's entry: what a time server says. See docs/testing.md for the command.
#include <cstdio>

#include "tests/fuzz/parsers.hpp"

using namespace ringlet;

// Our own invariants: for a fuzzer the end.
void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, usize size) {
    fuzz::sntp_message({data, size});
    return 0;
}
