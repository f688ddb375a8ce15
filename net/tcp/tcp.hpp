// TCP (RFC 9293) as a value: segments, calls and the time go in; segments and readiness come out. No locks, clock,
// threads or interrupts; one heap allocation per connection, none per packet.
// Context: everything under the network monitor. Nothing here blocks: would_block means "wait for next_ready()".
//
// The stack's side:  input() each received segment, poll() when deadline() is reached, then pull output() while the
//                    link has room, then drain next_ready() and wake the waiters found in user_data().
// The socket's side: listen/accept/connect/read/write/...; after each of them the stack must pull output() again.
#pragma once

#include <optional>
#include <utility>

#include "lib/bytes.hpp"
#include "lib/function_ref.hpp"
#include "lib/result.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"
#include "net/packet.hpp"
#include "net/tcp/merger.hpp"
#include "net/tcp/seq.hpp"
#include "net/tcp/table.hpp"
#include "net/tcp/types.hpp"

namespace ringlet::net::tcp {

class Tcp {
public:
    /// The tables are allocated here; without memory for them every open fails with no_memory. `pool` outlives it.
    Tcp(const Config& config, PacketPool& pool);
    /// Frees everything; the peers are not told.
    ~Tcp();
    Tcp(const Tcp&) = delete;
    Tcp& operator=(const Tcp&) = delete;

    // --- the stack's side ---------------------------------------------------------------------------------------
    /// One received segment: the window is the TCP header and payload; the IP header has been validated and the
    /// packet trimmed to its total length. meta().checksum: `none` is verified here, `verified` and `partial` are
    /// trusted. The caller has checked that `destination` is ours and unicast. What is kept of it is moved out.
    /// `link`: the number of the one it came by, which is the only one that leads back from `destination`; below 32.
    void input(IpAddr source, IpAddr destination, PacketBuffer&& segment, Instant now, u8 link = 0);

    /// input() for one of a batch: segments that continue each other may be joined. What is held back is looked at with
    /// the next that does not belong to it, by poll(), or by output().
    void input_of_batch(IpAddr source, IpAddr destination, PacketBuffer&& segment, Instant now, u8 link = 0) {
        if (!Merger::may_join(segment))
            end_batch(now);
        else if (hold(source, destination, segment, now, link))
            return;
        input(source, destination, std::move(segment), now, link);
    }

    struct Outgoing {
        PacketBuffer packet;  ///< window = the TCP segment; at least 60 bytes of headroom remain in front
        IpAddr source, destination;
        // Checksum: complete, or, when Config::tx_checksum_offload, meta().checksum == partial with the pseudo-header
        // sum in the field and meta().csum_offset == 16; meta().csum_start must be set by whoever knows the frame.
    };
    /// The next segment to send, or nothing. Build only what the link can take: `room`, a bit for each link that can.
    /// Fair between connections. A reset is for any link.
    std::optional<Outgoing> output(Instant now, u32 room = ~u32{0});
    /// True when output() would probably yield something: cheap, may be wrong when the pool is empty.
    bool has_output(u32 room = 0) const {
        return reply_count_ != 0 || !active_.empty() || merger_.holds() ||
               (!parked_.empty() && (room & links_up_ & ~links_asked_) != 0);  // of links that had none
    }

    /// Fires the timers that are due.
    void poll(Instant now);
    /// When poll() must run at the latest; it may be too early, then poll() finds out. Early calls are harmless.
    Instant deadline() const { return due_; }

    /// Without its link only a connection within this host is asked for output; one to others keeps what it has to
    /// say and starts no timers for it. When it is back it says it at once, as if it had not waited.
    void set_link(bool up, Instant now, u8 link = 0);
    /// What new connections announce and never exceed: the MTU - 40. Clamped like Config::mss.
    void set_mss(u16 mss);

    /// ICMP said that our segment local -> remote with sequence number `seq` did not arrive. Believed only when `seq`
    /// is in flight (RFC 5927). Hard errors end a connection that is still opening; later they are soft.
    /// `mtu` is the next hop's for fragmentation_needed, else 0.
    void on_unreachable(const Endpoint& local, const Endpoint& remote, SeqNum seq, Unreachable kind, u16 mtu,
                        Instant now);

    // --- the socket's side --------------------------------------------------------------------------------------
    /// local.address ::, any of ours; 0.0.0.0, any of our IPv4 addresses. in_use when the port is taken; invalid for
    /// port 0.
    Result<Handle> listen(Endpoint local, u16 backlog);
    /// Starts a connection; writable (or error) in readiness tells how it ended. local.address must be ours;
    /// local.port 0 picks an ephemeral port (RFC 6056). in_use, no_memory, no_space, invalid.
    Result<Handle> connect(Endpoint local, Endpoint remote, Instant now, u8 link = 0);
    /// The next established connection of a listener; would_block when there is none.
    Result<Handle> accept(Handle listener);

    /// Copies out up to to.size() bytes in order. 0: the peer finished. would_block: nothing there yet.
    /// not_connected: still opening; else the connection's error.
    Result<usize> read(Handle h, MutableBytes to, Instant now);
    /// read() without a copy: what came, as a chain of buffers that are the caller's now, of at most `most` bytes or
    /// one buffer; nothing when the peer finished. no_memory: the pool needs what it has left (a quarter), read()
    /// instead.
    Result<std::optional<PacketBuffer>> take(Handle h, usize most, Instant now);
    /// Copies in as much as there is room for (at least one byte). would_block: full, or still opening.
    /// closed: after shutdown_write(); else the connection's error.
    Result<usize> write(Handle h, Bytes from, Instant now);
    /// write() without a copy: where it can, all of `from` (up to Loan::kMostBytes) is sent from where it is, however
    /// little room there was. `dma` is its device address; `loan`, when there is one, is held as long as the bytes are
    /// needed. Short ones, and those the pool cannot lend (PacketPool::lend), are copied.
    Result<usize> lend(Handle h, Bytes from, DmaAddr dma, Loan* loan, Instant now);
    /// write(), and all that was written is urgent (RFC 9293 §3.8.5). For peers that need it: RFC 6093 §5 tells
    /// applications not to.
    Result<usize> write_urgent(Handle h, Bytes from, Instant now);
    /// FIN after everything written so far.
    Result<> shutdown_write(Handle h, Instant now);
    /// Releases the handle at once; the connection finishes by itself in the background (RST when unread data is
    /// thrown away, RFC 9293 §3.6.1). A listener refuses and resets what was not accepted.
    void close(Handle h, Instant now);
    /// Releases the handle and resets the connection.
    void abort(Handle h, Instant now);

    Readiness readiness(Handle h) const;  ///< stale handle: closed, Error::invalid
    /// The same as ReadyBit, kept up to date: for whoever asks often.
    u8 ready_bits(Handle h) const {
        const Socket* s = slots_.find(h);
        return s == nullptr ? kClosed | kError : s->reported;
    }
    /// The pending error once (SO_ERROR); success when there is none.
    Result<> take_error(Handle h);
    Result<> configure(Handle h, const Options& options, Instant now);
    Result<Info> info(Handle h) const;
    /// A word for whoever waits on the handle; nullptr at first and for stale handles.
    void set_user_data(Handle h, void* data);
    void* user_data(Handle h) const;
    /// Handles whose readiness may have changed since they were last returned; nothing when all are drained.
    std::optional<Handle> next_ready() {
        Socket* s = ready_.pop_front();
        if (s == nullptr) return std::nullopt;
        return slots_.handle_of(*s);
    }

    /// next_ready(), and the user_data() of what that is.
    std::optional<void*> next_ready_data() {
        Socket* s = ready_.pop_front();
        return s == nullptr ? std::nullopt : std::optional(s->user_data);
    }

    /// Every connection and listener, in no particular order; `visit` must not call back into Tcp.
    void for_each(FunctionRef<void(const Info&)> visit) const;
    const Stats& stats() const { return env_.stats; }
    /// Connections in any state (not listeners).
    u32 connections() const { return count_; }
    /// Packets held in receive queues, at most half as many as the pool has buffers, and in send buffers, at most 3/8.
    usize packets_held() const { return env_.packets_held + env_.send.held + merger_.buffers(); }
    /// The same, counted by walking and without views: exact, for whoever proves that no buffer is lost.
    usize buffers_held() const;

private:
    static constexpr u32 kReplies = 64;  ///< of one batch of input, kPumpBudget: each SYN of a flood gets its cookie

    // demux.cpp
    void end_batch(Instant now) {
        if (merger_.holds()) [[unlikely]]
            input_held(now);
    }
    void input_held(Instant now);
    bool hold(IpAddr source, IpAddr destination, PacketBuffer& segment, Instant now, u8 link);
    void unclaimed(Segment& s, PacketBuffer& packet, Instant now);
    [[gnu::always_inline]] inline void deliver(Entry& e, Segment& s, PacketBuffer& packet, Instant now);
    void on_listen(Listener& l, Segment& s, PacketBuffer& packet, Instant now);
    bool on_cookie(Listener& l, Segment& s, PacketBuffer& packet, Instant now);
    void reply_reset(const Segment& s);
    void queue_reply(const Segment& s);
    Listener* find_listener(const Endpoint& local);
    std::optional<PacketBuffer> next_reply();
    void allow_writers(Instant now);
    void evict_stalled(Instant now);

    // tcp.cpp
    Entry* create(const Endpoint& local, const Endpoint& remote, u8 link);
    bool make_room();
    void activate(Entry& e);
    [[gnu::always_inline]] inline void after_read(Entry& e);
    [[gnu::always_inline]] inline void after_write(Entry& e, Instant now);
    void schedule(Entry& e) {
        if (e.queue == Entry::Queue::time_wait) return;
        const Instant at = e.connection.deadline();
        if (deadlines_.schedule(e, at)) poll_at(at);
    }
    void poll_at(Instant at) {
        if (at < due_) due_ = at;
    }
    /// Nobody is woken for a connection that has no timers any more.
    void unschedule(Entry& e) {
        deadlines_.remove(e);
        due_ = earliest();
    }
    Instant earliest() const;
    /// Has `e` something to send, and when must it be looked at?
    [[gnu::always_inline]] void plan_ahead(Entry& e, Instant now) {
        // Linked: output() will look anyway.
        if (!static_cast<ListNode<ActiveTag>&>(e).linked() && e.connection.update(now)) active_.push_back(e);
        schedule(e);
    }
    /// Draws the consequences of whatever just happened to `e`; false when it is gone.
    bool settle(Entry& e, Instant now);
    [[gnu::always_inline]] bool settle_here(Entry& e, Instant now) {
        Connection& c = e.connection;
        if (c.state() == State::closed) [[unlikely]] {
            retire(e);
            return false;
        }
        if (e.queue == Entry::Queue::half_open || c.state() == State::time_wait) [[unlikely]]
            move_on(e);
        plan_ahead(e, now);
        if (e.slot != kNone) notify(e, c.readiness_bits());
        return true;
    }
    void move_on(Entry& e);
    void keep_in_time_wait(Entry& e);
    void enqueue(Entry& e, Entry::Queue queue);
    void dequeue(Entry& e);
    void retire(Entry& e);
    void destroy(Entry& e);
    void kill(Entry& e);
    void notify(Socket& s, u8 bits) {
        const bool risen = (bits & ~s.reported) != 0;
        s.reported = bits;
        if (risen && !static_cast<ListNode<ReadyTag>&>(s).linked()) ready_.push_back(s);
    }
    void close_listener(Listener& l);
    std::optional<u16> ephemeral_port(IpAddr local, const Endpoint& remote);
    Entry* find_connection(Handle h) const;
    Readiness readiness_of(const Socket& s) const;
    Info info_of(const Entry& e) const;
    Info info_of(const Listener& l) const;

    Environment env_;
    Slots slots_;
    HashTable table_;
    DeadlineHeap deadlines_;
    u32 capacity_ = 0, count_ = 0;
    u32 listener_count_ = 0, half_open_count_ = 0, time_wait_count_ = 0;
    u32 port_counter_ = 0;
    List<Entry, ActiveTag> active_;  ///< round robin: who has sent goes to the back
    List<Entry, ActiveTag> parked_;  ///< have something to say, but their link takes nothing
    u32 links_up_ = ~u32{0}, links_asked_ = ~u32{0};
    List<Socket, ReadyTag> ready_;
    List<Entry, QueueTag> half_open_, orphans_, time_wait_;  ///< oldest first; no handle names an orphan any more
    List<Listener, ListenTag> listeners_;
    Merger merger_;
    u8 merger_link_ = 0;         ///< that what it holds came by
    Segment replies_[kReplies];  ///< resets and cookies of no connection, in a ring
    u32 reply_head_ = 0, reply_count_ = 0;
    Instant due_ = Instant::never();            ///< never later than earliest()
    Instant cookies_until_{};                   ///< answers to cookies may still arrive
    Instant writers_at_ = Instant::never();     ///< a writer was refused memory: ask it again then
    Instant starved_until_ = Instant::never();  ///< the pool was empty: ask again then at the latest
};

}  // namespace ringlet::net::tcp
