// A filesystem in the image: what tools/pack_rootfs.py packs is what is read, and damage is an error.
#include "fs/packed_disk.hpp"

#include "fs/ext4/ext4.hpp"
#include "image.hpp"
#include "lib/crc32c.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

std::vector<std::byte> bytes_of_file(const stdfs::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto all = std::as_bytes(std::span(text));
    return {all.begin(), all.end()};
}

std::vector<std::byte> packed_tree(const Scratch& scratch) {
    make_tree(scratch.path / "tree", 7, 60);
    stdfs::create_directory(scratch.path / "tree" / "tmp");
    run(std::string(RINGLET_SOURCE_DIR "/tools/pack_rootfs.py ") + (scratch.path / "tree").string() + " " +
        (scratch.path / "packed").string());
    return bytes_of_file(scratch.path / "packed");
}

Result<std::vector<std::byte>> read(BlockDevice& disk, u64 lba, usize bytes) {
    std::vector<std::byte> to(bytes);
    const IoSegment segments[] = {{std::span(to).first(bytes / 2), {}}, {std::span(to).subspan(bytes / 2), {}}};
    BlockRequest r;
    r.lba = Lba(lba);
    r.data = segments;
    TRY(disk.run(r));
    return to;
}

void reseal(std::vector<std::byte>& packed) {
    PackedHeader header;
    std::memcpy(&header, packed.data(), sizeof header);
    const u32 crc = crc32c(~0u, std::span(packed).first(offsetof(PackedHeader, index_crc32c)));
    header.index_crc32c = ~crc32c(crc, std::span(packed).subspan(sizeof header, (header.chunks + 1) * 8));
    std::memcpy(packed.data(), &header, sizeof header);
}

}  // namespace

TEST_CASE("a packed tree is mounted and holds what was packed") {
    const Scratch scratch;
    const auto packed = packed_tree(scratch);
    auto disk = PackedDisk::open("rom", packed);
    REQUIRE(disk);
    CHECK((*disk)->read_only());
    MountText why;
    const auto filesystem = mount_ext4(**disk, {.cache_bytes = 256_KiB}, why);
    INFO(why.view());
    REQUIRE(filesystem);
    Vfs vfs;
    REQUIRE(vfs.mount("/", **filesystem));
    CHECK(compare(vfs, scratch.path / "tree", "/") > 100);
}

TEST_CASE("requests of a packed disk: any length, across chunks, and those it cannot serve") {
    const Scratch scratch;
    const auto packed = packed_tree(scratch);
    auto opened = PackedDisk::open("rom", packed);
    REQUIRE(opened);
    PackedDisk& disk = **opened;
    const auto whole = read(disk, 0, disk.sectors() * 512);
    REQUIRE(whole);
    std::mt19937 random(3);
    for (int i = 0; i < 300; ++i) {
        const u64 lba = random() % disk.sectors();
        const usize n = (1 + random() % std::min<u64>(200, disk.sectors() - lba)) * 512;
        const auto got = read(disk, lba, n);
        REQUIRE(got);
        REQUIRE(std::ranges::equal(*got, std::span(*whole).subspan(lba * 512, n)));
    }
    CHECK(read(disk, disk.sectors(), 512).error() == Error::invalid);
    CHECK(read(disk, ~u64{0}, 512).error() == Error::invalid);
    CHECK(read(disk, 0, 100).error() == Error::invalid);
    CHECK(disk.run(BlockRequest::Op::flush, Lba(0), 0));
    BlockRequest write;
    write.op = BlockRequest::Op::write;
    CHECK(disk.run(write).error() == Error::read_only);
}

TEST_CASE("a damaged packed disk is an error, whatever the damage") {
    const Scratch scratch;
    const auto good = packed_tree(scratch);
    auto intact = PackedDisk::open("rom", good);
    REQUIRE(intact);
    const auto whole = read(**intact, 0, (*intact)->sectors() * 512);
    REQUIRE(whole);
    std::mt19937 random(11);
    const auto all = std::span(good);
    for (usize cut : {usize{0}, usize{31}, usize{32}, usize{40}, good.size() / 2})
        if (auto disk = PackedDisk::open("rom", all.first(cut))) CHECK(!read(**disk, 0, (*disk)->sectors() * 512));
    usize opened = 0;
    for (int i = 0; i < 400; ++i) {
        auto bad = good;
        const usize near = i % 2 == 0 ? 512 : bad.size();
        for (u32 k = 0; k <= random() % 3; ++k) bad[random() % near] ^= std::byte(1 << random() % 8);
        if (bad == good) continue;
        if (i % 4 == 0 && std::memcmp(bad.data() + 16, good.data() + 16, 8) == 0) reseal(bad);
        auto disk = PackedDisk::open("rom", bad);
        if (!disk) continue;
        ++opened;
        // What is read at all is what was packed: each chunk has its own checksum.
        for (u64 lba = 0; lba + 64 <= (*disk)->sectors(); lba += 64) {
            const auto got = read(**disk, lba, 64 * 512);
            if (got) CHECK(std::ranges::equal(*got, std::span(*whole).subspan(lba * 512, 64 * 512)));
        }
    }
    CHECK(opened > 50);
}
