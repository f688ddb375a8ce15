// memfs: one lock, a tree of nodes, names in one hash table, file contents in pages (memfs_data.cpp). Everything is
// charged against one bound, so that a program that fills /tmp gets no_space and the kernel keeps its memory.
#include "fs/memfs.hpp"

#include <algorithm>
#include <new>

#include "fs/memfs_node.hpp"
#include "kernel/time/clock.hpp"

namespace ringlet::fs {
namespace {

u32 hash_of(u64 directory, std::string_view name) {
    u32 h = 2166136261u ^ static_cast<u32>(directory * 0x9e3779b1u);  // FNV-1a
    for (const char c : name) h = (h ^ static_cast<u8>(c)) * 16777619u;
    return h ^ h >> 15;
}

Timestamp wall_time() {
    const u64 ns = kernel::wall_clock_ns();
    return {static_cast<i64>(ns / 1'000'000'000), static_cast<u32>(ns % 1'000'000'000)};
}

}  // namespace

// ---- the whole

MemFs::~MemFs() {
    auto state = state_.lock();
    while (MemInode* const node = state->all.pop_front()) {
        while (MemEntry* const entry = node->children_.pop_front()) delete[] reinterpret_cast<std::byte*>(entry);
        delete node;
    }
}

Result<> MemFs::start() {
    root_ = new (std::nothrow) MemInode(*this, NodeType::directory, 0755);
    if (root_ == nullptr) return fail(Error::no_memory);
    auto state = state_.lock();
    state->all.push_back(*root_);
    root_->number_ = state->next_number++;
    root_->links_ = 2;
    state->used = kNodeCost;
    state->files = 1;
    grow_buckets(*state);
    if (state->bucket_count == 0) return fail(Error::no_memory);
    return {};
}

Result<StatFs> MemFs::statfs() {
    auto state = state_.lock();
    StatFs s;
    s.type = "memfs";
    s.block_size = kPageSize;
    s.blocks = max_bytes_ / kPageSize;
    s.free_blocks = left(*state) / kPageSize;
    s.files = state->files + left(*state) / (kNodeCost + kEntryCost);
    s.free_files = s.files - state->files;
    s.read_only = false;
    return s;
}

usize MemFs::users() {
    auto state = state_.lock();
    usize count = 0;
    for (MemInode& node : state->all) count += node.references() != 0;
    return count;
}

// ---- names

Result<> MemFs::add_entry(MemState& s, MemInode& directory, std::string_view name, MemInode& node) {
    if (!charge(s, kEntryCost + name.size())) return fail(Error::no_space);
    auto* const memory = new (std::nothrow) std::byte[sizeof(MemEntry) + name.size()];
    if (memory == nullptr) {
        s.used -= kEntryCost + name.size();
        return fail(Error::no_memory);
    }
    auto* const entry = new (memory) MemEntry;
    std::ranges::copy(name, reinterpret_cast<char*>(entry + 1));
    entry->length = static_cast<u32>(name.size());
    entry->directory = &directory;
    entry->node = &node;
    entry->cookie = s.next_number++;
    entry->hash = hash_of(directory.number_, name);
    if (++s.names > s.bucket_count) grow_buckets(s);
    MemEntry** const first = bucket(s, entry->hash);
    entry->chain = *first;
    *first = entry;
    directory.children_.push_back(*entry);
    return {};
}

void MemFs::remove_entry(MemState& s, MemEntry& entry) {
    MemInode& directory = *entry.directory;
    if (directory.resume_ == &entry)
        directory.resume_ = &directory.children_.front() == &entry ? nullptr : static_cast<MemEntry*>(entry.prev);
    List<MemEntry>::remove(entry);
    MemEntry** at = bucket(s, entry.hash);
    while (*at != &entry) at = &(*at)->chain;
    *at = entry.chain;
    --s.names;
    s.used -= kEntryCost + entry.length;
    delete[] reinterpret_cast<std::byte*>(&entry);
}

/// Twice as many; without memory for them the chains get longer.
void MemFs::grow_buckets(MemState& s) {
    const usize count = std::max<usize>(16, s.bucket_count * 2);
    std::unique_ptr<MemEntry*[]> fresh(new (std::nothrow) MemEntry*[count]());
    if (!fresh) return;
    std::swap(fresh, s.buckets);
    const usize before = std::exchange(s.bucket_count, count);
    for (usize i = 0; i < before; ++i)
        for (MemEntry* entry = fresh[i]; entry != nullptr;) {
            MemEntry* const next = entry->chain;
            MemEntry** const first = bucket(s, entry->hash);
            entry->chain = *first;
            *first = entry;
            entry = next;
        }
}

void MemFs::unname(MemState& s, MemInode& node) {
    if (node.is_directory()) {
        --node.parent_->links_;
        node.parent_ = nullptr;
        node.links_ = 0;
    } else {
        --node.links_;
    }
    node.touch(false);
    // Nobody can find it any more, so the count can only fall: whoever drops the last reference destroys it.
    if (node.links_ == 0 && node.references() == 0) destroy(s, node);
}

void MemFs::destroy(MemState& s, MemInode& node) {
    const u64 target = node.target_ ? node.size() : 0;
    s.used -= kNodeCost + target + node.page_count_ * kPageSize + node.page_slots_ * sizeof(Page);
    --s.files;
    List<MemInode>::remove(node);
    delete &node;
}

// ---- one node

MemInode::MemInode(MemFs& fs, NodeType type, u16 mode) : Inode(fs), memfs_(fs), type_(type), mode_(mode & 07777) {
    touch();
    created_ = accessed_ = modified_;
}

/// Its content or (`content` false) only something about it has changed.
void MemInode::touch(bool content) {
    changed_ = wall_time();
    if (content) modified_ = changed_;
}

void MemInode::release_last() {
    auto state = memfs_.state_.lock();
    if (drop() && links_ == 0) memfs_.destroy(*state, *this);
}

Result<Stat> MemInode::stat() {
    auto state = memfs_.state_.lock();
    Stat s;
    s.filesystem = memfs_.id();
    s.inode = number_;
    s.type = type_;
    s.mode = mode_;
    s.links = links_;
    s.uid = uid_;
    s.gid = gid_;
    s.size = size();
    s.sectors = page_count_ * (kPageSize / 512);
    s.block_size = kPageSize;
    s.accessed = accessed_;
    s.modified = modified_;
    s.changed = changed_;
    s.created = created_;
    return s;
}

Result<> MemInode::set_attributes(const Attributes& to) {
    auto state = memfs_.state_.lock();
    mode_ = to.mode.value_or(mode_) & 07777;
    uid_ = to.uid.value_or(uid_);
    gid_ = to.gid.value_or(gid_);
    accessed_ = to.accessed.value_or(accessed_);
    modified_ = to.modified.value_or(modified_);
    touch(false);
    return {};
}

Result<usize> MemInode::read_link(std::span<char> to) {
    if (type_ != NodeType::symlink) return fail(Error::invalid);
    const usize length = static_cast<usize>(size());  // neither it nor the target ever changes
    if (to.size() < length) return fail(Error::too_large);
    std::memcpy(to.data(), target_.get(), length);
    return length;
}

// ---- a directory

MemEntry* MemInode::child(MemState& s, std::string_view wanted) {
    const u32 hash = hash_of(number_, wanted);
    MemEntry* entry = *memfs_.bucket(s, hash);
    while (entry != nullptr && (entry->hash != hash || entry->directory != this || entry->name() != wanted))
        entry = entry->chain;
    return entry;
}

Result<Ref<Inode>> MemInode::lookup(std::string_view wanted) {
    if (!is_directory()) return fail(Error::not_directory);
    auto state = memfs_.state_.lock();
    if (wanted == ".") return Ref<Inode>::share(*this);
    if (wanted == "..") return Ref<Inode>::share(parent_ != nullptr ? *parent_ : *this);
    MemEntry* const entry = child(*state, wanted);
    if (entry == nullptr) return fail(Error::not_found);
    return Ref<Inode>::share(*entry->node);
}

Result<bool> MemInode::next_entry(u64& cookie, DirEntry& out) {
    if (!is_directory()) return fail(Error::not_directory);
    auto state = memfs_.state_.lock();
    auto report = [&](const MemInode& node, std::string_view text) {
        out.inode = node.number_;
        out.type = node.type_;
        out.length = static_cast<u8>(text.size());
        std::memcpy(out.text, text.data(), text.size());
        return true;
    };
    if (cookie < 2) {
        const MemInode& node = cookie == 1 && parent_ != nullptr ? *parent_ : *this;
        return report(node, cookie++ == 0 ? "." : "..");
    }
    List<MemEntry>::Iterator at = children_.begin();
    if (resume_ != nullptr && resume_->cookie < cookie) at = ++List<MemEntry>::Iterator{resume_};
    while (at != children_.end() && at->cookie < cookie) ++at;
    if (at == children_.end()) return false;
    resume_ = &*at;
    cookie = resume_->cookie + 1;
    return report(*resume_->node, resume_->name());
}

Result<> MemInode::check_new_name(MemState& s, std::string_view name) {
    if (!is_directory()) return fail(Error::not_directory);
    if (name.empty() || name == "." || name == "..") return fail(Error::exists);
    if (name.size() > kNameMax) return fail(Error::name_too_long);
    if (name.find_first_of(std::string_view("/\0", 2)) != name.npos) return fail(Error::invalid);
    if (links_ == 0) return fail(Error::not_found);  // removed meanwhile
    if (child(s, name) != nullptr) return fail(Error::exists);
    return {};
}

Result<Ref<Inode>> MemInode::make(std::string_view name, NodeType type, u16 mode, std::string_view target) {
    if (target.size() >= kPathMax) return fail(Error::too_large);
    std::unique_ptr<char[]> text(target.empty() ? nullptr : new (std::nothrow) char[target.size()]);
    std::unique_ptr<MemInode> node(new (std::nothrow) MemInode(memfs_, type, mode));
    if (!node || (!text && !target.empty())) return fail(Error::no_memory);
    std::copy(target.begin(), target.end(), text.get());
    node->target_ = std::move(text);
    node->size_.store(target.size(), std::memory_order_relaxed);
    auto state = memfs_.state_.lock();
    TRY(check_new_name(*state, name));
    if (!memfs_.charge(*state, MemFs::kNodeCost + target.size())) return fail(Error::no_space);
    if (auto named = memfs_.add_entry(*state, *this, name, *node); !named) {
        state->used -= MemFs::kNodeCost + target.size();
        return fail(named.error());
    }
    node->number_ = state->next_number++;
    node->links_ = type == NodeType::directory ? 2 : 1;
    if (type == NodeType::directory) {
        node->parent_ = this;
        ++links_;
    }
    touch();
    ++state->files;
    state->all.push_back(*node);
    return Ref<Inode>::share(*node.release());
}

Result<Ref<Inode>> MemInode::create(std::string_view name, NodeType type, u16 mode) {
    if (type != NodeType::file && type != NodeType::directory) return fail(Error::unsupported);
    return make(name, type, mode, {});
}

Result<> MemInode::create_symlink(std::string_view name, std::string_view target) {
    if (target.empty()) return fail(Error::not_found);
    TRY(make(name, NodeType::symlink, 0777, target));
    return {};
}

Result<> MemInode::link(std::string_view name, Inode& target) {
    if (&target.filesystem() != &memfs_) return fail(Error::cross_device);
    auto& node = static_cast<MemInode&>(target);
    if (node.is_directory()) return fail(Error::is_directory);
    auto state = memfs_.state_.lock();
    TRY(check_new_name(*state, name));
    if (node.links_ == 0) return fail(Error::not_found);  // it has lost its last name meanwhile
    TRY(memfs_.add_entry(*state, *this, name, node));
    ++node.links_;
    node.touch(false);
    touch();
    return {};
}

Result<> MemInode::remove(std::string_view wanted, NodeType kind) {
    if (!is_directory()) return fail(Error::not_directory);
    auto state = memfs_.state_.lock();
    MemEntry* const entry = child(*state, wanted);
    if (entry == nullptr) return fail(Error::not_found);
    MemInode& node = *entry->node;
    if (kind == NodeType::directory && !node.is_directory()) return fail(Error::not_directory);
    if (kind == NodeType::file && node.is_directory()) return fail(Error::is_directory);
    if (!node.children_.empty()) return fail(Error::in_use);
    memfs_.remove_entry(*state, *entry);
    touch();
    memfs_.unname(*state, node);
    return {};
}

/// May a rename put this where `victim` is?
Result<> MemInode::may_replace(MemInode& victim) const {
    if (is_directory() && !victim.is_directory()) return fail(Error::not_directory);
    if (!is_directory() && victim.is_directory()) return fail(Error::is_directory);
    if (!victim.children_.empty()) return fail(Error::in_use);
    return {};
}

Result<> MemInode::rename(std::string_view name, Inode& to, std::string_view new_name) {
    if (&to.filesystem() != &memfs_) return fail(Error::cross_device);
    auto& directory = static_cast<MemInode&>(to);
    auto state = memfs_.state_.lock();
    MemEntry* const entry = is_directory() ? child(*state, name) : nullptr;
    if (entry == nullptr) return fail(is_directory() ? Error::not_found : Error::not_directory);
    MemInode& node = *entry->node;
    for (MemInode* above = &directory; node.is_directory() && above != nullptr; above = above->parent_)
        if (above == &node) return fail(Error::invalid);
    MemEntry* const old = directory.is_directory() ? directory.child(*state, new_name) : nullptr;
    if (old != nullptr) {
        MemInode& victim = *old->node;
        if (&victim == &node) return {};  // two names of one file
        TRY(node.may_replace(victim));
        old->node = &node;
        memfs_.unname(*state, victim);
    } else {
        TRY(directory.check_new_name(*state, new_name));
        TRY(memfs_.add_entry(*state, directory, new_name, node));
    }
    memfs_.remove_entry(*state, *entry);
    if (node.is_directory()) {
        --links_;
        ++directory.links_;
        node.parent_ = &directory;
    }
    node.touch(false);
    touch();
    directory.touch();
    return {};
}

Result<std::unique_ptr<FileSystem>> make_memfs(u64 max_bytes) {
    std::unique_ptr<MemFs> fs(new (std::nothrow) MemFs(std::max<u64>(max_bytes, 4096)));
    if (!fs) return fail(Error::no_memory);
    if (auto r = fs->start(); !r) return fail(r.error());
    return fs;
}

}  // namespace ringlet::fs
