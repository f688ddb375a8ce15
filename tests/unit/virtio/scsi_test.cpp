// The SCSI driver against the modelled host: finding units, moving data, what units say meanwhile.
#include <random>

#include "tests/unit/virtio/scsi_bench.hpp"

using namespace ringlet;
using device::ScsiIo, device::ScsiUnit, device::ScsiWorld, device::Way;
using fs::BlockRequest;
using virtio::ScsiDisk;
using Op = BlockRequest::Op;

namespace {

/// Submits, flushes, and lets the worker do what there is to do.
void run(ScsiWorld& w, fs::BlockDevice& d, ScsiIo& r) {
    d.submit(r);
    d.flush_submissions();
    w.heard();
    w.settle();
}
ScsiIo read(ScsiWorld& w, u64 sector, usize bytes = 512, usize at = 0) {
    return {Op::read, sector, {w.piece(at, bytes)}};
}
ScsiIo write(ScsiWorld& w, u64 sector, usize bytes = 512, usize at = 0) {
    return {Op::write, sector, {w.piece(at, bytes)}};
}

}  // namespace

TEST_CASE("Units are found wherever they are, and become disks") {
    ScsiWorld w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    w.dev.add(0, 0);
    w.dev.add(0, 5);
    w.dev.add(3, 300);
    w.dev.add(255, 1, 100, 4096);
    w.dev.add(7, 0, 100, 2048).type = 5;
    w.dev.add(8, 0).type = 1;  // a tape
    REQUIRE(w.start());
    REQUIRE(w.found.size() == 5);
    std::vector<std::string> names;
    for (const auto* d : w.found) names.emplace_back(d->name());
    CHECK(names == std::vector<std::string>{"sda", "sdb", "sdc", "sr0", "sdd"});
    CHECK(w.disk("sdc")->address() == virtio::ScsiAddress{3, 300});
    CHECK(w.disk("sdd")->sectors() == 800);
    CHECK(w.disk("sdd")->limits().block_size == 4096);
    CHECK(w.disk("sr0")->read_only());
    CHECK(w.disk("sr0")->limits().block_size == 2048);
    CHECK(w.disk("sda")->identity().serial == "S0.0");
    CHECK(w.disk("sda")->identity().product == "TEST DISK");
    CHECK(w.disk("sda")->write_cache() == fs::WriteCache::write_back);
    CHECK(w.value("disks") == 5);
    CHECK(w.host->info().type == "scsi");
}

TEST_CASE("Sectors written are read back over every transport and interrupt mode") {
    ScsiWorld w(GENERATE(from_range(std::begin(device::kWays), std::end(device::kWays))));
    w.dev.add(0, 0);
    w.dev.add(1, 0);
    REQUIRE(w.start());
    for (u32 i = 0; i < 100; ++i) {
        for (usize k = 0; k < 8192; ++k) w.memory.bytes()[k] = std::byte(i + k / 512);
        auto& d = *w.disk(i % 2 == 0 ? "sda" : "sdb");
        ScsiIo out(Op::write, i * 8, {w.piece(0, 512), w.piece(512, 3584)});
        run(w, d, out);
        REQUIRE(out.good());
        ScsiIo in = read(w, i * 8, 4096, 65536), flush(Op::flush, 0);
        run(w, d, in);
        run(w, d, flush);
        REQUIRE(in.good());
        REQUIRE(flush.good());
        REQUIRE(std::memcmp(w.memory.bytes().data(), w.memory.bytes().data() + 65536, 4096) == 0);
    }
    CHECK(w.dev.find(0, 0)->flushes == 50);
    CHECK(w.dev.find(1, 0)->writes == 50);
}

TEST_CASE("Everything submitted before one flush leaves with one kick, and full rings lose nothing") {
    ScsiWorld w(GENERATE(Way::pci_vectors, Way::mmio, Way::pci_polling));
    w.dev.add(0, 0);
    w.dev.add(0, 1);
    if (GENERATE(true, false)) w.dev.offered = w.dev.offered.without(virtio::mask(virtio::Common::indirect_desc));
    REQUIRE(w.start());
    auto &a = *w.disk("sda"), &b = *w.disk("sdb");
    w.dev.immediate = false;
    std::mt19937 rng(7);
    std::vector<std::unique_ptr<ScsiIo>> all;
    const u64 before = w.dev.queues[2].notified, before_b = w.dev.queues[3].notified;
    for (u32 i = 0; i < 300; ++i) {
        all.emplace_back(new ScsiIo(Op::read, rng() % 2000, {w.piece(512 * i, 512), w.piece(512 * i, 512)}));
        (i % 2 == 0 ? a : b).submit(*all.back());
    }
    CHECK(w.dev.queues[2].notified == before);
    a.flush_submissions();
    CHECK(w.dev.queues[2].notified == before + 1);
    CHECK(w.dev.queues[3].notified == before_b);
    b.flush_submissions();
    CHECK(w.dev.queues[3].notified == before_b + 1);
    int guard = 0;
    while (!w.dev.waiting.empty() && ++guard < 10000) {
        w.dev.serve(rng() % w.dev.waiting.size());
        w.heard();
    }
    for (const auto& r : all) REQUIRE(r->good());
    for (const auto& q : w.host->info().queues) CHECK((q.name == "events" || q.in_flight == 0));
}

TEST_CASE("No unit gets more commands at once than the host allows") {
    ScsiWorld w(Way::mmio);
    w.dev.add(0, 0);
    w.dev.put<u32>(12, 3);
    REQUIRE(w.start());
    w.dev.immediate = false;
    std::vector<std::unique_ptr<ScsiIo>> all;
    for (u32 i = 0; i < 10; ++i) {
        all.emplace_back(new ScsiIo(Op::read, i, {w.piece(512 * i, 512)}));
        w.disk("sda")->submit(*all.back());
    }
    w.disk("sda")->flush_submissions();
    CHECK(w.dev.waiting.size() == 3);
    while (!w.dev.waiting.empty()) {
        CHECK(w.dev.waiting.size() <= 3);
        w.dev.serve(0);
    }
    for (const auto& r : all) REQUIRE(r->good());
}

TEST_CASE("Requests that the unit cannot take are refused at once") {
    ScsiWorld w(Way::mmio);
    w.dev.add(0, 0, 100, 4096);
    w.dev.add(1, 0).write_protected = true;
    REQUIRE(w.start());
    const auto refusal = [&](ScsiIo r, const char* name = "sda") {
        w.disk(name)->submit(r);
        REQUIRE(r.completions == 1);
        return r.error;
    };
    CHECK(refusal(read(w, 1, 4096)) == Error::invalid);
    CHECK(refusal(read(w, 0, 512)) == Error::invalid);
    CHECK(refusal(read(w, 0, 100)) == Error::invalid);
    CHECK(refusal({Op::read, 0}) == Error::invalid);
    CHECK(refusal(read(w, 800, 4096)) == Error::invalid);
    CHECK(refusal(read(w, 792, 8192)) == Error::invalid);
    CHECK(refusal(read(w, ~u64{7}, 4096)) == Error::invalid);
    CHECK(refusal({Op::read, 0, std::vector<fs::IoSegment>(33, w.piece(0, 4096))}) == Error::invalid);
    CHECK(refusal({Op::flush, 0, {w.piece(0, 4096)}}) == Error::invalid);
    CHECK(refusal({Op::discard, 0, {}, 8}) == Error::unsupported);
    CHECK(refusal({Op::secure_erase, 0, {}, 8}) == Error::unsupported);
    CHECK(refusal(write(w, 0), "sdb") == Error::read_only);
    CHECK(refusal({Op::write_zeroes, 0, {}, 8}, "sdb") == Error::read_only);
    ScsiIo last = read(w, 792, 4096);
    run(w, *w.disk("sda"), last);
    CHECK(last.good());
}

TEST_CASE("Discard and zeroing by what the unit can do") {
    ScsiWorld w(Way::pci_vectors);
    ScsiUnit& u = w.dev.add(0, 0);
    u.thin = true;
    std::fill(u.bytes.begin(), u.bytes.end(), u8(7));
    u.lbpu = GENERATE(true, false);
    CAPTURE(u.lbpu);
    REQUIRE(w.start());
    auto& d = *w.disk("sda");
    CHECK(d.limits().max_discard_bytes != 0);
    CHECK(d.limits().discard_granularity == 4096);
    CHECK(d.limits().write_zeroes_unmaps);
    ScsiIo discard(Op::discard, 8, {}, 16), zero(Op::write_zeroes, 100, {}, 10), both(Op::write_zeroes, 200, {}, 10);
    both.unmap = BlockRequest::Unmap::allowed;
    run(w, d, discard);
    CHECK(discard.good());
    CHECK(u.unmaps == (u.lbpu ? 1 : 0));
    CHECK_FALSE(u.mapped[8]);
    CHECK_FALSE(u.mapped[23]);
    CHECK(u.mapped[7]);
    CHECK(u.mapped[24]);
    run(w, d, zero);
    CHECK(zero.good());
    CHECK((u.mapped[100] && u.bytes[100 * 512] == 0 && u.bytes[109 * 512 + 511] == 0 && u.bytes[110 * 512] == 7));
    run(w, d, both);
    CHECK(both.good());
    CHECK_FALSE(u.mapped[200]);
    SECTION("what was promised is not kept: the way is closed") {
        u.thin = false, u.lbpu = true;
        w.dev.spoil = [](virtio::ScsiSpec::CommandResponse& r, std::vector<u8>&) {
            r.status = 2, r.sense_len = 18, r.sense = {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x20, 0};
        };
        ScsiIo again(Op::discard, 8, {}, 16), more(Op::discard, 8, {}, 16);
        run(w, d, again);
        CHECK(again.failed(Error::unsupported));
        CHECK(d.limits().max_discard_bytes == 0);
        run(w, d, more);
        CHECK(more.failed(Error::unsupported));
    }
}

TEST_CASE("A flush is sent only where there is a write cache") {
    ScsiWorld w(Way::mmio);
    w.dev.add(0, 0).write_cache = false;
    REQUIRE(w.start());
    ScsiIo flush(Op::flush, 0);
    run(w, *w.disk("sda"), flush);
    CHECK(flush.good());
    CHECK(w.dev.find(0, 0)->flushes == 0);
    CHECK(w.disk("sda")->write_cache() == fs::WriteCache::write_through);
}

TEST_CASE("Unit attentions are retried and heeded") {
    ScsiWorld w(GENERATE(Way::pci_vectors, Way::mmio, Way::pci_polling));
    ScsiUnit& u = w.dev.add(0, 0);
    u.attentions = {{0x29, 0}, {0x29, 2}};  // power on: the very first commands meet it
    REQUIRE(w.start());
    auto& d = *w.disk("sda");
    ScsiIo r = read(w, 0);
    u.attentions = {{0x29, 0}};
    run(w, d, r);
    CHECK(r.good());
    CHECK(w.value("unit_attentions") == 3);
    const u32 generation = d.generation();
    u.attentions = {{0x2a, 9}};
    u.bytes.resize(4096 * 512), u.mapped.resize(4096, true);
    ScsiIo s = read(w, 0);
    run(w, d, s);
    CHECK(s.good());
    CHECK(d.sectors() == 4096);
    CHECK(d.generation() != generation);
    u.attentions = {{0x3f, 0x0e}};
    w.dev.add(0, 1);
    ScsiIo t = read(w, 0);
    run(w, d, t);
    CHECK(t.good());
    CHECK(w.disk("sdb")->sectors() == 2048);
    for (int i = 0; i < 20; ++i) u.attentions.emplace_back(0x29, 0);
    ScsiIo v = read(w, 0);
    run(w, d, v);
    CHECK(v.failed(Error::io));  // not for ever
}

TEST_CASE("A busy unit, and one that becomes ready, are waited for") {
    ScsiWorld w(GENERATE(Way::mmio, Way::pci_polling));
    ScsiUnit& u = w.dev.add(0, 0);
    REQUIRE(w.start());
    ScsiIo a = read(w, 0), b = read(w, 1);
    (GENERATE(true, false) ? u.busy : u.not_ready) = 20;
    w.disk("sda")->submit(a);
    w.disk("sda")->submit(b);
    w.disk("sda")->flush_submissions();
    w.heard();
    CHECK(a.completions + b.completions == 0);
    for (int i = 0; i < 100 && a.completions + b.completions < 2; ++i) w.pass(Duration::from_ms(100)), w.heard();
    CHECK(a.good());
    CHECK(b.good());
    u.busy = 1u << 30;
    ScsiIo c = read(w, 0);
    c.timeout = Duration::from_s(2);
    run(w, *w.disk("sda"), c);
    for (int i = 0; i < 30; ++i) w.pass(Duration::from_ms(100)), w.heard();
    CHECK(c.failed(Error::timed_out));
}

TEST_CASE("What the device answers becomes the request's error") {
    ScsiWorld w(Way::mmio);
    ScsiUnit& u = w.dev.add(0, 0);
    REQUIRE(w.start());
    auto& d = *w.disk("sda");
    const auto outcome = [&](ScsiIo r) {
        run(w, d, r);
        REQUIRE(r.completions == 1);
        return r.error;
    };
    u.bad_block = {5, 3};
    CHECK(outcome(read(w, 5)) == Error::io);
    CHECK_FALSE(outcome(read(w, 6)));
    using R = virtio::ScsiSpec::CommandResponse;
    w.dev.spoil = [](R& r, std::vector<u8>&) { r.response = 9; };
    CHECK(outcome(read(w, 0)) == Error::io);
    w.dev.spoil = [](R& r, std::vector<u8>&) { r.response = 77; };
    CHECK(outcome(read(w, 0)) == Error::io);
    w.dev.spoil = [](R& r, std::vector<u8>&) { r.response = 4; };  // reset, again and again
    CHECK(outcome(read(w, 0)) == Error::io);
    w.dev.spoil = [](R& r, std::vector<u8>&) { r.residual = 100; };  // a short read is no read
    CHECK(outcome(read(w, 0)) == Error::io);
    w.dev.spoil = [](R& r, std::vector<u8>&) { r.status = 2, r.sense_len = 0xffffffff, r.sense.fill(0xff); };
    CHECK(outcome(read(w, 0)) == Error::io);
    w.dev.spoil = [](R& r, std::vector<u8>&) { r.status = 2, r.sense_len = 0; };
    CHECK(outcome(read(w, 0)) == Error::io);
    w.dev.spoil = {};
    w.dev.writes_response = false;  // "done", but it never wrote a response
    CHECK(outcome(read(w, 0)) == Error::io);
    CHECK(w.value("bad_responses") == 2);
}

TEST_CASE("A CD-ROM is read in its own blocks; without a disc it is an empty drive") {
    ScsiWorld w(Way::mmio);
    ScsiUnit& u = w.dev.add(2, 0, 50, 2048);
    u.type = 5, u.removable = true;
    for (usize i = 0; i < u.bytes.size(); ++i) u.bytes[i] = u8(i / 2048);
    REQUIRE(w.start());
    auto& d = *w.disk("sr0");
    CHECK(d.sectors() == 200);
    ScsiIo r = read(w, 4 * 7, 4096);
    run(w, d, r);
    CHECK(r.good());
    CHECK(w.memory.bytes()[0] == std::byte{7});
    CHECK(w.memory.bytes()[2048] == std::byte{8});
    u.medium = false;
    ScsiIo gone = read(w, 0, 2048), later = read(w, 0, 2048);
    run(w, d, gone);
    CHECK(gone.failed(Error::not_found));
    CHECK(d.sectors() == 0);
    CHECK(d.present());
    run(w, d, later);
    CHECK(later.failed(Error::not_found));
    u.medium = true;
    w.dev.event(2, 0, 2, 0);
    w.heard(), w.settle();
    CHECK(d.sectors() == 200);
}

TEST_CASE("What was meant for one medium is not written to the next") {
    ScsiWorld w(Way::mmio);
    ScsiUnit& u = w.dev.add(0, 0);
    u.removable = true;
    REQUIRE(w.start());
    u.attentions = {{0x28, 0}};
    ScsiIo r = write(w, 0);
    run(w, *w.disk("sda"), r);
    CHECK(r.failed(Error::io));
    CHECK(u.writes == 0);
}

TEST_CASE("Devices with impossible limits are refused") {
    ScsiWorld w(GENERATE(Way::pci_vectors, Way::mmio));
    w.dev.add(0, 0);
    SECTION("no request queues") {
        w.dev.put<u32>(0, 0);
    }
    SECTION("another sense size") {
        w.dev.put<u32>(20, 20);
    }
    SECTION("another CDB size") {
        w.dev.put<u32>(24, 16);
    }
    SECTION("targets beyond the address") {
        w.dev.put<u16>(30, 256);
    }
    SECTION("the queues do not exist") {
        w.dev.queues.resize(2);
    }
    SECTION("a short configuration") {
        w.dev.config.resize(20);
    }
    CHECK_FALSE(w.start());
}

TEST_CASE("Odd limits are made safe") {
    using virtio::check_limits;
    auto l = check_limits({.num_queues = 99,
                           .seg_max = 0,
                           .max_sectors = 0,
                           .cmd_per_lun = 0,
                           .sense_size = 96,
                           .cdb_size = 32,
                           .max_lun = 0xffffffff,
                           .max_target = 255},
                          4, 32, 16383);
    REQUIRE(l);
    CHECK(l->request_queues == 4);
    CHECK(l->max_segments == 1);
    CHECK(l->per_unit == 1);
    CHECK(l->max_request_bytes == 1 << 20);
    CHECK(l->max_lun == 16383);
    l = check_limits({.num_queues = 1,
                      .seg_max = ~0u,
                      .max_sectors = ~0u,
                      .cmd_per_lun = ~0u,
                      .sense_size = 96,
                      .cdb_size = 32,
                      .max_lun = 7,
                      .max_target = 0},
                     4, 32, 16383);
    CHECK(l->max_request_bytes == 1u << 29);
    CHECK(l->max_segments == 32);
    CHECK(l->max_lun == 7);
}

TEST_CASE("A deep SCSI queue is interrupted for batches, and no completion waits long", "[plain]") {
    ScsiWorld w(GENERATE(Way::pci_vectors, Way::mmio));
    w.dev.add(0, 0, 16384);
    REQUIRE(w.start());
    auto& disk = *w.disk("sda");
    w.dev.immediate = false;
    std::vector<std::unique_ptr<ScsiIo>> all;
    const auto submit = [&] {
        const usize at = all.size() % 128 * 4096;
        all.emplace_back(new ScsiIo(Op::read, all.size() * 8, {w.piece(at, 4096)}));
        disk.submit(*all.back());
    };
    const auto completed = [&] {
        usize n = 0;
        for (const auto& r : all) n += usize(r->completions);
        return n;
    };
    for (int i = 0; i < 32; ++i) submit();
    disk.flush_submissions();
    const u64 kicks = w.dev.queues[2].notified, interrupts = w.dev.interrupts_sent;
    usize seen = 0;
    while (all.size() < 1024) {  // the device trickles; the application resubmits what it was told of
        w.dev.serve(0);
        for (const usize done = completed(); seen < done; ++seen) submit();
        disk.flush_submissions();
    }
    CHECK(double(w.dev.interrupts_sent - interrupts) / double(seen) < 0.1);
    CHECK(double(w.dev.queues[2].notified - kicks) / double(seen) < 0.1);
    // Now the device stops after one completion that asked for no interrupt.
    usize before = completed();
    w.dev.serve(0);
    REQUIRE(completed() == before);
    REQUIRE(w.host->next_service() <= kernel::now() + Duration::from_ms(1));
    w.pass(Duration::from_us(1100));
    CHECK(completed() > before);
    // After a look in vain every completion interrupts again, and nobody looks any more.
    w.pass(Duration::from_us(1100));
    CHECK(w.host->next_service() > kernel::now() + Duration::from_ms(900));
    const u64 sent = w.dev.interrupts_sent, looks = w.value("looks");
    before = completed();
    w.dev.serve(0);
    CHECK(w.dev.interrupts_sent == sent + 1);
    CHECK(completed() == before + 1);
    CHECK(looks >= 2);
    while (!w.dev.waiting.empty()) w.dev.serve(0);
    w.pass(Duration::from_us(1100));
    for (const auto& r : all) REQUIRE(r->good());
}
