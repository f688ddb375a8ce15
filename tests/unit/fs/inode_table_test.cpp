// Names that are remembered (fs/ext4/inode_table.hpp) must be forgotten when they change.
#include "fake_disk.hpp"
#include "fs/vfs.hpp"
#include "image.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

TEST_CASE("a name that went or means something else is not remembered") {
    const Scratch s;
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", "-b 4096", "64M");
    FakeDisk disk((s.path / "image").string());
    disk.writable = true;
    MountText why;
    auto mounted = mount_ext4(disk, {.cache_bytes = 1 << 20, .writable = true}, why);
    REQUIRE(mounted);
    Vfs vfs;
    REQUIRE(vfs.mount("/", **mounted));
    const auto inode = [&](std::string_view path) {
        const auto found = vfs.stat(path);
        return found ? found->inode : 0;
    };
    for (const auto* path : {"/a", "/b", "/c"}) REQUIRE(vfs.open(path, OpenMode::create));
    REQUIRE(vfs.link("/b", "/b2"));  // so that what /b was lives on
    const u64 a = inode("/a"), b = inode("/b");
    CHECK(inode("/b2") == b);
    CHECK(inode("/b") == b);

    REQUIRE(vfs.rename("/a", "/b"));
    CHECK(inode("/a") == 0);
    CHECK(inode("/b") == a);
    CHECK(inode("/b2") == b);

    REQUIRE(vfs.unlink("/b2"));
    CHECK(inode("/b2") == 0);
    const auto open = vfs.open("/c");  // kept alive without its name
    REQUIRE(vfs.unlink("/c"));
    CHECK(inode("/c") == 0);

    REQUIRE(vfs.create_directory("/d"));
    REQUIRE(vfs.open("/d/x", OpenMode::create));
    const u64 x = inode("/d/x");
    REQUIRE(vfs.rename("/d", "/e"));
    CHECK(inode("/d/x") == 0);
    CHECK(inode("/e/x") == x);
    REQUIRE(vfs.unlink("/e/x"));
    REQUIRE(vfs.remove_directory("/e"));
    CHECK(inode("/e") == 0);
    CHECK(inode("/e/x") == 0);
}
