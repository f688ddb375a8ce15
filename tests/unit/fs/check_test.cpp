// The check of ext4 against e2fsck: what it calls clean is clean for us too, and what we break on purpose is found by
// both.
#include "fs/ext4/check.hpp"

#include <array>
#include <cstdio>

#include "fake_disk.hpp"
#include "image.hpp"

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
        make_checked_image(scratch.path, base, options, "12M");
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
        {"set_bg 0 free_blocks_count 3\nset_bg 0 checksum calc", "group 0: a count of 3 free blocks"},
        {"set_bg 0 free_inodes_count 3\nset_bg 0 checksum calc", "group 0: a count of 3 free inodes"},
        {"set_bg 0 used_dirs_count 3\nset_bg 0 checksum calc", "group 0: a count of 3 directories"},
        {"set_bg 0 checksum 1", "group 0: the descriptor's checksum is wrong"},
        {"set_bg 1 itable_unused 60000\nset_bg 1 checksum calc", "group 1: 60000 unused inodes of"},
        {"set_bg 1 inode_table 3000000\nset_bg 1 checksum calc", "group 1: bitmaps at "},
        {"set_bg 0 inode_bitmap 5\nset_bg 0 checksum calc", " of the inode bitmap is used twice"},
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
        {1, 0x88, "superblock: bad superblock checksum"},
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
