// A filesystem as POSIX means it, in the simplest form that can be written down, and random calls that are made on it
// and on a fs::Vfs: results, errors, contents, link counts and listings must agree. Knows nothing of the filesystem
// under test, which is mounted at "/" and empty at first (what a fresh ext4 has is passed over by name).
//
// Where a call is wrong in several ways, any of the errors will do, as in POSIX. no_space and no_memory may come at any
// time and must have changed nothing; of a write the part that was reported is there.
#pragma once

#include <catch2/catch.hpp>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fs/vfs.hpp"

namespace ringlet::fs::test {

class PosixModel {
public:
    struct Options {
        u32 seed = 1;
        u32 max_file = 40'000;                            ///< bytes
        std::set<std::string> passed_over{"lost+found"};  ///< in the root
        u32 directories_passed_over = 0;                  ///< how many of them there are
        bool may_be_unsupported = false;                  ///< allocate and punch
    };

    PosixModel(Vfs& vfs, Options options) : vfs_(vfs), options_(options), random_(options.seed) {
        root_->hidden = options_.directories_passed_over;
    }

    void run(unsigned steps) {
        for (unsigned i = 0; i < steps; ++i) step();
    }

    /// The whole tree, content included.
    void compare() {
        say("compare");
        compare_directory("", root_);
    }

    unsigned full() const { return full_; }            ///< how often there was no space
    unsigned succeeded() const { return succeeded_; }  ///< calls that changed something

private:
    struct Node;
    using NodePtr = std::shared_ptr<Node>;
    struct Node {
        NodeType type = NodeType::directory;
        u16 mode = 0755;
        std::string content;  ///< of a file; a link's target
        std::map<std::string, NodePtr> children;
        Node* parent = nullptr;
        u32 names = 0;
        u32 hidden = 0;  ///< directories in it that are passed over

        bool is_directory() const { return type == NodeType::directory; }
        u32 links() const {
            if (!is_directory()) return names;
            u32 n = 2 + hidden;
            for (const auto& [name, child] : children) n += child->is_directory();
            return n;
        }
    };
    using Errors = std::set<Error>;
    /// Where a path leads: to a node, or to a free name in a directory, or nowhere.
    struct Found {
        NodePtr node, directory;
        std::string name;
        bool slash = false;
        Errors errors;  ///< empty: the walk came to its end
    };
    struct Handle {
        File file;
        NodePtr node;
    };

    // ---- the model

    static Found wrong(Errors errors) { return {{}, {}, {}, false, std::move(errors)}; }
    static NodePtr make(NodeType type, u16 mode, std::string content = {}) {
        auto node = std::make_shared<Node>();
        node->type = type;
        node->mode = mode;
        node->content = std::move(content);
        return node;
    }
    static std::vector<std::string> split(const std::string& path) {
        std::vector<std::string> parts;
        std::string part;
        for (const char c : path + "/") {
            if (c != '/')
                part += c;
            else if (!part.empty())
                parts.push_back(std::exchange(part, {}));
        }
        return parts;
    }

    Found walk(const std::string& path, bool follow) {
        unsigned links = 0;
        return walk_from(root_, path, follow, links);
    }

    Found walk_from(NodePtr at, const std::string& path, bool follow, unsigned& links) {
        if (path.empty()) return wrong({Error::not_found});
        if (path[0] == '/') at = root_;
        const auto parts = split(path);
        const bool slash = path.back() == '/';
        for (usize i = 0; i < parts.size(); ++i) {
            const std::string& name = parts[i];
            const bool last = i + 1 == parts.size();
            if (!at->is_directory()) return wrong({Error::not_directory});
            if (name == ".") continue;
            if (name == "..") {
                if (at->parent != nullptr) at = at->parent->parent == nullptr ? root_ : shared(*at->parent);
                continue;
            }
            const auto child = at->children.find(name);
            if (child == at->children.end()) {
                if (!last) return wrong({Error::not_found});
                return {{}, at, name, slash, {}};
            }
            if (child->second->type != NodeType::symlink || (last && !follow && !slash)) {
                at = child->second;
                continue;
            }
            if (++links > kLinkMax) return wrong({Error::too_many_links, Error::name_too_long});
            // What remains is walked from where the link leads to: one path, as if it had been written so.
            std::string rest = child->second->content;
            for (usize j = i + 1; j < parts.size(); ++j) rest += "/" + parts[j];
            return walk_from(at, rest + (slash ? "/" : ""), follow, links);
        }
        if (slash && !at->is_directory()) return wrong({Error::not_directory});
        return {at, {}, {}, false, {}};
    }

    NodePtr shared(Node& node) {
        for (const auto& [name, child] : node.parent->children)
            if (child.get() == &node) return child;
        FAIL("the model has lost a directory");
        return {};
    }

    /// The directory and the name of the last component, which is not followed. `of_root`: for "/".
    Found place(const std::string& path, Error of_root) {
        const auto parts = split(path);
        if (path.empty()) return wrong({Error::not_found});
        if (parts.empty()) return wrong({of_root});
        std::string above = path[0] == '/' ? "/" : "./";
        for (usize i = 0; i + 1 < parts.size(); ++i) above += parts[i] + "/";
        Found f = walk(above, true);
        if (f.errors.empty() && !f.node) f.errors.insert(Error::not_found);
        if (parts.back() == "." || parts.back() == "..") f.errors.insert(Error::invalid);
        if (!f.errors.empty()) return f;
        Found to{{}, f.node, parts.back(), path.back() == '/', {}};
        const auto there = f.node->children.find(to.name);
        if (there != f.node->children.end()) to.node = there->second;
        return to;
    }

    static bool is_below(const Node* node, const Node* above) {
        while (node != nullptr && node != above) node = node->parent;
        return node == above;
    }

    void add(const Found& at, const NodePtr& node) {
        at.directory->children[at.name] = node;
        ++node->names;
        if (node->is_directory()) node->parent = at.directory.get();
    }
    static void remove(const Found& at) {
        --at.node->names;
        at.directory->children.erase(at.name);
    }
    static void write(Node& node, u64 offset, const std::string& data) {
        if (data.empty()) return;
        if (node.content.size() < offset + data.size()) node.content.resize(offset + data.size());
        node.content.replace(offset, data.size(), data);
    }

    // ---- chance

    u32 below(u32 bound) { return static_cast<u32>(random_() % bound); }
    bool one_in(u32 n) { return below(n) == 0; }

    std::string name() {
        static const std::string kLong = std::string(200, 'n');
        switch (below(40)) {
        case 0:
            return ".";
        case 1:
            return "..";
        case 2:
            return kLong + char('a' + below(2));
        default:
            return std::string(1, char('a' + below(6)));
        }
    }
    std::string path() {
        std::string p = one_in(30) ? "" : "/";
        const u32 depth = 1 + one_in(2) + one_in(3) + one_in(4);
        for (u32 i = 0; i < depth; ++i) p += (i == 0 ? "" : one_in(20) ? "//" : "/") + name();
        if (one_in(12)) p += "/";
        if (one_in(200)) p = "/";
        return p;
    }
    std::string data() {
        std::string d(one_in(8) ? below(options_.max_file / 2) : below(600), char('A' + below(26)));
        for (usize i = 0; i < d.size(); i += 97) d[i] = char('a' + below(26));
        return d;
    }
    u64 offset() { return one_in(3) ? 0 : below(options_.max_file / 2); }

    // ---- comparing

    void say(std::string what) {
        history_.push_back(std::move(what));
        if (history_.size() > 25) history_.pop_front();
    }
    [[noreturn]] void complain(const std::string& what) {
        std::string text = "seed " + std::to_string(options_.seed) + ", step " + std::to_string(steps_) + ": " + what;
        for (const auto& line : history_) text += "\n  " + line;
        FAIL(text);
        std::abort();
    }
    /// True when the call went through, and was expected to.
    template <class T> bool agree(const Result<T>& got, const Errors& wanted) {
        if (!got && (got.error() == Error::no_space || got.error() == Error::no_memory)) return ++full_, false;
        if (got && wanted.empty()) return ++succeeded_, true;
        if (!got && wanted.contains(got.error())) return false;
        std::string text = got ? "went through" : "failed: " + std::string(to_string(got.error()));
        text += ", expected ";
        for (const Error e : wanted) text += "'" + std::string(to_string(e)) + "' ";
        complain(text + (wanted.empty() ? "success" : ""));
    }
    void compare_content(File& file, const Node& node) {
        if (file.size() != node.content.size())
            complain("size " + std::to_string(file.size()) + ", expected " + std::to_string(node.content.size()));
        std::string all(node.content.size() + 1, '?');
        const auto n = file.read_at(0, std::as_writable_bytes(std::span(all)));
        if (!n || *n != node.content.size()) complain("cannot read it all");
        all.resize(node.content.size());
        if (all == node.content) return;
        usize at = 0;
        while (all[at] == node.content[at]) ++at;
        complain("content differs at " + std::to_string(at));
    }
    void compare_stat(const std::string& where, const Stat& s, const Node& node) {
        if (s.type != node.type) complain(where + ": another type");
        if (s.links != node.links())
            complain(where + ": " + std::to_string(s.links) + " links, expected " + std::to_string(node.links()));
        if (node.type != NodeType::symlink && s.mode != node.mode) complain(where + ": another mode");
        if (!node.is_directory() && s.size != node.content.size()) complain(where + ": another size");
    }
    void compare_listing(const std::string& where, const NodePtr& directory) {
        auto open = vfs_.open_directory(where);
        if (!open) complain(where + ": cannot be opened");
        std::set<std::string> seen;
        DirEntry e;
        for (;;) {
            const auto more = open->next(e);
            if (!more) complain(where + ": " + std::string(to_string(more.error())));
            if (!*more) break;
            const std::string entry(e.name());
            if (directory == root_ && options_.passed_over.contains(entry)) continue;
            if (!seen.insert(entry).second) complain(where + ": '" + entry + "' twice");
            if (entry == "." || entry == "..") continue;
            const auto child = directory->children.find(entry);
            if (child == directory->children.end()) complain(where + ": '" + entry + "' should not be there");
            if (e.type != child->second->type) complain(where + ": '" + entry + "' has another type");
        }
        if (seen.size() != directory->children.size() + 2) complain(where + ": names are missing");
    }
    void compare_directory(const std::string& where, const NodePtr& directory) {
        compare_listing(where.empty() ? "/" : where, directory);
        for (const auto& [name, child] : directory->children) {
            const std::string path = where + "/" + name;
            const auto s = vfs_.lstat(path);
            if (!s) complain(path + ": " + std::string(to_string(s.error())));
            compare_stat(path, *s, *child);
            if (child->is_directory()) compare_directory(path, child);
            if (child->type == NodeType::symlink) compare_link(path, *child);
            if (child->type != NodeType::file) continue;
            auto file = vfs_.open(path);
            if (!file) complain(path + ": cannot be opened");
            compare_content(*file, *child);
        }
    }
    void compare_link(const std::string& path, const Node& node) {
        char target[kPathMax];
        const auto n = vfs_.read_link(path, target);
        if (!n || std::string_view(target, *n) != node.content) complain(path + ": another target");
    }

    // ---- the calls

    void step() {
        ++steps_;
        switch (below(20)) {
        case 0:
        case 1:
            return make_directory();
        case 2:
            return remove_directory();
        case 3:
        case 4:
            return unlink();
        case 5:
            return link();
        case 6:
            return symlink();
        case 7:
        case 8:
        case 9:
            return rename();
        case 10:
            return look();
        case 11:
            return list();
        case 12:
            return truncate();
        case 13:
            return change_mode();
        case 14:
            return keep_open();
        default:
            return open_and_change();
        }
    }

    void make_directory() {
        const std::string p = path();
        say("mkdir " + p);
        Found at = place(p, Error::exists);
        if (at.node) at.errors.insert(Error::exists);
        if (agree(vfs_.create_directory(p, 0750), at.errors)) add(at, make(NodeType::directory, 0750));
    }
    void remove_directory() {
        const std::string p = path();
        say("rmdir " + p);
        Found at = place(p, Error::in_use);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        if (at.node && !at.node->is_directory()) at.errors.insert(Error::not_directory);
        if (at.node && !at.node->children.empty()) at.errors.insert(Error::in_use);
        if (agree(vfs_.remove_directory(p), at.errors)) remove(at);
    }
    void unlink() {
        const std::string p = path();
        say("unlink " + p);
        Found at = place(p, Error::is_directory);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        if (at.node && at.node->is_directory()) at.errors.insert(Error::is_directory);
        if (at.node && !at.node->is_directory() && at.slash) at.errors.insert(Error::not_directory);
        if (agree(vfs_.unlink(p), at.errors)) remove(at);
    }
    /// Of something new that is no directory.
    static void must_be_free(Found& at) {
        if (at.node) at.errors.insert(Error::exists);
        if (at.errors.empty() && at.slash) at.errors.insert(Error::not_found);
    }
    void link() {
        const std::string from = path(), to = path();
        say("link " + from + " " + to);
        const Found target = walk(from, false);
        Found at = place(to, Error::exists);
        must_be_free(at);
        at.errors.insert(target.errors.begin(), target.errors.end());
        if (target.errors.empty() && !target.node) at.errors.insert(Error::not_found);
        if (target.node && target.node->is_directory()) at.errors.insert(Error::is_directory);
        if (agree(vfs_.link(from, to), at.errors)) add(at, target.node);
    }
    void symlink() {
        const std::string target = one_in(4) ? path() + std::string(below(100), '/') + "a" : path(), p = path();
        say("symlink " + target + " " + p);
        Found at = place(p, Error::exists);
        must_be_free(at);
        if (target.empty()) at.errors.insert(Error::not_found);
        if (agree(vfs_.symlink(target, p), at.errors)) add(at, make(NodeType::symlink, 0777, target));
    }
    void rename() {
        const std::string from = path(), to = path();
        say("rename " + from + " " + to);
        Found a = place(from, Error::in_use), b = place(to, Error::in_use);
        Errors errors = a.errors;
        errors.insert(b.errors.begin(), b.errors.end());
        if (errors.empty() && !a.node) errors.insert(Error::not_found);
        if (errors.empty()) {
            const bool directory = a.node->is_directory();
            if ((a.slash || b.slash) && !directory) errors.insert(Error::not_directory);
            if (errors.empty() && a.node == b.node) return (void)agree(vfs_.rename(from, to), {});
            if (directory && is_below(b.directory.get(), a.node.get())) errors.insert(Error::invalid);
            if (b.node && directory && !b.node->is_directory()) errors.insert(Error::not_directory);
            if (b.node && !directory && b.node->is_directory()) errors.insert(Error::is_directory);
            if (b.node && !b.node->children.empty()) errors.insert(Error::in_use);
        }
        if (!agree(vfs_.rename(from, to), errors)) return;
        const NodePtr node = a.node;
        if (b.node) remove(b);
        remove(a);
        add(b, node);
    }
    void look() {
        const std::string p = path();
        const bool follow = one_in(2);
        say((follow ? "stat " : "lstat ") + p);
        Found at = walk(p, follow);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        const auto s = follow ? vfs_.stat(p) : vfs_.lstat(p);
        if (agree(s, at.errors)) compare_stat(p, *s, *at.node);
        char target[kPathMax];
        say("readlink " + p);
        at = walk(p, false);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        if (at.node && at.node->type != NodeType::symlink) at.errors.insert(Error::invalid);
        if (agree(vfs_.read_link(p, target), at.errors)) compare_link(p, *at.node);
    }
    void list() {
        const std::string p = path();
        say("readdir " + p);
        Found at = walk(p, true);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        if (at.node && !at.node->is_directory()) at.errors.insert(Error::not_directory);
        if (agree(vfs_.open_directory(p), at.errors)) compare_listing(p, at.node);
    }
    void truncate() {
        const std::string p = path();
        const u64 size = one_in(2) ? below(options_.max_file) : below(600);
        say("truncate " + p + " " + std::to_string(size));
        Found at = walk(p, true);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        if (at.node && at.node->is_directory()) at.errors.insert(Error::is_directory);
        if (!agree(vfs_.truncate(p, size), at.errors)) return;
        at.node->content.resize(size);
        auto file = vfs_.open(p);
        if (!file) complain("cannot be opened");
        compare_content(*file, *at.node);
    }
    void change_mode() {
        const std::string p = path();
        const u16 mode = static_cast<u16>(below(010000));
        Attributes to;
        to.mode = mode;
        say("chmod " + p);
        Found at = walk(p, true);
        if (at.errors.empty() && !at.node) at.errors.insert(Error::not_found);
        if (agree(vfs_.set_attributes(p, to), at.errors)) at.node->mode = mode;
    }

    /// Opens `p` in both worlds.
    bool open(const std::string& p, OpenMode mode, Handle& out) {
        const bool fresh = includes(mode, OpenMode::create_new), create = includes(mode, OpenMode::create);
        Found at = walk(p, !fresh);
        if (at.node && fresh) at.errors.insert(Error::exists);
        if (at.node && at.node->is_directory()) at.errors.insert(Error::is_directory);
        if (at.errors.empty() && !at.node && !create) at.errors.insert(Error::not_found);
        if (at.errors.empty() && !at.node && at.slash) at.errors.insert(Error::is_directory);
        auto file = vfs_.open(p, mode, 0640);
        if (!agree(file, at.errors)) return false;
        if (!at.node) {
            at.node = make(NodeType::file, 0640);
            add(at, at.node);
        }
        if (includes(mode, OpenMode::truncate)) at.node->content.clear();
        out = {std::move(*file), at.node};
        return true;
    }
    void change(Handle& h, bool append) {
        Node& node = *h.node;
        const u64 where = offset(), length = 1 + below(options_.max_file / 2);
        const std::string text = data();
        const std::string range = std::to_string(where) + " " + std::to_string(length);
        switch (below(6)) {
        case 0: {
            say("  allocate " + range);
            const Grow grow = one_in(2) ? Grow::yes : Grow::no;
            const auto done = h.file.allocate(where, length, grow);
            if (!done && done.error() == Error::unsupported && options_.may_be_unsupported) break;
            if (agree(done, {}) && grow == Grow::yes && node.content.size() < where + length)
                node.content.resize(where + length);
            // One that found no space may have got part of the way.
            if (!done && h.file.size() > node.content.size()) node.content.resize(h.file.size());
            break;
        }
        case 1: {
            say("  punch " + range);
            const auto done = h.file.punch(where, length);
            if (!done && done.error() == Error::unsupported && options_.may_be_unsupported) break;
            if (!agree(done, {}) || where >= node.content.size()) break;
            const usize n = std::min<usize>(length, node.content.size() - where);
            node.content.replace(where, n, n, '\0');
            break;
        }
        default: {
            const u64 at = append ? node.content.size() : where;
            say((append ? "  append " : "  write ") + std::to_string(at) + " " + std::to_string(text.size()));
            const Bytes bytes = std::as_bytes(std::span(text));
            const auto n = append ? h.file.write(bytes) : h.file.write_at(at, bytes);
            if (!agree(n, {})) break;
            if (*n > text.size() || (*n == 0 && !text.empty())) complain("a count that cannot be");
            write(node, at, text.substr(0, *n));
        }
        }
        compare_content(h.file, node);
    }
    void open_and_change() {
        static constexpr OpenMode kModes[] = {
            OpenMode::create,     OpenMode::create,  OpenMode::create | OpenMode::truncate,
            OpenMode::create_new, OpenMode::append,  OpenMode::create | OpenMode::append,
            OpenMode::read_write, OpenMode::truncate};
        const OpenMode mode = kModes[below(std::size(kModes))];
        const std::string p = path();
        say("open " + p + " mode " + std::to_string(static_cast<unsigned>(mode)));
        Handle h;
        if (open(p, mode, h)) change(h, includes(mode, OpenMode::append));
        if (h.file && one_in(10)) agree(h.file.sync(one_in(2) ? Sync::all : Sync::data), {});
    }
    /// Files that stay open while their names go, and change meanwhile.
    void keep_open() {
        if (handles_.size() > 3) {
            say("change what was kept open");
            change(handles_.front(), false);
            const auto s = handles_.front().file.stat();
            if (agree(s, {})) compare_stat("what was kept open", *s, *handles_.front().node);
            handles_.pop_front();
        }
        Handle h;
        const std::string p = path();
        say("open " + p + " and keep it");
        if (open(p, OpenMode::read_write, h)) handles_.push_back(std::move(h));
    }

    Vfs& vfs_;
    const Options options_;
    std::mt19937 random_;
    NodePtr root_ = std::make_shared<Node>();
    std::deque<Handle> handles_;
    std::deque<std::string> history_;
    unsigned steps_ = 0, full_ = 0, succeeded_ = 0;
};

}  // namespace ringlet::fs::test
