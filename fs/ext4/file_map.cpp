#include "fs/ext4/file_map.hpp"

namespace ringlet::fs::ext4 {

u32 FileMap::depth_of(Ext4Inode& inode) {
    // A block map gets deeper while a file grows: what it may become.
    if (!inode.has_extents()) return 3;
    return std::min<u32>(ringlet::read_at<ExtentHeader>(inode.root_, 0)->depth, kMaxExtentDepth);
}

FileMap::FileMap(Ext4Inode& inode) : inode_(inode), root_(inode.root_), depth_(depth_of(inode)) {
    inode.last_run_.forget();
    Volume& v = inode.volume_;
    const u64 goal = v.groups().home_of(inode.number_);
    if (inode.has_extents())
        map_.emplace<ExtentTree>(v.cache(), v.groups(), v.geometry(), ExtentTree::Root(root_), inode.seed_, goal);
    else
        map_.emplace<BlockMap>(v.cache(), v.groups(), v.geometry(), BlockMap::Root(root_), goal);
}

Result<> FileMap::insert(Handle& handle, const Mapping& m) {
    if (auto* tree = std::get_if<ExtentTree>(&map_)) return tree->insert(handle, m);
    return std::get<BlockMap>(map_).insert(handle, m);
}

Result<std::optional<Mapping>> FileMap::last_before(u64 before) {
    if (auto* tree = std::get_if<ExtentTree>(&map_)) return tree->last_before(before);
    return std::get<BlockMap>(map_).last_before(before);
}

Result<> FileMap::cut_tail(Handle& handle, const Mapping& m, u32 from) {
    if (auto* tree = std::get_if<ExtentTree>(&map_)) return tree->cut_tail(handle, m, from);
    return std::get<BlockMap>(map_).cut_tail(handle, m, from);
}

Result<> FileMap::cut_head(Handle& handle, const Mapping& m, u32 to) {
    if (auto* tree = std::get_if<ExtentTree>(&map_)) return tree->cut_head(handle, m, to);
    // Pointers are cleared one by one, wherever they are.
    return std::get<BlockMap>(map_).cut_tail(handle, {m.logical, to - m.logical, m.physical, false}, m.logical);
}

void FileMap::apply(i64 blocks) {
    i32 nodes = 0;
    if (auto* tree = std::get_if<ExtentTree>(&map_))
        nodes = tree->nodes_added();
    else
        nodes = std::get<BlockMap>(map_).nodes_added();
    {
        const auto fields = inode_.fields_.lock();
        inode_.root_ = root_;
    }
    inode_.last_run_.forget();
    inode_.add_blocks(blocks + nodes);
}

}  // namespace ringlet::fs::ext4
