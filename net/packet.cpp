// The packet pool: blocks of slots, in each a stack of the free ones, most recently used first (its memory is likeliest
// still in the cache). Single buffers come from blocks of which others are in use, so that blocks stay whole for runs.
// Context: the network monitor.
#include "net/packet_queue.hpp"

#include <new>

namespace ringlet::net {

inline void PacketPool::add_free(Slot* s) {
    Block& b = blocks_[usize(s - slots_) / PacketBuffer::kRun];
    s->next = std::exchange(b.free, s);
    ++free_;
    if (++b.count == 1) return partial_.push_front(b);
    if (b.count != PacketBuffer::kRun) return;
    partial_.remove(b);
    whole_.push_front(b);
}

void PacketBuffer::give_back(Slot* s) {
    if (s->more != nullptr) release(std::exchange(s->more, nullptr));
    if (s->readers != 0) return s->pool->end_view(s);
    s->pool->add_free(s);
}

/// A chain of slots behind a first one. Loops, for a chain may be long and the stack is not.
void PacketBuffer::release(Slot* s) {
    while (s != nullptr) PacketBuffer one(std::exchange(s, std::exchange(s->more, nullptr)));
}

void PacketBuffer::append_fragment(PacketBuffer&& p) {
    Slot* s = std::exchange(p.slot_, nullptr);
    Slot* tail = slot_->more == nullptr ? slot_ : slot_->last;
    tail->more = s;
    slot_->last = s->more == nullptr ? s : s->last;
    slot_->followers = u16(slot_->followers + 1 + s->followers);
}

PacketBuffer::Slot* PacketBuffer::cut_rest() {
    Slot* rest = std::exchange(slot_->more, nullptr);
    rest->last = slot_->last;
    rest->followers = u16(slot_->followers - 1);
    slot_->followers = 0;
    return rest;
}

usize PacketBuffer::buffers() const {
    usize n = 0;
    for (const Slot* s = slot_; s != nullptr; s = s->more) n += slot_->pool->pages(s);
    return n;
}

usize PacketBuffer::size_across() const {
    usize n = 0;
    for (const Slot* s = slot_; s != nullptr; s = s->more) n += usize(s->end - s->begin);
    return n;
}

bool PacketBuffer::flatten() {
    if (tailroom() < size_across() - size()) return false;
    for (const Slot* s = slot_->more; s != nullptr; s = s->more) {
        const usize n = usize(s->end - s->begin);
        if (n != 0) std::memcpy(append(n).data(), s->base + s->begin, n);
    }
    release(std::exchange(slot_->more, nullptr));
    slot_->followers = 0;
    return true;
}

/// More than the first buffer holds: whole buffers go, and the metadata moves on to the new first one.
bool PacketBuffer::pull_across(usize n) {
    if (slot_->more == nullptr || size_across() < n) return false;
    while (n > size() && slot_->more != nullptr) {
        n -= size();
        const PacketMeta meta = slot_->meta;
        PacketBuffer rest = *take_rest();
        std::swap(slot_, rest.slot_);
        slot_->meta = meta;
    }
    slot_->begin = u32(slot_->begin + n);
    return true;
}

void PacketBuffer::trim_across(usize length) {
    Slot* s = slot_;
    for (u16 kept = 0;; s = s->more, ++kept) {
        const usize here = usize(s->end - s->begin);
        if (length > here && s->more != nullptr) {
            length -= here;
            continue;
        }
        if (length < here) s->end = u32(s->begin + length);
        release(std::exchange(s->more, nullptr));
        slot_->last = s;
        slot_->followers = kept;
        return;
    }
}

bool PacketQueue::push_back_cut(PacketBuffer p, usize room, PacketPool& pool) {
    room = std::min(room, (PacketBuffer::kSize - PacketBuffer::kHeadroom) & ~usize{7});
    PacketQueue pieces;
    usize left = 0;  // in the last piece, when that is a copy
    for (std::optional<PacketBuffer> buffer = std::move(p), rest; buffer; buffer = std::exchange(rest, std::nullopt)) {
        rest = buffer->take_rest();
        // What a device has merged may begin and end anywhere in its buffers.
        const auto is_piece = [&] {
            return buffer->size() <= room && (buffer->size() % 8 == 0 || !rest) &&
                   buffer->headroom() >= PacketBuffer::kFragmentHeadroom;
        };
        while (buffer->size() != 0 && (left != 0 || !is_piece())) {
            if (left == 0) {
                auto piece = pool.allocate();
                if (!piece) return false;
                pieces.push_back(std::move(*piece));
                left = room;
            }
            const usize n = std::min(left, buffer->size());
            std::memcpy(pieces.back()->append(n).data(), buffer->data().data(), n);
            buffer->pull_bytes(n);
            left -= n;
        }
        if (buffer->size() != 0) pieces.push_back(std::move(*buffer));
    }
    while (auto piece = pieces.pop_front()) push_back(std::move(*piece));
    return true;
}

PacketPool::PacketPool(MutableBytes memory, DmaAddr dma) : memory_(memory.data()), dma_(dma) {
    const usize count = memory.size() / PacketBuffer::kSize;
    slots_ = new (std::nothrow) Slot[count + count / 2];
    blocks_ = new (std::nothrow) Block[count / PacketBuffer::kRun + 1];
    if (slots_ == nullptr || blocks_ == nullptr) return;  // total() == 0 tells
    for (usize i = count; i != count + count / 2; ++i) {
        slots_[i].pool = this;
        slots_[i].next = views_;
        views_ = &slots_[i];
    }
    free_views_ = count / 2;
    for (usize i = 0; i != count; ++i) {
        slots_[i].pool = this;
        slots_[i].base = memory_ + i * PacketBuffer::kSize;
    }
    // Backwards, so that the first packets handed out are the lowest addresses. A last block of fewer is never whole.
    for (usize i = count; i-- != 0;) add_free(&slots_[i]);
    total_ = count;
}

PacketPool::~PacketPool() {
    ASSERT(free_ == total_ && free_views_ == total_ / 2);
    delete[] slots_;
    delete[] blocks_;
}

void PacketPool::add_free_run(Slot* s) {
    s->readers = 0;
    for (u16 i = 0; i != PacketBuffer::kRun; ++i) s[i].next = i + 1 < PacketBuffer::kRun ? &s[i + 1] : nullptr;
    Block& b = blocks_[usize(s - slots_) / PacketBuffer::kRun];
    b.free = s;
    b.count = PacketBuffer::kRun;
    whole_.push_front(b);
    free_ += PacketBuffer::kRun;
}

std::optional<PacketBuffer> PacketPool::allocate() {
    if (partial_.empty()) {
        Block* split = whole_.pop_front();
        if (split == nullptr) {
            ++exhausted_;
            return std::nullopt;
        }
        partial_.push_front(*split);
    }
    Block& b = partial_.front();
    Slot* slot = std::exchange(b.free, b.free->next);
    if (--b.count == 0) partial_.remove(b);
    --free_;
    slot->next = nullptr;
    slot->begin = slot->end = PacketBuffer::kHeadroom;
    slot->followers = 0;
    slot->meta = {};
    return PacketBuffer(slot);
}

std::optional<PacketBuffer> PacketPool::allocate_run() {
    Block* b = whole_.pop_front();
    if (b == nullptr) return std::nullopt;
    Slot* slot = &slots_[usize(b - blocks_) * PacketBuffer::kRun];
    b->free = nullptr;
    b->count = 0;
    free_ -= PacketBuffer::kRun;
    slot->next = nullptr;
    slot->readers = Slot::kRun;
    slot->begin = slot->end = 0;
    slot->followers = 0;
    slot->meta = {};
    return PacketBuffer(slot);
}

std::optional<PacketBuffer> PacketPool::copy(const PacketBuffer& packet) {
    std::optional<PacketBuffer> all;
    bool whole = true;
    packet.for_each_fragment([&](MutableBytes piece, DmaAddr) {
        auto p = whole ? allocate() : std::nullopt;
        if (p && all) p->window(0, 0);
        whole = p && piece.size() <= p->tailroom();
        if (!whole) return;
        if (!piece.empty()) std::memcpy(p->append(piece.size()).data(), piece.data(), piece.size());
        if (all)
            all->append_fragment(std::move(*p));
        else
            all = std::move(p);
    });
    if (!whole) return std::nullopt;
    all->meta() = packet.meta();
    return all;
}

/// The window's end is at kSize or beyond, so that nobody appends to what belongs to somebody else.
void PacketBuffer::Slot::point_at(std::byte* first, u32 length) {
    begin = length < kSize ? u32(kSize - length) : 0;
    end = begin + length;
    base = first - begin;
}

PacketBuffer::Slot* PacketPool::take_view() {
    Slot* slot = views_;
    if (slot == nullptr) return nullptr;
    views_ = slot->next;
    --free_views_;
    slot->next = nullptr;
    slot->followers = 0;
    slot->meta = {};
    return slot;
}

void PacketPool::give_view(Slot* s) {
    s->next = views_;
    views_ = s;
    ++free_views_;
}

std::optional<PacketBuffer> PacketPool::view(const PacketBuffer& buffer, usize offset, usize length) {
    Slot* of = buffer.slot_;
    ASSERT(length != 0 && offset + length <= buffer.size() && !of->is_view());
    Slot* slot = take_view();
    if (slot == nullptr) return std::nullopt;
    ++of->readers;
    slot->readers = Slot::kView | u32(of - slots_);
    slot->point_at(of->base + of->begin + offset, u32(length));
    return PacketBuffer(slot);
}

std::optional<PacketBuffer> PacketPool::lend(Bytes bytes, DmaAddr dma, Loan* loan) {
    ASSERT(!bytes.empty() && bytes.size() <= Loan::kMostBytes);
    const u64 distance = reinterpret_cast<u64>(bytes.data()) - reinterpret_cast<u64>(memory_);
    if (dma_ + distance != dma || free_views_ <= total_ / 4) return std::nullopt;
    Slot* slot = take_view();
    slot->readers = 1;
    slot->loan = loan;
    slot->point_at(const_cast<std::byte*>(bytes.data()), u32(bytes.size()));  // only ever read
    if (loan != nullptr) loan->hold();
    return PacketBuffer(slot);
}

/// The end of a view or a loan, or of a buffer's owner while it has views: the last one out gives the memory back.
void PacketPool::end_view(Slot* s) {
    Slot* of = s->is_view() ? &slots_[s->readers & ~Slot::kView] : s;
    if (const u16 pages = this->pages(of); pages != 0) {
        if (s != of) {
            give_view(s);
            if ((--of->readers & ~Slot::kRun) != 0 || of->next != of) return;
            orphans_ -= pages;
        } else if (s->readers != Slot::kRun) {
            s->next = s;  // the mark of an orphan
            orphans_ += pages;
            return;
        }
        of->is_run() ? add_free_run(of) : add_free(of);
        return;
    }
    const bool is_last = --of->readers == 0;
    if (s == of && !is_last) ++overdue_;
    if (s != of && is_last) --overdue_;
    if (s != of) give_view(s);
    if (!is_last) return;
    Loan* loan = std::exchange(of->loan, nullptr);
    give_view(of);
    if (loan != nullptr) loan->drop();
}

}  // namespace ringlet::net
