// One request of a workload fails, each in its turn, in each way. Either the call that needed it fails, and only that,
// or the filesystem becomes read-only; nothing that was promised is missing, and the memory comes back.
#include "after_cut.hpp"
#include "arch/host.hpp"
#include "fs/ext4/check.hpp"

using namespace ringlet;
using namespace ringlet::fs;
using namespace ringlet::fs::test;
using Fault = CrashDisk::Fault;

namespace {

constexpr int kSteps = 80;
struct Counts {
    int ran = 0, not_mounted = 0, read_only = 0, one_call = 0, unseen = 0;
};

class FaultRun {
public:
    FaultRun(const Scratch& s, const std::vector<std::byte>& image, Counts& counts)
        : s_(s), disk_(image, CrashDisk::Trace::none), counts_(counts) {}

    /// How many requests the workload makes.
    u64 count() {
        const usize regions = arch::host::live_dma_regions();
        REQUIRE(work());
        REQUIRE(arch::host::live_dma_regions() == regions);
        return disk_.requests();
    }
    void fail(u64 number, Fault fault, bool with_e2fsck) {
        const usize regions = arch::host::live_dma_regions();
        ++counts_.ran;
        disk_.fail_request(number, fault);
        const bool in_order = work();
        REQUIRE(disk_.failed_op);
        if (fault != Fault::lost) REQUIRE(arch::host::live_dma_regions() == regions);
        if (in_order) REQUIRE(*disk_.failed_op == BlockRequest::Op::read);
        check_cut(s_, w_, disk_.content(), 0, with_e2fsck);
        if (!in_order) return;
        CrashDisk after(disk_.content(), CrashDisk::Trace::none);
        const auto report = check_ext4(after, {}, [](std::string_view problem) { UNSCOPED_INFO(problem); });
        REQUIRE(report);
        REQUIRE(report->is_clean());
    }

private:
    /// True: the disk was left in order.
    bool work() {
        MountText why;
        auto mounted = mount_ext4(disk_, {.cache_bytes = 1 << 20, .inode_cache = 8, .writable = true}, why);
        if (!mounted) {
            ++counts_.not_mounted;
            w_.moments.emplace_back(Moment{std::make_shared<ModelNode>(ModelNode{NodeType::directory})});
            REQUIRE(Operations::is_disks(mounted.error()));
            return false;
        }
        const std::unique_ptr<FileSystem> fs = std::move(*mounted);
        Operations ops(*fs, 1);
        ops.may_fail = true;
        ops.names = 6;
        ops.largest = 9'000;
        w_.note(ops, disk_, 0, true);
        bool one_call = false;
        for (int i = 0; i < kSteps && !fs->statfs()->read_only; ++i) {
            Operations again = ops.fork();
            if (perform(*fs, ops, i)) continue;
            if (fs->statfs()->read_only) break;
            // A read that failed: the same call works now, unless the disk is gone.
            REQUIRE(disk_.failed_op == BlockRequest::Op::read);
            again.failed = false;
            one_call = true;
            ops = std::move(again);
            if (!perform(*fs, ops, i)) break;
        }
        return end(*fs, ops, one_call);
    }
    bool perform(FileSystem& fs, Operations& ops, int i) {
        u64 synced_file = 0;
        bool synced = false;
        if (i % 17 == 16)
            ops.failed = !(synced = bool(fs.sync()));
        else if (i % 5 == 4)
            synced_file = ops.sync_file();
        else
            ops.step();
        w_.note(ops, disk_, synced_file, synced);
        return !ops.failed;
    }
    bool end(FileSystem& fs, Operations& ops, bool one_call) {
        const bool read_only = fs.statfs()->read_only;
        const auto left = fs.remount(true);
        if (read_only) {
            ++counts_.read_only;
            CHECK(fs.warning().starts_with("read-only: "));
            return false;
        }
        if (!left) {  // the fault was there, or the disk is gone
            ++counts_.read_only;
            REQUIRE(Operations::is_disks(left.error()));
            return false;
        }
        ++(one_call ? counts_.one_call : counts_.unseen);
        if (!ops.failed) REQUIRE(ops.difference() == "");
        w_.note(ops, disk_, 0, true);
        return true;
    }

    const Scratch& s_;
    CrashDisk disk_;
    Workload w_;
    Counts& counts_;
};

}  // namespace

TEST_CASE("any request fails, in any way: one call fails or nothing is written any more, and nothing is lost") {
    const Scratch s;
    Counts counts;
    stdfs::create_directories(s.path / "tree");
    for (const char* options : {"-b 1024 -J size=1", "-b 4096"}) {
        make_image(s.path / "image", s.path / "tree", options, options[3] == '4' ? "12M" : "6M");
        const auto image = read_image((s.path / "image").string());
        const u64 requests = FaultRun(s, image, counts).count();
        CHECK(requests > 80);
        for (u64 n = 0; n < requests; ++n)
            for (const auto fault : {Fault::refused, Fault::cut, Fault::late, Fault::lost}) {
                if (options[3] == '4' && n % 4 != u64(fault)) continue;  // each is of one kind there
                INFO(options << ", request " << n << " of " << requests << ", fault " << int(fault));
                FaultRun(s, image, counts).fail(n, fault, (n * 4 + u64(fault)) % 16 == 0);
            }
    }
    CHECK(counts.not_mounted != 0);
    CHECK(counts.read_only > 100);
    CHECK(counts.one_call != 0);
    CHECK(counts.ran > 400);
}

TEST_CASE("any read fails, in any way: that call fails or asks again, and a later one succeeds") {
    const Scratch s;
    stdfs::create_directories(s.path / "tree");
    make_image(s.path / "image", s.path / "tree", "-b 1024", "6M");
    CrashDisk disk(read_image((s.path / "image").string()), CrashDisk::Trace::none);
    auto fs = mount_for_cut(disk, true);
    Operations ops(*fs, 1);
    for (int i = 0; i < 250; ++i) ops.step();
    fs.reset();
    /// Looks at everything, twice if the first time fails; whether it did.
    const auto look = [&](CrashDisk& from) {
        MountText why;
        const auto options = Ext4Options{.cache_bytes = 32 << 10, .inode_cache = 8};
        auto mounted = mount_ext4(from, options, why);
        const bool failed = !mounted;
        if (failed) mounted = mount_ext4(from, options, why);
        REQUIRE(mounted);
        ops.use(**mounted);
        if (ops.difference() == "") return failed;
        REQUIRE(ops.difference() == "");
        return true;
    };
    CrashDisk untouched(disk.content(), CrashDisk::Trace::none);
    REQUIRE_FALSE(look(untouched));
    REQUIRE(untouched.requests() > 100);
    u64 failed = 0;
    for (u64 n = 0; n < untouched.requests(); ++n)
        for (const auto fault : {Fault::refused, Fault::cut, Fault::late}) {
            INFO("read " << n << ", fault " << int(fault));
            CrashDisk bad(disk.content(), CrashDisk::Trace::none);
            bad.fail_request(n, fault);
            failed += look(bad) ? 1 : 0;
            REQUIRE(bad.failed_op == BlockRequest::Op::read);
        }
    CHECK(failed > 100);
    CHECK(failed < 3 * untouched.requests());  // a request for several blocks is made again for each
}
