// Bytes written and not yet acknowledged, in packet buffers: a write copies into memory that a device may read, and a
// large segment lends it parts of that memory instead of copying again (PacketPool::view). All connections share one
// budget, so that senders cannot starve reception. Context: the network monitor.
#pragma once

#include <algorithm>

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
    SendBuffer(SendMemory& memory, u32 bound) : memory_(memory), bound_(bound) {}
    ~SendBuffer() { release(); }

    u32 size() const { return size_; }
    u32 room() const { return bound_ - std::min(bound_, size_); }
    u32 bound() const { return bound_; }
    void grow(u32 bound) { bound_ = std::max(bound_, bound); }
    u32 buffers() const { return chunks_.count(); }

    /// Copies in as much as fits; less, down to nothing, when there is no memory.
    u32 write(Bytes from);

    struct Pieces {
        Bytes first, second;
    };
    /// The `length` <= PacketBuffer::kSize bytes at `offset`; the caller keeps them inside size().
    Pieces at(u32 offset, u32 length);
    /// Appends views of `length` bytes at `offset` to `packet`; as many bytes as there are views for are returned.
    u32 lend(PacketBuffer& packet, u32 offset, u32 length);

    /// The first `n` bytes are acknowledged.
    void drop(u32 n);
    void release();

private:
    struct Place {
        PacketQueue::Ref chunk;
        u32 offset;  ///< in the chunk's window
    };
    Place find(u32 offset);

    // Every buffer but the last is full to its end, and each begins at its first byte unless the front was dropped: a
    // piece no longer than a buffer lies in at most two of them.
    PacketQueue chunks_;
    SendMemory& memory_;
    u32 bound_;
    u32 size_ = 0;
    // Where the last segment ended, for the next one: offset of the first byte of `cursor_`'s window.
    PacketQueue::Ref cursor_;
    u32 cursor_at_ = 0;
};

}  // namespace ringlet::net::tcp
