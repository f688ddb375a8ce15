// Path walks, and opening what they find; the mount table and what changes the tree is in vfs_tree.cpp. A walk is a
// loop: symbolic links are spliced into the rest of the path, so nothing recurses and kLinkMax and kPathMax bound it.
#include "fs/vfs.hpp"

#include <algorithm>
#include <memory>
#include <new>

#include "lib/parse.hpp"

namespace ringlet::fs {
namespace {

/// Takes the next component off `rest`, and the slashes before it; empty when there is none.
std::string_view next_component(std::string_view& rest) {
    usize start = 0;
    while (start < rest.size() && rest[start] == '/') ++start;
    usize end = start;
    while (end < rest.size() && rest[end] != '/') ++end;
    const std::string_view name = substring(rest, start, end - start);
    rest.remove_prefix(end);
    return name;
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

Result<> Vfs::check(std::string_view path) {
    if (path.size() >= kPathMax) return fail(Error::name_too_long);
    if (path.empty()) return fail(Error::not_found);
    if (path.find('\0') != path.npos) return fail(Error::invalid);
    return {};
}

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
