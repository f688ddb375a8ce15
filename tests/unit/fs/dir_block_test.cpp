// Directory blocks that change, against a map, and with anything in them.
#include <catch2/catch.hpp>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fs/ext4/dir_block.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::ext4;

namespace {

Geometry geometry_of(u32 block_size, bool checksums) {
    Geometry g;
    g.block_size = block_size;
    g.inodes = 5000;
    g.incompat = kIncompatFiletype;
    g.ro_compat = checksums ? kRoMetadataCsum : 0;
    return g;
}

/// What the block holds; fails when the records do not fill it exactly.
std::map<std::string, u32> read_all(const Geometry& g, Bytes entries) {
    std::map<std::string, u32> all;
    usize at = 0;
    while (at < entries.size()) {
        const auto slot = read_slot(g, entries, at);
        REQUIRE(slot);
        if (slot->inode != 0) REQUIRE(all.emplace(slot->name, slot->inode).second);
        at = slot->next;
    }
    REQUIRE(at == entries.size());
    return all;
}

std::optional<usize> offset_of(const Geometry& g, Bytes entries, const std::string& name) {
    for (usize at = 0; at < entries.size();) {
        const auto slot = read_slot(g, entries, at);
        if (slot->inode != 0 && slot->name == name) return at;
        at = slot->next;
    }
    return std::nullopt;
}

}  // namespace

TEST_CASE("entries come and go, and the block stays filled") {
    for (u32 size : {1024u, 4096u, 65536u})
        for (bool checksums : {false, true}) {
            const Geometry g = geometry_of(size, checksums);
            std::vector<std::byte> bytes(size, std::byte{0xee});
            DirBlock block(g, bytes);
            block.clear();
            std::map<std::string, u32> model;
            std::mt19937 random(size);
            u32 full = 0;
            for (int i = 0; i < 4000; ++i) {
                const std::string name(1 + random() % 40, static_cast<char>('a' + random() % 26));
                const auto at = offset_of(g, block.entries(), name);
                REQUIRE(at.has_value() == model.contains(name));
                if (!at) {
                    const u32 inode = 1 + random() % g.inodes;
                    const auto added = block.insert(name, inode, 1);
                    REQUIRE(added);
                    if (*added)
                        model[name] = inode;
                    else
                        ++full;
                } else if (random() % 3 == 0) {
                    REQUIRE(block.replace(*at, 7, 2));
                    model[name] = 7;
                } else {
                    REQUIRE(block.remove(*at));
                    model.erase(name);
                }
                if (i % 50 == 0) REQUIRE(read_all(g, block.entries()) == model);
            }
            REQUIRE(read_all(g, block.entries()) == model);
            CHECK((full != 0) == (size < 65536));
            while (!model.empty()) {
                REQUIRE(block.remove(*offset_of(g, block.entries(), model.begin()->first)));
                model.erase(model.begin());
            }
            // All room is one record's again, or the first two's: the largest name fits.
            CHECK(block.insert(std::string(255, 'x'), 12, 1) == true);
        }
}

TEST_CASE("a new directory has its two entries and a tail") {
    const Geometry g = geometry_of(1024, true);
    std::vector<std::byte> bytes(1024);
    DirBlock block(g, bytes);
    block.make_first(12, 2);
    CHECK(read_all(g, block.entries()) == std::map<std::string, u32>{{".", 12}, {"..", 2}});
    CHECK(offset_of(g, block.entries(), "..") == 12u);
    seal_entries(bytes, 99);
    const auto tail = *read_at<DirTail>(bytes, 1012);
    CHECK((tail.rec_len == 12 && tail.reserved_ft == kDirTailType && tail.checksum != 0));
    CHECK(block.remove(500).error() == Error::not_found);
}

TEST_CASE("lying records are errors, whatever is done with them") {
    const Geometry g = geometry_of(1024, false);
    std::mt19937 random(5);
    u32 errors = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::vector<std::byte> bytes(1024);
        DirBlock block(g, bytes);
        block.make_first(12, 2);
        for (u32 n = random() % 5; n > 0; --n) (void)block.insert(std::string(1 + random() % 30, 'q'), 20, 1);
        for (u32 n = 1 + random() % 8; n > 0; --n) bytes[random() % (n % 2 == 0 ? 1024 : 64)] = std::byte(random());
        errors += !block.insert("name", 30, 1);
        errors += !block.remove(random() % 1024);
        errors += !block.replace(random() % 1024, 31, 1);
    }
    CHECK(errors > 1000);
}
