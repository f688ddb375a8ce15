// Bytes as an instruction for CRC-32C takes them: words of eight, then what is left. Internal to arch.
#pragma once

#include "lib/bytes.hpp"

namespace ringlet::arch {

/// `Cpu::step(crc, word)` is the instruction for an integer of that width. Any alignment.
template <class Cpu> [[gnu::always_inline]] inline u32 crc32c_loop(u32 crc, Bytes bytes) {
    const std::byte* p = bytes.data();
    const auto take = [&]<class Word>(Word word) {
        std::memcpy(&word, p, sizeof(word));
        p += sizeof(word);
        crc = Cpu::step(crc, word);
    };
    usize left = bytes.size();
    for (; left >= 32; left -= 32) {
        take(u64{});
        take(u64{});
        take(u64{});
        take(u64{});
    }
    for (; left >= 8; left -= 8) take(u64{});
    if ((left & 4) != 0) take(u32{});
    for (left &= 3; left > 0; --left) take(u8{});
    return crc;
}

}  // namespace ringlet::arch
