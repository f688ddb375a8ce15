// httpd, and `disk NAME OPERATION [SECTOR COUNT [BYTE]] [SECONDS]` in its shell: one request to a block device, below
// any filesystem and any cache. Prints "ok", with a checksum of what was read, or the error.
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
    fs::BlockDevice* d = find(name);
    if (d == nullptr) return to("no such disk\n");
    if (what == "info") return describe(to, *d);
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
    if (op == std::size(kNames)) return to("operations: info read write flush discard zeroes\n");
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
