// The journal against power cuts: after each, our replay and e2fsck's must both find the state after some whole number
// of transactions, none less than what commit() had promised.
#include <functional>
#include <map>
#include <thread>

#include "crash_disk.hpp"
#include "fake_disk.hpp"
#include "fs/ext4/groups.hpp"
#include "fs/ext4/volume.hpp"
#include "image.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;
using namespace ringlet::fs::ext4;

namespace {

constexpr u64 kFirst = 15000;  ///< free blocks that the transactions change
constexpr u32 kBlocks = 400;

struct Quiet final : JournalClient {
    Result<> complete_transaction(Handle&) override {
        ++completed;
        return {};
    }
    void transaction_committed() override {
        ++committed;
        if (after_commit) after_commit();
    }
    void journal_aborted(Error) override { ++aborted; }
    int completed = 0, committed = 0, aborted = 0;
    std::function<void()> after_commit;
};

std::vector<std::byte> make_plain_image(const Scratch& s, const std::string& options) {
    const auto image = s.path / "image";
    stdfs::create_directories(s.path / "tree");
    make_image(image, s.path / "tree", options, "16M");
    return read_image(image.string());
}

/// What a mount sets up, without a filesystem's own use of it.
struct Log {
    explicit Log(BlockDevice& device, u64 cache_bytes = 1 << 20) : device(device) {
        MountText why;
        auto mounted = mount_ext4(device, {.cache_bytes = 64 << 10}, why);
        REQUIRE(mounted);
        auto& volume = static_cast<Volume&>(**mounted);
        geometry = volume.geometry();
        if (geometry.journal_inode != 0) map = *LogMap::read(volume, geometry.journal_inode);
        mounted->reset();
        REQUIRE(set_recovery(device, Recovery::needed));
        cache = *BlockCache::create(device, geometry.block_size, cache_bytes);
        auto opened = Journal::open(device, *cache, client, geometry.journal_inode != 0 ? &map : nullptr, geometry);
        REQUIRE(opened);
        journal = std::move(*opened);
    }
    void close() {
        REQUIRE(journal->close());
        REQUIRE(set_recovery(device, Recovery::none));
    }
    BlockDevice& device;
    Quiet client;
    Geometry geometry;
    LogMap map;
    std::unique_ptr<BlockCache> cache;
    std::unique_ptr<Journal> journal;
};

/// Block number to content tag; 0: as it was.
using Tags = std::map<u64, u32>;

void stamp(MutableBytes block, u32 tag) {
    for (usize i = 0; i + 4 <= block.size(); i += 4) std::memcpy(block.data() + i, &tag, 4);
    // Some look like blocks of the log and must be escaped in it.
    const be32 magic = kJournalMagic;
    if (tag != 0 && tag % 3 == 0) std::memcpy(block.data(), &magic, 4);
}

u32 tag_of(Bytes block) {
    u32 tag, last;
    std::memcpy(&tag, block.data() + 4, 4);
    for (usize i = 8; i + 4 <= block.size(); i += 4) {
        std::memcpy(&last, block.data() + i, 4);
        if (last != tag) return ~0u;
    }
    std::byte expected[4096];
    stamp(MutableBytes(expected).first(block.size()), tag);
    return std::memcmp(expected, block.data(), block.size()) == 0 ? tag : ~0u;
}

/// Runs transactions and says after how many events each was promised, and what the blocks hold after each.
struct History {
    std::vector<Tags> states{1};
    std::vector<usize> promised{0};

    void run(Log& log, CrashDisk& disk, std::mt19937& random, int transactions) {
        Tags state;
        // Each commit is recorded, also one that a full transaction forces. Then somebody changes blocks again, before
        // their copies in the log were written home.
        bool last = false;
        log.client.after_commit = [&] {
            states.push_back(state);
            promised.push_back(disk.events());
            if (last) return;
            auto handle = log.journal->begin(4);
            REQUIRE(handle);
            for (u32 n = random() % 3; n > 0; --n) {
                const u64 block = kFirst + random() % 12;
                stamp(handle->edit(block)->bytes(), state[block] = random() | 1);
            }
        };
        for (int t = 1; t <= transactions; ++t) {
            const u32 operations = 1 + random() % 4;
            for (u32 o = 0; o < operations; ++o) {
                auto handle = log.journal->begin(24);
                REQUIRE(handle);
                for (u32 n = random() % 8 + 1; n > 0; --n) {
                    const u64 block = kFirst + random() % (t % 5 == 0 ? kBlocks : 12);
                    auto edit = handle->edit(block, random() % 2 == 0 ? Content::read : Content::junk);
                    REQUIRE(edit);
                    const u32 tag = random() | 1;
                    stamp(edit->bytes(), tag);
                    state[block] = tag;
                }
            }
            REQUIRE(log.journal->commit_all());
        }
        last = true;
        REQUIRE(log.journal->commit_all());
        log.client.after_commit = nullptr;
    }
    /// The newest state that `image` agrees with; none: it is a mixture.
    std::optional<usize> match(const std::vector<std::byte>& image, u32 block_size) const {
        for (usize i = states.size(); i-- > 0;) {
            bool same = true;
            for (u64 b = kFirst; same && b < kFirst + kBlocks; ++b) {
                const auto at = states[i].find(b);
                same = tag_of(Bytes(image).subspan(b * block_size, block_size)) ==
                       (at == states[i].end() ? 0u : at->second);
            }
            if (same) return i;
        }
        return std::nullopt;
    }
};

void check_cuts(const std::string& options, u32 seed, int transactions, int cuts, u64 cache_bytes = 1 << 20) {
    INFO(options << " seed " << seed);
    const Scratch s;
    std::mt19937 random(seed);
    CrashDisk disk(make_plain_image(s, options));
    History history;
    u32 block_size = 0;
    usize before = 0;
    u64 log_start = 0;
    {
        Log log(disk, cache_bytes);
        block_size = log.geometry.block_size;
        before = disk.events();
        history.run(log, disk, random, transactions);
        if (seed % 2 == 0) log.close();
        log_start = log.map.at(0).physical * block_size;
        log.cache->discard_changes();
    }
    // A moved tail of the log is the most dangerous moment: what it drops must be at home.
    const auto tails = disk.cuts_after_write(log_start);
    const usize all = disk.events();
    REQUIRE(all > before + static_cast<usize>(transactions) * 4);
    for (int i = 0; i < cuts; ++i) {
        const usize at = i == 0       ? all
                         : i % 3 == 0 ? tails[random() % tails.size()]
                                      : before + random() % (all - before);
        const auto image = disk.after_cut(at, i % 4 == 3 ? nullptr : &random);
        usize least = 0;
        while (least + 1 < history.promised.size() && history.promised[least + 1] <= at) ++least;
        INFO("cut after event " << at << " of " << all << ", promised " << least);
        CrashDisk ours(image);
        {
            MountText why;
            const auto mounted = mount_ext4(ours, {.cache_bytes = 64 << 10}, why);
            INFO(std::string(why.view()));
            REQUIRE(mounted);
            REQUIRE(why.view().find("not replayed") == why.view().npos);
        }
        const auto found = history.match(ours.content(), block_size);
        REQUIRE(found);
        REQUIRE(*found >= least);
        if (i % 16 != 0) continue;
        const auto path = (s.path / "theirs").string();
        write_image(path, image);
        run("e2fsck -fy " + path);
        REQUIRE(history.match(read_image(path), block_size) == found);
    }
}

}  // namespace

TEST_CASE("a power cut leaves whole transactions, all that were promised") {
    check_cuts("-b 1024 -O metadata_csum,64bit", 1, 60, 60);
    check_cuts("-b 1024 -O metadata_csum,64bit -J size=1", 2, 200, 100, 256 << 10);  // many turns of the log
    check_cuts("-b 1024 -O ^metadata_csum,^64bit", 3, 40, 24);
    check_cuts("-b 1024 -O ^metadata_csum,64bit", 5, 40, 24);
}

TEST_CASE("a closed journal is empty, and everything is at home") {
    const Scratch s;
    std::mt19937 random(11);
    CrashDisk disk(make_plain_image(s, "-b 1024"));
    History history;
    {
        Log log(disk);
        history.run(log, disk, random, 30);
        log.close();
        REQUIRE(log.journal->stats().commits >= 30);
        REQUIRE(log.client.committed >= 30);
    }
    REQUIRE(history.match(disk.content(), 1024) == history.states.size() - 1);
    const auto path = (s.path / "closed").string();
    write_image(path, disk.content());
    run("e2fsck -fn " + path);
}

TEST_CASE("without a journal commits write home") {
    const Scratch s;
    std::mt19937 random(12);
    CrashDisk disk(make_plain_image(s, "-b 1024 -O ^has_journal"));
    History history;
    Log log(disk);
    history.run(log, disk, random, 20);
    REQUIRE(history.match(disk.after_cut(disk.events(), nullptr), 1024) == history.states.size() - 1);
    log.close();
}

TEST_CASE("a revoked block is not replayed over its next use") {
    const Scratch s;
    CrashDisk disk(make_plain_image(s, "-b 1024"));
    Log log(disk);
    const auto change = [&](u64 block, u32 tag) {
        auto handle = log.journal->begin(8);
        stamp(handle->edit(block, Content::zeros)->bytes(), tag);
    };
    change(kFirst, 77);
    change(kFirst + 1, 78);
    REQUIRE(log.journal->commit_all());
    {
        auto handle = log.journal->begin(8);
        log.cache->forget(BlockNo(kFirst));
        REQUIRE(handle->revoke(kFirst));
        stamp(handle->edit(kFirst + 2, Content::zeros)->bytes(), 79);
    }
    REQUIRE(log.journal->commit_all());
    {
        auto data = log.cache->edit_data(BlockNo(kFirst), Content::zeros, 12, Ordered::no);
        REQUIRE(data);
        stamp(data->bytes(), 99);
    }
    REQUIRE(log.cache->write_back({.kind = BlockCache::Selection::Kind::inode, .inode = 12}));
    REQUIRE(log.journal->commit_all());
    CrashDisk after(disk.after_cut(disk.events(), nullptr));
    MountText why;
    REQUIRE(mount_ext4(after, {.cache_bytes = 64 << 10}, why));
    const auto tag = [&](u64 b) { return tag_of(Bytes(after.content()).subspan(b * 1024, 1024)); };
    CHECK(tag(kFirst) == 99);
    CHECK(tag(kFirst + 1) == 78);
    CHECK(tag(kFirst + 2) == 79);
    log.cache->discard_changes();
}

TEST_CASE("a block that its own transaction frees is not logged") {
    const Scratch s;
    CrashDisk disk(make_plain_image(s, "-b 1024"));
    Log log(disk);
    {
        auto handle = log.journal->begin(8);
        for (u64 b = kFirst; b < kFirst + 3; ++b) stamp(handle->edit(b, Content::zeros)->bytes(), 5);
        REQUIRE(log.cache->forget(BlockNo(kFirst + 1)));
        REQUIRE(handle->revoke(kFirst + 1));
    }
    REQUIRE(log.journal->commit_all());
    CrashDisk after(disk.after_cut(disk.events(), nullptr));
    MountText why;
    REQUIRE(mount_ext4(after, {.cache_bytes = 64 << 10}, why));
    INFO(std::string(why.view()));
    CHECK(why.view().starts_with("journal replayed: 1 transactions, 2 blocks"));
    const auto tag = [&](u64 b) { return tag_of(Bytes(after.content()).subspan(b * 1024, 1024)); };
    CHECK((tag(kFirst) == 5 && tag(kFirst + 1) == 0 && tag(kFirst + 2) == 5));
    log.cache->discard_changes();
}

TEST_CASE("ordered data is on the disk before the transaction that needs it") {
    const Scratch s;
    CrashDisk disk(make_plain_image(s, "-b 1024"));
    Log log(disk);
    const usize before = disk.events();
    {
        auto handle = log.journal->begin(8);
        stamp(handle->edit(kFirst, Content::zeros)->bytes(), 5);
        stamp(log.cache->edit_data(BlockNo(kFirst + 1), Content::zeros, 12, Ordered::yes)->bytes(), 7);
        stamp(log.cache->edit_data(BlockNo(kFirst + 2), Content::zeros, 12, Ordered::no)->bytes(), 9);
    }
    REQUIRE(log.journal->commit_all());
    CHECK(log.cache->stats().dirty_blocks == 1);  // the other one may wait
    std::mt19937 random(4);
    for (usize at = before; at <= disk.events(); ++at) {
        CrashDisk after(disk.after_cut(at, &random));
        MountText why;
        REQUIRE(mount_ext4(after, {.cache_bytes = 64 << 10}, why));
        const auto tag = [&](u64 b) { return tag_of(Bytes(after.content()).subspan(b * 1024, 1024)); };
        if (tag(kFirst) == 5) CHECK(tag(kFirst + 1) == 7);
    }
    log.cache->discard_changes();
}

TEST_CASE("after an error nothing is promised any more") {
    const Scratch s;
    for (u64 good : {0, 1, 2, 3, 5}) {
        CrashDisk disk(make_plain_image(s, "-b 1024"));
        Log log(disk);
        {
            auto handle = log.journal->begin(8);
            for (u64 b = kFirst; b < kFirst + 6; b += 2) stamp(handle->edit(b, Content::zeros)->bytes(), 5);
        }
        disk.fail_writes(good);
        const auto done = log.journal->commit_all();
        if (done) disk.fail_flushes();
        const auto later = log.journal->commit_all();
        CHECK(!later);
        CHECK(log.journal->is_aborted());
        CHECK(log.client.aborted == 1);
        const auto handle = log.journal->begin(1);
        REQUIRE(!handle);
        CHECK(handle.error() == Error::read_only);
        CHECK(!log.journal->close());
        log.cache->discard_changes();
    }
}

TEST_CASE("threads that commit together share commits", "[threads]") {
    const Scratch s;
    FakeDisk disk(
        (write_image((s.path / "copy").string(), make_plain_image(s, "-b 1024")), (s.path / "copy").string()));
    disk.writable = true;
    Log log(disk);
    constexpr int kThreads = 4, kRounds = 150;
    std::vector<std::thread> threads;
    std::atomic<int> failed{0};
    for (int t = 0; t < kThreads; ++t)
        threads.emplace_back([&, t] {
            for (int i = 0; i < kRounds; ++i) {
                u32 transaction = 0;
                {
                    auto handle = log.journal->begin(6);
                    if (!handle) {
                        ++failed;
                        return;
                    }
                    auto edit = handle->edit(kFirst + static_cast<u64>(t * 50 + i % 50), Content::junk);
                    stamp(edit->bytes(), static_cast<u32>(i) | 1);
                    transaction = handle->transaction();
                }
                if (!log.journal->commit(transaction) || !log.journal->is_committed(transaction)) ++failed;
            }
        });
    for (auto& t : threads) t.join();
    CHECK(failed == 0);
    CHECK(log.journal->stats().commits < u64{kThreads} * kRounds);
    log.close();
    for (u64 t = 0; t < kThreads; ++t)
        for (u64 i = 0; i < 50; ++i)
            CHECK(tag_of(Bytes(disk.bytes()).subspan((kFirst + t * 50 + i) * 1024, 1024)) == ((100 + i) | 1));
}
