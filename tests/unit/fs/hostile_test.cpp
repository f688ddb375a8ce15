// Images with bytes that cannot be right: whatever they are, the answer is an error or some content, never a
// fault, a hang or a loop. Seeds are fixed; a failing step is named by its number.
#include "fake_disk.hpp"
#include "image.hpp"
#include "lib/crc32c.hpp"
#include "lib/endian.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

/// Visits what can be reached, within bounds of the visitor's own: a hostile tree may be endless.
class Visitor {
public:
    explicit Visitor(Vfs& vfs) : vfs_(vfs) {}
    void walk(const std::string& path, int depth) {
        auto directory = vfs_.open_directory(path);
        if (!directory || depth > 8) return;
        DirEntry e;
        for (int entries = 0; entries < 120 && budget_ > 0; ++entries) {
            const auto more = directory->next(e);
            if (!more || !*more) break;
            --budget_;
            if (e.name() == "." || e.name() == "..") continue;
            const std::string sub = path + "/" + std::string(e.name());
            const auto s = vfs_.lstat(sub);
            if (!s) continue;
            char target[kPathMax];
            (void)vfs_.read_link(sub, target);
            (void)vfs_.stat(sub);
            if (s->type == NodeType::directory) walk(sub, depth + 1);
            if (s->type == NodeType::file) read(sub);
        }
        (void)vfs_.stat(path + "/absent");
    }

private:
    void read(const std::string& path) {
        auto f = vfs_.open(path);
        if (!f) return;
        std::vector<std::byte> buffer(20'000);
        (void)f->read(buffer);
        (void)f->read(buffer);
        for (u64 at : {f->size() / 2, f->size() - 1, u64{1} << 31, u64{1} << 33, ~u64{0}}) {
            (void)f->read_at(at, std::span(buffer).first(3000));
            (void)f->map_at(at);
        }
    }
    Vfs& vfs_;
    int budget_ = 400;
};

void attempt(FakeDisk& disk) {
    MountText why;
    auto fs = mount_ext4(disk, {.cache_bytes = 64 << 10, .inode_cache = 16}, why);
    if (!fs) {
        REQUIRE(!why.view().empty());
        return;
    }
    Vfs vfs;
    REQUIRE(vfs.mount("/", **fs));
    Visitor(vfs).walk("", 0);
    (void)vfs.stat("/many/file-1-n");
    (void)vfs.stat("/d0/d1/../../many/../links/up/sizes");
    REQUIRE(vfs.unmount("/"));
}

void make_hostile_base(const Scratch& scratch, const std::string& options) {
    const auto tree = scratch.path / "tree", image = scratch.path / "image";
    std::mt19937 random(11);
    stdfs::create_directories(tree / "many");
    for (int i = 0; i < 200; ++i)
        write_file(tree / "many" / ("file-" + std::to_string(i) + "-" + std::string(20, 'n')), std::to_string(i));
    stdfs::create_directories(tree / "d0/d1");
    stdfs::create_directories(tree / "links");
    write_file(tree / "d0/big", random_text(random, 400'000));
    for (int i = 0; i < 24; ++i) write_file(tree / ("gap" + std::to_string(i)), random_text(random, 3000));
    stdfs::create_symlink("../d0", tree / "links/up");
    stdfs::create_symlink(std::string(300, 's'), tree / "links/slow");
    make_image(image, tree, "-b 1024 -N 400 -J size=1 " + options, "4M");
    // Every second small file makes way for one that must then lie in pieces: an extent tree with index
    // blocks.
    std::string commands;
    for (int i = 0; i < 24; i += 2) commands += "rm /gap" + std::to_string(i) + "\n";
    write_file(scratch.path / "pieces", random_text(random, 1'400'000));
    commands += "write " + (scratch.path / "pieces").string() + " pieces\n";
    write_file(scratch.path / "commands", commands);
    run("debugfs -w -f " + (scratch.path / "commands").string() + " " + image.string());
    run("e2fsck -fyD " + image.string());
}

/// Offsets of blocks worth lying about: superblock, descriptors, inode tables, extent nodes, directories.
std::vector<std::pair<usize, usize>> targets(FakeDisk& disk) {
    std::vector<std::pair<usize, usize>> t;
    const Bytes all = disk.bytes();
    for (int weight = 0; weight < 8; ++weight) t.push_back({1024, 1024});
    for (int weight = 0; weight < 4; ++weight) t.push_back({2048, 64});
    const u32 table = *read_at<le32>(all, 2048 + 8);
    for (usize i = 0; i < 25; ++i) t.push_back({table * 1024u + i * 1024, 1024});
    for (usize at = 8192; at + 1024 <= all.size(); at += 1024) {
        const bool extent_node = *read_at<le16>(all, at) == 0xf30a;
        const u32 inode = *read_at<le32>(all, at);
        const u16 length = *read_at<le16>(all, at + 4);
        const u8 name = static_cast<u8>(all[at + 6]), type = static_cast<u8>(all[at + 7]);
        const bool entries =
            inode <= 400 && length >= 12 && length <= 1024 && length % 4 == 0 && type <= 7 && (name != 0 || inode == 0);
        for (int weight = 0; extent_node && weight < 10; ++weight) t.push_back({at, 64});
        if (entries) t.push_back({at, 1024});
    }
    return t;
}

void bombard(const std::string& options, u32 seed, int steps, bool repair_superblock) {
    const Scratch scratch;
    make_hostile_base(scratch, options);
    FakeDisk disk((scratch.path / "image").string());
    disk.synchronous = true;
    attempt(disk);
    const auto where = targets(disk);
    REQUIRE(where.size() > 40);
    std::mt19937 random(seed);
    auto pick = [&](usize n) { return std::uniform_int_distribution<usize>(0, n - 1)(random); };
    for (int step = 0; step < steps; ++step) {
        INFO("options " << options << " seed " << seed << " step " << step);
        const auto [base, length] = where[pick(where.size())];
        std::vector<std::byte> saved(disk.bytes().begin() + static_cast<std::ptrdiff_t>(base),
                                     disk.bytes().begin() + static_cast<std::ptrdiff_t>(base + length));
        for (usize count = 1 + pick(3); count > 0; --count) {
            const usize width = usize{1} << pick(4);
            const usize at = base + pick(length / width) * width;
            const std::byte values[] = {std::byte{0}, std::byte{0xff}, std::byte{0x7f}, std::byte{0x80}};
            const usize kind = pick(6);
            for (usize i = 0; i < width; ++i)
                disk.bytes()[at + i] = kind < 4 ? values[kind] : static_cast<std::byte>(random());
            if (kind == 5 && width <= 4) disk.bytes()[at] = saved[at - base] ^ static_cast<std::byte>(1u << pick(8));
        }
        if (repair_superblock) {
            const u32 crc = crc32c(~0u, Bytes(disk.bytes()).subspan(1024, 1020));
            std::memcpy(disk.bytes().data() + 2044, &crc, 4);
        }
        attempt(disk);
        std::copy(saved.begin(), saved.end(), disk.bytes().begin() + static_cast<std::ptrdiff_t>(base));
    }
    attempt(disk);
}

}  // namespace

TEST_CASE("hostile images without checksums") {
    bombard("-O ^metadata_csum", 1, 1200, false);
    bombard("-O ^metadata_csum,^extent,^64bit", 2, 500, false);
    bombard("-O ^metadata_csum,inline_data", 3, 500, false);
}

TEST_CASE("hostile images with checksums") {
    bombard("", 4, 500, true);
}

TEST_CASE("every field of the superblock at its edges") {
    const Scratch scratch;
    make_hostile_base(scratch, "-O ^metadata_csum");
    FakeDisk disk((scratch.path / "image").string());
    disk.synchronous = true;
    for (usize at = 1024; at < 2048; at += 2) {
        for (usize width : {2, 4}) {
            for (u32 value : {0u, ~0u, 1u, 0x7fff'ffffu, 0x8000'0000u}) {
                INFO("offset " << at - 1024 << " width " << width << " value " << value);
                std::byte saved[4];
                std::memcpy(saved, disk.bytes().data() + at, 4);
                std::memcpy(disk.bytes().data() + at, &value, width);
                MountText why;
                const auto fs = mount_ext4(disk, {.cache_bytes = 64 << 10}, why);
                if (fs) {
                    DirEntry e;
                    u64 cookie = 0;
                    const auto root = (*fs)->root();
                    if (root) (void)(*root)->next_entry(cookie, e);
                    if (root) (void)(*root)->lookup("many");
                }
                std::memcpy(disk.bytes().data() + at, saved, 4);
            }
        }
    }
}

TEST_CASE("damage is found by checksums") {
    const Scratch scratch;
    make_hostile_base(scratch, "");
    FakeDisk disk((scratch.path / "image").string());
    disk.synchronous = true;
    const auto where = targets(disk);
    MountText why;
    // The superblock, a group descriptor, the root inode.
    const u32 table = *read_at<le32>(disk.bytes(), 2048 + 8);
    for (usize at : {usize{1024 + 0x88}, usize{2048 + 12}, usize{table} * 1024 + 256 + 0x10}) {
        disk.bytes()[at] ^= std::byte{1};
        CHECK(mount_ext4(disk, {}, why).error() == Error::corrupt);
        disk.bytes()[at] ^= std::byte{1};
    }
    CHECK(mount_ext4(disk, {}, why));
    // A leaf of a directory and an extent node: one bit in the middle of each.
    for (const auto& [base, length] : where) {
        if (base < 8192 || base < (table + 100) * usize{1024}) continue;
        disk.bytes()[base + 40] ^= std::byte{4};
        {
            auto fs = mount_ext4(disk, {}, why);
            bool failed = !fs;
            if (fs) {
                Vfs vfs;
                REQUIRE(vfs.mount("/", **fs));
                for (const char* name : {"/", "/many", "/d0", "/links"}) {
                    auto d = vfs.open_directory(name);
                    DirEntry e;
                    for (bool more = bool(d); more;) {
                        const auto r = d->next(e);
                        failed |= !r;
                        more = r && *r;
                    }
                    failed |= !d;
                }
                auto f = vfs.open("/pieces");
                std::vector<std::byte> all(1'400'000);
                failed |= !f || !f->read(all);
                failed |= !vfs.open("/d0/d1/..") && !vfs.stat("/d0/d1/..");
                const auto d1 = vfs.open_directory("/d0/d1");
                DirEntry e;
                u64 cookie = 0;
                failed |= !d1 || !d1->inode()->next_entry(cookie, e);
                const auto lost = vfs.open_directory("/lost+found");
                for (u64 c = 0; lost && c < lost->inode()->size();) {
                    const auto r = lost->inode()->next_entry(c, e);
                    if (!r) failed = true;
                    if (!r || !*r) break;
                }
            }
            INFO("block " << base / 1024);
            CHECK(failed);
        }
        disk.bytes()[base + 40] ^= std::byte{4};
    }
}

TEST_CASE("an entry that reaches beyond its block is damage, not the end of the directory") {
    const Scratch scratch;
    stdfs::create_directories(scratch.path / "tree");
    write_file(scratch.path / "tree/there", "x");
    make_image(scratch.path / "image", scratch.path / "tree", "-b 1024 -O ^metadata_csum", "4M");
    FakeDisk disk((scratch.path / "image").string());
    disk.synchronous = true;
    // The root's only block: "." and ".." are both inode 2.
    usize at = 0;
    const auto number = [&](usize offset) { return u32{*read_at<le32>(disk.bytes(), offset)}; };
    const auto length = [&](usize offset) { return u16{*read_at<le16>(disk.bytes(), offset + 4)}; };
    while (number(at) != 2 || length(at) != 12 || number(at + 12) != 2) at += 1024;
    usize last = at;
    while (last + length(last) != at + 1024) last += length(last);
    const le16 longer = static_cast<u16>(length(last) + 4);
    std::memcpy(disk.bytes().data() + last + 4, &longer, sizeof(longer));
    MountText why;
    auto fs = mount_ext4(disk, {}, why);
    REQUIRE(fs);
    const auto root = (*fs)->root();
    REQUIRE(root);
    CHECK((*root)->lookup("absent").error() == Error::corrupt);
}

TEST_CASE("unsupported features are refused by name") {
    const Scratch scratch;
    stdfs::create_directories(scratch.path / "tree");
    MountText why;
    make_image(scratch.path / "image", scratch.path / "tree", "-O encrypt", "4M");
    {
        FakeDisk disk((scratch.path / "image").string());
        CHECK(mount_ext4(disk, {}, why).error() == Error::unsupported);
        CHECK(why.view() == "unsupported feature: encrypt");
    }
    make_image(scratch.path / "image", scratch.path / "tree", "-O casefold", "4M");
    {
        FakeDisk disk((scratch.path / "image").string());
        CHECK(mount_ext4(disk, {}, why).error() == Error::unsupported);
        CHECK(why.view() == "unsupported feature: casefold");
    }
    make_image(scratch.path / "image", scratch.path / "tree", "-O ^metadata_csum", "4M");
    {
        FakeDisk disk((scratch.path / "image").string());
        disk.bytes()[1024 + 0x63] = std::byte{0x40};
        CHECK(mount_ext4(disk, {}, why).error() == Error::unsupported);
        CHECK(why.view() == "unsupported feature: incompat bit 40000000");
        disk.bytes()[1024 + 0x63] = std::byte{0};
        disk.bytes()[1024 + 0x60] |= std::byte{4};  // needs_recovery
        auto fs = mount_ext4(disk, {}, why);
        REQUIRE(fs);
        CHECK((*fs)->warning().starts_with("journal not replayed"));
    }
    FakeDisk empty(usize{1} << 20), tiny(usize{512});
    CHECK(mount_ext4(empty, {}, why).error() == Error::not_found);
    CHECK(mount_ext4(tiny, {}, why).error() == Error::not_found);
    CHECK_FALSE(*looks_like_ext4(empty));
}
