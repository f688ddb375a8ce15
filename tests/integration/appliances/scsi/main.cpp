// httpd, and `disk NAME OPERATION [SECTOR COUNT [BYTE]] [SECONDS]` in its shell: one request to a block device, below
// any filesystem and any cache. Prints "ok", with a checksum of what was read, or the error. `disk NAME load` keeps the
// disk busy until it fails; `disk NAME state` says how that goes.
#include <atomic>
#include <memory>
#include <new>

#include <ringlet/system.hpp>

#include "boot/reports.hpp"
#include "boot/storage.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/crc32c.hpp"
#include "lib/parse.hpp"

using namespace ringlet;
using fs::BlockRequest;
using Op = BlockRequest::Op;

int httpd_main(int argc, char** argv);

namespace {

fs::BlockDevice* find(std::string_view name) {
    fs::BlockDevice* hit = nullptr;
    boot::for_each_disk([&](fs::BlockDevice& d) {
        if (d.name() == name) hit = &d;
    });
    return hit;
}

/// Reads and writes of 4 KiB that are sent again as soon as they are done, until each has ended with an error.
class Load {
    static constexpr usize kDepth = 16, kBytes = 4096;
    struct Transfer : BlockRequest {
        fs::IoSegment piece;
        Load* owner;
    };

public:
    static Result<> start(fs::BlockDevice& d) {
        if (current != nullptr) return fail(Error::exists);
        std::unique_ptr<Load> load(new (std::nothrow) Load(d));
        if (!load) return fail(Error::no_memory);
        load->memory_ = TRY(kernel::DmaRegion::allocate(kDepth * kBytes));
        current = load.release();  // for ever
        for (usize i = 0; i < kDepth; ++i) {
            Transfer& t = current->transfers_[i];
            t.op = i % 2 ? Op::write : Op::read;
            t.piece = {current->memory_.bytes().subspan(i * kBytes, kBytes), current->memory_.addr(i * kBytes)};
            t.data = {&t.piece, 1};
            t.lba = Lba(1024 + i * (kBytes / fs::kSectorSize));
            t.owner = current;
            t.done = done;
            d.submit(t);
        }
        d.flush_submissions();
        return {};
    }
    static void state(TextSink to) {
        if (current == nullptr) return to("no load\n");
        format(to, "ok served {} failed {} of {}\n", current->served_.load(), current->failed_.load(), kDepth);
    }

private:
    explicit Load(fs::BlockDevice& d) : disk_(d) {}
    static void done(BlockRequest& r) {
        Load& self = *static_cast<Transfer&>(r).owner;
        if (r.error) {
            self.failed_.fetch_add(1);
            return;
        }
        self.served_.fetch_add(1);
        self.disk_.submit(r);
        self.disk_.flush_submissions();
    }

    static constinit Load* current;
    fs::BlockDevice& disk_;
    kernel::DmaRegion memory_;
    Transfer transfers_[kDepth];
    std::atomic<u64> served_{0}, failed_{0};
};
constinit Load* Load::current = nullptr;

void describe(TextSink to, fs::BlockDevice& d) {
    const fs::BlockLimits l = d.limits();
    const fs::BlockIdentity id = d.identity();
    format(to, "{} sectors, block {}, vendor {}, product {}, serial {}\n", d.sectors(), l.block_size, id.vendor,
           id.product, id.serial);
    format(to, "discard {}, zeroes {}, segments {}, request {}, cache {}, generation {}\n", l.max_discard_bytes,
           l.max_write_zeroes_bytes, l.max_segments, l.max_request_bytes,
           d.write_cache() == fs::WriteCache::write_back ? "back" : "through", d.generation());
}

void disk(TextSink to, std::string_view arguments) {
    static constexpr std::string_view kNames[] = {"read", "write", "flush", "discard", "zeroes"};
    static constexpr usize kMost = 65536;
    static kernel::DmaRegion* memory = nullptr;  // for ever
    const std::string_view name = next_word(arguments), what = next_word(arguments);
    if (what == "state") return Load::state(to);
    fs::BlockDevice* d = find(name);
    if (d == nullptr) return to("no such disk\n");
    if (what == "info") return describe(to, *d);
    if (what == "load") {
        const auto started = Load::start(*d);
        return started ? to("ok\n") : format(to, "failed: {}\n", started.error());
    }
    const u64 sector = parse_number<u64>(next_word(arguments)).value_or(0);
    const u64 count = parse_number<u64>(next_word(arguments)).value_or(0);
    const u8 byte = parse_number<u8>(next_word(arguments)).value_or(0);
    const u32 seconds = parse_number<u32>(next_word(arguments)).value_or(0);
    if (memory == nullptr) {
        auto made = kernel::DmaRegion::allocate(kMost);
        if (made) memory = new (std::nothrow) kernel::DmaRegion(std::move(*made));
        if (memory == nullptr) return to("out of memory\n");
    }
    BlockRequest r;
    r.lba = Lba(sector);
    if (seconds != 0) r.timeout = Duration::from_s(seconds);
    usize op = 0;
    while (op < std::size(kNames) && kNames[op] != what) ++op;
    if (op == std::size(kNames)) return to("operations: info load state read write flush discard zeroes\n");
    r.op = Op(op);
    const usize bytes = static_cast<usize>(std::min<u64>(count * 512, memory->bytes().size()));
    const fs::IoSegment piece{memory->bytes().first(bytes), memory->addr()};
    if (r.op == Op::read || r.op == Op::write) {
        std::memset(piece.bytes.data(), byte, bytes);
        r.data = {&piece, 1};
    } else if (r.op != Op::flush) {
        r.sectors = count;
    }
    const auto done = d->run(r);
    if (!done) return format(to, "failed: {}\n", done.error());
    format(to, "ok {:08x}\n", r.op == Op::read ? crc32c(~u32{0}, piece.bytes) ^ ~u32{0} : 0);
}

}  // namespace

int main(int argc, char** argv) {
    static constexpr Report kReports[] = {
        {"irq", "irq", "interrupts and their handlers", boot::report_irqs},
        {"disks", "disks", "block devices", boot::report_disks},
        {"virtio", "virtio [DEVICE [features]]", "virtio devices, their queues and counters", boot::report_virtio},
        {"disk", "disk NAME OPERATION [SECTOR COUNT [BYTE [SECONDS]]]", "one request to a block device", disk},
    };
    set_reports(kReports);
    log(LogLevel::info, "disk: ready");
    return httpd_main(argc, argv);
}
