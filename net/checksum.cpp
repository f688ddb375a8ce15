// RFC 1071 §2: the sum may be taken over 64-bit words in memory order; the carries are folded in at the end.
// Context: any.
#include "net/checksum.hpp"

#include <arch/add_words.hpp>

#include "net/packet.hpp"

namespace ringlet::net {
namespace {

template <class T> T load(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof(v));
    return v;
}

/// Walks `from` in words; `copy(offset, size)`, with a constant size, sees each. One body for summing and for copying
/// while summing.
template <class Copy> u64 sum_words(u64 sum, Bytes from, Copy copy) {
    const std::byte* p = from.data();
    const usize n = from.size();
    usize i = 0;
    auto add = [&sum](u64 v) {
        sum += v;
        sum += sum < v;
    };
    for (; n - i >= arch::kSumBytes; i += arch::kSumBytes) {
        sum = arch::add_words(sum, p + i);
        copy(i, arch::kSumBytes);
    }
    for (; n - i >= 8; i += 8) {
        const u64 a = load<u64>(p + i);
        copy(i, sizeof(a));
        add(a);
    }
    if (n - i >= 4) {
        const u32 a = load<u32>(p + i);
        copy(i, sizeof(a));
        add(a);
        i += 4;
    }
    if (n - i >= 2) {
        const u16 a = load<u16>(p + i);
        copy(i, sizeof(a));
        add(a);
        i += 2;
    }
    if (i != n) {
        const u8 a = load<u8>(p + i);
        copy(i, sizeof(a));
        add(a);  // the odd last byte is the first of a word padded with zero: memory order puts it low
    }
    return sum;
}

}  // namespace

void InternetSum::add(Bytes bytes) {
    if (bytes.empty()) return;
    sum_ = sum_words(sum_, bytes, [](usize, usize) {});
}

void InternetSum::add_copying(MutableBytes to, Bytes from) {
    if (from.empty()) return;
    ASSERT(to.size() >= from.size());
    std::byte* out = to.data();
    sum_ =
        sum_words(sum_, from, [out, in = from.data()](usize at, usize size) { std::memcpy(out + at, in + at, size); });
}

InternetSum sum_of(const PacketBuffer& packet) {
    InternetSum sum;
    if (packet.fragments() == 1) {
        sum.add(packet.data());
        return sum;
    }
    usize at = 0;
    packet.for_each_fragment([&](MutableBytes bytes, DmaAddr) {
        InternetSum piece;
        piece.add(bytes);
        sum.add_at(piece, at);
        at += bytes.size();
    });
    return sum;
}

}  // namespace ringlet::net
