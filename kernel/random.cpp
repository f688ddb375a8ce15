// Random numbers with fast key erasure: every request replaces the key by output nobody sees, so that a key
// read from memory later tells nothing about numbers given out before. Context: any (spinlock for one block;
// long requests are generated outside it from a key of their own).
#include "kernel/random.hpp"

#include <algorithm>
#include <arch/clock.hpp>
#include <arch/cpu.hpp>
#include <cstring>

#include "kernel/chacha20.hpp"
#include "kernel/sync/spinlock.hpp"

namespace ringlet::kernel {

namespace {

using Half = std::array<u32, 8>;  // half a block: as long as a key

struct Generator {
    static constexpr u32 kReseedEvery = 1024;  // requests
    ChaChaKey key{};
    u32 requests = 0;

    /// A fresh secret of 32 bytes; the key moves on.
    Half next() {
        const auto block = chacha20_block(key, 0, {});
        Half out;
        std::copy_n(block.begin(), 8, key.begin());
        std::copy_n(block.begin() + 8, 8, out.begin());
        return out;
    }
    /// A key that was read from memory is worth nothing some requests later: the CPU and the time are mixed in again.
    void count_request() {
        if (++requests % kReseedEvery != 0) return;
        const u64 fresh[] = {arch::hardware_random().value_or(0), arch::hardware_random().value_or(0),
                             arch::cycle_counter(), arch::monotonic_now().ns};
        mix(std::as_bytes(std::span(fresh)));
    }
    void mix(Bytes bytes) {
        while (!bytes.empty()) {
            Half chunk{};
            const usize n = std::min(bytes.size(), sizeof chunk);
            std::memcpy(chunk.data(), bytes.data(), n);
            for (usize i = 0; i < 8; ++i) key[i] ^= chunk[i];
            next();
            bytes = bytes.subspan(n);
        }
    }
};
constinit Guarded<Generator, Rank::leaf, Spinlock> generator;

}  // namespace

void random_init() {
    u64 seed[12] = {};
    for (usize i = 0; i < 4; ++i) seed[i] = arch::hardware_random().value_or(0);
    seed[4] = arch::monotonic_now().ns;
    // Jitter: the low bits of how long memory and the clock take. Worth little alone, never harmful.
    for (usize i = 0; i < 64; ++i)
        seed[5 + i % 7] = std::rotl(seed[5 + i % 7], 7) ^ (arch::cycle_counter() + arch::monotonic_now().ns);
    generator.lock()->mix(std::as_bytes(std::span(seed)));
}

void random_add_entropy(Bytes bytes) {
    const u64 when = arch::cycle_counter();
    auto held = generator.lock();
    held->mix(bytes);
    held->mix(std::as_bytes(std::span(&when, 1)));
}

void random_fill(MutableBytes to) {
    if (to.empty()) return;
    Half secret;
    {
        auto held = generator.lock();
        held->count_request();
        secret = held->next();
    }
    if (to.size() <= sizeof secret) {
        std::memcpy(to.data(), secret.data(), to.size());
        return;
    }
    for (u64 counter = 0; !to.empty(); ++counter) {
        const auto block = chacha20_block(secret, static_cast<u32>(counter), {static_cast<u32>(counter >> 32), 0, 1});
        const usize n = std::min(to.size(), sizeof block);
        std::memcpy(to.data(), block.data(), n);
        to = to.subspan(n);
    }
}

u64 random_u64() {
    u64 value;
    random_fill(std::as_writable_bytes(std::span(&value, 1)));
    return value;
}

}  // namespace ringlet::kernel
