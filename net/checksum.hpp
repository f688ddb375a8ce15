// The internet checksum (RFC 1071, RFC 1624): a running one's-complement sum as a value. Context: any.
#pragma once

#include <array>

#include "lib/assert.hpp"
#include "lib/bytes.hpp"
#include "net/address.hpp"

namespace ringlet::net {

class PacketBuffer;

/// A one's-complement sum in memory order. Every piece but the last added with add() has an even length; a piece that
/// begins at an odd offset is summed on its own and joined with add_at().
class InternetSum {
public:
    constexpr InternetSum() = default;

    /// `bytes` start at an even offset of what is summed.
    void add(Bytes bytes);
    /// Copies `from` to the front of `to` (at least as long, not overlapping) and adds it: one pass over the memory.
    void add_copying(MutableBytes to, Bytes from);
    /// `kBytes` at an even offset, without a call: for a header.
    template <usize kBytes> void add_header(const std::byte* p) {
        static_assert(kBytes % 4 == 0);
        u64 sum = 0;  // far from overflowing
#pragma GCC unroll 16
        for (usize i = 0; i < kBytes; i += 4) {
            u32 word;
            std::memcpy(&word, p + i, sizeof(word));
            sum += word;
        }
        accumulate(sum);
    }
    constexpr void add_u16(u16 v) {
        accumulate(__builtin_bswap16(v));
    }
    constexpr void add_u32(u32 v) {
        accumulate(__builtin_bswap32(v));
    }
    /// Adds a piece that was summed by itself and begins at `offset` of the whole: an odd one swaps its bytes.
    constexpr void add_at(InternetSum piece, usize offset) {
        const u16 folded = piece.fold();
        accumulate(offset % 2 == 0 ? folded : __builtin_bswap16(folded));
    }
    /// The pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 §3.1, RFC 768, RFC 8200 §8.1): the same sum for both
    /// families, because the mapped form of an IPv4 address adds 0xffff, which is zero.
    static constexpr InternetSum pseudo_header(IpAddr source, IpAddr destination, u8 protocol, usize length) {
        InternetSum s;
        for (const u64 word : source.words()) s.accumulate(word);
        for (const u64 word : destination.words()) s.accumulate(word);
        s.add_u32(static_cast<u32>(length) + protocol);
        return s;
    }

    /// The checksum field's value, in host order: assign it to a be16.
    constexpr u16 checksum() const {
        return static_cast<u16>(~sum());
    }
    /// The sum itself, not complemented: what a partial checksum field holds for the device to add to.
    constexpr u16 sum() const {
        return __builtin_bswap16(fold());
    }
    /// True when the summed bytes included a right checksum field.
    constexpr bool is_valid() const {
        return fold() == 0xffff;
    }

private:
    constexpr void accumulate(u64 v) {
        sum_ += v;
        sum_ += sum_ < v;  // the carry comes round
    }
    /// A half added to the other, twice: the carry out of the lower one comes in above it, where the result is.
    constexpr u16 fold() const {
        const u32 s = static_cast<u32>((sum_ + (sum_ << 32 | sum_ >> 32)) >> 32);
        return static_cast<u16>((s + (s << 16 | s >> 16)) >> 16);
    }
    u64 sum_ = 0;
};

/// The checksum of `bytes` with its own field taken as zero by the caller, in host order.
inline u16 internet_checksum(Bytes bytes) {
    InternetSum s;
    s.add(bytes);
    return s.checksum();
}

/// The sum over a packet's whole chain.
InternetSum sum_of(const PacketBuffer& packet);

/// RFC 1624 equation 3: the checksum after one 16-bit field changed from `from` to `to`.
constexpr u16 checksum_update(u16 checksum, u16 from, u16 to) {
    u32 s = static_cast<u16>(~checksum) + u32{static_cast<u16>(~from)} + to;
    s = (s >> 16) + (s & 0xffff);
    s = (s >> 16) + (s & 0xffff);
    return static_cast<u16>(~s);
}

}  // namespace ringlet::net
