// Where connections live: handles, the hash of 4-tuples, the heap of deadlines. Fixed arrays allocated once; everything
// else is intrusive. Context: the network monitor.
#pragma once

#include <memory>

#include "lib/list.hpp"
#include "net/tcp/connection.hpp"

namespace ringlet::net::tcp {

struct ReadyTag;   ///< readiness has risen since next_ready()
struct ActiveTag;  ///< has something to send
struct ListenTag;  ///< all listeners
struct QueueTag;   ///< half-open, waiting for accept(), closed by us, or TIME-WAIT: one at a time

inline constexpr u32 kNone = ~u32{0};

/// What a handle names.
struct Socket : ListNode<ReadyTag> {
    enum class Kind : u8 { connection, listener } kind;
    u8 reported = 0;  ///< readiness bits at the last look
    u32 slot = kNone;
    void* user_data = nullptr;
    explicit Socket(Kind k) : kind(k) {}
};

struct Entry;

struct Listener : Socket, ListNode<ListenTag> {
    Endpoint local;
    u16 backlog;
    u16 pending = 0;  ///< elements of `accepted`
    List<Entry, QueueTag> accepted;
    Listener(const Endpoint& l, u16 b) : Socket(Kind::listener), local(l), backlog(b) {}
};

struct Entry : Socket, ListNode<ActiveTag>, ListNode<QueueTag> {
    enum class Queue : u8 { none, half_open, accept, orphan, time_wait };
    Connection connection;
    Entry* hash_next = nullptr;
    Listener* listener = nullptr;  ///< while half-open or waiting for accept()
    u32 heap_index = kNone;
    Queue queue = Queue::none;
    bool hashed = false;
    u8 link;  ///< by which its segments come and go
    Entry(Environment& e, const Endpoint& local, const Endpoint& remote, u8 by = 0)
        : Socket(Kind::connection), connection(e, local, remote), link(by) {}
    bool is_between(const Endpoint& local, const Endpoint& remote) const {
        return connection.remote() == remote && connection.local() == local;
    }
};

/// Handles: an index and the generation of its use.
class Slots {
public:
    explicit Slots(u32 capacity);
    std::optional<Handle> add(Socket& s);
    void remove(Socket& s);
    u32 capacity() const { return capacity_; }
    Socket* at(u32 index) const { return slots_[index].socket; }
    Socket* find(Handle h) const {
        return h.index < capacity_ && slots_[h.index].generation == h.generation ? slots_[h.index].socket : nullptr;
    }
    Handle handle_of(const Socket& s) const {
        return s.slot == kNone ? Handle{} : Handle{s.slot, slots_[s.slot].generation};
    }

private:
    struct Slot {
        Socket* socket = nullptr;
        u32 generation = 1;
        u32 next_free = kNone;
    };
    std::unique_ptr<Slot[]> slots_;
    u32 capacity_ = 0, free_ = kNone;
};

/// The 4-tuple, hashed with a secret so that a peer cannot fill one bucket (RFC 9293 §3.9.2.3 leaves it to us).
class HashTable {
public:
    HashTable(u32 capacity, const Secrets& secrets);
    Entry* find(const Endpoint& local, const Endpoint& remote) const {
        return recent_ != nullptr && recent_->is_between(local, remote) ? recent_ : search(local, remote);
    }
    void add(Entry& e);
    void remove(Entry& e);
    u32 capacity() const { return buckets_ ? mask_ + 1 : 0; }
    template <class F> void for_each(F visit) const {
        for (u32 i = 0; i < capacity(); ++i)
            for (Entry* e = buckets_[i]; e != nullptr; e = e->hash_next) visit(*e);
    }

private:
    Entry* search(const Endpoint& local, const Endpoint& remote) const;
    Entry*& bucket(const Endpoint& l, const Endpoint& r) const { return buckets_[secrets_.bucket(l, r) & mask_]; }
    const Secrets& secrets_;
    std::unique_ptr<Entry*[]> buckets_;
    u32 mask_ = 0;
    mutable Entry* recent_ = nullptr;  ///< found last: the next segment is often of the same connection
};

/// A binary heap of deadlines. A key may be earlier than the connection's deadline (timers are mostly put off, and that
/// costs nothing), never later: whoever pops looks again.
class DeadlineHeap {
public:
    explicit DeadlineHeap(u32 capacity);
    /// Makes sure that `e` comes up at `at` or before. False: it did already.
    bool schedule(Entry& e, Instant at) {
        if (at.is_never() || (e.heap_index != kNone && items_[e.heap_index].key <= at)) return false;
        move_up(e, at);
        return true;
    }
    void remove(Entry& e);
    Instant earliest() const { return size_ == 0 ? Instant::never() : items_[0].key; }
    /// Takes out the first entry if its key is due.
    Entry* pop_due(Instant now);
    u32 capacity() const { return capacity_; }

private:
    struct Item {
        Instant key;
        Entry* entry = nullptr;
    };
    void move_up(Entry& e, Instant at);
    void place(u32 at, Item i);
    void sift_up(u32 at, Item i);
    void sift_down(u32 at, Item i);
    std::unique_ptr<Item[]> items_;
    u32 size_ = 0, capacity_ = 0;
};

}  // namespace ringlet::net::tcp
