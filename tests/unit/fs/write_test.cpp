// Filesystems that are written, against a model and against e2fsck.
#include <thread>

#include "crash_disk.hpp"
#include "debugfs.hpp"
#include "fs/ext4/volume.hpp"
#include "posix_model.hpp"
#include "write_model.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

std::vector<std::byte> empty_image(const Scratch& s, const std::string& options, const std::string& size) {
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", options, size);
    return read_image((s.path / "image").string());
}

std::unique_ptr<FileSystem> mount_writable(BlockDevice& disk, u64 cache_bytes = 2 << 20) {
    MountText why;
    auto mounted = mount_ext4(disk, {.cache_bytes = cache_bytes, .inode_cache = 16, .writable = true}, why);
    INFO(std::string(why.view()));
    REQUIRE(mounted);
    const auto stat = (*mounted)->statfs();
    REQUIRE(stat);
    REQUIRE(!stat->read_only);
    return std::move(*mounted);
}

void check_clean(const Scratch& s, const CrashDisk& disk) {
    const auto path = (s.path / "after").string();
    write_image(path, disk.content());
    run("e2fsck -fn " + path);
}

/// The image after a run is what the model says, for a reader that is not ours.
void check_listing(const Scratch& s, const Operations& ops) {
    REQUIRE(DebugfsComparison(s, (s.path / "after").string()).difference(*ops.model()) == "");
}

/// RINGLET_FS_OPERATIONS: instead of each number of operations here; RINGLET_SEED: others.
int scaled(int steps) {
    const char* const wanted = std::getenv("RINGLET_FS_OPERATIONS");
    return wanted != nullptr ? std::atoi(wanted) : steps;
}
u32 seed_of(u32 seed) {
    const char* const wanted = std::getenv("RINGLET_SEED");
    return wanted != nullptr ? seed + 1000 * static_cast<u32>(std::atoi(wanted)) : seed;
}

/// Returns how often there was no space.
u64 run_model(const std::string& options, const std::string& size, u32 seed, int steps, bool extents = true,
              u32 largest = 40'000) {
    steps = scaled(steps);
    seed = seed_of(seed);
    INFO(options << " seed " << seed);
    const int often = steps > 10'000 ? 10 : 1;
    const Scratch s;
    CrashDisk disk(empty_image(s, options, size), CrashDisk::Trace::none);
    auto fs = mount_writable(disk);
    Operations ops(*fs, seed);
    ops.extents = extents;
    ops.largest = largest;
    for (int i = 0; i < steps; ++i) {
        INFO("step " << i);
        ops.step();
        if (i % (often * 500) == often * 500 - 1) {
            REQUIRE(ops.difference() == "");
            REQUIRE(fs->sync());
        }
        if (i % (often * 1000) == often * 1000 - 1) {
            fs.reset();
            check_clean(s, disk);
            fs = mount_writable(disk);
            ops.use(*fs);
            REQUIRE(ops.difference() == "");
        }
    }
    REQUIRE(ops.difference() == "");
    fs.reset();
    check_clean(s, disk);
    check_listing(s, ops);
    fs = mount_writable(disk);
    ops.use(*fs);
    REQUIRE(ops.difference() == "");
    if (often > 1) WARN(options << ": " << steps << " operations, seed " << seed);
    return ops.refused;
}

/// Many names in one directory, some gone again.
void fill_directory(const std::string& options, u32 count, usize longest) {
    INFO(options);
    const Scratch s;
    CrashDisk disk(empty_image(s, options, "128M"), CrashDisk::Trace::none);
    const auto name = [&](u32 i) { return std::to_string(i) + std::string(i * 7 % longest, 'n'); };
    {
        auto fs = mount_writable(disk);
        auto dir = *(*fs->root())->create("d", NodeType::directory, 0755);
        for (u32 i = 0; i < count; ++i) {
            INFO(i);
            const auto made = dir->create(name(i), NodeType::file, 0644);
            if (!made) FAIL(to_string(made.error()));
            if (i % 3 == 2) REQUIRE(dir->unlink(name(i - 1)));
        }
        REQUIRE(dir->rename(name(0), *dir, "renamed"));
    }
    check_clean(s, disk);
    auto fs = mount_writable(disk);
    auto dir = *(*fs->root())->lookup("d");
    for (u32 i = 1; i < count; ++i) {
        const bool gone = i % 3 == 1 && i + 1 < count;
        const auto found = dir->lookup(name(i));
        if (bool(found) == gone) FAIL(i);
    }
    for (u32 i = 1; i < count; ++i)
        if (!(i % 3 == 1 && i + 1 < count)) REQUIRE(dir->unlink(name(i)));
    REQUIRE(dir->unlink("renamed"));
    dir = {};
    REQUIRE((*fs->root())->remove_directory("d"));
    fs.reset();
    check_clean(s, disk);
}

}  // namespace

TEST_CASE("random operations agree with the model and leave a clean filesystem") {
    run_model("-b 4096", "64M", 1, 2000);
    run_model("-b 1024", "32M", 2, 2000);
    run_model("-b 2048", "32M", 3, 2000);
}

TEST_CASE("every set of features can be written") {
    run_model("-b 1024 -O ^metadata_csum,uninit_bg", "32M", 11, 1200);
    run_model("-b 1024 -O ^metadata_csum,^uninit_bg,^64bit", "32M", 12, 1200);
    run_model("-b 2048 -O ^flex_bg", "32M", 13, 1200);
    run_model("-b 1024 -O meta_bg,^resize_inode", "32M", 14, 1200);
    run_model("-b 1024 -O sparse_super2,^resize_inode", "32M", 15, 1200);
    run_model("-b 4096 -O ^dir_index", "32M", 16, 1200);
    run_model("-b 4096 -O ^dir_nlink,^extra_isize -I 128", "32M", 17, 1200);
    run_model("-b 1024 -O inline_data", "32M", 18, 1200);
    run_model("-b 1024 -O metadata_csum_seed,large_dir", "32M", 19, 1200);
    run_model("-b 1024 -O orphan_file", "32M", 20, 1200);
    run_model("-t ext3 -b 1024", "32M", 21, 1200, false);
    run_model("-t ext3 -b 4096", "32M", 22, 1200, false, 400'000);
    run_model("-t ext2 -b 1024", "32M", 23, 1200, false);
    run_model("-b 4096 -O ^has_journal", "32M", 24, 1200);
}

TEST_CASE("a full filesystem refuses, and nothing is lost") {
    CHECK(run_model("-b 1024 -N 64", "5M", 31, 3000) != 0);
    CHECK(run_model("-b 4096", "10M", 32, 2000, true, 400'000) != 0);
    CHECK(run_model("-t ext3 -b 1024", "6M", 33, 3000, false, 200'000) != 0);
}

TEST_CASE("a directory grows an index of several levels") {
    fill_directory("-b 1024 -N 40000", 30'000, 60);
    fill_directory("-b 1024 -N 3000", 2'000, 240);
    fill_directory("-b 4096 -N 9000", 6'000, 200);
    fill_directory("-b 1024 -N 9000 -O ^dir_index", 1'500, 60);
    fill_directory("-b 1024 -N 9000 -O ^metadata_csum", 6'000, 60);
}

TEST_CASE("the flusher writes what was changed, and leaves an idle disk in peace") {
    const Scratch s;
    CrashDisk disk(empty_image(s, "-b 1024", "16M"));
    auto fs = mount_writable(disk);
    const usize quiet = disk.events();
    fs->write_back();
    CHECK(disk.events() == quiet);
    REQUIRE((*fs->root())->create("f", NodeType::file, 0644));
    CHECK(disk.events() == quiet);
    fs->write_back();
    const usize written = disk.events();
    CHECK(written > quiet);
    fs->write_back();
    CHECK(disk.events() == written);
    CrashDisk after(disk.after_cut(written, nullptr), CrashDisk::Trace::none);
    auto again = mount_writable(after);
    CHECK((*again->root())->lookup("f"));
}

TEST_CASE("through paths and open files ext4 behaves as POSIX says") {
    const u32 block_size = GENERATE(1024, 2048, 4096);
    const bool small = GENERATE(false, true);
    INFO("blocks of " << block_size << (small ? ", a small disk" : ""));
    const Scratch s;
    CrashDisk disk(empty_image(s, "-b " + std::to_string(block_size) + (small ? " -N 40" : ""), small ? "6M" : "64M"),
                   CrashDisk::Trace::none);
    auto fs = mount_writable(disk);
    {
        Vfs vfs;
        REQUIRE(vfs.mount("/", *fs));
        {
            PosixModel model(
                vfs, {.seed = block_size, .max_file = small ? 300'000u : 40'000u, .directories_passed_over = 1});
            model.run(3000);
            model.compare();
            CHECK(model.succeeded() > 300);
            CHECK((model.full() != 0) == small);
            REQUIRE(fs->sync());
            model.compare();
        }
        REQUIRE(vfs.unmount("/"));
    }
    fs.reset();
    check_clean(s, disk);
}

TEST_CASE("several threads write, read and sync at once", "[threads]") {
    const Scratch s;
    CrashDisk disk(empty_image(s, "-b 1024", "64M"), CrashDisk::Trace::none);
    auto fs = mount_writable(disk, 1 << 20);
    constexpr u32 kThreads = 4;
    std::vector<std::unique_ptr<Operations>> all;
    for (u32 i = 0; i < kThreads; ++i) {
        all.push_back(std::make_unique<Operations>(*fs, 100 + i));
        all.back()->home = "home" + std::to_string(i);
        REQUIRE((*fs->root())->create(all.back()->home, NodeType::directory, 0));
    }
    Ref<Inode> shared = *(*fs->root())->create("shared", NodeType::file, 0644);
    std::atomic<bool> stop{false};
    std::atomic<int> torn{0};
    std::string failure;
    std::mutex mutex;
    const auto guarded = [&](auto work) {
        return std::thread([&, work] {
            try {
                work();
            } catch (const std::exception& e) {
                std::lock_guard lock(mutex);
                failure = e.what();
                stop = true;
            }
        });
    };
    std::vector<std::thread> threads;
    for (u32 i = 0; i < kThreads; ++i)
        threads.push_back(guarded([&, i] {
            for (int n = 0; n < 800 && !stop; ++n) all[i]->step();
        }));
    threads.push_back(guarded([&] {  // one value, everywhere: no reader sees two
        std::string text(5000, 'a');
        for (char c = 'a'; !stop; c = static_cast<char>(c == 'z' ? 'a' : c + 1)) {
            std::fill(text.begin(), text.end(), c);
            if (!shared->write_at(0, std::as_bytes(std::span(text)))) throw std::logic_error("write");
        }
    }));
    threads.push_back(guarded([&] {
        std::string text(5000, '\0');
        while (!stop) {
            const auto n = shared->read_at(0, std::as_writable_bytes(std::span(text)), nullptr);
            if (!n || (*n != 0 && text.find_first_not_of(text[0], 0) < *n)) ++torn;
        }
    }));
    threads.push_back(guarded([&] {
        while (!stop) {
            fs->write_back();
            if (!shared->sync(Sync::all)) throw std::logic_error("sync");
        }
    }));
    for (u32 i = 0; i < kThreads; ++i) threads[i].join();
    stop = true;
    for (u32 i = kThreads; i < threads.size(); ++i) threads[i].join();
    CHECK(failure == "");
    CHECK(torn == 0);
    for (auto& ops : all) CHECK(ops->difference() == "");
    all.clear();
    shared = {};
    fs.reset();
    check_clean(s, disk);
}

TEST_CASE("a deleted inode is stored before its number is free") {
    const Scratch s;
    CrashDisk disk(empty_image(s, "-b 4096", "64M"), CrashDisk::Trace::none);
    const auto path = [](int i) { return "file" + std::to_string(i); };
    auto fs = mount_writable(disk);
    {
        const std::vector<std::byte> all(4 << 20, std::byte{1});
        const auto root = *fs->root();
        REQUIRE((*root->create("large", NodeType::file, 0644))->write_at(0, all) == all.size());
        for (int i = 0; i < 40; ++i) REQUIRE(root->create(path(i), NodeType::file, 0644));
    }
    fs.reset();
    fs = mount_writable(disk, 1 << 20);
    {
        const auto root = *fs->root();
        const u64 number = (*root->lookup(path(39)))->stat()->inode;  // in memory from now on
        std::vector<std::byte> all(4 << 20);
        REQUIRE((*root->lookup("large"))->read_at(0, all, nullptr) == all.size());  // the block that it lies in is not
        u32 table;
        std::memcpy(&table, disk.content().data() + 4096 + 8, sizeof(table));
        const u64 sector = (u64{table} + (number - 1) * 256 / 4096) * 8, free = fs->statfs()->free_files;
        int stores = 0;
        disk.on_request = [&](const BlockRequest& r) {
            if (r.op != BlockRequest::Op::read || r.lba.raw != sector) return;
            ++stores;
            CHECK(fs->statfs()->free_files == free);
        };
        REQUIRE(root->unlink(path(39)));
        disk.on_request = {};
        CHECK(stores == 1);
        CHECK(fs->statfs()->free_files == free + 1);
    }
    fs.reset();
    check_clean(s, disk);
}

TEST_CASE("directories renamed, over others and not, leave the right number of links") {
    const Scratch s;
    CrashDisk disk(empty_image(s, "-b 1024", "12M"));
    {
        auto fs = mount_writable(disk);
        const auto root = *fs->root();
        const auto directory = [](Inode& in, std::string_view name) {
            return *in.create(name, NodeType::directory, 0755);
        };
        const auto links = [](Inode& of) { return of.stat()->links; };
        const u32 before = links(*root);
        const auto from = directory(*root, "from"), to = directory(*root, "to");
        for (const char* name : {"a", "b", "c", "d"}) (void)directory(*from, name);
        (void)directory(*to, "taken");
        CHECK((links(*root) == before + 2 && links(*from) == 6 && links(*to) == 3));
        REQUIRE(from->rename("a", *from, "b"));  // over one, here
        CHECK(links(*from) == 5);
        REQUIRE(from->rename("b", *from, "e"));  // to a new name, here
        CHECK(links(*from) == 5);
        REQUIRE(from->rename("c", *to, "taken"));  // over one, elsewhere
        CHECK((links(*from) == 4 && links(*to) == 3));
        REQUIRE(from->rename("d", *to, "new"));  // to a new name, elsewhere
        CHECK((links(*from) == 3 && links(*to) == 4));
    }
    check_clean(s, disk);
}
