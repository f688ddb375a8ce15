// The mount table, and the calls that change the tree: seldom, beside walks and reads.
#include <algorithm>

#include "fs/vfs.hpp"
#include "lib/parse.hpp"

namespace ringlet::fs {
namespace {

/// `path` split before its last component, trailing slashes dropped.
std::pair<std::string_view, std::string_view> split_last(std::string_view path) {
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    usize at = path.size();
    while (at > 0 && path[at - 1] != '/') --at;
    return {substring(path, 0, at), substring(path, at)};
}

}  // namespace

// ---- mounts

Vfs::Mount* Vfs::Table::find(std::string_view where) {
    while (where.size() > 1 && where.back() == '/') where.remove_suffix(1);
    for (Mount& m : rows)
        if (m.fs != nullptr && m.path() == where) return &m;
    return nullptr;
}

Result<> Vfs::mount(std::string_view where, FileSystem& fs, std::string_view source) {
    if (where.empty() || where.front() != '/') return fail(Error::invalid);
    while (where.size() > 1 && where.back() == '/') where.remove_suffix(1);
    if (where.size() > kMaxMountPath) return fail(Error::name_too_long);
    source = substring(source, 0, kMaxSource);
    Ref<Inode> new_root = TRY(fs.root());
    if (new_root->type() != NodeType::directory) return fail(Error::not_directory);
    Ref<Inode> covered;
    if (where != "/") {
        covered = TRY(resolve(where));
        if (covered->type() != NodeType::directory) return fail(Error::not_directory);
    }
    auto table = mounts_.lock();
    Mount* row = nullptr;
    for (Mount& m : table->rows) {
        if (m.fs == nullptr) {
            if (row == nullptr) row = &m;
            continue;
        }
        // One filesystem in two places would make ".." ambiguous.
        if (m.fs == &fs || m.covered == covered || (covered && m.root == covered)) return fail(Error::in_use);
    }
    if (row == nullptr) return fail(Error::no_space);
    row->fs = &fs;
    row->root = std::move(new_root);
    row->covered = std::move(covered);
    std::ranges::copy(where, row->where);
    row->where_length = static_cast<u8>(where.size());
    std::ranges::copy(source, row->source);
    row->source_length = static_cast<u8>(source.size());
    return {};
}

Result<> Vfs::unmount(std::string_view where) {
    Ref<Inode> root_reference, covered_reference;  // dropped after the lock
    FileSystem* fs = nullptr;
    {
        auto table = mounts_.lock();
        const Mount* const row = table->find(where);
        if (row == nullptr) return fail(Error::not_found);
        root_reference = row->root;
        fs = row->fs;
    }
    if (fs->users() > 1) return fail(Error::in_use);  // may sleep, hence not under the lock
    auto table = mounts_.lock();
    Mount* const row = table->find(where);
    if (row == nullptr || row->fs != fs) return fail(Error::not_found);
    for (Mount& m : table->rows)
        if (m.fs != nullptr && m.covered && &m.covered->filesystem() == fs) return fail(Error::in_use);
    row->fs = nullptr;
    std::swap(root_reference, row->root);
    covered_reference = std::move(row->covered);
    row->root = {};  // not the last: ours is
    return {};
}

void Vfs::for_each_filesystem(FunctionRef<void(FileSystem&, const Mount& row)> visit) {
    for (usize i = 0; i < kMaxMounts; ++i) {
        Mount held;  // filled under the lock, dropped outside it
        {
            auto table = mounts_.lock();
            held = table->rows[i];
        }
        if (held.fs != nullptr) visit(*held.fs, held);
    }
}

Result<> Vfs::remount(std::string_view where, bool read_only) {
    Mount held;
    {
        auto table = mounts_.lock();
        const Mount* const row = table->find(where);
        if (row == nullptr) return fail(Error::not_found);
        held = *row;
    }
    return held.fs->remount(read_only);
}

void Vfs::for_each_mount(FunctionRef<void(const MountInfo&)> visit) {
    for_each_filesystem([&](FileSystem& fs, const Mount& row) {
        const auto statfs = fs.statfs();
        visit({row.path(), {row.source, row.source_length}, statfs ? *statfs : StatFs{}, fs.warning()});
    });
}

Result<> Vfs::sync() {
    Result<> all;
    for_each_filesystem([&](FileSystem& fs, const Mount&) {
        const auto done = fs.sync();
        if (all && !done) all = fail(done.error());
    });
    return all;
}

void Vfs::write_back() {
    for_each_filesystem([](FileSystem& fs, const Mount&) { fs.write_back(); });
}

// ---- places

/// `of_root`: what to say of "/", which is in no directory.
Result<Vfs::Place> Vfs::place(std::string_view path, Error of_root) {
    TRY(check(path));
    const auto [directory, name] = split_last(path);
    if (name.empty()) return fail(of_root);
    if (name == "." || name == "..") return fail(Error::invalid);
    if (name.size() > kNameMax) return fail(Error::name_too_long);
    Ref<Inode> parent = TRY(resolve(directory.empty() ? std::string_view("/") : directory));
    if (parent->type() != NodeType::directory) return fail(Error::not_directory);
    return Place{std::move(parent), name, path.ends_with('/')};
}

Result<Vfs::Place> Vfs::free_place(std::string_view path) {
    Place at = TRY(place(path, Error::exists));
    if (!at.slash) return at;  // whether the name is free, the filesystem knows
    TRY(at.directory->lookup(at.name));
    return fail(Error::exists);
}

// ---- calls

Result<StatFs> Vfs::statfs(std::string_view path) {
    const Ref<Inode> inode = TRY(resolve(path));
    return inode->filesystem().statfs();
}

Result<u64> Vfs::trim(std::string_view path, u64 least) {
    const Ref<Inode> inode = TRY(resolve(path));
    return inode->filesystem().trim(least);
}

Result<> Vfs::create_directory(std::string_view path, u16 permissions) {
    const Place at = TRY(place(path, Error::exists));
    TRY(at.directory->create(at.name, NodeType::directory, permissions));
    return {};
}

Result<> Vfs::remove_directory(std::string_view path) {
    const Place at = TRY(place(path, Error::in_use));
    const Ref<Inode> child = TRY(at.directory->lookup(at.name));
    if (!(cross_down(child) == child)) return fail(Error::in_use);
    return at.directory->remove_directory(at.name);
}

Result<> Vfs::unlink(std::string_view path) {
    const Place at = TRY(place(path, Error::is_directory));
    if (!at.slash) return at.directory->unlink(at.name);
    const Ref<Inode> child = TRY(at.directory->lookup(at.name));
    return fail(child->type() == NodeType::directory ? Error::is_directory : Error::not_directory);
}

Result<> Vfs::link(std::string_view existing, std::string_view path) {
    const Ref<Inode> target = TRY(resolve(existing, Follow::no));
    const Place at = TRY(free_place(path));
    if (target->type() == NodeType::directory) return fail(Error::is_directory);
    if (&target->filesystem() != &at.directory->filesystem()) return fail(Error::cross_device);
    return at.directory->link(at.name, *target);
}

Result<> Vfs::symlink(std::string_view target, std::string_view path) {
    TRY(check(target));
    const Place at = TRY(free_place(path));
    return at.directory->create_symlink(at.name, target);
}

Result<> Vfs::rename(std::string_view from, std::string_view to) {
    const Place a = TRY(place(from, Error::in_use));
    const Place b = TRY(place(to, Error::in_use));
    if (&a.directory->filesystem() != &b.directory->filesystem()) return fail(Error::cross_device);
    const Ref<Inode> source = TRY(a.directory->lookup(a.name));
    const auto target = b.directory->lookup(b.name);
    if (!target && target.error() != Error::not_found) return fail(target.error());
    if ((a.slash || b.slash) && source->type() != NodeType::directory) return fail(Error::not_directory);
    if (target && *target == source) return {};
    if (!(cross_down(source) == source)) return fail(Error::in_use);
    if (target && !(cross_down(*target) == *target)) return fail(Error::in_use);
    return a.directory->rename(a.name, *b.directory, b.name);
}

Result<> Vfs::truncate(std::string_view path, u64 size) {
    const Ref<Inode> inode = TRY(resolve(path));
    if (inode->type() == NodeType::directory) return fail(Error::is_directory);
    if (inode->type() != NodeType::file) return fail(Error::invalid);
    return inode->truncate(size);
}

Result<> Vfs::set_attributes(std::string_view path, const Attributes& to, Follow follow) {
    const Ref<Inode> inode = TRY(resolve(path, follow));
    return inode->set_attributes(to);
}

}  // namespace ringlet::fs
