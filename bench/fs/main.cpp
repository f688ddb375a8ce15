// The operations that bench/fs/run.py measures, named as arguments: NAME=COUNT ... linux_init.c does the same on Linux,
// on the same disk. Between the two marker instructions of each operation there is nothing but the operation; for each
// the program prints how many of them failed and how many nanoseconds all took.
#include <atomic>
#include <string_view>

#include <ringlet/console.hpp>
#include <ringlet/file.hpp>
#include <ringlet/thread.hpp>

#include "bench/marker.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/parse.hpp"

using namespace ringlet;

namespace {

constexpr usize kBlock = 4096, kChunk = 64 << 10, kMiB = 1 << 20, kSmall = 1000;
constexpr long kFailed = -1;
constexpr u32 kThreads = 32;

alignas(kBlock) constinit std::byte chunk[kChunk];

/// What is between the marks.
class Measured {
public:
    Measured() : from_(now()) { bench_mark(); }
    /// The end; returns `bad`.
    long done(long bad) {
        bench_mark();
        ns = (now() - from_).ns;
        return bad;
    }
    static constinit inline u64 ns = 0;

private:
    Instant from_;
};

// ---- streams

long read_stream(std::string_view path, long mebibytes) {
    auto file = files().open(path);
    if (!file) return kFailed;
    long bad = 0;
    Measured measured;
    for (u64 left = u64(mebibytes) * kMiB; left != 0;) {
        const auto n = file->read(chunk);
        if (!n || (*n == 0 && file->position() == 0)) return measured.done(++bad);
        if (*n == 0) (void)file->seek(0, Whence::start);
        left -= *n;
    }
    return measured.done(bad);
}

/// A file of 8 MiB, all of which is in memory now.
Result<File> open_cached() {
    File file = TRY(files().open("/cached"));
    while (file.read(chunk).value_or(0) != 0) {
    }
    return file;
}

long read_cached(long mebibytes) {
    return open_cached() ? read_stream("/cached", mebibytes) : kFailed;
}

long write_stream(long mebibytes) {
    auto file = files().open("/new", OpenMode::create | OpenMode::truncate);
    if (!file) return kFailed;
    Measured measured;
    for (u64 left = u64(mebibytes) * kMiB; left != 0; left -= kChunk)
        if (file->write(chunk).value_or(0) != kChunk) return measured.done(1);
    return measured.done(!file->sync());
}

// ---- 4 KiB anywhere

/// Where the blocks of a file of 64 MiB are, in no order, none twice.
class Places {
public:
    u64 next() {
        u32 x = count_.fetch_add(1, std::memory_order_relaxed) * 0x2c1b % kBlocks;
        x = (x ^ x >> 7) * 0x1b87 % kBlocks;
        return u64{x ^ x >> 5} * kBlock;
    }
    u64 next_cached() { return next() % (8 * kMiB); }

private:
    static constexpr u32 kBlocks = 16384;
    std::atomic<u32> count_{0};
};
constinit Places read_places, write_places, cached_places;

long read_random(File& file, long count) {
    alignas(kBlock) std::byte block[kBlock];
    long bad = 0;
    for (long i = 0; i < count; ++i) bad += file.read_at(read_places.next(), block).value_or(0) != kBlock;
    return bad;
}

long write_random(File& file, long count) {
    long bad = 0;
    for (long i = 0; i < count; ++i)
        bad += file.write_at(write_places.next(), Bytes(chunk).first(kBlock)).value_or(0) != kBlock;
    return bad;
}

using Random = long (*)(File& file, long count);

/// `count` operations by as many threads, which begin together.
long in_threads(File& file, Random operation, long count) {
    Locked<bool> begun{false};
    WaitQueue beginning;
    std::atomic<long> bad{0};
    const auto work = [&] {
        {
            auto go = begun.lock();
            beginning.wait(go, [&] { return *go; });
        }
        bad += operation(file, count / kThreads);
    };
    FixedVector<Thread, kThreads> threads;
    while (threads.size() < kThreads) {
        auto thread = Thread::spawn({.name = "worker"}, work);
        if (!thread) {
            ++bad;
            break;
        }
        (void)threads.try_push_back(std::move(*thread));
    }
    sleep_for(Duration::from_ms(100));
    Measured measured;
    *begun.lock() = true;
    beginning.wake_all();
    for (Thread& thread : threads) thread.join();
    return measured.done(bad);
}

long read_deep(long count) {
    auto file = files().open("/random");
    return file ? in_threads(*file, read_random, count) : kFailed;
}

long read_one(long count) {
    auto file = files().open("/random");
    if (!file) return kFailed;
    Measured measured;
    return measured.done(read_random(*file, count));
}

long read_one_cached(long count) {
    auto file = open_cached();
    if (!file) return kFailed;
    long bad = 0;
    Measured measured;
    for (long i = 0; i < count; ++i)
        bad += file->read_at(cached_places.next_cached(), MutableBytes(chunk).first(kBlock)).value_or(0) != kBlock;
    return measured.done(bad);
}

long write_later(long count) {
    auto file = files().open("/rewritten", OpenMode::read_write);
    if (!file) return kFailed;
    Measured measured;
    const long bad = write_random(*file, count);
    return measured.done(bad + !file->sync());
}

long write_one(long count) {
    auto file = files().open("/rewritten", OpenMode::synchronous);
    if (!file) return kFailed;
    Measured measured;
    return measured.done(write_random(*file, count));
}

long write_deep(long count) {
    auto file = files().open("/rewritten", OpenMode::synchronous);
    return file ? in_threads(*file, write_random, count) : kFailed;
}

// ---- small files

struct Name {
    char text[32];
    std::string_view view;
    explicit Name(long i) : view(format_to(text, "/small/file{}", i)) {}
};

/// One after the other; `make_durable`: until all of it is on the disk.
template <class F> long each_file(long count, bool make_durable, F operation) {
    long bad = 0;
    Measured measured;
    for (long i = 0; i < count; ++i) bad += !operation(Name(i).view);
    if (make_durable) bad += !files().sync();
    return measured.done(bad);
}

bool create(std::string_view path) {
    auto file = files().open(path, OpenMode::create_new);
    return file && file->write(Bytes(chunk).first(kSmall)).value_or(0) == kSmall;
}

bool stat(std::string_view path) {
    const auto about = files().stat(path);
    return about && about->size == kSmall;
}

bool read_whole(std::string_view path) {
    auto file = files().open(path);
    return file && file->read(chunk).value_or(0) == kSmall;
}

bool remove(std::string_view path) {
    return files().unlink(path).has_value();
}

long append_durably(long count) {
    auto file = files().open("/log", OpenMode::create | OpenMode::append);
    if (!file) return kFailed;
    long bad = 0;
    Measured measured;
    for (long i = 0; i < count; ++i)
        bad += file->write(Bytes(chunk).first(kBlock)).value_or(0) != kBlock || !file->sync();
    return measured.done(bad);
}

long operation(std::string_view name, long count) {
    if (name == "read") return read_stream("/large", count);
    if (name == "read-cached") return read_cached(count);
    if (name == "write") return write_stream(count);
    if (name == "random-read-cached") return read_one_cached(count);
    if (name == "random-read-1") return read_one(count);
    if (name == "random-read-32") return read_deep(count);
    if (name == "random-write") return write_later(count);
    if (name == "random-write-1") return write_one(count);
    if (name == "random-write-32") return write_deep(count);
    if (name == "create") return each_file(count, true, create);
    if (name == "stat") return each_file(count, false, stat);
    if (name == "read-small") return each_file(count, false, read_whole);
    if (name == "delete") return each_file(count, true, remove);
    if (name == "fsync") return append_durably(count);
    return kFailed;
}

}  // namespace

int main(int argc, char** argv) {
    (void)files().create_directory("/small");
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        const usize equals = word.find('=');
        if (equals == word.npos) continue;
        const long count = static_cast<long>(parse_number<u32>(word.substr(equals + 1)).value_or(0));
        const std::string_view name = word.substr(0, equals);
        const long bad = operation(name, count);
        print("BENCH {} {} {} {}\n", name, count, bad, Measured::ns);
    }
    print("BENCH end\n");
}
