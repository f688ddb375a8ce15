// ext4 against images that the reference tools make: every byte compared with the folder they were made of.
#include "fake_disk.hpp"
#include "fs/block_cache.hpp"
#include "fs/ext4/hash.hpp"
#include "image.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

void check_image(const std::string& options, const std::string& size = "24M", bool index = false,
                 int many = 600) {
    INFO(options);
    const Scratch scratch;
    make_tree(scratch.path / "tree", 7, many);
    make_image(scratch.path / "image", scratch.path / "tree", options, size);
    if (index) run("e2fsck -fyD " + (scratch.path / "image").string());
    FakeDisk disk((scratch.path / "image").string());
    Mounted m(disk);
    REQUIRE(compare(m.vfs, scratch.path / "tree", "/") > static_cast<usize>(many));
    REQUIRE(m.vfs.stat("/links/absolute")->size == 1025);
    REQUIRE(m.vfs.stat("/links/up/links/up/sizes/4097")->size == 4097);
    REQUIRE(m.vfs.stat("/links/loop").error() == Error::too_many_links);
    REQUIRE(m.vfs.stat("/many/none").error() == Error::not_found);
    REQUIRE(m.fs->warning().empty());
}

}  // namespace

TEST_CASE("stock images of every block size") {
    check_image("");
    check_image("-b 1024");
    check_image("-b 2048");
    check_image("-b 4096");
}

TEST_CASE("feature variations") {
    check_image("-O ^64bit");
    check_image("-O ^metadata_csum");
    check_image("-O ^metadata_csum,uninit_bg");
    check_image("-O ^metadata_csum,^64bit,^extent -b 1024");
    check_image("-O ^extent,^64bit");
    check_image("-O ^dir_index");
    check_image("-O ^filetype");
    check_image("-O ^flex_bg");
    check_image("-O ^flex_bg,meta_bg,^resize_inode -b 1024", "40M");
    check_image("-O metadata_csum_seed");
    check_image("-O ^has_journal");
    check_image("-O sparse_super2");
    check_image("-O bigalloc -C 16384", "40M");
    check_image("-I 128 -O ^metadata_csum");
    check_image("-I 512");
    check_image("-t ext2");
    check_image("-t ext3");
}

TEST_CASE("inline data") {
    check_image("-O inline_data -I 256");
    check_image("-O inline_data -I 1024 -b 1024");
}

TEST_CASE("name hashes agree with the reference's index") {
    // A directory that e2fsck has indexed; looking up each name, the index must lead to it: the number of
    // requests of a cold lookup shows that no scan happened.
    const Scratch scratch;
    const auto tree = scratch.path / "tree", image = scratch.path / "image";
    make_tree(tree, 9, 3000);
    for (const char* hash : {"half_md4", "tea", "legacy"}) {
        for (const char* sign : {"", "-O ^metadata_csum"}) {
            if (*sign != 0 && std::string(hash) != "tea") continue;
            INFO(hash << " " << sign);
            make_image(image, tree, std::string("-b 1024 ") + sign, "32M");
            run("tune2fs -E hash_alg=" + std::string(hash) + " " + image.string());
            run("e2fsck -fyD " + image.string());
            FakeDisk disk(image.string());
            Mounted m(disk, 128 << 10);
            const auto many = m.vfs.resolve("/many");
            REQUIRE(many);
            REQUIRE((*many)->size() > 100'000);
            std::vector<std::string> names;
            for (const auto& e : stdfs::directory_iterator(tree / "many"))
                names.push_back(e.path().filename());
            std::mt19937 random(3);
            std::shuffle(names.begin(), names.end(), random);
            names.resize(300);
            const u64 before = disk.requests;
            for (const auto& name : names) REQUIRE((*many)->lookup(name));
            for (int i = 0; i < 50; ++i)
                REQUIRE((*many)->lookup("absent" + std::to_string(i)).error() == Error::not_found);
            const u64 spent = disk.requests - before;
            INFO(spent);
            REQUIRE(spent < 350 * 6);
        }
    }
}
