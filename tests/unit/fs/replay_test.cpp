// Journal recovery against the reference: debugfs writes transactions, e2fsck replays one copy and we the other.
#include <sstream>

#include "fake_disk.hpp"
#include "image.hpp"
#include "lib/crc32c.hpp"
#include "lib/endian.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

constexpr u32 kFirst = 9000;  ///< free blocks that the transactions write

/// An image whose journal holds `transactions`, the last without its commit block.
void make_dirty(const Scratch& s, const std::string& options, const std::string& open, u32 seed, int transactions) {
    std::mt19937 random(seed);
    const auto image = s.path / "image";
    make_tree(s.path / "tree", 5, 30);
    make_image(image, s.path / "tree", "-b 1024 " + options, "40M");
    std::ostringstream commands;
    for (int t = 0; t < transactions; ++t) {
        std::string blocks, revoked;
        const usize count = 1 + random() % 40;
        std::string content;
        for (usize i = 0; i < count; ++i) {
            blocks += (i == 0 ? "" : ",") + std::to_string(kFirst + random() % 300);
            std::string block = random_text(random, 1024);
            if (random() % 4 == 0) block.replace(0, 4, "\xc0\x3b\x39\x98");  // must be escaped in the log
            content += block;
        }
        for (usize i = random() % 4; i > 0; --i)
            revoked += (revoked.empty() ? "" : ",") + std::to_string(kFirst + random() % 300);
        const auto file = s.path / ("t" + std::to_string(t));
        write_file(file, content);
        // The journal is closed after each: debugfs loses the commit block behind a revoke block otherwise.
        commands << "jo " << open << "\njw -b " << blocks << (revoked.empty() ? "" : " -r " + revoked)
                 << (t == transactions - 1 ? " -c " : " ") << file.string() << "\njc\n";
    }
    write_file(s.path / "commands", commands.str());
    run("debugfs -w -f " + (s.path / "commands").string() + " " + image.string());
}

void check_replay(const std::string& options, const std::string& open, u32 seed) {
    INFO(options << " " << open << " " << seed);
    const Scratch s;
    make_dirty(s, options, open, seed, 12);
    const auto image = s.path / "image", theirs = s.path / "theirs", ours = s.path / "ours";
    stdfs::copy_file(image, theirs);
    run("e2fsck -fy " + theirs.string());
    FakeDisk disk(image.string());
    disk.writable = true;
    {
        Mounted m(disk);
        INFO(std::string(m.fs->warning()));
        REQUIRE(m.fs->warning().starts_with("journal replayed: 11 transactions"));
        REQUIRE(compare(m.vfs, s.path / "tree", "/") > 30);
    }
    REQUIRE(disk.flushes >= 2);
    const std::string expected = read_host(theirs);
    const auto at = [&](u32 block) { return std::string_view(expected).substr(block * 1024, 1024); };
    for (u32 b = kFirst; b < kFirst + 300; ++b) {
        INFO(b);
        const std::string_view mine(reinterpret_cast<const char*>(disk.bytes().data()) + b * 1024, 1024);
        REQUIRE((mine == at(b)));
    }
    write_file(ours, std::string(reinterpret_cast<const char*>(disk.bytes().data()), disk.bytes().size()));
    run("e2fsck -fn " + ours.string());
    // Once more there is nothing to do.
    Mounted again(disk);
    REQUIRE(again.fs->warning().empty());
}

}  // namespace

TEST_CASE("a journal is replayed as the reference does it") {
    u32 seed = 1;
    for (const char* options : {"", "-O ^64bit"})
        for (const char* open : {"", "-c -v 2", "-c -v 3"}) check_replay(options, open, seed++);
}

TEST_CASE("a replay that fails changes nothing, or starts again") {
    const Scratch s;
    make_dirty(s, "", "-c -v 3", 77, 6);
    const std::string before = read_host(s.path / "image");
    SECTION("a corrupt block of a committed transaction") {
        // The log's content begins with random text: find the third block after the first descriptor.
        const auto text = read_host(s.path / "t0");
        const usize at = before.find(text.substr(100, 200));
        REQUIRE(at != before.npos);
        FakeDisk disk((s.path / "image").string());
        disk.writable = true;
        disk.bytes()[at] ^= std::byte{1};
        Mounted m(disk);
        REQUIRE(m.fs->warning().starts_with("journal not replayed"));
        disk.bytes()[at] ^= std::byte{1};
        REQUIRE((std::memcmp(disk.bytes().data(), before.data(), before.size()) == 0));
    }
    SECTION("a write error") {
        FakeDisk disk((s.path / "image").string());
        disk.writable = true;
        for (u64 b = kFirst; b < kFirst + 300; b += 5) disk.break_sector(b * 2);
        {
            Mounted m(disk);
            REQUIRE(m.fs->warning().starts_with("journal not replayed"));
        }
        disk.repair();
        Mounted m(disk);
        REQUIRE(m.fs->warning().starts_with("journal replayed: 5 transactions"));
    }
    SECTION("a read-only disk") {
        FakeDisk disk((s.path / "image").string());
        Mounted m(disk);
        REQUIRE(m.fs->warning().starts_with("journal not replayed"));
        REQUIRE((std::memcmp(disk.bytes().data(), before.data(), before.size()) == 0));
    }
    SECTION("power fails at any moment") {
        // Cut after n writes: whatever was written, the next replay ends in the same state.
        FakeDisk reference((s.path / "image").string());
        reference.writable = true;
        { Mounted m(reference); }
        for (u64 cut = 0; cut < 12; ++cut) {
            FakeDisk disk((s.path / "image").string());
            disk.writable = true;
            disk.cut_after = cut;
            { Mounted m(disk); }
            disk.cut_after = ~u64{0};
            disk.power_on();
            Mounted m(disk);
            const usize from = kFirst * 1024, bytes = 300 * 1024;
            REQUIRE((std::memcmp(disk.bytes().data() + from, reference.bytes().data() + from, bytes) == 0));
        }
    }
}

TEST_CASE("hostile journals are errors, never faults") {
    const Scratch s;
    make_dirty(s, "", "-c -v 3", 5, 5);
    const std::string image = read_host(s.path / "image");
    const usize log = image.find(std::string("\xc0\x3b\x39\x98\0\0\0\4", 8));
    REQUIRE(log != image.npos);
    std::mt19937 random(11);
    int replayed = 0, refused = 0;
    for (int round = 0; round < 300; ++round) {
        INFO(round);
        FakeDisk disk((s.path / "image").string());
        disk.writable = true;
        disk.synchronous = true;
        // Checksums off in half of the rounds, so that deeper lines are reached.
        MutableBytes super = disk.bytes().subspan(log, 1024);
        if (round % 2 == 0) super[0x2b] = std::byte{round % 4 == 0 ? u8{3} : u8{1}};
        for (usize i = 1 + random() % 3; i > 0; --i) {
            const usize block = random() % 3 == 0 ? 0 : random() % 200;
            const usize at = log + block * 1024 + random() % (block == 0 ? 0x60 : 64);
            disk.bytes()[at] = static_cast<std::byte>(random() % 3 == 0 ? 0xff : random());
        }
        const be32 crc = crc32c(crc32c(crc32c(~0u, Bytes(super).first(0xfc)), std::as_bytes(std::span("\0\0\0", 4))),
                                Bytes(super).subspan(0x100));
        std::memcpy(super.data() + 0xfc, &crc, 4);
        MountText why;
        auto fs = mount_ext4(disk, {.cache_bytes = 1 << 18, .inode_cache = 8}, why);
        if (!fs) continue;
        ((*fs)->warning().starts_with("journal not replayed") ? refused : replayed)++;
    }
    REQUIRE(replayed > 20);
    REQUIRE(refused > 20);
}
