// Partition tables as sfdisk writes them, and as nobody should.
#include "fs/partition.hpp"

#include "fake_disk.hpp"
#include "image.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/crc32.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

void make_table(const stdfs::path& image, const std::string& script) {
    write_file(image.string() + ".sfdisk", script);
    run("truncate -s 24M " + image.string() + " && sfdisk " + image.string() + " < " + image.string() + ".sfdisk");
}

void poke(FakeDisk& disk, usize at, u32 value, usize width) {
    std::memcpy(disk.bytes().data() + at, &value, width);
}

}  // namespace

TEST_CASE("an ext4 image inside GPT and MBR partitions") {
    const Scratch scratch;
    make_tree(scratch.path / "tree", 3, 20);
    make_image(scratch.path / "part", scratch.path / "tree", "", "16M");
    struct Case {
        const char* script;
        usize row;
        TableKind kind;
        const char* name;
    };
    for (const Case& c :
         {Case{"label: gpt\nstart=2048,size=2048\nstart=8192,size=32768\n", 1, TableKind::gpt, "vda2"},
          Case{"label: dos\nstart=2048,size=2048,type=82\nstart=8192,size=32768,type=83\n", 1, TableKind::mbr, "vda2"},
          Case{"label: dos\nstart=2048,size=2048,type=82\nstart=5120,size=40000,type=5\n"
               "start=6144,size=1024,type=82\nstart=10240,size=32768,type=83\n",
               2, TableKind::mbr, "vda6"}}) {
        INFO(c.script);
        const auto image = scratch.path / "disk";
        stdfs::remove(image);
        make_table(image, c.script);
        const usize start = std::string(c.script).find("10240") != std::string::npos ? 10240 : 8192;
        run("dd if=" + (scratch.path / "part").string() + " of=" + image.string() +
            " bs=512 conv=notrunc seek=" + std::to_string(start));
        FakeDisk disk(image.string());
        const auto table = read_partition_table(disk);
        REQUIRE(table);
        CHECK(table->kind == c.kind);
        REQUIRE(table->rows.size() > c.row);
        Partition p = open_partition(disk, table->rows[c.row]);
        CHECK(p.name() == c.name);
        CHECK(p.sectors() == 32768);
        CHECK(*looks_like_ext4(p));
        Mounted m(p);
        CHECK(compare(m.vfs, scratch.path / "tree", "/") > 20);
        CHECK_FALSE(*looks_like_ext4(disk));
    }
    FakeDisk whole((scratch.path / "part").string());
    CHECK(read_partition_table(whole)->kind == TableKind::none);
}

TEST_CASE("GPT: the backup serves when the primary is damaged; a lie in both is an error") {
    const Scratch scratch;
    const auto image = scratch.path / "disk";
    make_table(image, "label: gpt\nstart=2048,size=2048\nstart=8192,size=32768\n");
    FakeDisk disk(image.string());
    CHECK_FALSE(read_partition_table(disk)->from_backup);
    for (usize at : {usize{512 + 24}, usize{512 + 16}, usize{512}, usize{1024 + 40}}) {
        disk.bytes()[at] ^= std::byte{1};
        const auto table = read_partition_table(disk);
        REQUIRE(table);
        CHECK(table->from_backup);
        CHECK(table->rows.size() == 2);
        disk.bytes()[at] ^= std::byte{1};
    }
    disk.bytes()[512 + 40] ^= std::byte{1};
    disk.bytes()[disk.bytes().size() - 512 + 40] ^= std::byte{1};
    CHECK(read_partition_table(disk).error() == Error::corrupt);
    disk.bytes()[512 + 40] ^= std::byte{1};
    disk.bytes()[disk.bytes().size() - 512 + 40] ^= std::byte{1};

    // Right checksums, wrong contents: every field of header and first entry at its edges, in both copies'
    // place.
    std::memset(disk.bytes().data() + disk.bytes().size() - 512, 0, 512);
    auto repair = [&] {
        const Bytes all = disk.bytes();
        poke(disk, 512 + 88, crc32(0, all.subspan(1024, 128 * 128)), 4);
        poke(disk, 512 + 16, 0, 4);
        poke(disk, 512 + 16, crc32(0, all.subspan(512, 92)), 4);
    };
    repair();
    REQUIRE(read_partition_table(disk));
    for (usize at = 512; at < 1024 + 128; at == 512 + 88 ? at = 1024 : at += 4)
        for (u32 value : {0u, ~0u, 1u, 0x8000'0000u, 0x7fff'ffffu}) {
            std::byte saved[4];
            std::memcpy(saved, disk.bytes().data() + at, 4);
            poke(disk, at, value, 4);
            repair();
            const auto table = read_partition_table(disk);
            if (table)
                for (const auto& row : table->rows) REQUIRE(row.first.raw + row.sectors <= disk.sectors());
            std::memcpy(disk.bytes().data() + at, saved, 4);
        }
    repair();
    poke(disk, 1024 + 128 + 32, 2100, 4);  // the second partition begins inside the first
    repair();
    CHECK(read_partition_table(disk).error() == Error::corrupt);
}

TEST_CASE("MBR: lying rows and chains that go nowhere") {
    const Scratch scratch;
    const auto image = scratch.path / "disk";
    make_table(image, "label: dos\nstart=2048,size=40000,type=5\nstart=4096,size=1024,type=83\n"
                      "start=8192,size=1024,type=83\n");
    FakeDisk disk(image.string());
    REQUIRE(read_partition_table(disk)->rows.size() == 2);
    const usize second = 2048 * 512 + 446 + 16;  // the link of the first extended record
    u32 link;
    std::memcpy(&link, disk.bytes().data() + second + 8, 4);
    for (u32 value : {0u, ~0u, 1u, 39999u, 0x8000'0000u}) {
        poke(disk, second + 8, value, 4);
        CHECK(read_partition_table(disk).error() == Error::corrupt);
    }
    poke(disk, second + 8, link, 4);
    REQUIRE(read_partition_table(disk));
    poke(disk, 446 + 8, 0xffff'0000, 4);
    CHECK(read_partition_table(disk).error() == Error::corrupt);
    std::mt19937 random(4);
    for (int step = 0; step < 2000; ++step) {
        INFO(step);
        const usize base = step % 2 == 0 ? 446 : 2048 * 512 + 446;
        std::byte saved[64];
        std::memcpy(saved, disk.bytes().data() + base, 64);
        for (int i = 0; i < 3; ++i) disk.bytes()[base + random() % 64] = static_cast<std::byte>(random());
        const auto table = read_partition_table(disk);
        if (table)
            for (const auto& row : table->rows) REQUIRE(row.first.raw + row.sectors <= disk.sectors());
        std::memcpy(disk.bytes().data() + base, saved, 64);
    }
}

TEST_CASE("a partition's bounds hold") {
    FakeDisk disk(usize{1} << 20);
    Partition p(disk, 1, Lba(100), 50);
    auto memory = *kernel::DmaRegion::allocate(4096);
    const IoSegment segment{memory.bytes().first(1024), memory.addr()};
    BlockRequest r;
    r.data = {&segment, 1};
    r.lba = Lba(48);
    CHECK(p.run(r));
    for (u64 lba : {u64{49}, u64{50}, u64{51}, ~u64{0}}) {
        r.lba = Lba(lba);
        CHECK(p.run(r).error() == Error::invalid);
    }
}

TEST_CASE("a range is split at the device's limits and stays inside its partition") {
    FakeDisk disk(usize{1} << 20);
    Partition p(disk, 1, Lba(100), 300);
    using Op = BlockRequest::Op;
    for (const Op op : {Op::discard, Op::write_zeroes, Op::secure_erase}) {
        std::memset(disk.bytes().data(), 0x55, disk.bytes().size());
        disk.requests = 0;
        REQUIRE(p.run(op, Lba(1), 298));
        CHECK(disk.requests == 3);
        for (usize s = 0; s < 2048; ++s) REQUIRE(disk.bytes()[s * 512] == std::byte(s >= 101 && s < 399 ? 0 : 0x55));
        CHECK(p.run(op, Lba(1), 300).error() == Error::invalid);
        CHECK(p.run(op, Lba(301), 1).error() == Error::invalid);
        CHECK(p.run(op, Lba(5), 0));
        REQUIRE(disk.bytes()[400 * 512] == std::byte{0x55});
    }
    CHECK(p.run(Op::flush, Lba(~u64{0}), ~u64{0}));
    CHECK(p.run(Op::read, Lba(0), 1).error() == Error::invalid);
    disk.limits_.max_discard_bytes = 0;
    CHECK(p.run(Op::discard, Lba(0), 1).error() == Error::unsupported);
}
