// Paths, mounts, open files; on memfs, which has no disk to be slow.
#include "fs/vfs.hpp"

#include <catch2/catch.hpp>
#include <string>
#include <thread>
#include <vector>

#include "fs/memfs.hpp"

using namespace ringlet;
using namespace ringlet::fs;

namespace {
Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}
std::string content(Vfs& vfs, std::string_view path) {
    auto f = vfs.open(path);
    if (!f) return "?";
    std::string s(static_cast<usize>(f->size()), ' ');
    (void)f->read(std::as_writable_bytes(std::span(s)));
    return s;
}
}  // namespace

TEST_CASE("memfs: create, write, read, remove") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    CHECK(vfs.create_directory("/a"));
    CHECK(vfs.create_directory("/a").error() == Error::exists);
    CHECK(vfs.create_directory("/x/y").error() == Error::not_found);
    {
        auto f = vfs.open("/a/f", OpenMode::create);
        REQUIRE(f);
        CHECK(*f->write(text("hello ")) == 6);
        CHECK(*f->write(text("world")) == 5);
        CHECK(*f->write_at(5000, text("far")) == 3);
        CHECK(f->size() == 5003);
        CHECK(*f->seek(-3, Whence::end) == 5000);
        char buffer[8];
        CHECK(*f->read(std::as_writable_bytes(std::span(buffer))) == 3);
        CHECK(f->seek(-1, Whence::start).error() == Error::invalid);
        CHECK(f->truncate(11));
        CHECK(f->truncate(20));
    }
    CHECK(content(vfs, "/a/f") == std::string("hello world") + std::string(9, '\0'));
    CHECK(vfs.open("/a/f")->write(text("x")).error() == Error::read_only);
    CHECK(vfs.open("/a").error() == Error::is_directory);
    CHECK(vfs.open("/a/f/").error() == Error::not_directory);
    CHECK(vfs.open("/a/f/g").error() == Error::not_directory);
    CHECK(vfs.open("/a/none").error() == Error::not_found);
    CHECK(vfs.remove_directory("/a").error() == Error::in_use);
    CHECK(vfs.unlink("/a").error() == Error::is_directory);
    auto open = vfs.open("/a/f");
    CHECK(vfs.unlink("/a/f"));
    CHECK(open->stat()->links == 0);
    CHECK(open->size() == 20);
    *open = File();
    CHECK(vfs.remove_directory("/a"));
    CHECK(vfs.stat("/a").error() == Error::not_found);
}

TEST_CASE("memfs: bounded, and the memory comes back") {
    auto fs = *make_memfs(64 << 10);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    const u64 before = vfs.statfs("/")->free_blocks;
    {
        auto f = vfs.open("/big", OpenMode::create);
        const std::string block(10'000, 'b');
        Result<usize> r = 0;
        while ((r = f->write(text(block)))) {
        }
        CHECK(r.error() == Error::no_space);
        CHECK(f->size() > 40'000);
        CHECK(f->size() < 64'000);
        CHECK(f->write_at(u64{1} << 60, text("x")).error() == Error::no_space);
        CHECK(f->write_at(~u64{0} - 1, text("x")).error() == Error::too_large);
        const auto view = f->map_at(0);
        CHECK(f->truncate(0).error() == Error::in_use);
    }
    CHECK(vfs.unlink("/big"));
    CHECK(vfs.statfs("/")->free_blocks == before);
    int made = 0;
    while (vfs.create_directory("/" + std::to_string(made))) ++made;
    CHECK(made > 10);
    CHECK(made < 400);
}

TEST_CASE("memfs: an iteration survives removals") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    for (int i = 0; i < 20; ++i) REQUIRE(vfs.create_directory("/" + std::to_string(i)));
    auto d = *vfs.open_directory("/");
    DirEntry e;
    int seen = 0;
    while (*d.next(e)) {
        if (e.name() == "." || e.name() == "..") continue;
        ++seen;
        REQUIRE(vfs.remove_directory("/" + std::string(e.name())));
    }
    CHECK(seen == 20);
}

TEST_CASE("mounts: down, up, busy") {
    auto root = *make_memfs(1 << 20), tmp = *make_memfs(1 << 20), third = *make_memfs(1 << 20);
    Vfs vfs;
    CHECK(vfs.stat("/").error() == Error::not_found);
    REQUIRE(vfs.mount("/", *root));
    CHECK(vfs.mount("/", *tmp).error() == Error::in_use);
    CHECK(vfs.mount("/tmp", *tmp).error() == Error::not_found);
    REQUIRE(vfs.create_directory("/tmp"));
    REQUIRE(vfs.create_directory("/tmp/hidden"));
    REQUIRE(vfs.mount("/tmp/", *tmp));
    CHECK(vfs.mount("/tmp", *third).error() == Error::in_use);
    CHECK(vfs.stat("/tmp/hidden").error() == Error::not_found);
    REQUIRE(vfs.create_directory("/tmp/in"));
    CHECK(vfs.stat("/tmp/in/../../tmp/in/..")->filesystem == tmp->id());
    CHECK(vfs.stat("/tmp/..")->filesystem == root->id());
    CHECK(vfs.stat("/../../..")->inode == vfs.stat("/")->inode);
    CHECK(vfs.remove_directory("/tmp").error() == Error::in_use);
    REQUIRE(vfs.mount("/tmp/in", *third));
    CHECK(vfs.unmount("/tmp").error() == Error::in_use);
    int mounts = 0;
    vfs.for_each_mount([&](const MountInfo& m) { mounts += m.statfs.type == "memfs" && m.where.starts_with('/'); });
    CHECK(mounts == 3);
    CHECK(vfs.unmount("/tmp/in"));
    CHECK(vfs.unmount("/tmp"));
    CHECK(vfs.stat("/tmp/hidden"));
    CHECK(vfs.unmount("/nowhere").error() == Error::not_found);
}

TEST_CASE("mounts: what they forbid") {
    auto root = *make_memfs(1 << 20), other = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *root));
    REQUIRE(vfs.create_directory("/m"));
    REQUIRE(vfs.create_directory("/d"));
    REQUIRE(vfs.mount("/m", *other, "a name of more than sixteen"));
    REQUIRE(vfs.open("/f", OpenMode::create));
    REQUIRE(vfs.open("/m/f", OpenMode::create));
    CHECK(vfs.rename("/f", "/m/g").error() == Error::cross_device);
    CHECK(vfs.rename("/m/f", "/f").error() == Error::cross_device);
    CHECK(vfs.link("/f", "/m/g").error() == Error::cross_device);
    CHECK(vfs.rename("/m", "/n").error() == Error::in_use);
    CHECK(vfs.rename("/d", "/m").error() == Error::in_use);
    CHECK(vfs.rename("/m/f", "/m/g"));
    CHECK(vfs.unlink("/m").error() == Error::is_directory);
    CHECK(vfs.remount("/m/", true).error() == Error::unsupported);
    CHECK(vfs.remount("/d", true).error() == Error::not_found);
    CHECK(vfs.trim("/m/g").error() == Error::unsupported);
    {
        const auto open = *vfs.open("/m/g");
        CHECK(vfs.unmount("/m").error() == Error::in_use);
    }
    std::string sources;
    vfs.for_each_mount(
        [&](const MountInfo& m) { sources += std::string(m.where) + "=" + std::string(m.source) + ";"; });
    CHECK(sources == "/=;/m=a name of more t;");
    CHECK(vfs.unmount("/m/"));
    CHECK(other->users() == 0);
    CHECK(vfs.unmount("/"));
    CHECK(vfs.stat("/").error() == Error::not_found);
}

namespace {
/// A file and its filesystem that count what the Vfs asks of them.
struct Counting final : FileSystem {
    struct Node final : Inode {
        explicit Node(Counting& fs, NodeType type) : Inode(fs), counts(fs), kind(type) {}
        NodeType type() const override { return kind; }
        u64 size() const override { return 100; }
        Result<Stat> stat() override { return Stat{}; }
        Result<Ref<Inode>> lookup(std::string_view name) override {
            if (name != "f") return fail(Error::not_found);
            return Ref<Inode>::share(counts.file);
        }
        Result<bool> next_entry(u64&, DirEntry&) override { return false; }
        Result<usize> read_at(u64, MutableBytes, ReadAhead*) override { return 0; }
        Result<PinnedBytes> map_at(u64, ReadAhead*) override { return PinnedBytes(); }
        Result<usize> read_link(std::span<char>) override { return fail(Error::invalid); }
        Result<usize> write_at(u64 offset, Bytes from) override {
            if (counts.read_only) return fail(Error::read_only);
            counts.last_offset = offset;
            return from.size();
        }
        Result<> sync(Sync what) override {
            ++(what == Sync::data ? counts.data_syncs : counts.syncs);
            if (counts.broken) return fail(Error::io);
            return {};
        }
        Counting& counts;
        const NodeType kind;
    };
    Result<Ref<Inode>> root() override { return Ref<Inode>::share(directory); }
    Result<StatFs> statfs() override { return StatFs{}; }
    Result<> sync() override {
        ++whole_syncs;
        if (broken) return fail(Error::io);
        return {};
    }
    void write_back() override { ++turns; }
    Result<> remount(bool to) override { return read_only = to, Result<>{}; }
    Result<u64> trim(u64 least) override { return least * 2; }

    Node directory{*this, NodeType::directory}, file{*this, NodeType::file};
    bool read_only = false, broken = false;
    int syncs = 0, data_syncs = 0, whole_syncs = 0, turns = 0;
    u64 last_offset = 0;
};
}  // namespace

TEST_CASE("files: synchronous, appended, read-only; the whole tree is synced") {
    Counting fs, second;
    fs.directory.retain();  // they are members: never released to nothing
    fs.file.retain();
    second.directory.retain();
    auto above = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *above));
    REQUIRE(vfs.create_directory("/a"));
    REQUIRE(vfs.create_directory("/b"));
    REQUIRE(vfs.mount("/a", fs));
    REQUIRE(vfs.mount("/b", second));

    auto plain = *vfs.open("/a/f", OpenMode::read_write);
    REQUIRE(plain.write(text("x")));
    CHECK(fs.data_syncs == 0);
    REQUIRE(plain.sync());
    REQUIRE(plain.sync(Sync::data));
    CHECK((fs.syncs == 1 && fs.data_syncs == 1));
    auto careful = *vfs.open("/a/f", OpenMode::synchronous | OpenMode::append);
    REQUIRE(careful.write(text("xy")));
    CHECK((fs.data_syncs == 2 && fs.syncs == 1));
    CHECK(fs.last_offset == 100);
    CHECK(careful.position() == 102);
    REQUIRE(careful.write_at(7, text("x")));
    CHECK((fs.data_syncs == 3 && fs.last_offset == 7));
    REQUIRE(careful.write({}));
    CHECK(fs.data_syncs == 3);
    fs.broken = true;
    CHECK(careful.write(text("x")).error() == Error::io);
    CHECK(vfs.sync().error() == Error::io);
    CHECK((fs.whole_syncs == 1 && second.whole_syncs == 1));  // one that fails does not spare the others
    vfs.write_back();
    CHECK((fs.turns == 1 && second.turns == 1));
    CHECK(*vfs.trim("/a/f", 8) == 16);

    REQUIRE(vfs.remount("/a", true));
    CHECK(vfs.open("/a/f", OpenMode::read_write).error() == Error::read_only);
    CHECK(vfs.open("/a/g", OpenMode::create).error() == Error::read_only);
    CHECK(vfs.create_directory("/a/d").error() == Error::read_only);
    CHECK(vfs.unlink("/a/f").error() == Error::read_only);
    CHECK(vfs.symlink("x", "/a/l").error() == Error::read_only);
    CHECK(vfs.rename("/a/f", "/a/g").error() == Error::read_only);
    auto reader = *vfs.open("/a/f");
    CHECK(reader.write(text("x")).error() == Error::read_only);
    CHECK(reader.truncate(1).error() == Error::read_only);
    CHECK(reader.allocate(0, 1).error() == Error::read_only);
    CHECK(reader.punch(0, 1).error() == Error::read_only);
}

TEST_CASE("files are made through links, or must be new") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    REQUIRE(vfs.create_directory("/d"));
    REQUIRE(vfs.symlink("../made", "/d/dangling"));
    CHECK(vfs.open("/d/dangling").error() == Error::not_found);
    CHECK(vfs.open("/d/dangling", OpenMode::truncate).error() == Error::not_found);
    CHECK(vfs.open("/d/dangling", OpenMode::create_new).error() == Error::exists);
    REQUIRE(vfs.open("/d/dangling", OpenMode::create)->write(text("through")));
    CHECK(content(vfs, "/made") == "through");
    CHECK(vfs.open("/made", OpenMode::create_new).error() == Error::exists);
    CHECK(vfs.open("/new/", OpenMode::create).error() == Error::is_directory);
    CHECK(vfs.open("/made/", OpenMode::create).error() == Error::not_directory);
    REQUIRE(vfs.open("/made", OpenMode::create | OpenMode::truncate)->write(text("a")));
    REQUIRE(vfs.open("/made", OpenMode::append)->write(text("b")));
    CHECK(content(vfs, "/made") == "ab");
    REQUIRE(vfs.truncate("/d/dangling", 1));
    CHECK(content(vfs, "/made") == "a");
    CHECK(vfs.truncate("/d", 0).error() == Error::is_directory);
    Attributes attributes;
    attributes.mode = 0400;
    REQUIRE(vfs.set_attributes("/d/dangling", attributes));
    CHECK(vfs.stat("/made")->mode == 0400);
    CHECK(vfs.lstat("/d/dangling")->mode == 0777);
}

TEST_CASE("names: slashes, dots, the root") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    REQUIRE(vfs.open("/f", OpenMode::create));
    REQUIRE(vfs.create_directory("/d/"));
    REQUIRE(vfs.create_directory("/d/e"));
    REQUIRE(vfs.symlink("d", "/l"));
    CHECK(vfs.rename("/f/", "/g").error() == Error::not_directory);
    CHECK(vfs.rename("/f", "/g/").error() == Error::not_directory);
    CHECK(vfs.rename("/l/", "/g").error() == Error::not_directory);
    CHECK(vfs.rename("/d/", "/d/e/x/").error() == Error::invalid);
    CHECK(vfs.rename("/d", "/d/e/x").error() == Error::invalid);
    CHECK(vfs.rename("/d/e", "/d").error() == Error::in_use);
    CHECK(vfs.rename("/", "/g").error() == Error::in_use);
    CHECK(vfs.rename("/d/.", "/g").error() == Error::invalid);
    CHECK(vfs.rename("/d", "/g/..").error() == Error::invalid);
    CHECK(vfs.rename("/none", "/g").error() == Error::not_found);
    CHECK(vfs.rename("/f", "/f"));
    CHECK(vfs.rename("/d", "/d"));
    REQUIRE(vfs.link("/f", "/hard"));
    CHECK(vfs.rename("/f", "/hard"));
    CHECK((vfs.stat("/f") && vfs.stat("/f")->links == 2));  // two names of one file: nothing happens
    CHECK(vfs.rename("/d/", "/g/"));
    CHECK(vfs.stat("/g/e/..")->inode == vfs.stat("/g")->inode);
    CHECK(vfs.unlink("/f/").error() == Error::not_directory);
    CHECK(vfs.unlink("/g/").error() == Error::is_directory);
    CHECK(vfs.unlink("/none/").error() == Error::not_found);
    CHECK(vfs.unlink("/").error() == Error::is_directory);
    CHECK(vfs.remove_directory("/").error() == Error::in_use);
    CHECK(vfs.remove_directory("/l/").error() == Error::not_directory);
    CHECK(vfs.link("/f", "/h/").error() == Error::not_found);
    CHECK(vfs.link("/f", "/g/").error() == Error::exists);
    CHECK(vfs.link("/g", "/h").error() == Error::is_directory);
    CHECK(vfs.symlink("", "/s").error() == Error::not_found);
    CHECK(vfs.symlink(std::string(kPathMax, 't'), "/s").error() == Error::name_too_long);
    REQUIRE(vfs.symlink("/self", "/self"));
    CHECK(vfs.stat("/self").error() == Error::too_many_links);
    CHECK(vfs.open("/self", OpenMode::create).error() == Error::too_many_links);
    REQUIRE(vfs.link("/self", "/self2"));
    CHECK(vfs.lstat("/self2")->type == NodeType::symlink);
}

TEST_CASE("paths: bounds and odd ones") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    REQUIRE(vfs.create_directory("/d"));
    CHECK(vfs.stat("//d/.//./"));
    CHECK(vfs.stat("d"));
    CHECK(vfs.stat("").error() == Error::not_found);
    CHECK(vfs.stat(std::string("/d\0x", 4)).error() == Error::invalid);
    CHECK(vfs.stat("/" + std::string(255, 'n')).error() == Error::not_found);
    CHECK(vfs.stat("/" + std::string(256, 'n')).error() == Error::name_too_long);
    std::string slashes = std::string(4090, '/') + "d";
    CHECK(vfs.stat(slashes));
    CHECK(vfs.stat(slashes + "/////").error() == Error::name_too_long);
    CHECK(vfs.create_directory("/").error() == Error::exists);
    CHECK(vfs.create_directory("/d/..").error() == Error::invalid);
    char out[32];
    CHECK(*join_path("/a/b", "../c", out) == "/a/c");
    CHECK(*join_path("/a/b", "/x/./y//", out) == "/x/y");
    CHECK(*join_path("/", "../..", out) == "/");
    CHECK(join_path("/", std::string(40, 'x'), out).error() == Error::name_too_long);
}

TEST_CASE("memfs: threads create and remove the same names", "[threads]") {
    auto fs = *make_memfs(1 << 20);
    Vfs vfs;
    REQUIRE(vfs.mount("/", *fs));
    const u64 before = vfs.statfs("/")->free_blocks;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 2000; ++i) {
                const std::string name = "/f" + std::to_string(i % 5);
                if (auto f = vfs.open(name, OpenMode::create)) (void)f->write(text("some content"));
                if (i % 3 == 0) (void)vfs.unlink(name);
            }
        });
    for (auto& t : threads) t.join();
    for (int i = 0; i < 5; ++i) (void)vfs.unlink("/f" + std::to_string(i));
    CHECK(vfs.statfs("/")->free_blocks == before);
}
