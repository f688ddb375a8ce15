// The Catch2 entry point, and what the kernel's panic is on the host.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include <cstdio>
#include <cstdlib>

#include "lib/assert.hpp"

void ringlet::assert_failed(const char* what) {
    std::fprintf(stderr, "assertion failed: %s\n", what);
    std::abort();
}
