// The ChaCha20 block function, RFC 8439 §2.3. Context: any.
#pragma once

#include <array>
#include <bit>

#include "lib/types.hpp"

namespace ringlet::kernel {

using ChaChaKey = std::array<u32, 8>;

/// 64 bytes of key stream as sixteen little-endian words.
constexpr std::array<u32, 16> chacha20_block(const ChaChaKey& key, u32 counter, const std::array<u32, 3>& nonce) {
    std::array<u32, 16> in{0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    for (usize i = 0; i < 8; ++i) in[4 + i] = key[i];
    in[12] = counter;
    for (usize i = 0; i < 3; ++i) in[13 + i] = nonce[i];
    auto x = in;
    const auto quarter = [&x](usize a, usize b, usize c, usize d) {
        x[a] += x[b];
        x[d] = std::rotl(x[d] ^ x[a], 16);
        x[c] += x[d];
        x[b] = std::rotl(x[b] ^ x[c], 12);
        x[a] += x[b];
        x[d] = std::rotl(x[d] ^ x[a], 8);
        x[c] += x[d];
        x[b] = std::rotl(x[b] ^ x[c], 7);
    };
    for (int round = 0; round < 10; ++round) {
        for (usize i = 0; i < 4; ++i) quarter(i, 4 + i, 8 + i, 12 + i);
        for (usize i = 0; i < 4; ++i) quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4);
    }
    for (usize i = 0; i < 16; ++i) x[i] += in[i];
    return x;
}

}  // namespace ringlet::kernel
