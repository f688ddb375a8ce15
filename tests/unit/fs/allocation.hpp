// The journal and the allocator on a real image, as a mount sets them up, without inodes on top.
#pragma once

#include "crash_disk.hpp"
#include "fs/ext4/groups.hpp"
#include "fs/ext4/volume.hpp"
#include "image.hpp"

namespace ringlet::fs::test {

using namespace ext4;

struct Allocation final : JournalClient {
    explicit Allocation(BlockDevice& device, u64 cache_bytes = 4 << 20) {
        MountText why;
        auto mounted = mount_ext4(device, {.cache_bytes = 64 << 10}, why);
        INFO(std::string(why.view()));
        REQUIRE(mounted);
        auto& volume = static_cast<Volume&>(**mounted);
        geometry = volume.geometry();
        if (geometry.journal_inode != 0) map = *LogMap::read(volume, geometry.journal_inode);
        mounted->reset();
        cache = *BlockCache::create(device, geometry.block_size, cache_bytes);
        groups.emplace(*cache, geometry);
        REQUIRE(groups->start(geometry.free_blocks, static_cast<u32>(geometry.free_inodes)));
        auto opened = Journal::open(device, *cache, *this, geometry.journal_inode != 0 ? &map : nullptr, geometry);
        REQUIRE(opened);
        journal = std::move(*opened);
    }
    Result<> complete_transaction(Handle& handle) override { return groups->complete(handle); }
    void transaction_committed() override { groups->committed(); }
    void journal_aborted(Error) override {}

    Geometry geometry;
    LogMap map;
    std::unique_ptr<BlockCache> cache;
    std::optional<Groups> groups;
    std::unique_ptr<Journal> journal;
};

inline std::vector<std::byte> image_of(const Scratch& s, const std::string& options, const std::string& size) {
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", options, size);
    return read_image((s.path / "image").string());
}

}  // namespace ringlet::fs::test
