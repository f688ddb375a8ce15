// libFuzzer's entry: drivers against a hostile device (drive.hpp). See docs/testing.md for the command.
#include "tests/fuzz/drive.hpp"

using namespace ringlet;

// Our own invariants: for a fuzzer the end.
void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, usize size) {
    fuzz::run({data, size});
    return 0;
}
