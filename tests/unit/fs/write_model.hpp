// Random operations on the inodes of a filesystem, beside a model of what POSIX says they do. After each the results
// agree; at any time the whole tree can be compared.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <stdexcept>

#include "image.hpp"

namespace ringlet::fs::test {

struct ModelNode {
    NodeType type = NodeType::file;
    std::string data;  ///< contents, or a link's target
    std::map<std::string, std::shared_ptr<ModelNode>> children;
    u16 mode = 0;
    u32 links = 0;  ///< names, of what is no directory
    u64 id = 0;     ///< the same in every copy
};
using ModelRef = std::shared_ptr<ModelNode>;

inline ModelRef copy_of(const ModelRef& from, std::map<ModelNode*, ModelRef>& seen) {
    ModelRef& to = seen[from.get()];
    if (to) return to;
    to = std::make_shared<ModelNode>(*from);
    const ModelRef result = to;
    for (auto& [name, child] : result->children) child = copy_of(child, seen);
    return result;
}
/// The same tree again, hard links kept.
inline ModelRef copy_of(const ModelRef& from) {
    std::map<ModelNode*, ModelRef> seen;
    return copy_of(from, seen);
}

/// Whether the tree below `inode` is that of `node`; says where not.
class Comparison {
public:
    bool same(Ref<Inode> inode, const ModelNode& node, const std::string& path = "/") {
        if (inode->type() != node.type) return differs(path, "type");
        const auto stat = inode->stat();
        if (!stat) return differs(path, "stat");
        if (path != "/" && stat->mode != node.mode) return differs(path, "mode");
        if (node.type != NodeType::directory && stat->links != node.links) return differs(path, "links");
        if (node.type == NodeType::symlink) {
            char target[kPathMax];
            const auto n = inode->read_link(target);
            return (n && node.data == std::string_view(target, *n)) || differs(path, "target");
        }
        if (node.type == NodeType::file) {
            std::string all(node.data.size() + 1, '\0');
            const auto n = inode->read_at(0, std::as_writable_bytes(std::span(all)), nullptr);
            if (!n) return differs(path, "read: " + std::string(to_string(n.error())));
            all.resize(*n);
            if (all == node.data) return true;
            usize at = 0;
            while (at < all.size() && at < node.data.size() && all[at] == node.data[at]) ++at;
            return differs(path, "contents at " + std::to_string(at) + " of " + std::to_string(node.data.size()) +
                                     ", size " + std::to_string(all.size()));
        }
        std::set<std::string> names;
        DirEntry e;
        for (u64 cookie = 0;;) {
            const auto more = inode->next_entry(cookie, e);
            if (!more) return differs(path, "entries: " + std::string(to_string(more.error())));
            if (!*more) break;
            if (e.name() == "." || e.name() == ".." || (path == "/" && e.name() == "lost+found")) continue;
            if (!names.insert(std::string(e.name())).second) return differs(path, "twice " + std::string(e.name()));
        }
        usize directories = 0;
        for (const auto& [name, child] : node.children) {
            if (names.erase(name) == 0) return differs(path, "lacks " + name);
            const auto found = inode->lookup(name);
            if (!found) return differs(path + name, "lookup: " + std::string(to_string(found.error())));
            if (!same(*found, *child, path + name + "/")) return false;
            if (child->type == NodeType::directory) ++directories;
        }
        if (!names.empty()) return differs(path, "has " + *names.begin());
        if (path != "/" && stat->links != 1 && stat->links != 2 + directories) return differs(path, "links");
        return true;
    }
    std::string where;

private:
    bool differs(const std::string& path, const std::string& what) {
        where = path + ": " + what;
        return false;
    }
};

/// What an operation chose; the same seed chooses the same while everything succeeds.
class Operations {
public:
    Operations(FileSystem& fs, u32 seed)
        : fs_(&fs), root_(std::make_shared<ModelNode>(ModelNode{NodeType::directory, {}, {}, 0, 0})), random_(seed) {}

    void use(FileSystem& fs) { fs_ = &fs; }
    const ModelRef& model() const { return root_; }
    std::string home;  ///< a directory in the root that everything happens in; empty: the root
    u64 refused = 0;   ///< no_space
    u64 out_of_memory = 0;
    u32 largest = 40'000;   ///< bytes of a write or a file's size, about
    u32 names = 24;         ///< in a directory
    bool may_fail = false;  ///< an error that is none of the operation's ends everything
    bool failed = false;
    /// Leaves out what an ext2 or ext3 file cannot do.
    bool extents = true;

    /// What a disk that fails makes a call say.
    static bool is_disks(Error error) {
        return error == Error::io || error == Error::read_only || error == Error::timed_out ||
               error == Error::device_broken;
    }
    void step() {
        try {
            act();
        } catch (const DiskFailed&) {
            failed = true;
        }
    }
    /// fsync of some file; its id, 0: there was none.
    u64 sync_file() {
        try {
            const auto f = file();
            if (!f) return 0;
            demand(f->inode->sync(pick(2) == 0 ? Sync::all : Sync::data), "sync");
            return f->node->id;
        } catch (const DiskFailed&) {
            failed = true;
            return 0;
        }
    }
    std::string difference() {
        Comparison c;
        return c.same(root().inode, *root_) ? "" : c.where;
    }
    /// The same from here on, with a model of its own.
    Operations fork() const {
        Operations copy = *this;
        copy.root_ = copy_of(root_);
        return copy;
    }

private:
    struct DiskFailed {};
    void act() {
        switch (pick(20)) {
        case 0:
        case 1:
        case 2:
            return create(NodeType::file);
        case 3:
            return create(NodeType::directory);
        case 4:
            return symlink();
        case 5:
            return link();
        case 6:
        case 7:
            return unlink();
        case 8:
            return remove_directory();
        case 9:
        case 10:
            return rename();
        case 11:
            return truncate();
        case 12:
            return punch();
        case 13:
            return allocate();
        case 14:
            return set_mode();
        case 15:
            return read();
        default:
            return write();
        }
    }
    struct Found {
        ModelRef node;
        Ref<Inode> inode;
    };
    /// Of any thread, unlike the macros of the tests.
    template <class T> void demand(const T& holds, const char* what) {
        if constexpr (requires { holds.error(); })
            if (may_fail && !holds && is_disks(holds.error())) throw DiskFailed{};
        if constexpr (requires { holds.error(); })
            if (!holds) throw std::logic_error(std::string(what) + ": " + std::string(to_string(holds.error())));
        if (!holds) throw std::logic_error(what);
    }
    u32 pick(u32 n) { return static_cast<u32>(random_() % n); }
    std::string name() {
        const u32 n = pick(names);
        // Some are long, so that directories grow.
        return "n" + std::to_string(n) + (n % 3 == 0 ? std::string(40 + n % 200, 'x') : "");
    }
    /// Again while there is no memory.
    template <class F> static auto insist(F call) {
        for (;;)
            if (auto result = call(); result || result.error() != Error::no_memory) return result;
    }
    Found root() {
        auto inode = insist([&] { return fs_->root(); });
        demand(inode, "root");
        if (home.empty()) return {root_, std::move(*inode)};
        auto inside = insist([&] { return (*inode)->lookup(home); });
        demand(inside, "lookup");
        return {root_, std::move(*inside)};
    }
    Found down(const Found& from, const std::string& name) {
        auto inode = insist([&] { return from.inode->lookup(name); });
        demand(inode, "lookup");
        return {from.node->children.at(name), std::move(*inode)};
    }
    /// Some directory.
    Found directory() {
        Found at = root();
        while (pick(3) != 0) {
            std::vector<std::string> below;
            for (const auto& [name, child] : at.node->children)
                if (child->type == NodeType::directory) below.push_back(name);
            if (below.empty()) break;
            at = down(at, below[pick(static_cast<u32>(below.size()))]);
        }
        return at;
    }
    /// Some file, if there is one near.
    std::optional<Found> file() {
        for (int tries = 0; tries < 8; ++tries) {
            Found at = directory();
            std::vector<std::string> files;
            for (const auto& [name, child] : at.node->children)
                if (child->type == NodeType::file) files.push_back(name);
            if (!files.empty()) return down(at, files[pick(static_cast<u32>(files.size()))]);
        }
        return std::nullopt;
    }
    /// Whether it went through, as the model says: `expected` none, or that error.
    template <class R> bool agrees(const R& result, std::optional<Error> expected, const char* what) {
        if (!result && result.error() == Error::no_space && !expected) {
            ++refused;
            return false;
        }
        if (!result && result.error() == Error::no_memory) {
            ++out_of_memory;
            return false;
        }
        if (may_fail && !result && is_disks(result.error())) {
            failed = true;
            return false;
        }
        const bool as_expected = bool(result) == !expected.has_value() && (result || result.error() == *expected);
        if (!as_expected)
            throw std::logic_error(std::string(what) + ": " +
                                   (result ? "done" : std::string(to_string(result.error()))) + ", expected " +
                                   (expected ? std::string(to_string(*expected)) : "done"));
        return bool(result);
    }

    void create(NodeType type) {
        Found at = directory();
        const std::string n = name();
        const u16 mode = static_cast<u16>(pick(0777));
        const bool there = at.node->children.contains(n);
        if (!agrees(at.inode->create(n, type, mode), there ? std::optional(Error::exists) : std::nullopt, "create"))
            return;
        at.node->children[n] = std::make_shared<ModelNode>(ModelNode{type, {}, {}, mode, 1, ++last_id_});
    }
    void symlink() {
        Found at = directory();
        const std::string n = name(), target(1 + pick(pick(2) ? 59 : 700), static_cast<char>('a' + pick(26)));
        const bool there = at.node->children.contains(n);
        if (!agrees(at.inode->create_symlink(n, target), there ? std::optional(Error::exists) : std::nullopt,
                    "symlink"))
            return;
        at.node->children[n] =
            std::make_shared<ModelNode>(ModelNode{NodeType::symlink, target, {}, 0777, 1, ++last_id_});
    }
    void link() {
        const auto target = file();
        if (!target) return;
        Found at = directory();
        const std::string n = name();
        const bool there = at.node->children.contains(n);
        if (!agrees(at.inode->link(n, *target->inode), there ? std::optional(Error::exists) : std::nullopt, "link"))
            return;
        at.node->children[n] = target->node;
        ++target->node->links;
    }
    void unlink() {
        Found at = directory();
        const std::string n = name();
        const auto found = at.node->children.find(n);
        std::optional<Error> expected;
        if (found == at.node->children.end())
            expected = Error::not_found;
        else if (found->second->type == NodeType::directory)
            expected = Error::is_directory;
        if (!agrees(at.inode->unlink(n), expected, "unlink")) return;
        --found->second->links;
        at.node->children.erase(found);
    }
    void remove_directory() {
        Found at = directory();
        const std::string n = name();
        const auto found = at.node->children.find(n);
        std::optional<Error> expected;
        if (found == at.node->children.end())
            expected = Error::not_found;
        else if (found->second->type != NodeType::directory)
            expected = Error::not_directory;
        else if (!found->second->children.empty())
            expected = Error::in_use;
        if (agrees(at.inode->remove_directory(n), expected, "rmdir")) at.node->children.erase(found);
    }
    static bool lies_in(const ModelNode& at, const ModelNode* ancestor) {
        if (&at == ancestor) return true;
        for (const auto& [name, child] : ancestor->children)
            if (child->type == NodeType::directory && lies_in(at, child.get())) return true;
        return false;
    }
    void rename() {
        Found from = directory(), to = directory();
        const std::string old = name(), fresh = name();
        const auto source = from.node->children.find(old);
        const auto there = to.node->children.find(fresh);
        std::optional<Error> expected;
        bool nothing = false;
        if (source == from.node->children.end()) {
            expected = Error::not_found;
        } else {
            const ModelRef child = source->second;
            const bool directory = child->type == NodeType::directory;
            if (directory && from.node != to.node && lies_in(*to.node, child.get())) {
                expected = Error::invalid;
            } else if (there != to.node->children.end()) {
                const bool over = there->second->type == NodeType::directory;
                if (there->second == child)
                    nothing = true;
                else if (directory && !over)
                    expected = Error::not_directory;
                else if (!directory && over)
                    expected = Error::is_directory;
                else if (over && !there->second->children.empty())
                    expected = Error::in_use;
            }
        }
        if (!agrees(from.inode->rename(old, *to.inode, fresh), expected, "rename") || nothing) return;
        const ModelRef child = source->second;
        if (there != to.node->children.end() && there->second->type != NodeType::directory) --there->second->links;
        from.node->children.erase(source);
        to.node->children[fresh] = child;
    }
    std::string text(usize n) {
        std::string s(n, '\0');
        u32 v = static_cast<u32>(random_());
        for (char& c : s) c = static_cast<char>(v = v * 1664525 + 1013904223, v >> 24);
        return s;
    }
    void write() {
        const auto f = file();
        if (!f) return;
        std::string& data = f->node->data;
        const u64 offset = pick(3) == 0 ? data.size() : pick(pick(4) == 0 ? largest * 4 : largest);
        const std::string s = text(1 + pick(pick(3) == 0 ? largest : 5000));
        const auto n = f->inode->write_at(offset, std::as_bytes(std::span(s)));
        if (!agrees(n, std::nullopt, "write")) {
            // What lies between the old end and the write may have become zeros, which it is already.
            return;
        }
        if (*n != s.size()) ++refused;
        if (data.size() < offset + *n) data.resize(offset + *n);
        std::memcpy(data.data() + offset, s.data(), *n);
    }
    void truncate() {
        const auto f = file();
        if (!f) return;
        const u64 size = pick(3) == 0 ? 0 : pick(largest * 2);
        if (agrees(f->inode->truncate(size), std::nullopt, "truncate")) f->node->data.resize(size);
    }
    void punch() {
        const auto f = file();
        if (!f || f->node->data.empty()) return;
        const u64 offset = pick(static_cast<u32>(f->node->data.size())), length = 1 + pick(largest);
        const u64 end = std::min<u64>(offset + length, f->node->data.size());
        if (!agrees(f->inode->punch(offset, length), std::nullopt, "punch")) return adopt_zeros(*f, offset, end);
        std::memset(f->node->data.data() + offset, 0, end - offset);
    }
    /// A hole that found no room for what is left around it may be there in part.
    void adopt_zeros(const Found& f, u64 offset, u64 end) {
        if (failed) return;
        std::string now(end - offset, '?');
        const auto n =
            insist([&] { return f.inode->read_at(offset, std::as_writable_bytes(std::span(now)), nullptr); });
        demand(n, "read");
        for (u64 i = 0; i < now.size(); ++i) {
            demand(now[i] == 0 || now[i] == f.node->data[offset + i], "a punch that failed left something else");
            f.node->data[offset + i] = now[i];
        }
    }
    void allocate() {
        const auto f = file();
        if (!f || !extents) return;
        const u64 offset = pick(largest), length = 1 + pick(largest);
        const bool grow = pick(2) == 0;
        if (!agrees(f->inode->allocate(offset, length, grow), std::nullopt, "allocate")) return;
        if (grow && offset + length > f->node->data.size()) f->node->data.resize(offset + length);
    }
    void set_mode() {
        const auto f = file();
        if (!f) return;
        const u16 mode = static_cast<u16>(pick(07777));
        if (agrees(f->inode->set_attributes({.mode = mode}), std::nullopt, "chmod")) f->node->mode = mode;
    }
    void read() {
        const auto f = file();
        if (!f) return;
        const usize offset = pick(largest), length = 1 + pick(largest);
        std::string s(length, '?');
        const auto n = insist([&] { return f->inode->read_at(offset, std::as_writable_bytes(std::span(s)), nullptr); });
        demand(n, "read");
        s.resize(*n);
        demand(s == (offset < f->node->data.size() ? f->node->data.substr(offset, length) : ""), "read something else");
    }

    FileSystem* fs_;
    ModelRef root_;
    std::mt19937 random_;
    u64 last_id_ = 0;
};

}  // namespace ringlet::fs::test
