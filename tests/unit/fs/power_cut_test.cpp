// The power goes at any moment of a workload. Afterwards the filesystem is what it was after some operation: none that
// was synced is missing, no operation is half there, and no byte of a file is one that it never had.
#include "after_cut.hpp"
#include "fs/ext4/volume.hpp"
#include "lib/function_ref.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::ext4;
using namespace ringlet::fs::test;

namespace {

std::vector<std::byte> new_image(const Scratch& s, const std::string& options) {
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", options, "12M");
    return read_image((s.path / "image").string());
}

/// RINGLET_POWER_CUTS: instead of each number of cuts here, in workloads of other seeds every 200.
void cut_power_once(const std::string& options, u32 seed, int steps, int cuts, bool extents) {
    INFO(options << ", seed " << seed);
    const Scratch s;
    CrashDisk disk(new_image(s, options));
    Workload w;
    auto fs = mount_for_cut(disk, true);
    Operations ops(*fs, seed);
    ops.extents = extents;
    ops.largest = 12'000;
    ops.names = 12;
    std::mt19937 random(seed);
    w.note(ops, disk, 0, true);
    for (int i = 0; i < steps; ++i) {
        u64 synced_file = 0;
        bool synced = false;
        if (i % 17 == 16) {
            REQUIRE(fs->sync());
            synced = true;
        } else if (i % 5 == 4) {
            synced_file = ops.sync_file();
        } else {
            ops.step();
        }
        w.note(ops, disk, synced_file, synced);
    }
    const usize end = disk.events();
    fs.reset();
    const usize begin = w.moments.front().events;
    for (int i = 0; i < cuts; ++i) {
        const usize cut = begin + random() % (end - begin + 1);
        check_cut(s, w, disk.after_cut(cut, i % 4 == 0 ? nullptr : &random), cut, i % 8 == 0);
    }
}

void cut_power(const std::string& options, u32 seed, int steps, int cuts, bool extents = true) {
    const char* const wanted = std::getenv("RINGLET_POWER_CUTS");
    if (wanted == nullptr) return cut_power_once(options, seed, steps, cuts, extents);
    const int all = std::atoi(wanted);
    for (int done = 0; done < all; done += 200)
        cut_power_once(options, seed += 10, steps, std::min(200, all - done), extents);
    WARN(options << ": " << all << " cuts");
}

}  // namespace

TEST_CASE("after a power cut there is the state after some operation") {
    cut_power("-b 1024", 1, 200, 200);
    cut_power("-b 4096", 2, 200, 200);
    cut_power("-b 1024 -O ^metadata_csum", 3, 150, 100);
    cut_power("-t ext3 -b 1024", 4, 150, 100, false);
}

namespace {

/// Cuts right behind a write of the superblock, with what a disk may make of it: it is old or new, never half of each.
/// Without a journal nothing more is promised than that e2fsck makes a filesystem of the rest.
void cut_at_superblock(const std::string& options, u64 at) {
    INFO(options);
    const Scratch s;
    CrashDisk disk(new_image(s, options));
    const bool journal = options.find("^has_journal") == options.npos;
    {
        auto fs = mount_for_cut(disk, true);
        Operations ops(*fs, 5);
        ops.largest = 12'000;
        for (int i = 0; i < 400; ++i) {
            ops.step();
            if (i % 17 == 16) REQUIRE(fs->sync());
        }
    }
    std::mt19937 random(5);
    const auto cuts = disk.cuts_after_write(at);
    REQUIRE(cuts.size() >= 2);
    for (const usize cut : cuts) {
        for (int i = 0; i < 4; ++i) {
            INFO("cut after event " << cut);
            const auto image = disk.after_cut(cut, &random);
            CrashDisk ours(image, CrashDisk::Trace::none);
            MountText why;
            const auto fs = mount_ext4(ours, {.cache_bytes = 1 << 20, .inode_cache = 16}, why);
            INFO(std::string(why.view()));
            REQUIRE(fs);
            if (i != 0) continue;
            const auto path = (s.path / "cut").string();
            write_image(path, image);
            // e2fsck goes to a copy, and changes the disk for it, when it finds the superblock to be none.
            run("! e2fsck -fn " + path + " 2>&1 | grep -i superblock.*invalid");
            if (journal) continue;
            run("e2fsck -fy " + path);
            run("e2fsck -fn " + path);
        }
    }
}

}  // namespace

TEST_CASE("no power cut tears the superblock") {
    cut_at_superblock("-b 1024", 1024);
    cut_at_superblock("-b 4096", 1024);  // only the mark is written from there
    cut_at_superblock("-b 1024 -O ^has_journal", 1024);
    cut_at_superblock("-b 4096 -O ^has_journal", 0);  // one group: there is no copy
}

namespace {

/// Reads everything below `inode`. Whatever it is told, it comes to an end.
void read_everything(Inode& inode, int depth) {
    if (inode.type() == NodeType::file) {
        std::vector<std::byte> all(std::min<u64>(inode.size(), 1 << 20));
        (void)inode.read_at(0, all, nullptr);
    }
    if (inode.type() != NodeType::directory || depth == 0) return;
    DirEntry e;
    for (u64 cookie = 0; inode.next_entry(cookie, e).value_or(false);) {
        if (e.name() == "." || e.name() == "..") continue;
        if (const auto child = inode.lookup(e.name())) read_everything(**child, depth - 1);
    }
}

/// Without a journal nothing is promised of what was under way when the power went. But whoever mounts it is warned
/// and can work with it, e2fsck makes a filesystem of it, and what was synced before is there.
void cut_without_journal(const std::string& options, u32 seed, int cuts) {
    INFO(options << ", seed " << seed);
    const Scratch s;
    CrashDisk disk(new_image(s, options + " -O ^has_journal"));
    const auto content = [](int i) { return std::string(static_cast<usize>(i) * 1500, static_cast<char>('a' + i)); };
    auto fs = mount_for_cut(disk, true);
    {
        const Ref<Inode> kept = *(*fs->root())->create("kept", NodeType::directory, 0755);
        REQUIRE((*fs->root())->create("work", NodeType::directory, 0755));
        for (int i = 0; i < 10; ++i) {
            const std::string text = content(i);
            const Ref<Inode> file = *kept->create("file" + std::to_string(i), NodeType::file, 0644);
            REQUIRE(file->write_at(0, std::as_bytes(std::span(text))) == text.size());
        }
    }
    REQUIRE(fs->sync());
    const usize begin = disk.events();
    Operations ops(*fs, seed);
    ops.home = "work";
    ops.extents = !options.starts_with("-t ext3");
    ops.largest = 12'000;
    for (int i = 0; i < 300; ++i) {
        ops.step();
        if (i % 7 == 6) (void)ops.sync_file();
        if (i % 29 == 28) REQUIRE(fs->sync());
    }
    const usize end = disk.events();
    fs.reset();
    std::mt19937 random(seed);
    for (int i = 0; i < cuts; ++i) {
        const usize cut = begin + random() % (end - begin + 1);
        INFO("cut after event " << cut);
        const auto image = disk.after_cut(cut, &random);
        const auto path = (s.path / "cut").string();
        write_image(path, image);
        run("e2fsck -fy " + path);
        run("e2fsck -fn " + path);
        CrashDisk repaired(read_image(path), CrashDisk::Trace::none);
        const auto again = mount_for_cut(repaired, true);
        const auto kept = (*again->root())->lookup("kept");
        REQUIRE(kept);
        for (int f = 0; f < 10; ++f) {
            const auto file = (*kept)->lookup("file" + std::to_string(f));
            REQUIRE(file);
            std::string text(content(f).size() + 1, '\0');
            text.resize((*file)->read_at(0, std::as_writable_bytes(std::span(text)), nullptr).value_or(0));
            CHECK(text == content(f));
        }
        CrashDisk torn(image, CrashDisk::Trace::none);
        MountText why;
        const auto unrepaired = mount_ext4(torn, {.cache_bytes = 1 << 20, .inode_cache = 16, .writable = true}, why);
        REQUIRE_FALSE(why.view().empty());
        if (!unrepaired) continue;
        read_everything(**(*unrepaired)->root(), 8);
        const auto made = (*(*unrepaired)->root())->create("after", NodeType::file, 0644);
        if (made) (void)(*made)->write_at(0, std::as_bytes(std::span("text")));
        (void)(*unrepaired)->sync();
    }
}

}  // namespace

TEST_CASE("without a journal a power cut leaves what e2fsck can mend, and what was synced before") {
    cut_without_journal("-b 1024", 11, 40);
    cut_without_journal("-b 4096", 12, 40);
    cut_without_journal("-b 1024 -O ^metadata_csum", 13, 40);
    cut_without_journal("-t ext3 -b 1024", 14, 20);
}

TEST_CASE("without a journal what was not unmounted in order stays marked") {
    const Scratch s;
    CrashDisk disk(new_image(s, "-b 1024 -O ^has_journal"));
    const auto marked_clean = [](CrashDisk& of) {
        Superblock super;
        std::memcpy(&super, of.content().data() + kSuperblockOffset, sizeof(super));
        return (super.state & kStateValid) != 0;
    };
    std::vector<std::byte> image;
    {
        auto fs = mount_for_cut(disk, true);
        CHECK(fs->warning() == "");
        REQUIRE((*fs->root())->create("file", NodeType::file, 0644));
        REQUIRE(fs->sync());
        image = disk.content();
    }
    CHECK(marked_clean(disk));
    CrashDisk after(image, CrashDisk::Trace::none);
    {
        auto fs = mount_for_cut(after, true);
        CHECK(fs->warning() == "not unmounted in order, and without a journal: run fsck");
        CHECK((*fs->root())->lookup("file"));
    }
    CHECK(!marked_clean(after));
    const auto path = (s.path / "cut").string();
    write_image(path, after.content());
    run("e2fsck -fy " + path);
    CrashDisk checked(read_image(path), CrashDisk::Trace::none);
    CHECK(mount_for_cut(checked, true)->warning() == "");
}

namespace {

/// The disk refuses every write (or flush) after some number of them. What was promised before is there, the caller is
/// told, nothing is written any more, and what is on the disk is consistent.
void break_disk(u32 seed, u64 good_writes, bool flushes) {
    INFO("seed " << seed << ", good writes " << good_writes << ", flushes " << flushes);
    const Scratch s;
    CrashDisk disk(new_image(s, "-b 1024"));
    Workload w;
    auto fs = mount_for_cut(disk, true);
    Operations ops(*fs, seed);
    ops.largest = 12'000;
    ops.names = 12;
    ops.may_fail = true;
    w.note(ops, disk, 0, true);
    if (flushes)
        disk.fail_flushes();
    else
        disk.fail_writes(good_writes);
    for (int i = 0; i < 5000 && !fs->statfs()->read_only; ++i) {
        bool synced = false;
        if (i % 17 == 16)
            synced = bool(fs->sync());
        else
            ops.step();
        if (ops.failed) break;
        w.note(ops, disk, 0, synced);
    }
    if (!fs->statfs()->read_only) {
        CHECK(!fs->sync());
    }
    CHECK(fs->statfs()->read_only);
    CHECK(fs->warning().starts_with("read-only: an error in writing"));
    CHECK(fs->sync().error() == Error::io);
    {
        const auto root = *fs->root();
        CHECK(root->create("after", NodeType::file, 0644).error() == Error::read_only);
        CHECK(root->set_attributes({.mode = 0700}).error() == Error::read_only);
        CHECK(root->sync(Sync::all).error() == Error::io);
    }
    const usize end = disk.events();
    fs.reset();
    CHECK(disk.events() == end);
    w.note(ops, disk, 0, false);
    check_cut(s, w, disk.content(), end, true);
}

}  // namespace

TEST_CASE("a disk that fails makes the filesystem read-only and loses nothing that was promised") {
    for (u32 n = 0; n < 60; ++n) break_disk(n, n * n / 6, false);
    break_disk(100, 0, true);
}

namespace {

/// A file of many pieces that are no neighbours: cutting it takes many handles.
Ref<Inode> make_pieces(FileSystem& fs, u32 pieces) {
    const auto file = *(*fs.root())->create("pieces", NodeType::file, 0644);
    const std::string text(1024, 'p');
    for (u32 i = 0; i < pieces; ++i) REQUIRE(file->write_at(u64{i} * 2048, std::as_bytes(std::span(text))));
    REQUIRE(fs.sync());
    return file;
}

/// Cuts the power while `shorten` is at work: with so small a cache it commits in between.
void cut_while(const std::string& options, FunctionRef<void(FileSystem&, Ref<Inode>)> shorten) {
    INFO(options);
    const Scratch s;
    CrashDisk disk(new_image(s, options));
    MountText why;
    const auto fs = *mount_ext4(disk, {.cache_bytes = 256 << 10, .inode_cache = 16, .writable = true}, why);
    Ref<Inode> file = make_pieces(*fs, 5000);
    const u64 size = file->size();
    const usize begin = disk.events();
    shorten(*fs, std::move(file));
    const usize end = disk.events();
    REQUIRE(!fs->statfs()->read_only);
    REQUIRE(end - begin > 12);  // some commits
    int halfway = 0;
    for (usize i = 0; i < 12; ++i) {
        const usize cut = begin + (end - begin) * i / 11;
        INFO("cut after event " << cut << " of " << begin << " to " << end);
        const auto image = disk.after_cut(cut, nullptr);
        const auto path = (s.path / "cut").string();
        write_image(path, image);
        run("e2fsck -E journal_only -fy " + path);
        CrashDisk ours(image, CrashDisk::Trace::none);
        {
            auto again = mount_for_cut(ours, true);
            const auto found = (*again->root())->lookup("pieces");
            if (found && (*found)->size() != size) {
                ++halfway;
                CHECK((*found)->stat()->sectors <= 8);
            }
            if (!found) ++halfway;
        }
        write_image(path, ours.content());
        run("e2fsck -fn " + path);
    }
    CHECK(halfway > 2);
}

}  // namespace

TEST_CASE("cutting a file of many pieces is finished after a power cut in its middle") {
    for (const char* options : {"-b 1024", "-t ext3 -b 1024"}) {
        cut_while(options, [](FileSystem&, Ref<Inode> file) { REQUIRE(file->truncate(100)); });
        cut_while(options, [](FileSystem& fs, Ref<Inode> file) {
            REQUIRE((*fs.root())->unlink("pieces"));
            file = {};
        });
    }
}

TEST_CASE("what the log has of a block that was metadata is not replayed over a file's bytes") {
    for (const char* options : {"-b 1024", "-t ext3 -b 1024"}) {
        INFO(options);
        const Scratch s;
        CrashDisk disk(new_image(s, options));
        auto fs = mount_for_cut(disk, true);
        const auto root = *fs->root();
        REQUIRE(root->create("directory", NodeType::directory, 0755));
        (void)make_pieces(*fs, 600);
        REQUIRE(fs->sync());
        REQUIRE(root->remove_directory("directory"));
        REQUIRE(root->unlink("pieces"));
        REQUIRE(fs->sync());
        // All blocks there are.
        const auto all = *root->create("all", NodeType::file, 0644);
        const std::string text(64 << 10, 'a');
        while (all->write_at(all->size(), std::as_bytes(std::span(text)))) continue;
        REQUIRE(fs->sync());
        REQUIRE(fs->statfs()->free_blocks < 8);
        CrashDisk after(disk.after_cut(disk.events(), nullptr), CrashDisk::Trace::none);
        const auto again = mount_for_cut(after, true);
        CHECK(again->warning().starts_with("journal replayed"));
        const auto found = *(*again->root())->lookup("all");
        std::string read(all->size(), '\0');
        REQUIRE(found->read_at(0, std::as_writable_bytes(std::span(read)), nullptr));
        CHECK(read.find_first_not_of('a') == read.npos);
    }
}

TEST_CASE("files without a name are deleted after a power cut, also when one of them went before") {
    for (const char* options : {"-b 1024", "-t ext3 -b 1024"}) {
        INFO(options);
        const Scratch s;
        CrashDisk disk(new_image(s, options));
        auto fs = mount_for_cut(disk, true);
        const auto root = *fs->root();
        const std::string text(3000, 'x');
        std::vector<Ref<Inode>> open;
        for (const char* name : {"a", "b", "c", "d"}) {
            open.push_back(*root->create(name, NodeType::file, 0644));
            REQUIRE(open.back()->write_at(0, std::as_bytes(std::span(text))));
            REQUIRE(root->unlink(name));
        }
        REQUIRE(fs->sync());
        const usize all = disk.events();
        open.erase(open.begin() + 1);  // out of the middle of the list
        REQUIRE(fs->sync());
        for (const usize cut : {all, disk.events()}) {
            INFO("cut after event " << cut);
            const auto image = disk.after_cut(cut, nullptr);
            const auto path = (s.path / "cut").string();
            write_image(path, image);
            run("e2fsck -E journal_only -fy " + path);
            run("e2fsck -p " + path);
            run("e2fsck -fn " + path);
            CrashDisk ours(image, CrashDisk::Trace::none);
            mount_for_cut(ours, true).reset();
            write_image(path, ours.content());
            run("e2fsck -fn " + path);
        }
    }
}

TEST_CASE("what a new size shows is on the disk before it, whoever had it committed") {
    const Scratch s;
    CrashDisk disk(new_image(s, "-b 1024"));
    auto fs = mount_for_cut(disk, true);
    const auto root = *fs->root();
    const auto write = [](Inode& file, u64 at, const std::string& text) {
        REQUIRE(file.write_at(at, std::as_bytes(std::span(text))));
    };
    const auto make = [&](const char* name, usize bytes) {
        const auto file = *root->create(name, NodeType::file, 0644);
        write(*file, 0, std::string(bytes, 'x'));
        return file;
    };
    const auto cut = make("cut", 1000), grown = make("grown", 100), other = make("other", 10);
    REQUIRE(fs->sync());
    REQUIRE(cut->truncate(100));
    REQUIRE(cut->truncate(1000));
    write(*grown, 100, std::string(500, 'y'));
    REQUIRE(other->set_attributes({.mode = 0600}));
    REQUIRE(other->sync(Sync::all));
    CrashDisk after(disk.after_cut(disk.events(), nullptr), CrashDisk::Trace::none);
    const auto again = mount_for_cut(after, true);
    const auto read = [&](const char* name) {
        const auto file = *(*again->root())->lookup(name);
        std::string all(file->size(), ' ');
        REQUIRE(file->read_at(0, std::as_writable_bytes(std::span(all)), nullptr));
        return all;
    };
    CHECK(read("cut") == std::string(100, 'x') + std::string(900, '\0'));
    CHECK(read("grown") == std::string(100, 'x') + std::string(500, 'y'));
}
