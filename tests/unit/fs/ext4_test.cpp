// ext4 against images that the reference tools make: every byte compared with the folder they were made of.
#include "fake_disk.hpp"
#include "fs/block_cache.hpp"
#include "fs/ext4/hash.hpp"
#include "image.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

void check_image(const std::string& options, const std::string& size = "24M", bool index = false, int many = 600) {
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
            for (const auto& e : stdfs::directory_iterator(tree / "many")) names.push_back(e.path().filename());
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

TEST_CASE("sparse, fragmented and large files; several threads at once; a cache far too small") {
    const Scratch scratch;
    const auto tree = scratch.path / "tree", image = scratch.path / "image";
    make_tree(tree, 21, 50);
    std::mt19937 random(5);
    {
        std::ofstream f(tree / "sparse", std::ios::binary);
        for (u64 at : {u64{0}, u64{5'000'000}, u64{50'000'001}, u64{99'999'000}}) {
            f.seekp(static_cast<std::streamoff>(at));
            f << random_text(random, 20'000);
        }
    }
    stdfs::resize_file(tree / "sparse", 104'857'600);
    for (int i = 0; i < 600; ++i) write_file(tree / ("gap" + std::to_string(i)), random_text(random, 1000));
    for (const char* options : {"-b 1024", "-b 1024 -O ^extent,^64bit"}) {
        INFO(options);
        make_image(image, tree, options, "24M");
        // Every second gap is freed; what is written then lies in hundreds of pieces.
        std::string commands;
        for (int i = 0; i < 600; i += 2) commands += "rm /gap" + std::to_string(i) + "\n";
        const std::string pieces = random_text(random, 1'500'000);
        write_file(scratch.path / "pieces", pieces);
        commands += "write " + (scratch.path / "pieces").string() + " pieces\n";
        write_file(scratch.path / "commands", commands);
        run("debugfs -w -f " + (scratch.path / "commands").string() + " " + image.string());
        run("e2fsck -fn " + image.string());
        FakeDisk disk(image.string(), 77);
        Mounted m(disk, 64 << 10);
        std::atomic<int> good{0};
        std::vector<std::thread> readers;
        for (int t = 0; t < 4; ++t)
            readers.emplace_back([&, t] {
                auto f = m.vfs.open("/pieces");
                if (!f) return;
                std::vector<std::byte> buffer(static_cast<usize>(1000 + 50'000 * t));
                std::string all;
                for (;;) {
                    const auto n = f->read(buffer);
                    if (!n || *n == 0) break;
                    all.append(reinterpret_cast<const char*>(buffer.data()), *n);
                }
                good += all == pieces ? 1 : 0;
            });
        for (auto& t : readers) t.join();
        CHECK(good == 4);
        {
            // Again in the piece that was read last: one look into the cache, none into its map.
            const auto looks = [&] {
                u64 found = 0;
                m.fs->for_each_value([&](std::string_view name, u64 n) { found += name == "hits" ? n : 0; });
                return found;
            };
            File f = *m.vfs.open("/pieces");
            std::byte byte[1];
            REQUIRE(f.read_at(1'200'000, byte) == 1);
            const u64 before = looks();
            REQUIRE(f.read_at(1'200'000, byte) == 1);
            CHECK(looks() - before == 1);
        }
        auto sparse = m.vfs.open("/sparse");
        REQUIRE(sparse);
        // The view without a copy shows the same bytes, block by block, holes included.
        const std::string expected = read_host(tree / "sparse");
        const bool same = read_all(*sparse, 1 << 20) == expected;
        CHECK(same);
        for (u64 at : {u64{0}, u64{4'999'990}, u64{5'000'001}, u64{50'000'000}, u64{104'857'599}}) {
            const auto view = sparse->map_at(at);
            REQUIRE(view);
            REQUIRE(!view->bytes().empty());
            CHECK(std::memcmp(view->bytes().data(), expected.data() + at, view->bytes().size()) == 0);
        }
        CHECK(sparse->map_at(104'857'600)->bytes().empty());
        // Small pieces, most of them in the run that was read last: around the edges of blocks, data and holes.
        for (int i = 0; i < 3000; ++i) {
            const u64 around[] = {20'000, 5'000'000, 5'020'000, 104'857'600};
            const u64 at = around[i / 100 % 4] - random() % 3000;
            std::string piece(1 + random() % 1500, 'x');
            const auto n = sparse->read_at(at, std::as_writable_bytes(std::span(piece)));
            REQUIRE(n);
            REQUIRE(piece.substr(0, *n) == expected.substr(at, piece.size()));
        }
    }
}

TEST_CASE("sequential reading makes few, large requests") {
    const Scratch scratch;
    std::mt19937 random(8);
    stdfs::create_directories(scratch.path / "tree");
    const std::string content = random_text(random, 8 << 20);
    write_file(scratch.path / "tree/large", content);
    make_image(scratch.path / "image", scratch.path / "tree", "-b 4096", "16M");
    FakeDisk disk((scratch.path / "image").string());
    Mounted m(disk, 4 << 20);
    auto f = m.vfs.open("/large");
    REQUIRE(f);
    const u64 before = disk.requests;
    CHECK(read_all(*f, 4096) == content);
    CHECK(disk.largest >= 128 << 10);
    CHECK(disk.requests - before < 120);
    CHECK(disk.bytes_read < (8 << 20) + 200'000);
    // A sender that cannot pass on a whole piece asks for the rest of it again: still sequential.
    {
        Mounted again(disk, 4 << 20);
        auto stuttering = again.vfs.open("/large");
        const u64 start = disk.requests;
        for (u64 at = 0; at < 8 << 20; at += 2048) CHECK_FALSE(stuttering->map_at(at)->bytes().empty());
        CHECK(disk.requests - start < 120);
    }
    // Reading at random fetches what was asked for.
    const u64 bytes = disk.bytes_read;
    auto g = m.vfs.open("/large");
    std::vector<std::byte> block(4096);
    for (u64 at : {u64{1} << 20, u64{3} << 20, u64{2} << 20}) CHECK(*g->read_at(at, block) == 4096);
    CHECK(disk.bytes_read - bytes <= 4 * 4096);  // and an extent block
}

TEST_CASE("a disk error is an error, and goes away with its cause") {
    const Scratch scratch;
    std::mt19937 random(8);
    stdfs::create_directories(scratch.path / "tree");
    const std::string content = random_text(random, 1 << 20);
    write_file(scratch.path / "tree/file", content);
    make_image(scratch.path / "image", scratch.path / "tree", "-b 1024", "8M");
    FakeDisk disk((scratch.path / "image").string());
    Mounted m(disk, 128 << 10);
    auto f = m.vfs.open("/file");
    REQUIRE(f);
    for (u64 sector = 0; sector < disk.sectors(); sector += 512) disk.break_sector(sector);
    std::vector<std::byte> buffer(1 << 20);
    CHECK(f->read_at(0, buffer).error() == Error::io);
    disk.repair();
    CHECK(*f->read_at(0, buffer) == content.size());
    CHECK(std::memcmp(buffer.data(), content.data(), content.size()) == 0);
    CHECK(m.vfs.open("/file", OpenMode::read_write).error() == Error::read_only);
    CHECK(m.vfs.open("/new", OpenMode::create).error() == Error::read_only);
    CHECK(m.vfs.unlink("/file").error() == Error::read_only);
    CHECK(m.vfs.create_directory("/d").error() == Error::read_only);
}
