// Path walks and the mount table. A walk is a loop: symbolic links are spliced into the rest of the path, so
// nothing recurses and kLinkMax and kPathMax bound it.
#include "fs/vfs.hpp"

#include <memory>
#include <new>

namespace ringlet::fs {
namespace {

/// Takes the next component off `rest`, and the slashes before it; empty when there is none.
std::string_view next_component(std::string_view& rest) {
    usize start = 0;
    while (start < rest.size() && rest[start] == '/') ++start;
    usize end = start;
    while (end < rest.size() && rest[end] != '/') ++end;
    const std::string_view name = rest.substr(start, end - start);
    rest.remove_prefix(end);
    return name;
}

/// `path` split before its last component, trailing slashes dropped.
std::pair<std::string_view, std::string_view> split_last(std::string_view path) {
    while (!path.empty() && path.back() == '/') path.remove_suffix(1);
    usize at = path.size();
    while (at > 0 && path[at - 1] != '/') --at;
    return {path.substr(0, at), path.substr(at)};
}

/// The path that remains once a symbolic link was met: its target, then what had followed the link.
class LinkBuffer {
public:
    Result<std::string_view> splice(Inode& link, std::string_view rest) {
        std::unique_ptr<char[]> fresh(new (std::nothrow) char[kPathMax]);
        if (!fresh) return fail(Error::no_memory);
        const usize length = TRY(link.read_link({fresh.get(), kPathMax}));
        if (length == 0) return fail(Error::not_found);
        if (rest.size() >= kPathMax - length) return fail(Error::name_too_long);
        std::memcpy(fresh.get() + length, rest.data(), rest.size());
        bytes_ = std::move(fresh);  // only now: `rest` may lie in the old one
        return std::string_view(bytes_.get(), length + rest.size());
    }

private:
    std::unique_ptr<char[]> bytes_;
};

}  // namespace

// ---- files
// ------------------------------------------------------------------------------------------------------

Result<usize> File::read(MutableBytes to) {
    const usize n = TRY(read_at(position_, to));
    position_ += n;
    return n;
}

Result<usize> File::read_at(u64 offset, MutableBytes to) {
    return inode_->read_at(offset, to, &ahead_);
}

Result<PinnedBytes> File::map_at(u64 offset) {
    return inode_->map_at(offset, &ahead_);
}

Result<usize> File::write(Bytes from) {
    const usize n = TRY(write_at(position_, from));
    position_ += n;
    return n;
}

Result<usize> File::write_at(u64 offset, Bytes from) {
    if (mode_ == OpenMode::read) return fail(Error::read_only);
    return inode_->write_at(offset, from);
}

Result<> File::truncate(u64 size) {
    if (mode_ == OpenMode::read) return fail(Error::read_only);
    return inode_->truncate(size);
}

Result<u64> File::seek(i64 offset, Whence whence) {
    const u64 base = whence == Whence::start ? 0 : whence == Whence::current ? position_ : size();
    i64 target = 0;
    if (base > u64{INT64_MAX} || __builtin_add_overflow(static_cast<i64>(base), offset, &target) || target < 0)
        return fail(Error::invalid);
    position_ = static_cast<u64>(target);
    return position_;
}

// ---- mounts
// -----------------------------------------------------------------------------------------------------

Result<Ref<Inode>> Vfs::root() {
    auto table = mounts_.lock();
    for (Mount& m : table->rows)
        if (m.fs != nullptr && !m.covered) return m.root;
    return fail(Error::not_found);
}

Ref<Inode> Vfs::cross_down(Ref<Inode> dir) {
    Ref<Inode> found;  // filled under the lock, dropped outside it
    {
        auto table = mounts_.lock();
        for (Mount& m : table->rows)
            if (m.fs != nullptr && m.covered && m.covered == dir) found = m.root;
    }
    return found ? found : dir;
}

Ref<Inode> Vfs::cross_up(Ref<Inode> dir) {
    // More than one step when a filesystem is mounted on the root of another.
    for (usize step = 0; step < kMaxMounts; ++step) {
        Ref<Inode> below;
        {
            auto table = mounts_.lock();
            for (Mount& m : table->rows)
                if (m.fs != nullptr && m.covered && m.root == dir) below = m.covered;
        }
        if (!below) break;
        dir = std::move(below);
    }
    return dir;
}

Result<> Vfs::mount(std::string_view where, FileSystem& fs) {
    if (where.empty() || where.front() != '/') return fail(Error::invalid);
    while (where.size() > 1 && where.back() == '/') where.remove_suffix(1);
    if (where.size() > kMaxMountPath) return fail(Error::name_too_long);
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
    std::memcpy(row->where, where.data(), where.size());
    row->where_length = where.size();
    return {};
}

Result<> Vfs::unmount(std::string_view where) {
    while (where.size() > 1 && where.back() == '/') where.remove_suffix(1);
    Ref<Inode> root_reference, covered_reference;  // dropped after the lock
    auto table = mounts_.lock();
    Mount* row = nullptr;
    for (Mount& m : table->rows)
        if (m.fs != nullptr && std::string_view(m.where, m.where_length) == where) row = &m;
    if (row == nullptr) return fail(Error::not_found);
    for (Mount& m : table->rows)
        if (m.fs != nullptr && m.covered && &m.covered->filesystem() == row->fs) return fail(Error::in_use);
    row->fs = nullptr;
    root_reference = std::move(row->root);
    covered_reference = std::move(row->covered);
    return {};
}

void Vfs::for_each_mount(FunctionRef<void(const MountInfo&)> visit) {
    for (usize i = 0; i < kMaxMounts; ++i) {
        Ref<Inode> held;
        FileSystem* fs = nullptr;
        char where[kMaxMountPath];
        usize length = 0;
        {
            auto table = mounts_.lock();
            const Mount& m = table->rows[i];
            if (m.fs == nullptr) continue;
            fs = m.fs;
            held = m.root;
            length = m.where_length;
            std::memcpy(where, m.where, length);
        }
        const auto statfs = fs->statfs();
        visit({{where, length}, statfs ? *statfs : StatFs{}, fs->warning()});
    }
}

// ---- walks
// ------------------------------------------------------------------------------------------------------

Result<Ref<Inode>> Vfs::resolve(std::string_view path, Follow follow) {
    if (path.size() >= kPathMax) return fail(Error::name_too_long);
    if (path.empty()) return fail(Error::not_found);
    if (path.find('\0') != path.npos) return fail(Error::invalid);
    Ref<Inode> at = TRY(root());
    LinkBuffer buffer;
    unsigned links = 0;
    for (std::string_view rest = path;;) {
        if (rest.empty()) return at;
        if (at->type() != NodeType::directory) return fail(Error::not_directory);  // "file/" too
        const std::string_view name = next_component(rest);
        if (name.empty() || name == ".") continue;
        if (name.size() > kNameMax) return fail(Error::name_too_long);
        if (name == "..") {
            at = cross_up(std::move(at));
            at = TRY(at->lookup(".."));
            continue;
        }
        Ref<Inode> child = TRY(at->lookup(name));
        if (child->type() == NodeType::symlink && (follow == Follow::yes || !rest.empty())) {
            if (++links > kLinkMax) return fail(Error::too_many_links);
            rest = TRY(buffer.splice(*child, rest));
            if (rest.front() == '/') at = TRY(root());
            continue;
        }
        at = cross_down(std::move(child));
    }
}

Result<Vfs::Parent> Vfs::resolve_parent(std::string_view path) {
    if (path.size() >= kPathMax) return fail(Error::name_too_long);
    if (path.empty()) return fail(Error::not_found);
    const auto [directory, name] = split_last(path);
    if (name.empty()) return fail(Error::exists);  // "/"
    if (name == "." || name == "..") return fail(Error::invalid);
    if (name.size() > kNameMax) return fail(Error::name_too_long);
    if (path.find('\0') != path.npos) return fail(Error::invalid);
    Ref<Inode> parent = TRY(resolve(directory.empty() ? std::string_view("/") : directory));
    if (parent->type() != NodeType::directory) return fail(Error::not_directory);
    return Parent{std::move(parent), name};
}

Result<File> Vfs::open(std::string_view path, OpenMode mode) {
    auto found = resolve(path);
    if (!found && found.error() == Error::not_found && mode == OpenMode::create && !path.ends_with('/')) {
        Parent parent = TRY(resolve_parent(path));
        found = parent.directory->create(parent.name, NodeType::file, 0644);
    }
    Ref<Inode> inode = TRY(std::move(found));
    if (inode->type() == NodeType::directory) return fail(Error::is_directory);
    if (inode->type() != NodeType::file) return fail(Error::unsupported);
    // Refused here and not at the first write: a read-only filesystem says so to an empty write.
    if (mode != OpenMode::read) {
        const auto writable = inode->write_at(0, {});
        if (!writable) return fail(writable.error());
    }
    if (mode == OpenMode::truncate) {
        const auto emptied = inode->truncate(0);
        if (!emptied) return fail(emptied.error());
    }
    return File(std::move(inode), mode);
}

Result<Directory> Vfs::open_directory(std::string_view path) {
    Ref<Inode> inode = TRY(resolve(path));
    if (inode->type() != NodeType::directory) return fail(Error::not_directory);
    return Directory(std::move(inode));
}

Result<Stat> Vfs::stat(std::string_view path) {
    const Ref<Inode> inode = TRY(resolve(path));
    return inode->stat();
}

Result<Stat> Vfs::lstat(std::string_view path) {
    const Ref<Inode> inode = TRY(resolve(path, Follow::no));
    return inode->stat();
}

Result<usize> Vfs::read_link(std::string_view path, std::span<char> to) {
    const Ref<Inode> inode = TRY(resolve(path, Follow::no));
    if (inode->type() != NodeType::symlink) return fail(Error::invalid);
    return inode->read_link(to);
}

Result<StatFs> Vfs::statfs(std::string_view path) {
    const Ref<Inode> inode = TRY(resolve(path));
    return inode->filesystem().statfs();
}

Result<> Vfs::create_directory(std::string_view path) {
    const Parent parent = TRY(resolve_parent(path));
    const auto made = parent.directory->create(parent.name, NodeType::directory, 0755);
    if (!made) return fail(made.error());
    return {};
}

Result<> Vfs::remove_directory(std::string_view path) {
    const Parent parent = TRY(resolve_parent(path));
    const Ref<Inode> child = TRY(parent.directory->lookup(parent.name));
    if (!(cross_down(child) == child)) return fail(Error::in_use);
    return parent.directory->remove_directory(parent.name);
}

Result<> Vfs::unlink(std::string_view path) {
    if (path.ends_with('/')) return fail(Error::is_directory);
    const Parent parent = TRY(resolve_parent(path));
    return parent.directory->unlink(parent.name);
}

// ---- text
// -------------------------------------------------------------------------------------------------------

Result<std::string_view> join_path(std::string_view cwd, std::string_view path, std::span<char> out) {
    usize used = 0;
    auto append = [&](std::string_view text) -> Result<> {
        for (;;) {
            const std::string_view name = next_component(text);
            if (name.empty()) return {};
            if (name == ".") continue;
            if (name == "..") {
                while (used > 0 && out[used - 1] != '/') --used;
                if (used > 0) --used;
                continue;
            }
            if (out.size() - used < name.size() + 1) return fail(Error::name_too_long);
            out[used++] = '/';
            std::memcpy(out.data() + used, name.data(), name.size());
            used += name.size();
        }
    };
    if (!path.starts_with('/'))
        if (auto r = append(cwd); !r) return fail(r.error());
    if (auto r = append(path); !r) return fail(r.error());
    if (used == 0) {
        if (out.empty()) return fail(Error::name_too_long);
        out[used++] = '/';
    }
    return std::string_view(out.data(), used);
}

}  // namespace ringlet::fs
