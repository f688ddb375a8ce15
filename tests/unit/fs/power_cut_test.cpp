// The power goes at any moment of a workload. Afterwards the filesystem is what it was after some operation: none that
// was synced is missing, no operation is half there, and no byte of a file is one that it never had.
#include "crash_disk.hpp"
#include "fs/ext4/volume.hpp"
#include "write_model.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

/// The state after one operation, and how far the disk's trace was then.
struct Moment {
    ModelRef tree;
    std::map<u64, const ModelNode*> files;
    usize events = 0;
    u64 synced_file = 0;  ///< by this operation
    bool synced = false;  ///< everything
};

void list_files(const ModelNode& node, std::map<u64, const ModelNode*>& to) {
    for (const auto& [name, child] : node.children) {
        if (child->type == NodeType::file) to[child->id] = child.get();
        list_files(*child, to);
    }
}

struct Workload {
    std::vector<Moment> moments;  ///< the first: before anything
    void note(Operations& ops, CrashDisk& disk, u64 synced_file, bool synced) {
        Moment m{copy_of(ops.model()), {}, disk.events(), synced_file, synced};
        list_files(*m.tree, m.files);
        moments.push_back(std::move(m));
    }
    /// The last moment that was over before event `cut`.
    usize last_before(usize cut) const {
        usize i = 0;
        while (i + 1 < moments.size() && moments[i + 1].events <= cut) ++i;
        return i;
    }
    /// The earliest moment that a cut there may bring back.
    usize oldest(usize last) const {
        for (usize i = last; i > 0; --i)
            if (moments[i].synced) return i;
        return 0;
    }
};

/// Compares what is there after a cut with moment `at`.
class AfterCut {
public:
    AfterCut(const Workload& w, usize last) : w_(w), last_(last), oldest_(w.oldest(last)) {
        end_ = std::min(last + 1, w.moments.size() - 1);  // the operation that was under way
    }
    /// The moment that the tree agrees with; empty text, or why none does.
    std::string judge(FileSystem& fs) {
        std::string why;
        for (usize at = end_ + 1; at-- > oldest_;) {
            at_ = at;
            where_.clear();
            if (!keeps_synced_files(at)) continue;
            if (same(*fs.root(), *w_.moments[at].tree, "/")) return "";
            why += "not moment " + std::to_string(at) + ": " + where_ + "\n";
        }
        return why + "between " + std::to_string(oldest_) + " and " + std::to_string(end_);
    }

private:
    bool differs(const std::string& path, const std::string& what) {
        where_ = path + ": " + what;
        return false;
    }
    /// A file that was synced alone: nothing before its last change can come back.
    bool keeps_synced_files(usize at) {
        for (usize i = at + 1; i <= last_; ++i) {
            const u64 id = w_.moments[i].synced_file;
            if (id == 0) continue;
            const auto now = w_.moments[i].files.find(id);
            const auto then = w_.moments[at].files.find(id);
            if (now == w_.moments[i].files.end()) continue;
            if (then == w_.moments[at].files.end() || then->second->data.size() != now->second->data.size())
                return false;
        }
        return true;
    }
    /// Since when bytes of this file may be on the disk: the last time it was synced, or everything.
    usize oldest_bytes(u64 id) {
        for (usize i = last_; i > oldest_; --i)
            if (w_.moments[i].synced_file == id) return i;
        return oldest_;
    }
    bool byte_was_there(u64 id, usize offset, char byte) {
        for (usize i = oldest_bytes(id); i <= end_; ++i) {
            const auto f = w_.moments[i].files.find(id);
            if (f == w_.moments[i].files.end()) continue;
            const std::string& data = f->second->data;
            if (offset < data.size() ? data[offset] == byte : byte == 0 && i > at_) return true;
        }
        return false;
    }
    bool same(Ref<Inode> inode, const ModelNode& node, const std::string& path) {
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
        if (node.type == NodeType::file) return same_file(*inode, node, path);
        std::set<std::string> names;
        DirEntry e;
        for (u64 cookie = 0;;) {
            const auto more = inode->next_entry(cookie, e);
            if (!more) return differs(path, "entries");
            if (!*more) break;
            if (e.name() != "." && e.name() != ".." && e.name() != "lost+found") names.insert(std::string(e.name()));
        }
        for (const auto& [name, child] : node.children) {
            if (names.erase(name) == 0) return differs(path, "lacks " + name);
            const auto found = inode->lookup(name);
            if (!found) return differs(path + name, "lookup");
            if (!same(*found, *child, path + name + "/")) return false;
        }
        return names.empty() || differs(path, "has " + *names.begin());
    }
    bool same_file(Inode& inode, const ModelNode& node, const std::string& path) {
        // A long write is several handles, and so may be cut short.
        const auto next = w_.moments[std::min(at_ + 1, end_)].files.find(node.id);
        const u64 size = inode.size();
        u64 most = node.data.size();
        if (next != w_.moments[std::min(at_ + 1, end_)].files.end())
            most = std::max<u64>(most, next->second->data.size());
        if (size < node.data.size() || size > most)
            return differs(path, "size " + std::to_string(size) + " for " + std::to_string(node.data.size()));
        std::string all(size, '\0');
        if (!inode.read_at(0, std::as_writable_bytes(std::span(all)), nullptr)) return differs(path, "read");
        for (usize i = 0; i < all.size(); ++i)
            if ((i >= node.data.size() || all[i] != node.data[i]) && !byte_was_there(node.id, i, all[i]))
                return differs(path, "byte " + std::to_string(i) + " of " + std::to_string(all.size()));
        return true;
    }

    const Workload& w_;
    const usize last_, oldest_;
    usize end_ = 0, at_ = 0;
    std::string where_;
};

std::vector<std::byte> new_image(const Scratch& s, const std::string& options) {
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", options, "12M");
    return read_image((s.path / "image").string());
}

std::unique_ptr<FileSystem> mount(BlockDevice& disk, bool writable) {
    MountText why;
    auto mounted = mount_ext4(disk, {.cache_bytes = 1 << 20, .inode_cache = 16, .writable = writable}, why);
    INFO(std::string(why.view()));
    REQUIRE(mounted);
    REQUIRE((*mounted)->statfs()->read_only == !writable);
    return std::move(*mounted);
}

/// After a cut: our replay and e2fsck's, each on its own copy.
void check_cut(const Scratch& s, const Workload& w, std::vector<std::byte> image, usize cut, bool with_e2fsck) {
    const usize last = w.last_before(cut);
    INFO("cut after event " << cut << ", moment " << last);
    if (with_e2fsck) {
        const auto path = (s.path / "cut").string();
        write_image(path, image);
        // The journal is replayed and orphans are cleaned up; there is nothing else to mend, or -p would refuse or
        // say 1.
        run("e2fsck -E journal_only -fy " + path);
        run("e2fsck -p " + path);
        run("e2fsck -fn " + path);
        CrashDisk disk(read_image(path), CrashDisk::Trace::none);
        auto fs = mount(disk, false);
        REQUIRE(AfterCut(w, last).judge(*fs) == "");
    }
    CrashDisk disk(std::move(image), CrashDisk::Trace::none);
    {
        auto fs = mount(disk, true);
        REQUIRE(AfterCut(w, last).judge(*fs) == "");
    }
    if (!with_e2fsck) return;
    const auto path = (s.path / "ours").string();
    write_image(path, disk.content());
    run("e2fsck -fn " + path);
}

void cut_power(const std::string& options, u32 seed, int steps, int cuts, bool extents = true) {
    INFO(options << ", seed " << seed);
    const Scratch s;
    CrashDisk disk(new_image(s, options));
    Workload w;
    auto fs = mount(disk, true);
    Operations ops(*fs, seed);
    ops.extents = extents;
    ops.largest = 12'000;
    ops.names = 12;
    std::mt19937 random(seed);
    w.note(ops, disk, 0, true);
    for (int i = 0; i < steps; ++i) {
        u64 synced_file = 0;
        bool synced = false;
        if (i % 17 == 16) {
            REQUIRE(fs->sync());
            synced = true;
        } else if (i % 5 == 4) {
            synced_file = ops.sync_file();
        } else {
            ops.step();
        }
        w.note(ops, disk, synced_file, synced);
    }
    const usize end = disk.events();
    fs.reset();
    const usize begin = w.moments.front().events;
    for (int i = 0; i < cuts; ++i) {
        const usize cut = begin + random() % (end - begin + 1);
        check_cut(s, w, disk.after_cut(cut, i % 4 == 0 ? nullptr : &random), cut, i % 8 == 0);
    }
}

}  // namespace

TEST_CASE("after a power cut there is the state after some operation") {
    cut_power("-b 1024", 1, 200, 200);
    cut_power("-b 4096", 2, 200, 200);
    cut_power("-b 1024 -O ^metadata_csum", 3, 150, 100);
    cut_power("-t ext3 -b 1024", 4, 150, 100, false);
}

namespace {

/// The disk refuses every write (or flush) after some number of them. What was promised before is there, the caller is
/// told, nothing is written any more, and what is on the disk is consistent.
void break_disk(u32 seed, u64 good_writes, bool flushes) {
    INFO("seed " << seed << ", good writes " << good_writes << ", flushes " << flushes);
    const Scratch s;
    CrashDisk disk(new_image(s, "-b 1024"));
    Workload w;
    auto fs = mount(disk, true);
    Operations ops(*fs, seed);
    ops.largest = 12'000;
    ops.names = 12;
    ops.may_fail = true;
    w.note(ops, disk, 0, true);
    if (flushes)
        disk.fail_flushes();
    else
        disk.fail_writes(good_writes);
    for (int i = 0; i < 5000 && !fs->statfs()->read_only; ++i) {
        bool synced = false;
        if (i % 17 == 16)
            synced = bool(fs->sync());
        else
            ops.step();
        if (ops.failed) break;
        w.note(ops, disk, 0, synced);
    }
    if (!fs->statfs()->read_only) {
        CHECK(!fs->sync());
    }
    CHECK(fs->statfs()->read_only);
    CHECK(fs->warning().starts_with("read-only: an error in writing"));
    CHECK(fs->sync().error() == Error::io);
    {
        const auto root = *fs->root();
        CHECK(root->create("after", NodeType::file, 0644).error() == Error::read_only);
        CHECK(root->set_attributes({.mode = 0700}).error() == Error::read_only);
        CHECK(root->sync(Sync::all).error() == Error::io);
    }
    const usize end = disk.events();
    fs.reset();
    CHECK(disk.events() == end);
    w.note(ops, disk, 0, false);
    check_cut(s, w, disk.content(), end, true);
}

}  // namespace

TEST_CASE("a disk that fails makes the filesystem read-only and loses nothing that was promised") {
    for (u32 n = 0; n < 60; ++n) break_disk(n, n * n / 6, false);
    break_disk(100, 0, true);
}
