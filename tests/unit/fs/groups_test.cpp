// Free blocks and inodes: whatever was taken and given back, e2fsck must find every bitmap, count and checksum right.
#include "allocation.hpp"
#include "fs/ext4/bits.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;
using namespace ringlet::fs::ext4;

namespace {

void check_features(const std::string& options, const std::string& size) {
    INFO(options);
    const Scratch s;
    std::mt19937 random(7);
    CrashDisk disk(image_of(s, options, size));
    u64 free_blocks;
    {
        Allocation a(disk);
        free_blocks = a.groups->free_blocks();
        const u32 free_inodes = a.groups->free_inodes();
        std::vector<BlockRange> ranges;
        std::vector<std::pair<u32, NodeType>> inodes;
        std::set<u64> taken;
        for (int i = 0; i < 400; ++i) {
            auto handle = a.journal->begin(16);
            REQUIRE(handle);
            const u32 wanted = 1 + random() % 300;
            const auto got = a.groups->allocate(*handle, random() % a.geometry.blocks, wanted);
            REQUIRE(got);
            REQUIRE((got->count >= 1 && got->count <= wanted && a.geometry.contains(got->first, got->count)));
            for (u64 b = got->first; b < got->first + got->count; ++b) REQUIRE(taken.insert(b).second);
            ranges.push_back(*got);
            const NodeType type = i % 3 == 0 ? NodeType::directory : NodeType::file;
            const auto inode = a.groups->allocate_inode(*handle, 1 + random() % a.geometry.inodes, type);
            REQUIRE(inode);
            REQUIRE(*inode >= a.geometry.first_inode);
            inodes.emplace_back(*inode, type);
            if (i % 2 == 0) continue;
            const usize victim = random() % ranges.size();
            REQUIRE(a.groups->release(*handle, ranges[victim]));
            // Given back, but not to be had again before the commit.
            ranges[victim] = ranges.back();
            ranges.pop_back();
        }
        std::set<u32> distinct;
        for (const auto& [number, type] : inodes) REQUIRE(distinct.insert(number).second);
        for (const BlockRange& r : ranges) {
            auto handle = a.journal->begin(16);
            REQUIRE(a.groups->release(*handle, r));
        }
        for (const auto& [number, type] : inodes) {
            auto handle = a.journal->begin(16);
            REQUIRE(a.groups->release_inode(*handle, number, type));
        }
        REQUIRE(a.groups->free_blocks() == free_blocks);
        REQUIRE(a.groups->free_inodes() == free_inodes);
        REQUIRE(a.journal->close());
    }
    const auto path = (s.path / "after").string();
    write_image(path, disk.content());
    run("e2fsck -fn " + path);
}

}  // namespace

TEST_CASE("bits are found over word borders") {
    std::byte bytes[24] = {};
    set_bits(bytes, 3, 130);
    CHECK(next_clear(bytes, 0, 192) == 0);
    CHECK(next_clear(bytes, 3, 192) == 133);
    CHECK(next_set(bytes, 0, 192) == 3);
    CHECK(next_set(bytes, 133, 192) == 192);
    CHECK(next_clear(bytes, 3, 100) == 100);
    clear_bits(bytes, 64, 1);
    CHECK(next_clear(bytes, 3, 192) == 64);
    CHECK(next_set(bytes, 64, 192) == 65);
    CHECK(next_set(Bytes(bytes).first(3), 0, 24) == 3);
}

TEST_CASE("what was taken and given back leaves a clean filesystem") {
    check_features("-b 1024", "64M");
    check_features("-b 4096", "512M");
    check_features("-b 2048 -O ^flex_bg", "128M");
    check_features("-b 1024 -O ^metadata_csum,uninit_bg", "64M");
    check_features("-b 1024 -O ^metadata_csum,^uninit_bg,^64bit", "64M");
    check_features("-b 1024 -O meta_bg,^resize_inode", "64M");
    check_features("-b 1024 -O sparse_super2,^resize_inode", "64M");
    check_features("-t ext3 -b 1024", "96M");
    check_features("-t ext2 -b 1024", "96M");
}

TEST_CASE("every block can be had, once, and freed ones after the commit") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "16M"));
    Allocation a(disk);
    const u64 free_blocks = a.groups->free_blocks();
    std::vector<BlockRange> ranges;
    u64 sum = 0;
    for (;;) {
        auto handle = a.journal->begin(16);
        const auto got = a.groups->allocate(*handle, 5000, 777);
        if (!got) {
            REQUIRE(got.error() == Error::no_space);
            break;
        }
        sum += got->count;
        ranges.push_back(*got);
    }
    CHECK(sum == free_blocks);
    CHECK(a.groups->free_blocks() == 0);
    REQUIRE(a.journal->commit_all());
    {
        auto handle = a.journal->begin(16);
        REQUIRE(a.groups->release(*handle, ranges[0]));
        CHECK(a.groups->has_pending());
        const auto again = a.groups->allocate(*handle, ranges[0].first, 1);
        REQUIRE(!again);
        CHECK(again.error() == Error::no_space);
    }
    REQUIRE(a.journal->commit_all());
    CHECK(!a.groups->has_pending());
    {
        auto handle = a.journal->begin(16);
        const auto again = a.groups->allocate(*handle, 9000, ranges[0].count);
        REQUIRE(again);
        CHECK((again->first == ranges[0].first && again->count == ranges[0].count));
        // Twice freed is a damaged filesystem, not a crash.
        REQUIRE(a.groups->release(*handle, ranges[1]));
        CHECK(a.groups->release(*handle, ranges[1]).error() == Error::corrupt);
    }
    a.cache->discard_changes();
}

TEST_CASE("what is freed while another transaction is committed waits for its own") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "16M"));
    Allocation a(disk);
    BlockRange early, late;
    {
        auto handle = a.journal->begin(16);
        early = *a.groups->allocate(*handle, 5000, 10);
        late = *a.groups->allocate(*handle, 6000, 10);
    }
    REQUIRE(a.journal->commit_all());
    const auto release = [&](BlockRange what) {
        auto handle = a.journal->begin(16);
        REQUIRE(a.groups->release(*handle, what));
    };
    release(early);
    int asked = 0;
    disk.on_request =
        [&](const BlockRequest&) {  // for the write to the log, then for the flush: the next transaction runs already
            if (++asked == 2) release(late);
        };
    REQUIRE(a.journal->commit_all());
    disk.on_request = {};
    CHECK(a.groups->has_pending());
    auto handle = a.journal->begin(16);
    CHECK(a.groups->allocate(*handle, early.first, 10)->first == early.first);
    CHECK(a.groups->allocate(*handle, late.first, 10)->first >= late.first + 10);
    a.cache->discard_changes();
}

TEST_CASE("the device is told of free blocks, of those that a crash may bring back only after the commit") {
    const Scratch s;
    CrashDisk disk(image_of(s, "-b 1024", "16M"));
    disk.max_discard_bytes = 1 << 20;
    Allocation a(disk);
    BlockRange range;
    {
        auto handle = a.journal->begin(16);
        range = *a.groups->allocate(*handle, 5000, 10);
    }
    REQUIRE(a.journal->commit_all());
    const auto told_of = [&](u64 block) {
        disk.discarded.clear();
        REQUIRE(a.groups->trim(disk, 1));
        u64 sectors = 0;
        bool found = false;
        for (const auto& [first, count] : disk.discarded) {
            REQUIRE(count <= (1 << 20) / kSectorSize);
            found |= block * 2 >= first && block * 2 < first + count;
            sectors += count;
        }
        if (found) CHECK(sectors == a.groups->free_blocks() * 2);
        return found;
    };
    CHECK(!told_of(range.first));
    {
        auto handle = a.journal->begin(16);
        REQUIRE(a.groups->release(*handle, range));
    }
    CHECK(!told_of(range.first));
    REQUIRE(a.journal->commit_all());
    CHECK(told_of(range.first));
    a.cache->discard_changes();
}

TEST_CASE("a damaged bitmap is noticed before anything is taken from it") {
    const Scratch s;
    auto bytes = image_of(s, "-b 1024", "16M");
    u64 bitmap;
    {
        CrashDisk disk(bytes);
        Allocation a(disk);
        bitmap = a.groups->read(1)->block_bitmap;
    }
    bytes[bitmap * 1024 + 5] ^= std::byte{1};
    CrashDisk disk(bytes);
    Allocation a(disk);
    auto handle = a.journal->begin(16);
    CHECK(a.groups->allocate(*handle, 8193 + 100, 4).error() == Error::corrupt);
}
