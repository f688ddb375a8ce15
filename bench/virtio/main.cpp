// The operations that bench/virtio/run.py counts, named as arguments: NAME=COUNT ... linux_init.c does the same on
// Linux. Between the two marker instructions of each operation there is nothing but the operation.
#include <cstring>
#include <string_view>

#include <ringlet/console.hpp>
#include <ringlet/file.hpp>
#include <ringlet/network.hpp>
#include <ringlet/thread.hpp>

#include "boot/storage.hpp"
#include "fs/block_device.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/parse.hpp"
#include "bench/marker.hpp"

using namespace ringlet;

namespace {

constexpr usize kBlock = 4096, kDepth = 32;
constexpr long kFailed = -1;
constexpr long kWarmUp = 6000;  ///< operations before those that are counted, where they are one after the other

u64 draw() {
    static constinit u64 seed = 88172645463325252u;
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

fs::BlockDevice* disk(std::string_view name) {
    fs::BlockDevice* found = nullptr;
    boot::for_each_disk([&](fs::BlockDevice& d) {
        if (d.name() == name) found = &d;
    });
    return found;
}

/// When requests leave: all of a turn together, or each by itself.
enum class Turn : u8 { together, one_by_one };

/// Reads of 4 KiB, as many at once as there are; what is done is sent again in one turn.
class DeepReads {
    struct Read {
        fs::BlockRequest request;
        fs::IoSegment segment;
        DeepReads* owner;
        std::atomic<bool> done{false};
    };

public:
    DeepReads(fs::BlockDevice& disk, Turn turn) : disk_(disk), turn_(turn) {}

    long run(long count) {
        auto memory = kernel::DmaRegion::allocate(kDepth * kBlock);
        if (!memory) return kFailed;
        for (usize i = 0; i < kDepth; ++i) {
            Read& r = reads_[i];
            r.segment = {memory->bytes().subspan(i * kBlock, kBlock), memory->addr(i * kBlock)};
            r.request.data = {&r.segment, 1};
            r.request.context = &r;
            r.request.done = [](fs::BlockRequest& b) {
                Read& self = *static_cast<Read*>(b.context);
                DeepReads& owner = *self.owner;
                self.done.store(true, std::memory_order_release);
                owner.event_.set();
            };
            r.owner = this;
        }
        bench_mark();
        usize flying = 0;
        for (Read& r : reads_)
            if (count > 0) send(r, count, flying);
        disk_.flush_submissions();
        while (flying != 0) {
            event_.wait();
            bool again = false;
            for (Read& r : reads_) {
                if (!r.done.exchange(false, std::memory_order_acquire)) continue;
                bad_ += r.request.error.has_value();
                --flying;
                if (count > 0) {
                    send(r, count, flying);
                    again = true;
                }
            }
            if (again) disk_.flush_submissions();
        }
        bench_mark();
        return bad_;
    }

private:
    void send(Read& r, long& left, usize& flying) {
        r.request.lba = Lba(draw() % (disk_.sectors() * 512 / kBlock) * (kBlock / 512));
        --left;
        ++flying;
        disk_.submit(r.request);
        if (turn_ == Turn::one_by_one) disk_.flush_submissions();
    }

    fs::BlockDevice& disk_;
    const Turn turn_;
    Read reads_[kDepth];
    Event event_;
    long bad_ = 0;
};

long read_deep(std::string_view name, long count, Turn turn = Turn::together) {
    fs::BlockDevice* const d = disk(name);
    if (d == nullptr) return kFailed;
    DeepReads reads(*d, turn);
    return reads.run(count);
}

long read_one(std::string_view name, long count) {
    fs::BlockDevice* const d = disk(name);
    auto memory = kernel::DmaRegion::allocate(kBlock);
    if (d == nullptr || !memory) return kFailed;
    const fs::IoSegment segment{memory->bytes(), memory->addr()};
    long bad = 0;
    for (long i = -kWarmUp; i < count; ++i) {
        if (i == 0) bench_mark();
        fs::BlockRequest r;
        r.lba = Lba(draw() % (d->sectors() * 512 / kBlock) * (kBlock / 512));
        r.data = {&segment, 1};
        bad += !d->run(r);
    }
    bench_mark();
    return bad;
}

long read_file(long count) {
    auto file = files().open("/large");
    if (!file) return kFailed;
    const u64 size = file->size();
    if (size < kBlock) return kFailed;
    static constinit std::byte buffer[kBlock];
    long bad = 0;
    // Before the count the cache gets all its memory and the blocks that say where the file is.
    for (long i = -kWarmUp; i < count; ++i) {
        if (i == 0) bench_mark();
        const auto n = file->read_at(draw() % (size / kBlock) * kBlock, buffer);
        bad += !n || *n != kBlock;
    }
    bench_mark();
    return bad;
}

long ping(long count) {
    const auto gateway = net::Ipv4Addr::of(10, 0, 2, 2);
    long bad = 0;
    for (long i = -3; i < count; ++i) {
        if (i == 0) bench_mark();
        const auto reply = network().ping(gateway, 56, Duration::from_s(2));
        bad += i >= 0 && !reply;
    }
    bench_mark();
    return bad;
}

long operation(std::string_view name, long count) {
    if (name == "blk-deep") return read_deep("vda", count);
    if (name == "blk-apart") return read_deep("vda", count, Turn::one_by_one);
    if (name == "blk-one") return read_one("vda", count);
    if (name == "scsi-deep") return read_deep("sda", count);
    if (name == "scsi-one") return read_one("sda", count);
    if (name == "file-one") return read_file(count);
    if (name == "ping") return ping(count);
    if (name == "stay") return sleep_for(Duration::from_s(u64(count))), 0;
    return kFailed;
}

}  // namespace

int main(int argc, char** argv) {
    (void)network().wait_for_address(Duration::from_s(30));
    print("BENCH ready\n");
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const usize equals = word.find('=');
        if (equals == word.npos) continue;
        const long count = static_cast<long>(parse_number<u32>(word.substr(equals + 1)).value_or(0));
        const long bad = operation(word.substr(0, equals), count);
        print("BENCH {} {} {}\n", word.substr(0, equals), count, bad);
    }
    print("BENCH end\n");
}
