// RFC 1071 §2: the sum may be taken over 64-bit words in memory order; the carries are folded in at the end.
// Context: any.
#include "net/checksum.hpp"

namespace ringlet::net {
namespace {

template <class T> T load(const std::byte* p) {
    T v;
    std::memcpy(&v, p, sizeof(v));
    return v;
}

constexpr usize kLine = 64;
struct [[gnu::packed, gnu::may_alias]] Line {
    std::byte bytes[kLine];
};

/// `sum` and 64 bytes more. Each carry goes into the next addition, which compilers do not make of C++.
inline u64 add_line(u64 sum, const std::byte* p) {
    const Line& line = *reinterpret_cast<const Line*>(p);
#if defined(__x86_64__)
    asm("addq (%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\t"
        "adcq 32(%1), %0\n\tadcq 40(%1), %0\n\tadcq 48(%1), %0\n\tadcq 56(%1), %0\n\tadcq $0, %0"
        : "+&r"(sum)
        : "r"(p), "m"(line)
        : "cc");
#elif defined(__aarch64__)
    u64 a, b;
    asm("ldp %1, %2, [%3]\n\tadds %0, %0, %1\n\tadcs %0, %0, %2\n\t"
        "ldp %1, %2, [%3, #16]\n\tadcs %0, %0, %1\n\tadcs %0, %0, %2\n\t"
        "ldp %1, %2, [%3, #32]\n\tadcs %0, %0, %1\n\tadcs %0, %0, %2\n\t"
        "ldp %1, %2, [%3, #48]\n\tadcs %0, %0, %1\n\tadcs %0, %0, %2\n\tadc %0, %0, xzr"
        : "+&r"(sum), "=&r"(a), "=&r"(b)
        : "r"(p), "m"(line)
        : "cc");
#else
    for (usize i = 0; i < kLine; i += 8) {
        const u64 v = load<u64>(line.bytes + i);
        sum += v;
        sum += sum < v;
    }
#endif
    return sum;
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
    for (; n - i >= kLine; i += kLine) {
        sum = add_line(sum, p + i);
        copy(i, kLine);
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

}  // namespace ringlet::net
