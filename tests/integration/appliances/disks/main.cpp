// A disk at the end of a serial line: each line is a command for one block device, each answer one line that ends with
// "ok" or an error. tests/integration/test_blk.py compares with the image from outside; bench/blk.py counts.
//   use NAME                     the disk that the other commands mean (the first, at the start)
//   info                         size, limits, identity
//   write LBA SECTORS SEED       a pattern that depends on the seed and the sector
//   check LBA SECTORS SEED       reads it and compares; SEED "zero": zeroes
//   flush | cache through|back | discard LBA N | zero LBA N [unmap] | erase LBA N | late MS LBA
//   deep N DEPTH                 N random 4 KiB reads, DEPTH in flight; counters per read
//   single N                     the same one by one; instructions per read (under -icount shift=0)
//   file N PATH                  N random 4 KiB reads of a file
//   load LBA SECTORS             reads and writes there until the machine is reset
#include <atomic>

#include <ringlet/console.hpp>
#include <ringlet/file.hpp>
#include <ringlet/system.hpp>

#include "boot/storage.hpp"
#include "drivers/virtio/device_info.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/parse.hpp"

using namespace ringlet;
using fs::BlockRequest, fs::IoSegment;
using Op = BlockRequest::Op;

namespace {

constexpr usize kBuffer = 256 << 10;
fs::BlockDevice* disk;
kernel::DmaRegion memory;
u64 random_state = 1;

u64 next_random() {
    random_state ^= random_state << 13, random_state ^= random_state >> 7, random_state ^= random_state << 17;
    return random_state;
}
u64 pattern(u64 sector, u64 seed) {
    return (sector + 1) * 0x9e37'79b9'7f4a'7c15u ^ seed * 0xbf58'476d'1ce4'e5b9u;
}
template <class T = u64> T number(std::string_view& rest) {
    return parse_number<T>(next_word(rest)).value_or(0);
}
void answer(const Result<>& r) {
    if (r)
        print("ok\n");
    else
        print("error: {}\n", r.error());
}

/// One request, out of the buffer's beginning, in several pieces.
Result<> transfer(Op op, u64 lba, u64 sectors) {
    const auto l = disk->limits();
    const usize step = std::min<usize>(l.max_segment_bytes, 32768), total = sectors * 512;
    IoSegment pieces[8];
    usize n = 0, bytes = 0;
    for (; bytes < total && n < std::min<usize>(8, l.max_segments); ++n) {
        const usize more = std::min(step, total - bytes);
        pieces[n] = {memory.bytes().subspan(bytes, more), memory.addr(bytes)};
        bytes += more;
    }
    if (bytes != total) return fail(Error::too_large);
    BlockRequest r;
    r.op = op;
    r.lba = Lba(lba);
    r.data = {pieces, n};
    return disk->run(r);
}

void write_pattern(u64 lba, u64 sectors, u64 seed) {
    auto* words = reinterpret_cast<u64*>(memory.bytes().data());
    for (u64 i = 0; i < sectors * 64; ++i) words[i] = pattern(lba + i / 64, seed);
    answer(transfer(Op::write, lba, sectors));
}

void check_pattern(u64 lba, u64 sectors, std::string_view what) {
    const bool zero = what == "zero";
    const u64 seed = parse_number<u64>(what).value_or(0);
    std::memset(memory.bytes().data(), 0x33, sectors * 512);
    if (const auto r = transfer(Op::read, lba, sectors); !r) return answer(r);
    const auto* words = reinterpret_cast<const u64*>(memory.bytes().data());
    for (u64 i = 0; i < sectors * 64; ++i)
        if (words[i] != (zero ? 0 : pattern(lba + i / 64, seed))) return print("sector {} differs\n", lba + i / 64);
    print("ok\n");
}

void info() {
    const auto l = disk->limits();
    print("{} sectors {} block {} physical {} segments {} discard {} zeroes {} {} {} serial '{}' generation {} ok\n",
          disk->name(), disk->sectors(), l.block_size, l.physical_block_size, l.max_segments, l.max_discard_bytes,
          l.max_write_zeroes_bytes, disk->read_only() ? "read-only" : "writable",
          disk->write_cache() == fs::WriteCache::write_back ? "write-back" : "write-through", disk->identity().serial,
          disk->generation());
}

virtio::QueueCounters counters(usize& queues) {
    virtio::QueueCounters sum;
    virtio::for_each_device([&](const virtio::DeviceInfo& d) {
        if (d.name != disk->name()) return;
        queues = d.queues.size();
        for (const auto& q : d.queues) {
            sum.kicks += q.counters.kicks;
            sum.interrupts += q.counters.interrupts;
            sum.spurious += q.counters.spurious;
            sum.bad_used += q.counters.bad_used;
        }
    });
    return sum;
}

/// Keeps DEPTH reads in flight: what has completed is submitted again, all with one flush.
struct Deep {
    struct Read : BlockRequest {
        Deep* owner = nullptr;
        IoSegment segment;
        Read* next_done = nullptr;
    };
    kernel::Event some;
    std::atomic<Read*> done{nullptr};
    u64 completed = 0, errors = 0;
    Read reads[64];

    static void on_done(BlockRequest& b) {
        auto& r = static_cast<Read&>(b);
        Read* head = r.owner->done.load(std::memory_order_relaxed);
        do r.next_done = head;
        while (!r.owner->done.compare_exchange_weak(head, &r, std::memory_order_release));
        r.owner->some.set();
    }
    void submit(Read& r) {
        r.lba = Lba(next_random() % (disk->sectors() / 8) * 8);
        disk->submit(r);
    }
    void run(u64 n, usize depth) {
        u64 submitted = 0;
        for (usize i = 0; i < depth; ++i, ++submitted) {
            Read& r = reads[i];
            r.owner = this;
            r.segment = {memory.bytes().subspan(i * 4096, 4096), memory.addr(i * 4096)};
            r.data = {&r.segment, 1};
            r.done = on_done;
            submit(r);
        }
        disk->flush_submissions();
        while (completed < n) {
            some.wait();
            for (Read* r = done.exchange(nullptr, std::memory_order_acquire); r != nullptr;) {
                Read* const next = r->next_done;
                ++completed;
                errors += r->error.has_value();
                if (submitted < n) submit(*r), ++submitted;
                r = next;
            }
            disk->flush_submissions();
        }
    }
};

/// Hundredths of x per n.
u64 per(u64 x, u64 n) {
    return x * 100 / std::max<u64>(n, 1);
}

void deep(u64 n, usize depth) {
    auto* work = new (std::nothrow) Deep;
    if (work == nullptr || depth == 0 || depth > 64 || n < depth) return print("error: arguments\n");
    usize queues = 0;
    const auto before = counters(queues);
    const u64 start = now().ns, idle = idle_time_ns();
    work->run(n, depth);
    const u64 busy = now().ns - start - (idle_time_ns() - idle);
    const auto after = counters(queues);
    print("{} reads at depth {} on {} queues: kicks {} interrupts {} spurious {} per 100 reads, {} busy ns each, {} "
          "errors, ok\n",
          n, depth, queues, per(after.kicks - before.kicks, n), per(after.interrupts - before.interrupts, n),
          per(after.spurious - before.spurious, n), busy / n, work->errors);
    delete work;
}

template <class F> void measure(std::string_view what, u64 n, F one) {
    u64 errors = 0;
    for (int i = 0; i < 16; ++i) (void)one();
    const u64 start = now().ns, idle = idle_time_ns();
    for (u64 i = 0; i < n; ++i) errors += !one();
    const u64 busy = now().ns - start - (idle_time_ns() - idle);
    print("{} {}: {} busy ns each, {} errors, ok\n", n, what, busy / std::max<u64>(n, 1), errors);
}

void single(u64 n) {
    const IoSegment segment{memory.bytes().first(4096), memory.addr()};
    measure("single reads", n, [&]() -> Result<> {
        BlockRequest r;
        r.lba = Lba(next_random() % (disk->sectors() / 8) * 8);
        r.data = {&segment, 1};
        return disk->run(r);
    });
}

void file(u64 n, std::string_view path) {
    auto opened = files().open(path);
    if (!opened) return print("error: {}\n", opened.error());
    const auto size = opened->stat();
    if (!size) return print("error: {}\n", size.error());
    const u64 blocks = size->size / 4096;
    measure("file reads", n, [&]() -> Result<> {
        const usize got = TRY(opened->read_at(next_random() % blocks * 4096, memory.bytes().first(4096)));
        return got == 4096 ? Result<>{} : fail(Error::io);
    });
}

void late(u64 ms, u64 lba) {
    const IoSegment segment{memory.bytes().first(4096), memory.addr()};
    BlockRequest r;
    r.lba = Lba(lba);
    r.data = {&segment, 1};
    r.timeout = Duration::from_ms(i64(ms));
    const Instant start = now();
    const auto outcome = disk->run(r);
    print("after {} ms: ", (now() - start).ms());
    answer(outcome);
}

void load(u64 lba, u64 sectors) {
    print("loading ok\n");
    for (u64 i = 0;; ++i) {
        const u64 at = lba + next_random() % (sectors / 8) * 8;
        if (const auto r = transfer(i % 2 ? Op::write : Op::read, at, 8); !r) return answer(r);
        if (i % 64 == 0) (void)disk->run(Op::flush, Lba(0), 0);
    }
}

void use(std::string_view name) {
    fs::BlockDevice* found = nullptr;
    boot::for_each_disk([&](fs::BlockDevice& d) {
        if (name.empty() ? found == nullptr : d.name() == name) found = &d;
    });
    if (found == nullptr) return print("error: no such disk\n");
    disk = found;
    print("using {} ok\n", disk->name());
}

void perform(std::string_view rest) {
    const std::string_view word = next_word(rest);
    if (word == "use") return use(next_word(rest));
    if (disk == nullptr) return print("error: no disk\n");
    if (word == "info") return info();
    if (word == "flush") return answer(disk->run(Op::flush, Lba(0), 0));
    if (word == "cache")
        return answer(disk->set_write_cache(next_word(rest) == "back" ? fs::WriteCache::write_back
                                                                      : fs::WriteCache::write_through));
    const u64 a = number(rest);
    if (word == "single") return single(a);
    if (word == "file") return file(a, next_word(rest));
    const u64 b = number(rest);
    if (word == "deep") return deep(a, b);
    if (word == "late") return late(a, b);
    if (word == "load") return load(a, b);
    if (word == "discard") return answer(disk->run(Op::discard, Lba(a), b));
    if (word == "erase") return answer(disk->run(Op::secure_erase, Lba(a), b));
    if (word == "zero") {
        const auto unmap = next_word(rest) == "unmap" ? BlockRequest::Unmap::allowed : BlockRequest::Unmap::no;
        return answer(disk->run(Op::write_zeroes, Lba(a), b, unmap));
    }
    if (b * 512 > kBuffer) return print("error: too long\n");
    if (word == "write") return write_pattern(a, b, number(rest));
    if (word == "check") return check_pattern(a, b, next_word(rest));
    print("error: what is '{}'?\n", word);
}

}  // namespace

int main() {
    auto allocated = kernel::DmaRegion::allocate(kBuffer);
    if (!allocated) return 1;
    memory = std::move(*allocated);
    use({});
    char line[128];
    for (usize n = 0;;) {
        const char c = read_key();
        if (c == '\n' || c == '\r') {
            if (n != 0) perform({line, n});
            n = 0;
        } else if (n < sizeof line) {
            line[n++] = c;
        }
    }
}
