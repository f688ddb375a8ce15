// libFuzzer's entry: what name servers say, as a message and to a resolver. See docs/testing.md for the command.
#include <cstdio>

#include "tests/fuzz/parsers.hpp"

using namespace ringlet;

// Our own invariants: for a fuzzer the end.
void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const u8* data, usize size) {
    fuzz::dns_message({data, size});
    fuzz::dns_resolver({data, size});
    return 0;
}
