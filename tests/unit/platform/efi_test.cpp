// UEFI's memory map as RAM: what firmware gives, and what none should.
#include <catch2/catch.hpp>
#include <cstring>
#include <string>
#include <vector>

#include "boot/aarch64/efi.hpp"

using namespace ringlet;

namespace {

constexpr u64 kFrom = 1_GiB, kTo = 256_GiB;

struct Row {
    u32 type;
    u64 start, pages;
};

std::vector<std::byte> map_of(const std::vector<Row>& rows, usize descriptor = 48) {
    std::vector<std::byte> map(rows.size() * descriptor, std::byte{0xee});
    for (usize i = 0; i < rows.size(); ++i) {
        const u64 words[5] = {rows[i].type, rows[i].start, 0, rows[i].pages, 0xf};
        std::memcpy(map.data() + i * descriptor, words, sizeof words);
    }
    return map;
}

using Ranges = std::vector<std::pair<u64, u64>>;  // start, end

template <class List> Ranges ranges(const List& list) {
    Ranges out;
    for (const auto& r : list) out.push_back({r.base.raw, r.base.raw + r.bytes});
    return out;
}

struct Got {
    Ranges ram, reserved;
    std::vector<std::string> complaints;
};

Got read(const std::vector<std::byte>& map, u64 descriptor = 48) {
    boot::BootInfo info;
    Got got;
    const auto complain = [&](std::string_view sentence) { got.complaints.emplace_back(sentence); };
    boot::memory_from_efi(map, descriptor, kFrom, kTo, info, complain);
    got.ram = ranges(info.ram);
    got.reserved = ranges(info.reserved);
    return got;
}

}  // namespace

TEST_CASE("EFI: free after the boot services, tables kept, the rest left alone") {
    const auto got = read(map_of({{7, 0x4000'0000, 0x80},   // conventional
                                  {1, 0x4008'0000, 0x100},  // loader code
                                  {2, 0x4018'0000, 0x10},   // loader data
                                  {9, 0x4019'0000, 2},      // ACPI tables
                                  {3, 0x4019'2000, 1},      // boot services code
                                  {4, 0x4019'3000, 1},      // boot services data
                                  {5, 0x4019'4000, 1},      // runtime code
                                  {6, 0x4019'5000, 1},      // runtime data
                                  {10, 0x4019'6000, 1},     // ACPI NVS
                                  {0, 0x4019'7000, 1},      // reserved
                                  {14, 0x4019'8000, 1},     // persistent
                                  {7, 0x4019'9000, 7},
                                  {11, 0x0900'0000, 1}}));  // a device
    CHECK(got.ram == Ranges{{0x4000'0000, 0x4019'4000}, {0x4019'9000, 0x401a'0000}});
    CHECK(got.reserved == Ranges{{0x4019'0000, 0x4019'2000}});
    CHECK(got.complaints.empty());
}

TEST_CASE("EFI: what is not mapped yet is left out, what makes no sense named") {
    CHECK(read(map_of({{7, 0, 0x8'0000}})).ram == Ranges{{1_GiB, 2_GiB}});
    CHECK(read(map_of({{7, 255_GiB, 0x10'0000}})).ram == Ranges{{255_GiB, 256_GiB}});
    CHECK(read(map_of({{7, 0x10'0000, 16}, {7, 300_GiB, 16}})).ram.empty());
    CHECK(read(map_of({{7, 2_GiB, 0}})).ram.empty());
    for (const Row row : {Row{7, 2_GiB, ~u64{0}}, Row{7, ~u64{0} - 4095, 2}, Row{7, 2_GiB, u64{1} << 52}}) {
        const auto got = read(map_of({row, {7, 3_GiB, 1}}));
        CHECK(got.ram == Ranges{{3_GiB, 3_GiB + 4096}});
        CHECK(got.complaints.size() == 1);
    }
}

TEST_CASE("EFI: the time as Unix seconds") {
    const auto seconds = [](u16 year, u8 month, u8 day, u8 hour, u8 minute, u8 second, i16 zone) {
        return boot::unix_seconds_from_efi({year, month, day, hour, minute, second, 0, 0, zone, 0, 0});
    };
    CHECK(seconds(2026, 11, 27, 17, 50, 3, 2047) == 1'795'801'803);
    CHECK(seconds(2026, 11, 27, 18, 50, 3, -60) == 1'795'801'803);  // an hour east of UTC
    CHECK(seconds(2024, 2, 29, 23, 59, 59, 0) == 1'709'251'199);
    CHECK(seconds(1970, 1, 1, 0, 0, 1, 0) == 1);
    CHECK(seconds(1970, 1, 1, 0, 0, 0, -60) == 0);  // before it began
    CHECK(seconds(1969, 12, 31, 0, 0, 0, 0) == 0);
    CHECK(seconds(0xffff, 1, 1, 0, 0, 0, 0) == 0);
    for (const u8 wrong : {u8{0}, u8{13}, u8{255}}) CHECK(seconds(2026, wrong, 1, 0, 0, 0, 0) == 0);
    for (const u8 wrong : {u8{0}, u8{32}, u8{255}}) CHECK(seconds(2026, 1, wrong, 0, 0, 0, 0) == 0);
    CHECK(seconds(2026, 1, 1, 24, 0, 0, 0) == 0);
    CHECK(seconds(2026, 1, 1, 0, 60, 0, 0) == 0);
    CHECK(seconds(2026, 1, 1, 0, 0, 60, 0) == 0);
}

TEST_CASE("EFI: descriptors of any size") {
    CHECK(read(map_of({{7, 1_GiB, 1}, {7, 2_GiB, 1}}, 40), 40).ram.size() == 2);
    CHECK(read(map_of({{7, 1_GiB, 1}, {7, 2_GiB, 1}}, 72), 72).ram.size() == 2);
    for (const u64 size : {u64{0}, u64{39}}) {
        const auto got = read(map_of({{7, 1_GiB, 1}}), size);
        CHECK(got.ram.empty());
        CHECK(got.complaints.size() == 1);
    }
    CHECK(read(map_of({{7, 1_GiB, 1}, {7, 2_GiB, 1}}), ~u64{0}).ram.size() == 1);
    auto cut = map_of({{7, 1_GiB, 1}, {7, 2_GiB, 1}});
    cut.resize(48 + 39);
    cut.shrink_to_fit();
    CHECK(read(cut).ram.size() == 1);
    CHECK(read({}).ram.empty());
}

TEST_CASE("EFI: more ranges than there is room for") {
    std::vector<Row> rows;
    for (u64 i = 0; i < 65; ++i) rows.push_back({7, 1_GiB + i * 0x2000, 1});
    auto got = read(map_of(rows));
    CHECK(got.ram.size() == 64);
    CHECK(got.complaints.size() == 1);
    rows.clear();
    for (u64 i = 0; i < 17; ++i) rows.push_back({9, 1_GiB + i * 0x2000, 1});
    got = read(map_of(rows));
    CHECK(got.reserved.size() == 16);
    CHECK(got.ram.size() == 16);  // a table that cannot be kept is not RAM
    CHECK(got.complaints.size() == 1);
}
