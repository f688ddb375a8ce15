// A list of packets in order, linked through the pool's own slots: no allocation, no bound of its own.
// It owns its packets; those left in it go back to the pool with it. Context: the pool's monitor.
#pragma once

#include "net/packet.hpp"

namespace ringlet::net {

class PacketQueue {
    using Slot = PacketBuffer::Slot;

public:
    /// A packet inside the queue, borrowed: use it through `->`; it stays in the queue. Empty beyond the end.
    class Ref {
    public:
        Ref() : buffer_(nullptr) {}
        Ref(const Ref& o) : buffer_(o.buffer_.slot_) {}
        Ref& operator=(const Ref& o) {
            buffer_.slot_ = o.buffer_.slot_;
            return *this;
        }
        ~Ref() { buffer_.slot_ = nullptr; }
        explicit operator bool() const { return buffer_.slot_ != nullptr; }
        PacketBuffer* operator->() { return &buffer_; }
        const PacketBuffer* operator->() const { return &buffer_; }
        const PacketBuffer& operator*() const { return buffer_; }
        bool operator==(const Ref& o) const { return buffer_.slot_ == o.buffer_.slot_; }
        Ref next() const { return Ref(buffer_.slot_->next); }

    private:
        friend class PacketQueue;
        explicit Ref(Slot* s) : buffer_(s) {}
        PacketBuffer buffer_;
    };

    PacketQueue() = default;
    PacketQueue(const PacketQueue&) = delete;
    PacketQueue& operator=(const PacketQueue&) = delete;
    ~PacketQueue() { clear(); }

    bool empty() const { return head_ == nullptr; }
    u32 count() const { return count_; }
    /// Buffers in all the packets; walks them.
    usize buffers() const {
        usize n = 0;
        for (Ref r = front(); r; r = r.next()) n += r->buffers();
        return n;
    }
    Ref front() const { return Ref(head_); }
    Ref back() const { return Ref(tail_); }

    void push_back(PacketBuffer&& p) {
        Slot* s = std::exchange(p.slot_, nullptr);
        s->next = nullptr;
        (tail_ == nullptr ? head_ : tail_->next) = s;
        tail_ = s;
        ++count_;
    }
    /// Behind `position`, or at the front when that is empty.
    void insert_after(const Ref& position, PacketBuffer p) {
        Slot* s = std::exchange(p.slot_, nullptr);
        Slot*& link = position ? position.buffer_.slot_->next : head_;
        s->next = link;
        link = s;
        if (s->next == nullptr) tail_ = s;
        ++count_;
    }
    std::optional<PacketBuffer> pop_front() {
        if (head_ == nullptr) return std::nullopt;
        Slot* s = head_;
        head_ = std::exchange(s->next, nullptr);
        if (head_ == nullptr) tail_ = nullptr;
        --count_;
        return PacketBuffer(s);
    }
    /// Takes out the packet behind `position`, or the front when that is empty.
    std::optional<PacketBuffer> take_after(const Ref& position) {
        Slot*& link = position ? position.buffer_.slot_->next : head_;
        Slot* s = link;
        if (s == nullptr) return std::nullopt;
        link = std::exchange(s->next, nullptr);
        if (tail_ == s) tail_ = position.buffer_.slot_;
        --count_;
        return PacketBuffer(s);
    }
    /// Appends a packet's buffers one by one, each as a packet of its own. Returns how many those were.
    u32 push_back_all(PacketBuffer p) {
        u32 n = 1;
        for (auto rest = p.take_rest(); rest; ++n) {
            push_back(std::exchange(p, std::move(*rest)));
            rest = p.take_rest();
        }
        push_back(std::move(p));
        return n;
    }
    void clear() {
        while (pop_front()) {
        }
    }

    /// Appends a packet as packets of at most `room` bytes, a multiple of 8 that kFragmentHeadroom goes before: its
    /// buffers where they are that, else copies. All of it or nothing: false when `pool` had no buffer.
    bool push_back_cut(PacketBuffer p, usize room, PacketPool& pool);

private:
    Slot* head_ = nullptr;
    Slot* tail_ = nullptr;
    u32 count_ = 0;
};

}  // namespace ringlet::net
