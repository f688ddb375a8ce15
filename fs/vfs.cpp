// Path walks and the mount table. A walk is a loop: symbolic links are spliced into the rest of the path, so
// nothing recurses and kLinkMax and kPathMax bound it.
#include "fs/vfs.hpp"

#include <algorithm>
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

Result<> check(std::string_view path) {
    if (path.size() >= kPathMax) return fail(Error::name_too_long);
    if (path.empty()) return fail(Error::not_found);
    if (path.find('\0') != path.npos) return fail(Error::invalid);
    return {};
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
    source = source.substr(0, kMaxSource);
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

// ---- walks
// ------------------------------------------------------------------------------------------------------

/// How far a walk came: to `found`, or, when only the last component is missing, to where it would be.
struct Vfs::Walk {
    Ref<Inode> found;
    Ref<Inode> parent;      ///< when nothing is found
    std::string_view name;  ///< in it; lies in the path or in `buffer`
    bool slash = false;     ///< one follows the name
    LinkBuffer buffer;
};

Result<> Vfs::walk(std::string_view path, Follow follow, Walk& out) {
    TRY(check(path));
    Ref<Inode> at = TRY(root());
    unsigned links = 0;
    for (std::string_view rest = path;;) {
        if (rest.empty()) break;
        if (at->type() != NodeType::directory) return fail(Error::not_directory);  // "file/" too
        const std::string_view name = next_component(rest);
        if (name.empty() || name == ".") continue;
        if (name.size() > kNameMax) return fail(Error::name_too_long);
        if (name == "..") {
            at = cross_up(std::move(at));
            at = TRY(at->lookup(".."));
            continue;
        }
        auto child = at->lookup(name);
        if (!child) {
            if (child.error() != Error::not_found || rest.find_first_not_of('/') != rest.npos)
                return fail(child.error());
            out.parent = std::move(at);
            out.name = name;
            out.slash = !rest.empty();
            return {};
        }
        if ((*child)->type() == NodeType::symlink && (follow == Follow::yes || !rest.empty())) {
            if (++links > kLinkMax) return fail(Error::too_many_links);
            rest = TRY(out.buffer.splice(**child, rest));
            if (rest.front() == '/') at = TRY(root());
            continue;
        }
        at = cross_down(std::move(*child));
    }
    out.found = std::move(at);
    return {};
}

Result<Ref<Inode>> Vfs::resolve(std::string_view path, Follow follow) {
    Walk at;
    TRY(walk(path, follow, at));
    if (!at.found) return fail(Error::not_found);
    return std::move(at.found);
}

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
// ------------------------------------------------------------------------------------------------------

Result<Ref<Inode>> Vfs::open_inode(std::string_view path, OpenMode mode, u16 permissions) {
    const bool fresh = includes(mode, OpenMode::create_new);
    for (unsigned attempt = 0;; ++attempt) {
        Walk at;
        TRY(walk(path, fresh ? Follow::no : Follow::yes, at));
        if (at.found && fresh) return fail(Error::exists);
        if (at.found) return std::move(at.found);
        if (!includes(mode, OpenMode::create)) return fail(Error::not_found);
        if (at.slash) return fail(Error::is_directory);
        auto made = at.parent->create(at.name, NodeType::file, permissions);
        // Somebody else was quicker: then theirs is opened, if it is still there.
        if (made || made.error() != Error::exists || fresh || attempt == 7) return made;
    }
}

Result<File> Vfs::open(std::string_view path, OpenMode mode, u16 permissions) {
    Ref<Inode> inode = TRY(open_inode(path, mode, permissions));
    if (inode->type() == NodeType::directory) return fail(Error::is_directory);
    if (inode->type() != NodeType::file) return fail(Error::unsupported);
    // Refused here and not at the first write: a read-only filesystem says so to an empty write.
    if (mode != OpenMode::read) TRY(inode->write_at(0, {}));
    if (includes(mode, OpenMode::truncate)) TRY(inode->truncate(0));
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
