// The information that a Multiboot2 loader leaves: what GRUB gives, and what no loader should.
#include "boot/x86_64/multiboot2.hpp"

#include <catch2/catch.hpp>
#include <random>
#include <string>
#include <vector>

using namespace ringlet;
using boot::read_multiboot2;

namespace {

/// Boot information under construction. It ends with the last tag, so that ASan sees each step over the end.
class Information {
public:
    Information() { bytes_.resize(8); }
    Information& tag(u32 type, std::string_view body, std::optional<u32> size = {}) {
        while (bytes_.size() % 8 != 0) bytes_.push_back({});
        put(type);
        put(size.value_or(static_cast<u32>(8 + body.size())));
        for (const char c : body) bytes_.push_back(static_cast<std::byte>(c));
        return *this;
    }
    Information& end() { return tag(0, {}); }
    Information& memory(std::vector<boot::MemoryMapEntry> entries, u32 entry_size = 24) {
        std::string body = word(entry_size) + word(0);
        for (const auto& e : entries) {
            std::string row(reinterpret_cast<const char*>(&e), sizeof e);
            row.resize(entry_size, 'x');
            body += row;
        }
        return tag(6, body);
    }
    static std::string word(u32 value) { return {reinterpret_cast<const char*>(&value), 4}; }
    std::vector<std::byte> bytes() {
        const auto total = static_cast<u32>(bytes_.size());
        std::memcpy(bytes_.data(), &total, 4);
        return bytes_;
    }

private:
    void put(u32 value) {
        for (const char c : word(value)) bytes_.push_back(static_cast<std::byte>(c));
    }
    std::vector<std::byte> bytes_;
};

/// What was read, with the bytes into which it points.
struct Read {
    std::vector<std::byte> bytes;
    Result<boot::LoaderInfo> info;
    const boot::LoaderInfo* operator->() const { return &info.value(); }
};
Read read(Information& from) {
    auto bytes = from.bytes();
    auto info = read_multiboot2(bytes);
    return {std::move(bytes), std::move(info)};
}

std::string text(Bytes bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const std::vector<boot::MemoryMapEntry> kRam = {
    {0, 0x9fc00, 1, 0}, {0x100000, 0x7f00000, 1, 0}, {0xf0000, 0x10000, 2, 0}};

}  // namespace

TEST_CASE("Multiboot2: what GRUB gives") {
    const std::string module = Information::word(0x200000) + Information::word(0x201234) + std::string("initrd\0", 7);
    const std::string old(20, 'o'), newer(36, 'n');
    const auto bytes = Information()
                           .tag(1, std::string_view("ip=off loglevel=debug\0", 22))
                           .tag(2, std::string_view("GRUB 2.06\0", 10))
                           .tag(4, std::string(8, '\1'))
                           .memory(kRam)
                           .tag(3, module)
                           .tag(3, Information::word(0x300000) + Information::word(0x301000))
                           .tag(15, newer)
                           .tag(14, old)
                           .tag(9, std::string(100, 'e'))
                           .end()
                           .bytes();
    REQUIRE(boot::multiboot2_bytes(bytes) == bytes.size());
    const auto info = read_multiboot2(bytes);
    REQUIRE(info);
    CHECK(info->command_line == "ip=off loglevel=debug");
    REQUIRE(info->memory.size() == 3);
    CHECK(info->memory[1].addr == 0x100000);
    CHECK(info->memory[2].type == 2);
    CHECK_FALSE(info->memory_cut);
    CHECK(info->module.base.raw == 0x200000);
    CHECK(info->module.bytes == 0x1234);
    CHECK(text(info->rsdp_copy) == newer);
    CHECK(info->rsdp.raw == 0);
}

TEST_CASE("Multiboot2: the old RSDP serves where there is no new one") {
    const std::string old(20, 'o'), newer(36, 'n');
    CHECK(text(read(Information().tag(14, old).memory(kRam).end())->rsdp_copy) == old);
    CHECK(text(read(Information().tag(14, old).tag(15, newer).memory(kRam).end())->rsdp_copy) == newer);
    CHECK(text(read(Information().tag(14, old).tag(15, old).memory(kRam).end())->rsdp_copy) == old);
    CHECK(read(Information().tag(14, "short").memory(kRam).end())->rsdp_copy.empty());
}

TEST_CASE("Multiboot2: larger entries, more than there is room for, odd sizes") {
    const auto wide = read(Information().memory(kRam, 40).end());
    REQUIRE(wide->memory.size() == 3);
    CHECK(wide->memory[2].addr == 0xf0000);
    const auto many = read(Information().memory(std::vector(129, kRam[0])).end());
    CHECK(many->memory.size() == 128);
    CHECK(many->memory_cut);
    const auto just = read(Information().memory(std::vector(128, kRam[0])).end());
    CHECK_FALSE(just->memory_cut);
    for (const u32 size : {0u, 8u, 16u, 25u, 0xffff'fff8u}) {
        const std::string body = Information::word(size) + Information::word(0) + std::string(48, '\0');
        const auto info = read(Information().tag(6, body).end());
        if (size == 0xffff'fff8u)
            CHECK(info->memory.size() == 1);
        else
            CHECK(info.info.error() == Error::not_found);
    }
    CHECK(read(Information().memory(kRam).memory(kRam).end())->memory.size() == 3);
}

TEST_CASE("Multiboot2: damage is named, or the tag is left out") {
    CHECK(read(Information().end()).info.error() == Error::not_found);
    CHECK(read(Information().memory(kRam)).info.error() == Error::corrupt);  // no last tag
    for (const u32 size : {0u, 7u, 100u, 0xffff'ffffu, 0x8000'0000u})
        CHECK(read(Information().memory(kRam).tag(1, "x", size).end()).info.error() == Error::corrupt);
    CHECK(read_multiboot2({}).error() == Error::corrupt);
    const auto odd = read(Information()
                              .memory(kRam)
                              .tag(1, "no end")
                              .tag(3, Information::word(9) + Information::word(9))
                              .tag(3, "x")
                              .end());
    CHECK(odd->command_line == "no end");
    CHECK(odd->module.bytes == 0);
    CHECK(read(Information().memory(kRam).tag(1, "").end())->command_line.empty());
    for (const u32 total : {0u, 15u, 0x10'0001u, 0xffff'ffffu}) {
        const std::string head = Information::word(total) + Information::word(0);
        CHECK(boot::multiboot2_bytes(std::as_bytes(std::span(head))) == 0);
    }
}

TEST_CASE("Multiboot2: any bytes are read within their bounds") {
    constexpr unsigned kSeed = 20261127;
    INFO("seed " << kSeed);
    std::mt19937 random(kSeed);
    auto good =
        Information().tag(1, "a b").memory(kRam).tag(3, std::string(8, '\2')).tag(14, std::string(20, 'o')).end();
    for (int round = 0; round < 20000; ++round) {
        auto bytes = good.bytes();
        for (unsigned n = random() % 4 + 1; n > 0; --n)
            bytes[random() % bytes.size()] = static_cast<std::byte>(random() % 40);
        bytes.resize(bytes.size() - random() % 2 * (random() % bytes.size()));
        bytes.shrink_to_fit();
        const auto info = read_multiboot2(bytes);
        if (!info) continue;
        const auto inside = [&](const void* p, usize n) {
            const auto at = static_cast<const std::byte*>(p);
            return n == 0 || (at >= bytes.data() && at + n <= bytes.data() + bytes.size());
        };
        REQUIRE(inside(info->command_line.data(), info->command_line.size()));
        REQUIRE(inside(info->rsdp_copy.data(), info->rsdp_copy.size()));
        REQUIRE(!info->memory.empty());
    }
}
