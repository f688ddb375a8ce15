// memfs: one lock, a tree of nodes, file contents in pages. Everything is charged against one bound, so that
// a program that fills /tmp gets no_space and the kernel keeps its memory.
#include "fs/memfs.hpp"

#include <algorithm>
#include <new>

#include "kernel/sched/mutex.hpp"
#include "kernel/time/clock.hpp"
#include "lib/list.hpp"

namespace ringlet::fs {
namespace {

class MemFs;
struct MemState {
    u64 used = 0, files = 0;
    u64 next_number = 2;  ///< 0 and 1 are the cookies of "." and ".."
};
using Page = std::unique_ptr<std::byte[]>;

class MemInode final : public Inode, public ListNode<> {
public:
    MemInode(MemFs& fs, NodeType type);

    NodeType type() const override { return type_; }
    u64 size() const override { return size_.load(std::memory_order_relaxed); }
    Result<Stat> stat() override;
    Result<Ref<Inode>> lookup(std::string_view name) override;
    Result<bool> next_entry(u64& cookie, DirEntry& out) override;
    Result<usize> read_at(u64 offset, MutableBytes to, ReadAhead*) override;
    Result<PinnedBytes> map_at(u64 offset, ReadAhead*) override;
    Result<usize> read_link(std::span<char>) override { return fail(Error::invalid); }
    Result<usize> write_at(u64 offset, Bytes from) override;
    Result<> truncate(u64 size) override;
    Result<Ref<Inode>> create(std::string_view name, NodeType type, u16 mode) override;
    Result<> unlink(std::string_view name) override { return remove(name, NodeType::file); }
    Result<> remove_directory(std::string_view name) override { return remove(name, NodeType::directory); }

private:
    friend class MemFs;
    void release_last() override;
    Result<> remove(std::string_view name, NodeType wanted);
    std::string_view name() const { return {name_.get(), name_length_}; }
    // With the filesystem's lock held:
    MemInode* child(std::string_view name);
    Result<> make_room(MemState& state, u64 page);
    void touch() { changed_ns_ = kernel::wall_clock_ns(); }

    MemFs& memfs_;
    const NodeType type_;
    u64 number_ = 0;
    std::unique_ptr<char[]> name_;
    usize name_length_ = 0;
    MemInode* parent_ = nullptr;  ///< nullptr: the root, or unlinked
    List<MemInode> children_;     ///< rising numbers: a cookie is a number
    std::atomic<u64> size_{0};
    std::unique_ptr<Page[]> pages_;  ///< empty page: a hole
    u64 page_slots_ = 0;
    u32 views_ = 0;  ///< PinnedBytes alive: pages must stay
    u64 changed_ns_ = 0;
};

class MemFs final : public FileSystem {
public:
    explicit MemFs(u64 max_bytes) : max_bytes_(max_bytes) {}
    ~MemFs() override;
    Result<> start();
    Result<Ref<Inode>> root() override { return Ref<Inode>::share(*root_); }
    Result<StatFs> statfs() override;

private:
    friend class MemInode;
    static constexpr u64 kNodeCost = sizeof(MemInode) + 64;  // and its name, rounded by the heap
    bool charge(MemState& s, u64 bytes) const {
        if (max_bytes_ - s.used < bytes) return false;
        s.used += bytes;
        return true;
    }
    /// Frees a node that is in no directory and that nobody refers to.
    void destroy(MemState& s, MemInode* node);

    const u64 max_bytes_;
    MemInode* root_ = nullptr;
    kernel::Guarded<MemState, kernel::Rank::inode, kernel::Mutex> state_;
};

MemInode::MemInode(MemFs& fs, NodeType type) : Inode(fs), memfs_(fs), type_(type) {}

MemFs::~MemFs() {
    // Children first, without recursion: always take apart the deepest first child.
    for (MemInode* at = root_; at != nullptr;) {
        if (!at->children_.empty()) {
            at = &at->children_.front();
            continue;
        }
        MemInode* const parent = at->parent_;
        if (parent != nullptr) List<MemInode>::remove(*at);
        delete at;
        at = parent;
    }
}

Result<> MemFs::start() {
    root_ = new (std::nothrow) MemInode(*this, NodeType::directory);
    if (root_ == nullptr) return fail(Error::no_memory);
    auto state = state_.lock();
    root_->number_ = state->next_number++;
    state->used = kNodeCost;
    state->files = 1;
    root_->touch();
    return {};
}

void MemFs::destroy(MemState& s, MemInode* node) {
    u64 pages = 0;
    for (u64 i = 0; i < node->page_slots_; ++i) pages += node->pages_[i] ? 1 : 0;
    s.used -= kNodeCost + node->name_length_ + pages * kPageSize + node->page_slots_ * sizeof(Page);
    --s.files;
    delete node;
}

Result<StatFs> MemFs::statfs() {
    auto state = state_.lock();
    StatFs s;
    s.type = "memfs";
    s.block_size = kPageSize;
    s.blocks = max_bytes_ / kPageSize;
    s.free_blocks = (max_bytes_ - state->used) / kPageSize;
    s.files = state->files + (max_bytes_ - state->used) / kNodeCost;
    s.free_files = s.files - state->files;
    s.read_only = false;
    return s;
}

void MemInode::release_last() {
    auto state = memfs_.state_.lock();
    if (drop() && parent_ == nullptr && this != memfs_.root_) memfs_.destroy(*state, this);
}

MemInode* MemInode::child(std::string_view wanted) {
    for (MemInode& c : children_)
        if (c.name() == wanted) return &c;
    return nullptr;
}

Result<Stat> MemInode::stat() {
    auto state = memfs_.state_.lock();
    Stat s;
    s.filesystem = memfs_.id();
    s.inode = number_;
    s.type = type_;
    s.mode = type_ == NodeType::directory ? 0755 : 0644;
    s.links = parent_ == nullptr && this != memfs_.root_ ? 0 : 1;
    s.size = size();
    for (u64 i = 0; i < page_slots_; ++i) s.sectors += pages_[i] ? kPageSize / 512 : 0;
    s.block_size = kPageSize;
    s.modified = {static_cast<i64>(changed_ns_ / 1'000'000'000), static_cast<u32>(changed_ns_ % 1'000'000'000)};
    s.accessed = s.changed = s.created = s.modified;
    return s;
}

Result<Ref<Inode>> MemInode::lookup(std::string_view wanted) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    auto state = memfs_.state_.lock();
    if (wanted == ".") return Ref<Inode>::share(*this);
    if (wanted == "..") return Ref<Inode>::share(parent_ != nullptr ? *parent_ : *this);
    MemInode* const c = child(wanted);
    if (c == nullptr) return fail(Error::not_found);
    return Ref<Inode>::share(*c);
}

Result<bool> MemInode::next_entry(u64& cookie, DirEntry& out) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
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
    for (MemInode& c : children_) {
        if (c.number_ < cookie) continue;
        cookie = c.number_ + 1;
        return report(c, c.name());
    }
    return false;
}

Result<usize> MemInode::read_at(u64 offset, MutableBytes to, ReadAhead*) {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    auto state = memfs_.state_.lock();
    if (offset >= size()) return 0;
    const usize total = static_cast<usize>(std::min<u64>(to.size(), size() - offset));
    for (usize done = 0; done < total;) {
        const u64 page = (offset + done) / kPageSize;
        const usize start = (offset + done) % kPageSize;
        const usize n = std::min(kPageSize - start, total - done);
        if (page < page_slots_ && pages_[page])
            std::memcpy(to.data() + done, pages_[page].get() + start, n);
        else
            std::memset(to.data() + done, 0, n);
        done += n;
    }
    return total;
}

Result<PinnedBytes> MemInode::map_at(u64 offset, ReadAhead*) {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    auto state = memfs_.state_.lock();
    if (offset >= size()) return PinnedBytes();
    const u64 page = offset / kPageSize;
    if (page >= page_slots_ || !pages_[page])
        if (auto r = make_room(*state, page); !r) return fail(r.error());
    const usize start = offset % kPageSize;
    const usize n = static_cast<usize>(std::min<u64>(kPageSize - start, size() - offset));
    ++views_;
    retain();
    return PinnedBytes(
        Bytes(pages_[page].get() + start, n),
        [](void* owner) {
            auto* const node = static_cast<MemInode*>(owner);
            {
                auto held = node->memfs_.state_.lock();
                --node->views_;
            }
            node->release();
        },
        this);
}

/// Gives `page` memory, zeroed.
Result<> MemInode::make_room(MemState& state, u64 page) {
    if (page >= page_slots_) {
        const u64 slots = std::max(page + 1, page_slots_ + page_slots_ / 2);
        const u64 cost = (slots - page_slots_) * sizeof(Page);
        if (!memfs_.charge(state, cost)) return fail(Error::no_space);
        std::unique_ptr<Page[]> larger(new (std::nothrow) Page[slots]);
        if (!larger) {
            state.used -= cost;
            return fail(Error::no_memory);
        }
        for (u64 i = 0; i < page_slots_; ++i) larger[i] = std::move(pages_[i]);
        pages_ = std::move(larger);
        page_slots_ = slots;
    }
    if (pages_[page]) return {};
    if (!memfs_.charge(state, kPageSize)) return fail(Error::no_space);
    pages_[page].reset(new (std::nothrow) std::byte[kPageSize]());
    if (pages_[page]) return {};
    state.used -= kPageSize;
    return fail(Error::no_memory);
}

Result<usize> MemInode::write_at(u64 offset, Bytes from) {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    if (from.empty()) return 0;
    if (offset > u64{INT64_MAX} - from.size()) return fail(Error::too_large);
    auto state = memfs_.state_.lock();
    usize done = 0;
    while (done < from.size()) {
        const u64 page = (offset + done) / kPageSize;
        const usize start = (offset + done) % kPageSize;
        const usize n = std::min(kPageSize - start, from.size() - done);
        if (auto r = make_room(*state, page); !r) {
            if (done == 0) return fail(r.error());
            break;  // what fits is written; the next call says why no more does
        }
        std::memcpy(pages_[page].get() + start, from.data() + done, n);
        done += n;
    }
    size_.store(std::max(size(), offset + done), std::memory_order_relaxed);
    touch();
    return done;
}

Result<> MemInode::truncate(u64 new_size) {
    if (type_ == NodeType::directory) return fail(Error::is_directory);
    if (new_size > u64{INT64_MAX}) return fail(Error::too_large);
    auto state = memfs_.state_.lock();
    if (new_size < size()) {
        if (views_ != 0) return fail(Error::in_use);
        const u64 keep = (new_size + kPageSize - 1) / kPageSize;
        for (u64 i = keep; i < page_slots_; ++i) {
            if (!pages_[i]) continue;
            pages_[i].reset();
            state->used -= kPageSize;
        }
        // The tail of the last page must read as zeros when the file grows again.
        const usize tail = new_size % kPageSize;
        if (tail != 0 && keep <= page_slots_ && pages_[keep - 1])
            std::memset(pages_[keep - 1].get() + tail, 0, kPageSize - tail);
    }
    size_.store(new_size, std::memory_order_relaxed);
    touch();
    return {};
}

Result<Ref<Inode>> MemInode::create(std::string_view wanted, NodeType kind, u16) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    if (kind != NodeType::file && kind != NodeType::directory) return fail(Error::unsupported);
    if (wanted.empty() || wanted == "." || wanted == "..") return fail(Error::exists);
    if (wanted.size() > kNameMax) return fail(Error::name_too_long);
    std::unique_ptr<char[]> text(new (std::nothrow) char[wanted.size()]);
    std::unique_ptr<MemInode> node(new (std::nothrow) MemInode(memfs_, kind));
    if (!text || !node) return fail(Error::no_memory);
    std::memcpy(text.get(), wanted.data(), wanted.size());
    auto state = memfs_.state_.lock();
    if (parent_ == nullptr && this != memfs_.root_) return fail(Error::not_found);  // removed meanwhile
    if (child(wanted) != nullptr) return fail(Error::exists);
    if (!memfs_.charge(*state, MemFs::kNodeCost + wanted.size())) return fail(Error::no_space);
    node->name_ = std::move(text);
    node->name_length_ = wanted.size();
    node->number_ = state->next_number++;
    node->parent_ = this;
    node->touch();
    touch();
    ++state->files;
    children_.push_back(*node);
    return Ref<Inode>::share(*node.release());
}

Result<> MemInode::remove(std::string_view wanted, NodeType kind) {
    if (type_ != NodeType::directory) return fail(Error::not_directory);
    auto state = memfs_.state_.lock();
    MemInode* const c = child(wanted);
    if (c == nullptr) return fail(Error::not_found);
    if (kind == NodeType::directory && c->type_ != NodeType::directory) return fail(Error::not_directory);
    if (kind == NodeType::file && c->type_ == NodeType::directory) return fail(Error::is_directory);
    if (!c->children_.empty()) return fail(Error::in_use);
    List<MemInode>::remove(*c);
    c->parent_ = nullptr;
    touch();
    // Nobody can find it any more, so the count can only fall: whoever drops the last reference destroys it.
    if (c->references() == 0) memfs_.destroy(*state, c);
    return {};
}

}  // namespace

Result<std::unique_ptr<FileSystem>> make_memfs(u64 max_bytes) {
    std::unique_ptr<MemFs> fs(new (std::nothrow) MemFs(std::max<u64>(max_bytes, 4096)));
    if (!fs) return fail(Error::no_memory);
    if (auto r = fs->start(); !r) return fail(r.error());
    return fs;
}

}  // namespace ringlet::fs
