// The check of ext4 against e2fsck: what it calls clean is clean for us too, and what we break on purpose is found by
// both.
#include "fs/ext4/check.hpp"

#include <cstdio>
#include <cstdlib>

#include "fake_disk.hpp"
#include "image.hpp"
#include "lib/crc32c.hpp"
#include "lib/endian.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;

namespace {

struct Checked {
    Result<CheckReport> report = fail(Error::invalid);
    std::vector<std::string> lines;
    std::string text() const {
        std::string all;
        for (const std::string& l : lines) all += l + "\n";
        return all;
    }
    bool is_clean() const { return report && report->is_clean(); }
};

Checked check(BlockDevice& disk, const CheckOptions& options = {.max_lines = 1000}) {
    Checked c;
    c.report = check_ext4(disk, options, [&](std::string_view line) { c.lines.emplace_back(line); });
    return c;
}

Checked check(const stdfs::path& image) {
    FakeDisk disk(image.string());
    disk.synchronous = true;
    return check(disk);
}

/// Whether `e2fsck -fn` has nothing to say. Wrong totals and descriptors' checksums do not show in its status.
bool e2fsck_is_clean(const stdfs::path& image) {
    const std::string log = image.string() + ".log";
    const int status =
        std::system(("PATH=$PATH:/usr/sbin:/sbin e2fsck -fn " + image.string() + " >" + log + " 2>&1").c_str());
    return WEXITSTATUS(status) == 0 && read_host(log).find("? no") == std::string::npos;
}

void debugfs(const stdfs::path& image, const std::string& commands) {
    const stdfs::path file = image.string() + ".commands";
    write_file(file, commands + "\n");
    run("debugfs -w -f " + file.string() + " " + image.string());
}

/// A tree on an image, with indexes, a file in pieces, attributes in and behind the inodes.
void make_checked_image(const stdfs::path& scratch, const stdfs::path& image, const std::string& options,
                        const std::string& size) {
    const stdfs::path tree = scratch / "tree";
    if (!stdfs::exists(tree)) make_tree(tree, 7, 500);
    make_image(image, tree, options, size);
    std::string commands;
    for (int i = 0; i < 500; i += 7) {
        std::string name = "file-" + std::to_string(i) + "-" + std::string(static_cast<usize>(i) % 60, 'n');
        commands += "ea_set /many/" + name + "-\xc3\xa4\xff user.small value\n";
        if (i % 3 == 0) commands += "ea_set /many/" + name + "-\xc3\xa4\xff user.large " + std::string(600, 'v') + "\n";
    }
    for (int i = 1; i < 500; i += 6)
        commands += "rm /many/file-" + std::to_string(i) + "-" + std::string(static_cast<usize>(i) % 60, 'n') + "\n";
    commands += "write " + (tree / "sizes/1500000").string() + " pieces\nmknod pipe p\nmknod tty c 4 1\n";
    commands += "ln /sizes/100 hard\nsif /sizes/100 links_count 2\n";
    debugfs(image, commands);
    run("e2fsck -fyD " + image.string());
}

}  // namespace

TEST_CASE("what mke2fs and e2fsck make is clean") {
    const Scratch scratch;
    const stdfs::path image = scratch.path / "image";
    const auto [options, size] = GENERATE(table<const char*, const char*>({
        {"", "24M"},
        {"-b 1024", "24M"},
        {"-b 2048 -O ^metadata_csum,uninit_bg", "24M"},
        {"-t ext2", "24M"},
        {"-t ext3 -b 1024", "32M"},
        {"-O ^has_journal,^64bit,^huge_file,^dir_nlink", "24M"},
        {"-b 1024 -O meta_bg,^resize_inode", "24M"},
        {"-b 1024 -O sparse_super2,^resize_inode -E num_backup_sb=2 -g 1024", "24M"},
        {"-b 1024 -g 2048 -O ^flex_bg", "24M"},
        {"-b 1024 -g 1024 -G 4", "24M"},
        {"-O inline_data -I 512", "24M"},
        {"-O inline_data -b 1024", "24M"},
        {"-O orphan_file,metadata_csum_seed,large_dir", "24M"},
        {"-O quota,project,mmp", "24M"},
        {"-O ea_inode -b 1024", "24M"},
        {"-O ^extent,^64bit,^dir_index", "24M"},
        {"-O ^filetype -I 128", "24M"},
        {"-b 65536", "96M"},
        {"-b 65536 -O ^extent,^64bit,^metadata_csum", "96M"},
    }));
    INFO(options);
    make_checked_image(scratch.path, image, options, size);
    REQUIRE(e2fsck_is_clean(image));
    const Checked c = check(image);
    INFO(c.text());
    REQUIRE(c.report);
    CHECK(c.is_clean());
    CHECK(c.lines.empty());
    CHECK(c.report->directories >= 45);
    CHECK(c.report->inodes > c.report->directories + 420);
    CHECK(c.report->blocks > 4'000'000 / 65536);
}

namespace {

/// One image that is broken again and again: each time a fresh copy.
struct Patient {
    explicit Patient(const std::string& options) {
        const std::string id = "00112233-4455-6677-8899-aabbccddeeff";  // the same in every run
        make_checked_image(scratch.path, base, options + " -U " + id + " -E hash_seed=" + id, "12M");
        REQUIRE(e2fsck_is_clean(base));
        REQUIRE(check(base).is_clean());
    }
    void restore() { stdfs::copy_file(base, image, stdfs::copy_options::overwrite_existing); }
    std::string ask(const std::string& command) const {
        const std::string line =
            "PATH=$PATH:/usr/sbin:/sbin debugfs -R '" + command + "' " + base.string() + " 2>/dev/null";
        std::FILE* const pipe = ::popen(line.c_str(), "r");
        std::string said;
        for (int c; (c = std::fgetc(pipe)) != EOF;) said += static_cast<char>(c);
        ::pclose(pipe);
        while (!said.empty() && said.back() == '\n') said.pop_back();
        return said;
    }
    /// The block of the disk that is block `logical` of `path`.
    usize block(const std::string& path, int logical = 0) const {
        return std::stoul(ask("bmap " + path + " " + std::to_string(logical)));
    }
    /// Writes `bytes` at `offset` of block `number`.
    void poke(usize number, usize offset, std::string_view bytes) const {
        std::fstream f(image, std::ios::in | std::ios::out | std::ios::binary);
        f.seekp(static_cast<std::streamoff>(number * 1024 + offset));
        f.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    }
    std::string peek(usize number, usize offset, usize length) const {
        std::ifstream f(image, std::ios::binary);
        std::string bytes(length, '\0');
        f.seekg(static_cast<std::streamoff>(number * 1024 + offset));
        f.read(bytes.data(), static_cast<std::streamsize>(length));
        return bytes;
    }
    /// Inverts a bit.
    void flip(usize number, usize offset) const {
        std::string byte = peek(number, offset, 1);
        byte[0] = static_cast<char>(byte[0] ^ 4);
        poke(number, offset, byte);
    }
    /// Both e2fsck and we find something, and ours is, among others, `expected`.
    void diagnose(const std::string& expected) const {
        CHECK_FALSE(e2fsck_is_clean(image));
        const Checked c = check(image);
        INFO(c.text());
        REQUIRE(c.report);
        CHECK(c.report->problems >= 1);
        CHECK(c.text().find(expected) != std::string::npos);
    }

    const Scratch scratch;
    const stdfs::path base = scratch.path / "base", image = scratch.path / "image";
};

struct Case {
    const char *commands, *expected;
};

void break_with_debugfs(Patient& patient, std::span<const Case> cases) {
    for (const Case& c : cases) {
        INFO(c.commands);
        patient.restore();
        debugfs(patient.image, c.commands);
        patient.diagnose(c.expected);
    }
}

}  // namespace

TEST_CASE("inconsistencies that debugfs makes are found") {
    Patient patient("-b 1024 -N 1024");
    const std::string twice = std::to_string(patient.block("/sizes/1025", 1));
    const std::string steal = "sif /sizes/1024 block[5] " + twice;
    const std::string stolen = ": block " + twice + " is used twice";
    const std::string release = "freeb " + twice, released = "block " + twice + " is in use, but marked as free";
    const std::string inode = std::to_string(std::stoul(patient.ask("stat /sizes/100").substr(7)));
    const std::string unseen = "inode " + inode + " is in use, but marked as free";
    const std::string nowhere = "inode " + inode + ": in use, but no directory has it";
    const Case cases[] = {
        {"sif /sizes/100 links_count 5", ": a count of 5 links, 2 found"},
        {"sif /sizes/100 dtime 12345", ": in use, but it has a time of deletion"},
        {"sif /sizes/100 mode 0030644", ": mode 31a4 is of no type"},
        {"sif /sizes/65536 size 10", ": 10 bytes, but blocks up to 64"},
        {"sif /sizes/4096 blocks 100", ": a count of 100 sectors, 8 found"},
        {"sif /empty size 100", ": a directory of 100 bytes, 1 blocks"},
        {"sif /empty flags 0x80800", ": encrypted or case-folded, without the feature"},
        {"sif /links/fast59 size 58", ": a link whose target does not have 58 bytes"},
        {"sif /links/slow900 size 800", ": a link whose target does not have 800 bytes"},
        {"sif pipe size 7", ": a special file with contents"},
        {"sif /sizes/100 flags 0x10080000", ": both extents and inline data"},
        {"sif /sizes/100 flags 0x81000", ": it cannot have an index"},
        {"sif /sizes/100 extra_isize 5", ": 5 extra bytes"},
        {"sif /sizes/100 file_acl 3000000", ": block 3000000 for attributes does not exist"},
        {steal.c_str(), stolen.c_str()},
        {"sif /sizes/1024 block[5] 3000000", ": 1 blocks from 3000000 on do not exist"},
        {"sif /sizes/1024 block[4] 0", ": 0 blocks from"},
        {"sif /sizes/1024 block[1] 0x00060004", ": an extent tree of depth 6"},
        {"sif /sizes/1024 block[0] 0xf30b", ": a node of its extent tree cannot be right"},
        {"sif /sizes/1024 block[3] 70", ": 1024 bytes, but blocks up to 71"},
        {"sif <7> block[DIND] 0", "inode 7: "},
        {"sif <8> mode 0", "journal: inode 8 is not a file"},
        {"sif <2> mode 0100644", "inode 2: the root is not a directory"},
        {"unlink /sizes/150", ": in use, but no directory has it"},
        {"unlink /hard\nunlink /sizes/100", nowhere.c_str()},
        {"unlink /empty", ": no directory has it"},
        {"ln /sizes/150 /empty/x", ": a count of 1 links, 2 found"},
        {"ln /links /empty/x", ": it is in "},
        {"ln /d0 /d0/d1/x\nunlink /d0", ": it lies inside itself"},
        {"clri /sizes/150", " which is none in use"},
        {release.c_str(), released.c_str()},
        {"setb 10000", "block 10000 is free, but marked as in use"},
        {"freei /sizes/100", unseen.c_str()},
        {"seti <1000>", "inode 1000 is free, but marked as in use"},
        {"ssv free_blocks_count 5", "superblock: a count of 5 free blocks"},
        {"ssv free_inodes_count 5", "superblock: a count of 5 free inodes"},
        {"set_bg 0 free_blocks_count 3\nset_bg 0 checksum calc", "group 0: the number of free blocks is 3"},
        {"set_bg 0 free_inodes_count 3\nset_bg 0 checksum calc", "group 0: the number of free inodes is 3"},
        {"set_bg 0 used_dirs_count 3\nset_bg 0 checksum calc", "group 0: the number of directories is 3"},
        {"set_bg 0 checksum 1", "group 0: the descriptor's checksum is wrong"},
        {"set_bg 1 itable_unused 60000\nset_bg 1 checksum calc", "group 1: 60000 unused inodes of"},
        {"set_bg 1 inode_table 3000000\nset_bg 1 checksum calc", "group 1: bitmaps at "},
        {"set_bg 0 inode_bitmap 5\nset_bg 0 checksum calc", "group 0: in the inode bitmap, block 5 is used twice"},
        {"ssv r_blocks_count 9999", "superblock: 9999 blocks are reserved"},
    };
    break_with_debugfs(patient, cases);
    // e2fsck, told to change nothing, does not look at the list.
    patient.restore();
    debugfs(patient.image, "ssv last_orphan 5");
    CHECK(check(patient.image).text() == "orphan list: inode 5 cannot follow\n");
    // What is in the journal only cannot be judged.
    patient.restore();
    debugfs(patient.image, "feature needs_recovery");
    const Checked c = check(patient.image);
    REQUIRE(c.report);
    CHECK((c.report->needs_recovery && !c.is_clean() && c.lines.empty()));
}

TEST_CASE("one bit in anything with a checksum is found") {
    Patient patient("-b 1024 -N 1024");
    const auto number_behind = [&](const std::string& command, const std::string& text) {
        const std::string said = patient.ask(command);
        INFO(command << ": " << said);
        REQUIRE(said.find(text) != said.npos);
        return std::stoul(said.substr(said.find(text) + text.size()));
    };
    const struct {
        usize block, at;
        std::string expected;
    } bits[] = {
        {1, 0x88, "bad superblock checksum"},
        {2, 12, "group 0: the descriptor's checksum is wrong"},
        {number_behind("imap <2>", "at block "), 0x100 + 0x10, "inode 2: its checksum is wrong"},
        {patient.block("/sizes"), 1023, "the checksum of block 0 is wrong"},
        {patient.block("/many"), 1023, "the checksum of block 0 of its index is wrong"},
        {patient.block("/many", 1), 1023, "the checksum of block 1 is wrong"},
        {number_behind("ex /pieces", "0/ 1   1/  1     0 -  1464 "), 1023, "of its extent tree is wrong"},
        {number_behind("stat /many/file-0--\xc3\xa4\xff", "File ACL: "), 40, "attributes: block "},
        {number_behind("stats", "block bitmap at "), 1000, "the checksum of the block bitmap is wrong"},
        {number_behind("stats", "inode bitmap at "), 1, "the checksum of the inode bitmap is wrong"},
    };
    for (const auto& b : bits) {
        INFO(b.block << " " << b.at << " " << b.expected);
        patient.restore();
        patient.flip(b.block, b.at);
        patient.diagnose(b.expected);
    }
}

namespace {

std::string word(u32 v) {
    return {reinterpret_cast<const char*>(&v), 4};
}

/// Where the entry `name` begins in a block of entries.
usize entry_at(const std::string& block, std::string_view name) {
    for (usize at = 0; at < block.size();) {
        const usize length = static_cast<u8>(block[at + 6]);
        if (std::string_view(block).substr(at + 8, length) == name) return at;
        at += static_cast<u8>(block[at + 4]) | usize{static_cast<u8>(block[at + 5])} << 8;
    }
    FAIL(name << " is not there");
    return 0;
}

constexpr const char* kPlain = "-b 1024 -N 1024 -O ^metadata_csum,^64bit,^extent,^uninit_bg";

}  // namespace

TEST_CASE("what is wrong in directories is found") {
    Patient patient(kPlain);
    patient.restore();
    const usize empty = patient.block("/empty"), links = patient.block("/links"), sizes = patient.block("/sizes"),
                many = patient.block("/many");
    const std::string names = patient.peek(sizes, 0, 1024), index = patient.peek(many, 0, 1024);
    const std::string hash2 = index.substr(48, 4);
    const auto count = static_cast<u8>(index[34]);
    const std::string last =
        "block " + std::to_string(static_cast<u8>(index[32 + (count - 1) * 8 + 4])) + " is not in its index";
    const struct {
        usize block, at;
        std::string bytes, expected;
    } pokes[] = {
        {empty, 0, word(11), ": its '.' is inode 11"},
        {empty, 8, "x", ": it has no '.'"},
        {empty, 7, "\1", ": its '.' has type 1"},
        {empty, 12, word(11), ": its '..' is inode 11, but it is in 2"},
        {empty, 20, "x", ": it has no '..'"},
        {empty, 4, std::string("\0\4", 2), ": it has no '..'"},
        {empty, 16, std::string("\0\0", 2), ": the entry at 12 of block 0 cannot be right"},
        {empty, 16, "\xf6\3", ": the entry at 12 of block 0 cannot be right"},
        {links, entry_at(patient.peek(links, 0, 1024), "short") + 7, "\1", ": 'short' has type 1, its inode"},
        {links, entry_at(patient.peek(links, 0, 1024), "short") + 8, "a/b", "'a/brt' is no name"},
        {links, entry_at(patient.peek(links, 0, 1024), "short"), word(5), "'short' is inode 5, which is none in use"},
        {links, entry_at(patient.peek(links, 0, 1024), "short"), word(2), "'short' is inode 2, which is none in use"},
        {sizes, entry_at(names, "1024") + 8, "1023", ": '1023' is in block 0 twice"},
        {sizes, entry_at(names, "60") + 8, "..", "'..' is no name"},
        {many, 30, "\3", ": the root of its index cannot be right"},
        {many, 28, "\7", ": the root of its index cannot be right"},
        {many, 34, std::string("\0\0", 2), ": block 0 of its index has 0 entries of"},
        {many, 32, "\6", ": block 0 of its index has"},
        {many, 40, hash2 + index.substr(44, 4) + index.substr(40, 4), ": block 0 of its index is not in order"},
        {many, 44, index.substr(52, 4), ": its index leads to block"},
        {many, 44, word(500), ": its index leads to block 500"},
        {many, 44, word(0), ": its index leads to block 0"},
        {many, 40, word(*reinterpret_cast<const u32*>(hash2.data()) - 2), ": by its hash, 'file-"},
        {many, 34, std::string(1, static_cast<char>(count - 1)), last},
    };
    for (const auto& p : pokes) {
        INFO(p.block << " " << p.at << " " << p.expected);
        patient.restore();
        patient.poke(p.block, p.at, p.bytes);
        patient.diagnose(p.expected);
    }
}

TEST_CASE("what is wrong in block maps, attributes and bitmaps is found") {
    Patient patient(kPlain);
    patient.restore();
    const std::string name = "/many/file-0--\xc3\xa4\xff";
    const auto number_behind = [&](const std::string& command, const std::string& text) {
        const std::string said = patient.ask(command);
        REQUIRE(said.find(text) != said.npos);
        return std::stoul(said.substr(said.find(text) + text.size()));
    };
    const usize attributes = number_behind("stat " + name, "File ACL: ");
    const usize pointers = number_behind("stat /sizes/1500000", "(IND):");
    const std::string twice = std::to_string(patient.block("/sizes/1025", 1));
    const std::string two = std::to_string(attributes) + " is used twice";
    const struct {
        usize block, at;
        std::string bytes, expected;
    } pokes[] = {
        {attributes, 4, word(2), " counts 2 inodes, 1 found"},
        {attributes, 0, word(2), " cannot be right"},
        {attributes, 1023, "w", " cannot be right"},
        {attributes, 32 + 8, word(2000), " cannot be right"},
        {pointers, 8, word(3'000'000), ": block 3000000 for block 14 does not exist"},
        {pointers, 8, word(static_cast<u32>(std::stoul(twice))), ": block " + twice + " is used twice"},
        {pointers, 8, word(static_cast<u32>(attributes)), "attributes: block " + two},
        {pointers, 8, word(0), " sectors, "},
        {number_behind("stats", "inode bitmap at "), 1023, std::string(1, '\0'), ": the padding of the inode bitmap"},
        {number_behind("stats", "\n Group  1: block bitmap at "), 1023, std::string(1, '\0'),
         ": the padding of the block bitmap"},
    };
    for (const auto& p : pokes) {
        INFO(p.block << " " << p.at << " " << p.expected);
        patient.restore();
        patient.poke(p.block, p.at, p.bytes);
        patient.diagnose(p.expected);
    }
    const Case cases[] = {
        {"sif /sizes/1500000 block[IND] 3000000", ": block 3000000 for block 12 does not exist"},
        {"sif /sizes/1500000 block[DIND] 3000000", ": block 3000000 for block 268 does not exist"},
        {"sif /sizes/1500000 size 100", ": 100 bytes, but blocks up to 1465"},
        {"sif /many block[2] 0", ": its index leads to block 2"},
        {"sif <900> mode 0100644", "inode 900: deleted, but it has no time of deletion"},
    };
    break_with_debugfs(patient, cases);
}

TEST_CASE("inodes that wait to be deleted are no problem") {
    Patient patient("-b 1024 -N 1024 -O orphan_file");
    patient.restore();
    const std::string number = std::to_string(std::stoul(patient.ask("stat /sizes/150").substr(7)));
    const std::string other = std::to_string(std::stoul(patient.ask("stat /sizes/100").substr(7)));
    // The last of the list has no successor. One that is to be cut keeps its name, and has blocks behind its end.
    debugfs(patient.image, "unlink /sizes/150\nsif <" + number + "> links_count 0\nsif <" + number + "> dtime " +
                               other + "\nssv last_orphan " + number + "\nsif /sizes/100 size 0");
    const Checked c = check(patient.image);
    INFO(c.text());
    CHECK(c.is_clean());
    CHECK(c.report->orphans == 2);
    // The same in the orphan file, whose inode is the first that is not reserved, but lost+found's.
    debugfs(patient.image, "ssv last_orphan 0\nsif <" + number + "> dtime 0");
    CHECK_FALSE(check(patient.image).is_clean());
    const usize block = patient.block("<12>");
    patient.poke(block, 0, word(static_cast<u32>(std::stoul(number))));
    CHECK(check(patient.image).text().find("orphan file: block " + std::to_string(block) + " cannot be right") !=
          std::string::npos);
}

TEST_CASE("a copy stands in for a superblock that cannot be right") {
    const Scratch scratch;
    const stdfs::path image = scratch.path / "image";
    const auto [options, size, block] = GENERATE(table<const char*, const char*, u64>({
        {"-b 1024", "24M", 8193},
        {"-b 1024 -g 2048 -O ^flex_bg", "24M", 2049},
        {"-b 1024 -O ^metadata_csum,^sparse_super,^resize_inode", "24M", 8193},
        {"-b 2048", "64M", 16384},
        {"-b 4096", "160M", 32768},
    }));
    INFO(options);
    make_checked_image(scratch.path, image, options, size);
    FakeDisk disk(image.string());
    disk.synchronous = true;
    std::byte* const super = disk.bytes().data() + 1024;
    const std::string start = "superblock: its copy in block " + std::to_string(block) + " is used: ";
    super[4] = super[5] = super[6] = super[7] = std::byte{0xff};  // how many blocks
    Checked c = check(disk);
    CHECK(c.text().starts_with(start));
    CHECK((c.report && c.report->problems == 1 && c.report->inodes > 420));
    if (block != 2049) {  // where groups are of no usual size, the first superblock must say so
        std::memset(super, 0, 1024);
        c = check(disk);
        CHECK(c.text() == start + "no ext4 filesystem\n");
        CHECK(c.report->problems == 1);
        disk.break_sector(2);
        CHECK(check(disk).text() == start + "the first cannot be read\n");
        disk.repair();
    }
    // A copy that lies somewhere else, as in an image in a file, is none, and one that is damaged neither.
    const usize bytes = block * std::stoul(options + 3), there = 0x5a;
    disk.bytes()[bytes + there] = std::byte{2};
    c = check(disk);
    CHECK(c.text().find(start) == std::string::npos);
}

TEST_CASE("the check within its bounds") {
    Patient patient("-b 1024 -N 1024");
    patient.restore();
    FakeDisk disk(patient.image.string());
    const usize file = patient.block("/d0"),
                inodes = std::stoul(patient.ask("stats").substr(patient.ask("stats").find("inode table at ") + 15));
    SECTION("asynchronous, with the smallest cache") {
        CHECK(check(disk, {.cache_bytes = 0}).is_clean());
    }
    SECTION("memory") {
        CHECK(check(disk, {.memory_bytes = 1000}).report.error() == Error::too_large);
        usize least = 0;
        while (!check(disk, {.memory_bytes = least}).report) least += 1000;
        CHECK(check(disk, {.memory_bytes = least}).is_clean());
        CHECK(least < 30'000);
    }
    SECTION("lines") {
        std::memset(disk.bytes().data() + inodes * 1024 + 20 * 256, 0, 256 * 50);
        const Checked c = check(disk, {.max_lines = 3});
        CHECK(c.lines.size() == 3);
        CHECK(c.report->problems > 50);
    }
    SECTION("blocks that cannot be read") {
        disk.break_sector(file * 2);
        const Checked c = check(disk);
        REQUIRE(c.report);
        CHECK(c.text().find("block " + std::to_string(file) + " cannot be read") != std::string::npos);
        CHECK(disk.bytes_written == 0);
    }
    SECTION("a device that is gone") {
        disk.lost = true;
        CHECK(check(disk).report.error() == Error::device_broken);
    }
    SECTION("other things") {
        FakeDisk nothing(usize{1} << 20), tiny(usize{512});
        CHECK(check(nothing).report.error() == Error::not_found);
        CHECK(check(tiny).report.error() == Error::not_found);
        make_image(patient.image, patient.scratch.path / "tree", "-O bigalloc", "24M");
        const Checked c = check(patient.image);
        CHECK(c.report.error() == Error::unsupported);
        CHECK(c.text() == "its blocks are allocated in clusters (bigalloc), which this check does not know\n");
    }
    SECTION("somebody who stops it") {
        static int asked;
        asked = 0;
        CHECK(check(disk, {.stopped = [] { return ++asked == 3; }}).report.error() == Error::cancelled);
        CHECK(asked == 3);
        CHECK(check(disk, {.stopped = [] { return false; }}).is_clean());
    }
}

namespace {

struct Area {
    usize at, length;
};

/// What is worth breaking: the superblock, descriptors, bitmaps and inodes, directories, nodes and attributes.
std::vector<Area> metadata(MutableBytes all) {
    std::vector<Area> areas(60, {1024, 1024});
    areas.insert(areas.end(), 30, {2048, 128});
    for (usize group = 0; group < 2; ++group)
        for (usize field = 0; field < 8; field += 4) {
            const usize size = *read_at<le16>(all, 1024 + 0xfe) == 64 ? 64 : 32;
            areas.insert(areas.end(), 15, {*read_at<le32>(all, 2048 + group * size + field) * usize{1024}, 1024});
        }
    const usize table = *read_at<le32>(all, 2048 + 8) * usize{1024};
    for (usize inode = 0; inode < 300; ++inode) areas.push_back({table + inode * 256, 256});
    for (usize at = 300'000; at + 1024 <= all.size(); at += 1024) {
        const u32 magic = *read_at<le32>(all, at);
        const u16 length = *read_at<le16>(all, at + 4);
        const u8 name = static_cast<u8>(all[at + 6]), type = static_cast<u8>(all[at + 7]);
        const bool entries =
            magic <= 1024 && length >= 12 && length <= 1024 && length % 4 == 0 && type <= 7 && name != 0;
        if ((magic & 0xffff) == 0xf30a || magic == 0xea02'0000) areas.insert(areas.end(), 10, {at, 64});
        if (entries) areas.insert(areas.end(), 3, {at, 1024});
    }
    return areas;
}

void bombard(const std::string& options, u32 seed) {
    Patient patient("-b 1024 -N 1024 " + options);
    patient.restore();
    FakeDisk disk(patient.image.string());
    disk.synchronous = true;
    const MutableBytes all = disk.bytes();
    const auto areas = metadata(all);
    const bool sealed = (*read_at<le32>(all, 1024 + 0x64) & 0x400) != 0;
    const char* const more = std::getenv("RINGLET_CHECK_STEPS");
    std::mt19937 random(seed);
    const auto pick = [&](usize n) { return std::uniform_int_distribution<usize>(0, n - 1)(random); };
    int found = 0, missed = 0;
    for (int step = 0, steps = more != nullptr ? std::atoi(more) : 60; step < steps; ++step) {
        const Area area = areas[pick(areas.size())];
        const std::string saved(reinterpret_cast<const char*>(all.data()) + area.at, area.length);
        for (usize count = 1 + pick(3); count > 0; --count) {
            const usize width = usize{1} << pick(3), at = area.at + pick(area.length / width) * width;
            const std::byte value[] = {std::byte{0}, std::byte{0xff}, static_cast<std::byte>(random())};
            const usize kind = pick(4);
            for (usize i = 0; i < width; ++i)
                all[at + i] = kind < 3 ? value[kind] : all[at + i] ^ static_cast<std::byte>(1u << pick(8));
        }
        if (area.at == 1024) {
            std::memcpy(all.data() + 1024 + 0xe8, saved.data() + 0xe8, 4);  // e2fsck -n passes over the orphan list
            const u32 crc = crc32c(~0u, Bytes(all).subspan(1024, 1020));
            if (sealed) std::memcpy(all.data() + 2044, &crc, 4);
        }
        const std::string broken(reinterpret_cast<const char*>(all.data()) + area.at, area.length);
        const Checked c = check(disk);
        INFO(options << " seed " << seed << " step " << step << " at " << area.at << "\n" << c.text());
        patient.poke(0, area.at, broken);
        const bool clean = e2fsck_is_clean(patient.image);
        // e2fsck passes over inline data that nobody can read back.
        const bool strict =
            options.ends_with("inline_data") && (c.text().find("inline data without") != std::string::npos ||
                                                 c.text().find(" are there") != std::string::npos ||
                                                 c.text().find("attributes cannot be right") != std::string::npos);
        if (clean && !strict) CHECK((!c.report || c.report->problems == 0));
        if (!clean) ++(c.is_clean() ? missed : found);
        if (!clean && c.is_clean() && more != nullptr) WARN("missed:\n" << read_host(patient.image.string() + ".log"));
        patient.poke(0, area.at, saved);
        std::memcpy(all.data() + area.at, saved.data(), saved.size());
    }
    INFO(options << ": " << found << " found, " << missed << " missed");
    CHECK(missed * 10 <= found);  // clocks in the future, flags without a meaning
    if (more != nullptr) WARN(options << ": " << found << " found, " << missed << " missed");
}

}  // namespace

TEST_CASE("random damage is found where e2fsck finds it, and nothing else") {
    const char* const text = std::getenv("RINGLET_SEED");
    const u32 seed = text != nullptr ? static_cast<u32>(std::atoi(text)) : 1;
    bombard("", seed);
    bombard("-O ^metadata_csum,^uninit_bg", seed + 1);
    bombard("-O ^metadata_csum,^uninit_bg,^extent,^64bit", seed + 2);
    bombard("-O ^metadata_csum,inline_data", seed + 3);
}
