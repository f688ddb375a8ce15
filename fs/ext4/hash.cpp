// Three hashes, each in a signed and an unsigned variety: early ext3 hashed plain `char`, whose sign is the
// machine's.
#include "fs/ext4/hash.hpp"

#include <algorithm>
#include <bit>

namespace ringlet::fs::ext4 {
namespace {

u32 widen(char c, bool is_unsigned) {
    return is_unsigned ? static_cast<u8>(c) : static_cast<u32>(static_cast<i32>(static_cast<signed char>(c)));
}

u32 legacy(std::string_view name, bool is_unsigned) {
    u32 newer = 0x12a3'fe2d, older = 0x37ab'e8f9;
    for (char c : name) {
        u32 hash = older + (newer ^ (widen(c, is_unsigned) * 7'152'373));
        if ((hash & 0x8000'0000) != 0) hash -= 0x7fff'ffff;
        older = newer;
        newer = hash;
    }
    return newer << 1;
}

/// Packs the name into words, big end first, padded with its length.
void pack(std::string_view name, std::span<u32> words, bool is_unsigned) {
    const u32 length = static_cast<u32>(name.size());
    u32 pad = length | (length << 8);
    pad |= pad << 16;
    const usize used = std::min(name.size(), words.size() * 4);
    std::fill(words.begin(), words.end(), pad);
    u32 word = pad;
    for (usize i = 0; i < used; ++i) {
        word = widen(name[i], is_unsigned) + (word << 8);
        if (i % 4 == 3) {
            words[i / 4] = word;
            word = pad;
        }
    }
    if (used % 4 != 0) words[used / 4] = word;
}

void tea(u32 (&buf)[4], const u32 (&in)[8]) {
    u32 sum = 0, b0 = buf[0], b1 = buf[1];
    for (int round = 0; round < 16; ++round) {
        sum += 0x9e37'79b9;
        b0 += ((b1 << 4) + in[0]) ^ (b1 + sum) ^ ((b1 >> 5) + in[1]);
        b1 += ((b0 << 4) + in[2]) ^ (b0 + sum) ^ ((b0 >> 5) + in[3]);
    }
    buf[0] += b0;
    buf[1] += b1;
}

void half_md4(u32 (&buf)[4], const u32 (&in)[8]) {
    auto [a, b, c, d] = buf;
    const auto round = [&](auto f, const u8(&word)[8], const u8(&shift)[4], u32 constant) {
        for (int i = 0; i < 8; i += 4) {
            a = std::rotl(a + f(b, c, d) + in[word[i]] + constant, shift[0]);
            d = std::rotl(d + f(a, b, c) + in[word[i + 1]] + constant, shift[1]);
            c = std::rotl(c + f(d, a, b) + in[word[i + 2]] + constant, shift[2]);
            b = std::rotl(b + f(c, d, a) + in[word[i + 3]] + constant, shift[3]);
        }
    };
    round([](u32 x, u32 y, u32 z) { return z ^ (x & (y ^ z)); }, {0, 1, 2, 3, 4, 5, 6, 7}, {3, 7, 11, 19}, 0);
    round([](u32 x, u32 y, u32 z) { return (x & y) + ((x ^ y) & z); }, {1, 3, 5, 7, 0, 2, 4, 6}, {3, 5, 9, 13},
          0x5a82'7999);
    round([](u32 x, u32 y, u32 z) { return x ^ y ^ z; }, {3, 7, 2, 6, 1, 5, 0, 4}, {3, 9, 11, 15}, 0x6ed9'eba1);
    buf[0] += a;
    buf[1] += b;
    buf[2] += c;
    buf[3] += d;
}

}  // namespace

std::optional<u32> name_hash(u8 version, std::span<const u32, 4> seed, std::string_view name) {
    if (version > 5) return std::nullopt;
    const bool is_unsigned = version >= 3;
    const u8 kind = version % 3;
    u32 buf[4] = {0x6745'2301, 0xefcd'ab89, 0x98ba'dcfe, 0x1032'5476};
    if (std::ranges::any_of(seed, [](u32 s) { return s != 0; })) std::ranges::copy(seed, buf);
    u32 in[8];
    u32 hash = 0;
    if (kind == 0) {
        hash = legacy(name, is_unsigned);
    } else if (kind == 1) {
        for (std::string_view rest = name; !rest.empty(); rest.remove_prefix(std::min<usize>(32, rest.size()))) {
            pack(rest, in, is_unsigned);
            half_md4(buf, in);
        }
        hash = buf[1];
    } else {
        for (std::string_view rest = name; !rest.empty(); rest.remove_prefix(std::min<usize>(16, rest.size()))) {
            pack(rest, std::span(in).first(4), is_unsigned);
            tea(buf, in);
        }
        hash = buf[0];
    }
    hash &= ~1u;
    return hash == 0xffff'fffe ? 0xffff'fffc : hash;  // the largest value means "end of directory"
}

}  // namespace ringlet::fs::ext4
