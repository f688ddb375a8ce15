// Names that come, go and change. Each call holds the tree alone and is one handle, so that a crash finds it done or
// not begun. What can fail is asked before the handle is opened.
#include <algorithm>
#include <new>

#include "fs/ext4/file_map.hpp"

namespace ringlet::fs::ext4 {
namespace {

constexpr u32 kMostLinks = 65000;
/// Blocks that making an inode changes: its bitmap, its group's descriptor, its place in the table.
constexpr u32 kInodeCredits = 3;
/// Steps from a directory to the root: more than any disk has that is right.
constexpr u32 kDeepest = 65536;

}  // namespace

Result<> Ext4Inode::check_new_name(std::string_view name) const {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    if (name.empty() || name == "." || name == "..") return fail(Error::exists);
    if (name.size() > kNameMax) return fail(Error::name_too_long);
    if (name.find('/') != name.npos || name.find('\0') != name.npos) return fail(Error::invalid);
    return volume_.is_writable() ? Result<>{} : fail(Error::read_only);
}

/// A directory with too many is not counted any more: 1 means that.
Result<> Ext4Inode::change_links(Handle& handle, int by) {
    u32 n = links();
    if (type_ == NodeType::directory && (geometry().ro_compat & kRoDirNlink) != 0 &&
        (n == 1 || n + u32(by) > kMostLinks))
        n = 1;
    else
        n = n + static_cast<u32>(by);
    links_.store(n, std::memory_order_relaxed);
    note_change(false);
    return store(handle);
}

// ---- making

Result<Ref<Inode>> Ext4Inode::create(std::string_view name, NodeType type, u16 mode) {
    if (type != NodeType::file && type != NodeType::directory) return fail(Error::unsupported);
    auto made = TRY(make_child(name, type, mode, {}));
    return Ref<Inode>::share(*made);
}

Result<> Ext4Inode::create_symlink(std::string_view name, std::string_view target) {
    if (target.empty()) return fail(Error::not_found);
    if (target.size() >= kPathMax || target.size() >= geometry().block_size) return fail(Error::name_too_long);
    if (target.find('\0') != target.npos) return fail(Error::invalid);
    auto made = make_child(name, NodeType::symlink, 0777, target);
    if (!made) return fail(made.error());
    return {};
}

Result<Ref<Ext4Inode>> Ext4Inode::make_child(std::string_view name, NodeType type, u16 mode, std::string_view target) {
    TRY(check_new_name(name));
    if (is_inline()) {
        const RwLock::Exclusive names(volume_.tree());
        if (is_inline()) TRY(leave_inline());
    }
    std::unique_ptr<Ext4Inode> fresh(new (std::nothrow) Ext4Inode(volume_, 0));
    if (!fresh) return fail(Error::no_memory);
    const bool directory = type == NodeType::directory, fast = target.size() < sizeof(RootBytes);
    const RwLock::Exclusive names(volume_.tree());
    if (links() == 0) return fail(Error::not_found);
    const auto present = TRY(find(name));
    if (present) return fail(Error::exists);
    const bool counted = (geometry().ro_compat & kRoDirNlink) == 0;
    if (directory && counted && links() >= kMostLinks) return fail(Error::too_many_links);
    const Room room = TRY(room_for(name));
    fresh->type_ = type;
    fresh->links_.store(directory ? 2 : 1, std::memory_order_relaxed);
    const bool tree = geometry().has(kIncompatExtents) && (type != NodeType::symlink || !fast);
    fresh->flags_.store(tree ? kInodeExtents : 0, std::memory_order_relaxed);
    {
        Fields f;
        f.mode = mode & 07777;
        f.accessed = f.modified = f.changed = f.created = volume_.now();
        if (tree) ExtentTree::make(ExtentTree::Root(fresh->root_));
        if (type == NodeType::symlink && fast) std::memcpy(fresh->root_.data(), target.data(), target.size());
        *fresh->fields_.lock() = f;
    }
    // A directory's first block, or a long link's, with bitmap and descriptor.
    const bool block = directory || (type == NodeType::symlink && !fast);
    const auto done = volume_.transact(room.credits + kInodeCredits + 1 + (block ? 3 : 0),
                                       room.blocks + (block ? 1 : 0), [&](Handle& handle) -> Result<> {
                                           fresh->number_ = TRY(volume_.groups().allocate_inode(handle, number_, type));
                                           TRY(fresh->store_new(handle));
                                           if (directory) TRY(fresh->make_directory(handle, number_));
                                           if (type == NodeType::symlink) {
                                               if (!fast) TRY(fresh->put_target(handle, target));
                                               fresh->size_.store(target.size(), std::memory_order_relaxed);
                                           }
                                           TRY(fresh->store(handle));
                                           TRY(add_entry(handle, name, fresh->number_, type));
                                           note_change(true);
                                           return change_links(handle, directory ? 1 : 0);
                                       });
    if (!done) return fail(done.error());
    Ref<Ext4Inode> made = volume_.adopt(std::move(fresh));
    volume_.remember_name(*made, number_, name);
    return made;
}

/// The target of a link that is too long for its inode.
Result<> Ext4Inode::put_target(Handle& handle, std::string_view target) {
    FileMap map(*this);
    const BlockRange got = TRY(volume_.groups().allocate(handle, volume_.groups().home_of(number_), 1));
    TRY(put_blocks(got, 0, std::as_bytes(std::span(target))));
    TRY(map.insert(handle, {0, 1, got.first, false}));
    map.apply(1);
    return {};
}

Result<> Ext4Inode::link(std::string_view name, Inode& target) {
    TRY(check_new_name(name));
    if (&target.filesystem() != &filesystem()) return fail(Error::invalid);
    auto& inode = static_cast<Ext4Inode&>(target);
    if (inode.type_ == NodeType::directory) return fail(Error::is_directory);
    const RwLock::Exclusive names(volume_.tree());
    if (links() == 0 || inode.links() == 0) return fail(Error::not_found);
    if (is_inline()) TRY(leave_inline());
    const auto present = TRY(find(name));
    if (present) return fail(Error::exists);
    if (inode.links() >= kMostLinks) return fail(Error::too_many_links);
    const Room room = TRY(room_for(name));
    return volume_.transact(room.credits + 2, room.blocks, [&](Handle& handle) -> Result<> {
        TRY(add_entry(handle, name, inode.number_, inode.type_));
        TRY(inode.change_links(handle, 1));
        note_change(true);
        return store(handle);
    });
}

// ---- removing

/// One name less; without any, the inode is deleted when nobody uses it any more.
Result<> Ext4Inode::drop_link(Handle& handle, Ext4Inode& child) {
    const u32 left = child.type_ == NodeType::directory || child.links() == 0 ? 0 : child.links() - 1;
    if (left == 0) TRY(volume_.add_orphan(handle, child));
    child.links_.store(left, std::memory_order_relaxed);
    child.note_change(false);
    return child.store(handle);
}

Result<> Ext4Inode::unlink(std::string_view name) {
    return remove(name, NodeType::file);
}

Result<> Ext4Inode::remove_directory(std::string_view name) {
    return remove(name, NodeType::directory);
}

Result<> Ext4Inode::remove(std::string_view name, NodeType wanted) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    if (!volume_.is_writable()) return fail(Error::read_only);
    if (name == "." || name == "..") return fail(Error::invalid);
    Ref<Inode> held;  // dropped after the lock: perhaps the last
    const RwLock::Exclusive names(volume_.tree());
    if (links() == 0) return fail(Error::not_found);
    if (is_inline()) TRY(leave_inline());
    const auto found = TRY(find(name));
    if (!found) return fail(Error::not_found);
    held = TRY(volume_.inode(found->inode));
    auto& child = static_cast<Ext4Inode&>(*held);
    const bool directory = child.type_ == NodeType::directory;
    if (wanted == NodeType::directory) {
        if (!directory) return fail(Error::not_directory);
        if (child.number_ == number_) return fail(Error::corrupt);  // that cannot be
        const bool empty = TRY(child.is_empty_directory());
        if (!empty) return fail(Error::in_use);
    } else if (directory) {
        return fail(Error::is_directory);
    }
    volume_.forget_name(number_, name);
    if (child.is_used_once() && child.links() == 1 && child.goes_at_once()) {
        const auto done = volume_.transact(2 + kDeleteCredits, 0, [&](Handle& handle) -> Result<> {
            TRY(child.delete_in(handle));
            TRY(remove_entry(handle, *found));
            note_change(true);
            return store(handle);
        });
        if (done) {
            child.deleted_ = true;
            held = Ref<Inode>();  // before somebody gets its number: only discards it
            return {};
        }
        if (!volume_.is_writable()) return done;
        // Nothing was changed: perhaps its bitmap is damaged. The name can go, and it becomes an orphan.
    }
    return volume_.transact(4 + Volume::kOrphanCredits, 0, [&](Handle& handle) -> Result<> {
        TRY(remove_entry(handle, *found));
        TRY(drop_link(handle, child));
        note_change(true);
        return change_links(handle, directory ? -1 : 0);
    });
}

// ---- renaming

/// Whether this directory is `ancestor` or below it.
Result<bool> Ext4Inode::lies_in(Ext4Inode& ancestor) {
    Ref<Inode> at = Ref<Inode>::share(*this);
    for (u32 steps = 0; steps < kDeepest; ++steps) {
        auto& directory = static_cast<Ext4Inode&>(*at);
        if (&directory == &ancestor) return true;
        if (directory.number_ == kRootInode) return false;
        if (directory.type_ != NodeType::directory) return fail(Error::corrupt);
        const auto above = TRY(directory.find(".."));
        if (!above) return fail(Error::corrupt);
        at = TRY(volume_.inode(above->inode));
    }
    return fail(Error::corrupt);
}

Result<> Ext4Inode::rename(std::string_view name, Inode& to, std::string_view new_name) {
    if (&to.filesystem() != &filesystem()) return fail(Error::invalid);
    auto& target = static_cast<Ext4Inode&>(to);
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    if (name == "." || name == ".." || new_name == "." || new_name == "..") return fail(Error::invalid);
    TRY(target.check_new_name(new_name));
    Ref<Inode> held, replaced;  // dropped after the lock
    const RwLock::Exclusive names(volume_.tree());
    if (links() == 0 || target.links() == 0) return fail(Error::not_found);
    if (is_inline()) TRY(leave_inline());
    if (target.is_inline()) TRY(target.leave_inline());
    const auto source = TRY(find(name));
    if (!source) return fail(Error::not_found);
    held = TRY(volume_.inode(source->inode));
    auto& child = static_cast<Ext4Inode&>(*held);
    const bool directory = child.type_ == NodeType::directory, moves = &target != this;
    if (directory && moves) {
        const bool below = TRY(target.lies_in(child));
        if (below) return fail(Error::invalid);
    }
    const auto there = TRY(target.find(new_name));
    Ext4Inode* victim = nullptr;
    Room room{.credits = 1, .blocks = 0};
    if (there) {
        if (there->inode == child.number_) return {};  // two names of one file: nothing happens
        replaced = TRY(volume_.inode(there->inode));
        victim = static_cast<Ext4Inode*>(replaced.ptr());
        const bool over_directory = victim->type_ == NodeType::directory;
        if (directory && !over_directory) return fail(Error::not_directory);
        if (!directory && over_directory) return fail(Error::is_directory);
        if (over_directory) {
            const bool empty = TRY(victim->is_empty_directory());
            if (!empty) return fail(Error::in_use);
        }
    } else {
        if (directory && moves && (geometry().ro_compat & kRoDirNlink) == 0 && target.links() >= kMostLinks)
            return fail(Error::too_many_links);
        room = TRY(target.room_for(new_name));
    }
    // Beside the new entry: the old one, "..", four inodes, the orphan list.
    if (directory && moves && child.is_inline()) TRY(child.leave_inline());
    volume_.forget_name(number_, name);
    volume_.forget_name(target.number_, new_name);
    return volume_.transact(room.credits + 6 + Volume::kOrphanCredits, room.blocks, [&](Handle& handle) -> Result<> {
        if (victim != nullptr) {
            TRY(target.replace_entry(handle, new_name, child.number_, child.type_));
            TRY(drop_link(handle, *victim));
        } else {
            TRY(target.add_entry(handle, new_name, child.number_, child.type_));
        }
        // A split may have moved the old entry.
        const auto old = TRY(find(name));
        if (!old) return fail(Error::corrupt);
        TRY(remove_entry(handle, *old));
        if (directory && moves) TRY(child.replace_entry(handle, "..", target.number_, NodeType::directory));
        child.note_change(false);
        TRY(child.store(handle));
        const bool loses = directory && (moves || victim != nullptr), gains = directory && moves && victim == nullptr;
        note_change(true);
        TRY(change_links(handle, loses ? -1 : 0));
        if (!moves) return {};
        target.note_change(true);
        return target.change_links(handle, gains ? 1 : 0);
    });
}

}  // namespace ringlet::fs::ext4
