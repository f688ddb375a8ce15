// Bytes written and not yet acknowledged, in order: copied into packet buffers, in bulk into runs of them, which a
// device may read, or lent by the application (net/loan.hpp). A large segment gets views of either instead of another
// copy (PacketPool::view). All connections share one budget of buffers, so that senders cannot starve reception; what
// is lent costs none. Context: the network monitor.
#pragma once

#include <algorithm>
#include <array>

#include "net/packet_queue.hpp"

namespace ringlet::net::tcp {

/// What the send buffers of all connections may hold together.
struct SendMemory {
    PacketPool& pool;
    usize held = 0;        ///< packet buffers
    usize soft = 0;        ///< above it, a connection that has two gets no more
    usize hard = 0;        ///< above it, nobody does
    bool refused = false;  ///< somebody with nothing in flight was refused: it must be told when there is memory again
};

class SendBuffer {
public:
    static constexpr u32 kWorthLending = 1024;  ///< bytes; fewer are copied, which costs less and bounds the pieces

    SendBuffer(SendMemory& memory, u32 bound) : memory_(memory), bound_(bound) {}
    ~SendBuffer() { release(); }

    u32 size() const { return size_; }
    /// Bytes until the bound. A loan may go beyond it: it is taken whole.
    u32 room() const { return bound_ - std::min(bound_, size_); }
    u32 bound() const { return bound_; }
    /// At least a quarter is free.
    bool is_roomy() const { return size_ <= bound_ - bound_ / 4; }
    void grow(u32 bound) { bound_ = std::max(bound_, bound); }
    u32 buffers() const { return buffers_; }

    /// Copies in as much as fits; less, down to nothing, when there is no memory.
    u32 write(Bytes from);
    /// Takes `from` by reference, at most Loan::kMostBytes. Nothing when it is not worth it, or the pool cannot
    /// (PacketPool::lend).
    u32 borrow(Bytes from, DmaAddr dma, Loan* loan);

    /// Where some bytes are.
    struct Pieces {
        std::array<Bytes, 12> each;  // of a buffer's length 9 are enough: of two neighbours one is worth lending
        u32 count = 0;
        std::span<const Bytes> all() const { return std::span(each).first(count); }
    };
    /// The `length` <= PacketBuffer::kSize bytes at `offset`; the caller keeps them inside size().
    Pieces at(u32 offset, u32 length);
    /// The bytes from `offset` < size() that lie in one place: mostly all that are wanted.
    Bytes piece_at(u32 offset) {
        ASSERT(offset < size_);
        if (const Bytes first = chunks_.front()->data(); offset < first.size()) return first.subspan(offset);
        const Place at = find(offset);
        return at.chunk->data().subspan(at.offset);
    }
    /// Appends views of `length` bytes at `offset` to `packet` while it has fewer than `fragments`; as many bytes as
    /// there are views for are returned.
    u32 lend(PacketBuffer& packet, u32 offset, u32 length, u32 fragments);

    /// The first `n` bytes are acknowledged.
    void drop(u32 n) { n == size_ ? release() : drop_front(n); }
    void release();

private:
    /// Where a search ended, for the next one.
    struct Cursor {
        PacketQueue::Ref chunk;
        u32 at = 0;  ///< offset of the first byte of its window
    };
    struct Place {
        PacketQueue::Ref chunk;
        u32 offset;  ///< in the chunk's window
    };
    Place find(u32 offset);
    [[gnu::always_inline]] inline bool extend(u32 more);
    void drop_front(u32 n);

    // Every buffer is full to its end unless it is the last or something lent is behind it, and each begins at its
    // first byte unless the front was dropped.
    PacketQueue chunks_;
    SendMemory& memory_;
    u32 bound_;
    u32 size_ = 0;
    u32 buffers_ = 0;  ///< of the chunks: not lent
    // New bytes and what is sent again alternate, each in order: each has a cursor, so no search walks all there is.
    Cursor newest_, again_;
};

}  // namespace ringlet::net::tcp
