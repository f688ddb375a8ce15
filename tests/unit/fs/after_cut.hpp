// What a filesystem may be after the power was cut, or the disk failed, anywhere in a workload: what it was after some
// operation. None that was synced is missing, no operation is half there, and no byte of a file is one that it never
// had.
#pragma once

#include "crash_disk.hpp"
#include "write_model.hpp"

namespace ringlet::fs::test {

/// The state after one operation, and how far the disk's trace was then.
struct Moment {
    ModelRef tree;
    std::map<u64, const ModelNode*> files;
    usize events = 0;
    u64 synced_file = 0;  ///< by this operation
    bool synced = false;  ///< everything
};

inline void list_files(const ModelNode& node, std::map<u64, const ModelNode*>& to) {
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

inline std::unique_ptr<FileSystem> mount_for_cut(BlockDevice& disk, bool writable) {
    MountText why;
    auto mounted = mount_ext4(disk, {.cache_bytes = 1 << 20, .inode_cache = 16, .writable = writable}, why);
    INFO(std::string(why.view()));
    REQUIRE(mounted);
    REQUIRE((*mounted)->statfs()->read_only == !writable);
    return std::move(*mounted);
}

/// After a cut: our replay and e2fsck's, each on its own copy.
inline void check_cut(const Scratch& s, const Workload& w, std::vector<std::byte> image, usize cut, bool with_e2fsck) {
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
        auto fs = mount_for_cut(disk, false);
        REQUIRE(AfterCut(w, last).judge(*fs) == "");
    }
    CrashDisk disk(std::move(image), CrashDisk::Trace::none);
    {
        auto fs = mount_for_cut(disk, true);
        REQUIRE(AfterCut(w, last).judge(*fs) == "");
    }
    if (!with_e2fsck) return;
    const auto path = (s.path / "ours").string();
    write_image(path, disk.content());
    run("e2fsck -fn " + path);
}

}  // namespace ringlet::fs::test
