// What the fuzzers found worth keeping (tests/fuzz/corpus/<target>), through the same entry points, without libFuzzer.
// Whatever is broken ends the program.
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "tests/fuzz/net.hpp"
#include "tests/fuzz/parsers.hpp"

using namespace ringlet;

namespace {

void dns(std::span<const u8> bytes) {
    fuzz::dns_message(bytes);
    fuzz::dns_resolver(bytes);
}

void replay(const char* target, void (*run)(std::span<const u8>)) {
    usize files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(RINGLET_CORPUS) / target)) {
        std::ifstream in(entry.path(), std::ios::binary);
        const std::vector<u8> bytes{std::istreambuf_iterator<char>(in), {}};
        CAPTURE(entry.path().string());
        REQUIRE_FALSE(bytes.empty());
        run(bytes);
        ++files;
    }
    CHECK(files >= 10);
}

}  // namespace

TEST_CASE("What the fuzzers kept") {
    SECTION("frames") {
        replay("stack", fuzz::run_stack);
    }
    SECTION("extension headers") {
        replay("extensions", fuzz::run_extensions);
    }
    SECTION("fragments") {
        replay("reassembly", fuzz::run_reassembly);
    }
    SECTION("DHCP") {
        replay("dhcp", fuzz::dhcp_message);
    }
    SECTION("DNS") {
        replay("dns", dns);
    }
    SECTION("NTP") {
        replay("sntp", fuzz::sntp_message);
    }
}
