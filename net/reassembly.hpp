// Putting fragments together again (RFC 791 §3.2, RFC 8200 §4.5), for both families. Strict: an overlap ends the whole
// datagram and everything that still comes of it (RFC 5722); so does what contradicts itself. Bounded: so many
// datagrams, so many fragments of each, so many buffers in all; the oldest makes room; each has a time. Context: the
// network monitor.
#pragma once

#include <array>
#include <optional>

#include "lib/function_ref.hpp"
#include "lib/time.hpp"
#include "net/address.hpp"
#include "net/packet_queue.hpp"
#include "net/statistics.hpp"

namespace ringlet::net {

class Reassembly {
public:
    static constexpr usize kDatagrams = 16;
    static constexpr u32 kFragments = 64;    ///< of one datagram: 64 KiB in pieces of 1280 are 54
    static constexpr u32 kLargest = 65'535;  ///< bytes behind the headers

    struct Key {
        IpAddr source, destination;
        u32 id = 0;
        u8 protocol = 0;
        friend bool operator==(const Key&, const Key&) = default;
    };
    struct Fragment {
        PacketBuffer packet;  ///< window = IP headers and a piece of the datagram, in one buffer
        u16 header_bytes;     ///< of those; kept of the first piece, whatever the others say
        u32 offset;           ///< of the piece in the datagram
        bool more;
    };

    /// At most an eighth of `pool` is held.
    Reassembly(PacketPool& pool, Statistics& stats)
        : limit_(pool.total() / 8 < 256 ? static_cast<u32>(pool.total() / 8) : 256), stats_(stats) {}

    /// Takes a fragment; the whole packet (headers of its first fragment, a chain of buffers, no metadata) when it was
    /// the last that was missing.
    std::optional<PacketBuffer> add(const Key& key, Fragment f, Duration lifetime, Instant now);
    /// Ends what is overdue. `expired` is given the first fragment of each, as received, if that one had come.
    void poll(Instant now, FunctionRef<void(PacketBuffer)> expired);
    Instant deadline() const { return deadline_; }
    usize packets_held() const { return held_; }

private:
    struct Datagram {
        Key key;
        bool used = false, poisoned = false;
        u16 header_bytes = 0;
        u32 total = 0;  // 0: not known yet
        u32 received = 0;
        Instant until;
        PacketQueue pieces;  // by offset, which is in the owner word; windows without headers
    };
    Datagram* open(const Key& key, Duration lifetime, Instant now);
    bool insert(Datagram& d, Fragment& f);
    bool make_room(const Datagram& keep);
    void drop_pieces(Datagram& d);
    PacketBuffer finish(Datagram& d);

    std::array<Datagram, kDatagrams> datagrams_;
    u32 limit_, held_ = 0;
    Statistics& stats_;
    Instant deadline_ = Instant::never();
};

}  // namespace ringlet::net
