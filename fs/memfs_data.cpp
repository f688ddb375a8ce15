// memfs: what is in a file. Pages are given memory when they are written to; an empty one reads as zeros.
#include <algorithm>
#include <new>

#include "fs/memfs_node.hpp"

namespace ringlet::fs {

Result<> MemInode::regular() const {
    if (type_ == NodeType::file) return {};
    return fail(is_directory() ? Error::is_directory : Error::invalid);
}

Result<usize> MemInode::read_at(u64 offset, MutableBytes to, ReadAhead*) {
    TRY(regular());
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
    TRY(regular());
    auto state = memfs_.state_.lock();
    if (offset >= size()) return PinnedBytes();
    const u64 page = offset / kPageSize;
    TRY(make_room(*state, page));
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

Result<> MemInode::make_slots(MemState& s, u64 count) {
    if (count <= page_slots_) return {};
    const u64 slots = std::max(count, page_slots_ + page_slots_ / 2);
    const u64 cost = (slots - page_slots_) * sizeof(Page);
    if (!memfs_.charge(s, cost)) return fail(Error::no_space);
    std::unique_ptr<Page[]> larger(new (std::nothrow) Page[slots]);
    if (!larger) {
        s.used -= cost;
        return fail(Error::no_memory);
    }
    std::move(pages_.get(), pages_.get() + page_slots_, larger.get());
    pages_ = std::move(larger);
    page_slots_ = slots;
    return {};
}

/// Gives `page` memory, zeroed.
Result<> MemInode::make_room(MemState& s, u64 page) {
    TRY(make_slots(s, page + 1));
    if (pages_[page]) return {};
    if (!memfs_.charge(s, kPageSize)) return fail(Error::no_space);
    pages_[page].reset(new (std::nothrow) std::byte[kPageSize]());
    if (pages_[page]) {
        ++page_count_;
        return {};
    }
    s.used -= kPageSize;
    return fail(Error::no_memory);
}

void MemInode::drop_page(MemState& s, u64 page) {
    if (page >= page_slots_ || !pages_[page]) return;
    pages_[page].reset();
    --page_count_;
    s.used -= kPageSize;
}

/// [start, end) of `page`.
void MemInode::zero(u64 page, usize start, usize end) {
    if (page < page_slots_ && pages_[page]) std::memset(pages_[page].get() + start, 0, end - start);
}

Result<usize> MemInode::write(MemState& s, u64 offset, Bytes from) {
    if (from.empty()) return 0;
    if (offset > u64{INT64_MAX} - from.size()) return fail(Error::too_large);
    usize done = 0;
    while (done < from.size()) {
        const u64 page = (offset + done) / kPageSize;
        const usize start = (offset + done) % kPageSize;
        const usize n = std::min(kPageSize - start, from.size() - done);
        if (auto r = make_room(s, page); !r) {
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

Result<usize> MemInode::write_at(u64 offset, Bytes from) {
    TRY(regular());
    auto state = memfs_.state_.lock();
    return write(*state, offset, from);
}

Result<usize> MemInode::append(Bytes from, u64& offset) {
    TRY(regular());
    auto state = memfs_.state_.lock();
    return write(*state, offset = size(), from);
}

Result<> MemInode::truncate(u64 new_size) {
    TRY(regular());
    if (new_size > u64{INT64_MAX}) return fail(Error::too_large);
    auto state = memfs_.state_.lock();
    if (new_size < size()) {
        if (views_ != 0) return fail(Error::in_use);
        for (u64 page = (new_size + kPageSize - 1) / kPageSize; page < page_slots_; ++page) drop_page(*state, page);
        // The tail of the last page must read as zeros when the file grows again.
        if (new_size % kPageSize != 0) zero(new_size / kPageSize, new_size % kPageSize, kPageSize);
    }
    size_.store(new_size, std::memory_order_relaxed);
    touch();
    return {};
}

Result<> MemInode::allocate(u64 offset, u64 length, bool grow) {
    TRY(regular());
    const u64 first = offset / kPageSize, end = (offset + length + kPageSize - 1) / kPageSize;
    auto state = memfs_.state_.lock();
    u64 missing = end - first;
    for (u64 page = first; page < std::min(end, page_slots_); ++page) missing -= pages_[page] ? 1 : 0;
    if (missing > memfs_.left(*state) / kPageSize) return fail(Error::no_space);
    for (u64 page = first; page < end; ++page) TRY(make_room(*state, page));
    if (grow) size_.store(std::max(size(), offset + length), std::memory_order_relaxed);
    touch(grow);
    return {};
}

Result<> MemInode::punch(u64 offset, u64 length) {
    TRY(regular());
    auto state = memfs_.state_.lock();
    if (views_ != 0) return fail(Error::in_use);
    const u64 end = std::min(offset + length, page_slots_ * kPageSize);
    while (offset < end) {
        const usize start = offset % kPageSize;
        const usize n = static_cast<usize>(std::min<u64>(kPageSize - start, end - offset));
        if (n == kPageSize)
            drop_page(*state, offset / kPageSize);
        else
            zero(offset / kPageSize, start, start + n);
        offset += n;
    }
    touch();
    return {};
}

}  // namespace ringlet::fs
