// SipHash (Aumasson and Bernstein, 2012): a short-input keyed hash. For tables and numbers that a peer must not be able
// to aim at: connection hash tables, initial sequence numbers (RFC 6528), ephemeral ports (RFC 6056). Context: any.
#pragma once

#include <initializer_list>

#include "lib/bytes.hpp"

namespace ringlet {

struct SipKey {
    u64 k0 = 0, k1 = 0;
};

namespace detail {

struct SipState {
    u64 v0, v1, v2, v3;
    static constexpr u64 rotate(u64 x, int by) { return x << by | x >> (64 - by); }
    constexpr explicit SipState(SipKey key)
        : v0(key.k0 ^ 0x736f6d6570736575), v1(key.k1 ^ 0x646f72616e646f6d), v2(key.k0 ^ 0x6c7967656e657261),
          v3(key.k1 ^ 0x7465646279746573) {}
    constexpr void round() {
        v0 += v1;
        v1 = rotate(v1, 13);
        v1 ^= v0;
        v0 = rotate(v0, 32);
        v2 += v3;
        v3 = rotate(v3, 16);
        v3 ^= v2;
        v0 += v3;
        v3 = rotate(v3, 21);
        v3 ^= v0;
        v2 += v1;
        v1 = rotate(v1, 17);
        v1 ^= v2;
        v2 = rotate(v2, 32);
    }
    template <int kRounds> constexpr void block(u64 m) {
        v3 ^= m;
        for (int i = 0; i < kRounds; ++i) round();
        v0 ^= m;
    }
    template <int kRounds> constexpr u64 finish() {
        v2 ^= 0xff;
        for (int i = 0; i < kRounds; ++i) round();
        return v0 ^ v1 ^ v2 ^ v3;
    }
};

}  // namespace detail

/// SipHash-c-d of `bytes`; 2-4 is the one with the published vectors, 1-3 suffices for hash tables.
template <int kCompression = 2, int kFinal = 4> u64 siphash(SipKey key, Bytes bytes) {
    detail::SipState s(key);
    usize i = 0;
    for (; bytes.size() - i >= 8; i += 8) {
        u64 m;
        std::memcpy(&m, bytes.data() + i, 8);
        s.block<kCompression>(m);
    }
    u64 last = u64{bytes.size()} << 56;
    for (int shift = 0; i < bytes.size(); ++i, shift += 8) last |= u64{static_cast<u8>(bytes[i])} << shift;
    s.block<kCompression>(last);
    return s.finish<kFinal>();
}

/// The same as hashing the little-endian bytes of `words`, without a buffer.
template <int kCompression = 2, int kFinal = 4> constexpr u64 siphash(SipKey key, std::initializer_list<u64> words) {
    detail::SipState s(key);
    for (const u64 word : words) s.block<kCompression>(word);
    s.block<kCompression>(u64{words.size() * 8} << 56);
    return s.finish<kFinal>();
}
template <int kCompression = 2, int kFinal = 4> constexpr u64 siphash(SipKey key, u64 a, u64 b) {
    return siphash<kCompression, kFinal>(key, {a, b});
}

}  // namespace ringlet
