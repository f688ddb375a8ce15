// What every driver's fuzzing starts from: a hostile device behind one of the transports, a clock that moves whenever
// somebody looks at it or would sleep, so that no wait is for ever. Whatever is broken is reported by abort(). Host
// only.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "fs/block_device.hpp"
#include "kernel/time/clock.hpp"
#include "lib/shared.hpp"
#include "tests/fuzz/hostile_device.hpp"

namespace ringlet::fuzz {

inline void must(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "fuzz: %s\n", what);
    std::abort();
}

struct World : device::Bench<HostileDevice> {
    Script& script;
    World(device::Way way, Script& s, u16 type, u16 queues) : Bench(way), script(s) {
        arch::host::use_virtual_clock(Instant{} + Duration::from_s(1));
        arch::host::step_virtual_clock(Duration::from_us(10));
        self = this;
        arch::host::set_sleep_hook([](Instant until) { self->sleep(until); });
        shared_store_hook = [] { self->after_store(); };
        dev.type = type;
        dev.script = &s;
        dev.offered.word[0] = ~u64{0};  // everything there is, less what the bytes take away
        dev.offered.word[1] = ~u64{0};
        for (u32 n = s.below(8); n != 0; --n) dev.offered = dev.offered.without(virtio::FeatureBits::of(s.below(64)));
        for (const unsigned bit : {28u, 29u, 34u, 35u})
            if (s.byte() % 2 == 0) dev.offered = dev.offered.without(virtio::FeatureBits::of(bit));
        if (s.byte() % 16 != 0) dev.offered = dev.offered | virtio::mask(virtio::Common::version_1);
        for (auto& b : dev.config) b = s.byte() % 4 == 0 ? s.byte() : 0;
        dev.queues.resize(queues);
        for (auto& q : dev.queues) q.max_size = q.size = u16(1u << (s.byte() % 4 == 0 ? s.below(9) : 7));
    }
    ~World() {
        shared_store_hook = nullptr;
        arch::host::set_sleep_hook(nullptr);
        arch::host::use_real_clock();
    }
    /// The device's turn.
    void act() {
        const bool before = std::exchange(busy_, true);
        dev.act();
        busy_ = before;
    }
    /// A thread would sleep: the device has its turn, and time passes.
    void sleep(Instant until) {
        const Instant now = kernel::now();
        if (!script.done()) act();
        arch::host::advance_to(std::max(until.is_never() ? now : until, now + Duration::from_ms(5)));
    }
    void later(Duration d) { arch::host::advance_to(kernel::now() + d); }
    template <class T> void put(usize at, T v) { std::memcpy(dev.config.data() + at, &v, sizeof v); }

private:
    /// A driver has stored a word into a ring: the device does not wait until it has finished.
    void after_store() {
        if (busy_ || script.done() || countdown_-- != 0) return;
        act();
        countdown_ = script.number();
    }
    static inline World* self = nullptr;
    u32 countdown_ = 40;
    bool busy_ = false;
};

/// Requests in flight at any number of disks. Each must be completed once.
class Requests {
    struct Io : fs::BlockRequest {
        fs::IoSegment pieces[4];
        int completions = 0;
    };
    kernel::DmaRegion memory_ = kernel::DmaRegion::allocate(1 << 16).value();
    std::vector<std::unique_ptr<Io>> ios_ = std::vector<std::unique_ptr<Io>>(96);
    usize next_ = 0;

public:
    void submit(fs::BlockDevice& disk, Script& s) {
        std::unique_ptr<Io>& slot = ios_[next_++ % ios_.size()];
        if (slot && slot->completions == 0) return;
        slot.reset(new Io);
        Io& io = *slot;
        const u32 count = 1 + s.below(4);
        using Op = fs::BlockRequest::Op;
        for (u32 i = 0; i < count; ++i) {
            const usize bytes = 512u * (1 + s.below(4)), at = 2048u * s.below(30);
            io.pieces[i] = {memory_.bytes().subspan(at, bytes), memory_.addr(at)};
        }
        const u8 op = s.byte();
        io.op = op % 8 == 7 ? Op::flush : op % 8 == 6 ? Op::discard : op % 2 == 0 ? Op::read : Op::write;
        io.lba = Lba(s.below(4200));
        if (io.op == Op::discard)
            io.sectors = 1 + s.below(40);
        else if (io.op != Op::flush)
            io.data = {io.pieces, count};
        io.done = [](fs::BlockRequest& r) { ++static_cast<Io&>(r).completions; };
        disk.submit(io);
    }
    void check() const {
        for (const auto& io : ios_) must(!io || io->completions <= 1, "a block request completed twice");
    }
    void check_all_done() const {
        for (const auto& io : ios_) must(!io || io->completions == 1, "a block request was lost");
    }
};

}  // namespace ringlet::fuzz
