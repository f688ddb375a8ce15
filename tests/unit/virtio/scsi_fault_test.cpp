// The SCSI driver when things go wrong or change: events, hot-plugging, silence, task management, resets, lies.
#include <random>

#include "tests/unit/virtio/scsi_bench.hpp"

using namespace ringlet;
using device::ScsiDevice, device::ScsiIo, device::ScsiUnit, device::ScsiWorld, device::Way;
using fs::BlockRequest;
using virtio::ScsiDisk, virtio::ScsiTmf, virtio::ScsiTmfAnswer;
using Op = BlockRequest::Op;

namespace {

using Spec = virtio::ScsiSpec;
const auto kSomeWays = {Way::pci_vectors, Way::pci_line, Way::mmio, Way::pci_polling};

ScsiIo read(ScsiWorld& w, u64 sector, usize at = 0) {
    return {Op::read, sector, {w.piece(at, 512)}};
}
void send(fs::BlockDevice& d, ScsiIo& r) {
    d.submit(r);
    d.flush_submissions();
}
void run(ScsiWorld& w, fs::BlockDevice& d, ScsiIo& r) {
    send(d, r);
    w.settle();
}

ScsiTmfAnswer abort_all(ScsiWorld& w) {
    return w.host->task_management(ScsiTmf::abort_task_set, {0, 0});
}

}  // namespace

TEST_CASE("Disks come and go while it runs") {
    ScsiWorld w(GENERATE(from_range(std::begin(kSomeWays), std::end(kSomeWays))));
    w.dev.add(0, 0);
    REQUIRE(w.start());
    w.dev.add(4, 2);
    w.dev.event(Spec::kTransportReset, Spec::kResetRescan, 4, 2);
    w.settle();
    REQUIRE(w.found.size() == 2);
    auto& d = *w.disk("sdb");
    CHECK(d.address() == virtio::ScsiAddress{4, 2});
    ScsiIo r = read(w, 0);
    run(w, d, r);
    CHECK(r.good());
    SECTION("unplugged: whoever holds it gets errors, not a crash") {
        w.dev.immediate = false;
        ScsiIo waiting = read(w, 0), after = read(w, 0);
        d.submit(waiting);  // not in the ring yet
        w.dev.unplug(4, 2);
        w.dev.immediate = true;
        w.dev.event(Spec::kTransportReset, Spec::kResetRemoved, 4, 2);
        w.settle();
        CHECK(waiting.failed(Error::device_broken));
        CHECK_FALSE(d.present());
        CHECK(d.sectors() == 0);
        run(w, d, after);
        CHECK(after.failed(Error::device_broken));
        SECTION("and plugged in again elsewhere: the same disk") {
            w.dev.add(9, 0).serial = "S4.2";
            w.dev.event(Spec::kTransportReset, Spec::kResetRescan, 9, 0);
            w.settle();
            CHECK(w.found.size() == 2);
            CHECK(d.present());
            CHECK(d.address() == virtio::ScsiAddress{9, 0});
            ScsiIo again = read(w, 0);
            run(w, d, again);
            CHECK(again.good());
        }
        SECTION("another one in its place is another disk") {
            w.dev.add(4, 2).serial = "new";
            w.dev.event(Spec::kTransportReset, Spec::kResetRescan, 4, 2);
            w.settle();
            CHECK(w.found.size() == 2);
            CHECK_FALSE(d.present());
            CHECK(w.disk("sdc")->present());
        }
    }
    SECTION("gone without an event: the first command notices") {
        w.dev.unplug(4, 2);
        ScsiIo after = read(w, 0);
        run(w, d, after);
        CHECK(after.failed(Error::device_broken));
        CHECK_FALSE(d.present());
        CHECK(w.disk("sda")->present());
    }
    SECTION("replaced without a word: a rescan notices") {
        w.dev.find(4, 2)->serial = "another";
        w.dev.event(Spec::kParamChange, 0x3f | 0x0e << 8, 4, 2);
        w.settle();
        CHECK_FALSE(d.present());
        CHECK(w.disk("sdc")->present());
    }
}

TEST_CASE("The host resizes a disk") {
    ScsiWorld w(GENERATE(from_range(std::begin(kSomeWays), std::end(kSomeWays))));
    ScsiUnit& u = w.dev.add(0, 0);
    REQUIRE(w.start());
    const u32 generation = w.disk("sda")->generation();
    u.bytes.resize(4096 * 512), u.mapped.resize(4096, true);
    u.attentions = {{0x2a, 9}};
    w.dev.event(Spec::kParamChange, 0x2a | 9 << 8, 0, 0);
    w.settle();
    CHECK(w.disk("sda")->sectors() == 4096);
    CHECK(w.disk("sda")->generation() == generation + 1);
}

TEST_CASE("Requests that no longer fit the unit are refused, not sent to another place", "[plain]") {
    ScsiWorld w(GENERATE(Way::mmio, Way::pci_vectors));
    ScsiUnit& u = w.dev.add(0, 0);
    w.dev.put<u32>(12, 1);  // one command at a time: the others wait in the driver
    REQUIRE(w.start());
    auto& d = *w.disk("sda");
    const bool blocks = GENERATE(true, false);
    ScsiIo waiting = {Op::write, 9, {w.piece(0, 512)}}, beyond = read(w, 2040),
           fits = {Op::read, 8, {w.piece(0, 4096)}};
    u.silent = true;
    ScsiIo sent = {Op::write, 17, {w.piece(0, 512)}};
    send(d, sent);
    u.silent = false;
    d.submit(waiting), d.submit(beyond), d.submit(fits);
    if (blocks) u.block = 4096, u.mapped.resize(256);
    u.bytes.resize(1024 * 512);
    w.dev.event(Spec::kParamChange, 0x2a | 9 << 8, 0, 0);
    w.settle();
    CHECK(d.sectors() == 1024);
    CHECK(sent.completions + waiting.completions + beyond.completions + fits.completions == 0);
    CHECK(abort_all(w) == ScsiTmfAnswer::complete);  // what was sent before comes back, to be sent again
    w.settle();
    CHECK(beyond.failed(Error::invalid));
    CHECK(fits.good());
    CHECK((blocks ? waiting.failed(Error::invalid) : waiting.good()));
    CHECK((blocks ? sent.failed(Error::invalid) : sent.good()));
    ScsiIo after = {Op::read, 8, {w.piece(0, 4096)}};
    run(w, d, after);
    CHECK(after.good());
}

TEST_CASE("Events that were missed cost a look at everything") {
    ScsiWorld w(GENERATE(from_range(std::begin(kSomeWays), std::end(kSomeWays))));
    for (u8 t = 0; t < 4; ++t) w.dev.add(t, 0);
    REQUIRE(w.start());
    w.dev.find(0, 0)->bytes.resize(4096 * 512), w.dev.find(0, 0)->mapped.resize(4096, true);
    w.dev.unplug(3, 0);
    w.dev.add(20, 1);
    w.dev.events_missed = true;
    w.dev.event(Spec::kNoEvent, 0, 0, 0);
    w.settle();
    CHECK(w.disk("sda")->sectors() == 4096);
    CHECK_FALSE(w.disk("sdd")->present());
    CHECK(w.disk("sde")->address() == virtio::ScsiAddress{20, 1});
    CHECK(w.value("events_missed") == 1);
    for (int i = 0; i < 100; ++i) w.dev.event(Spec::kParamChange, 0, 1, 0), w.heard();  // buffers come back
    CHECK_FALSE(w.dev.events_missed);
    CHECK(w.value("events") == 101);
    w.pass(Duration::from_s(20));
}

TEST_CASE("Events that make no sense are counted and ignored") {
    ScsiWorld w(Way::mmio);
    w.dev.add(0, 0);
    REQUIRE(w.start());
    w.dev.event(Spec::kTransportReset, 99, 0, 0);
    w.dev.event(77, 0, 0, 0);
    w.dev.event(Spec::kTransportReset, 1, 0, 0, 3);  // cut
    w.settle();
    CHECK(w.value("bad_events") == 3);
    CHECK(w.disk("sda")->present());
    ScsiIo r = read(w, 0);
    run(w, *w.disk("sda"), r);
    CHECK(r.good());
}

TEST_CASE("A device cannot keep the worker busy for ever") {
    ScsiWorld w(Way::mmio);
    w.dev.add(0, 0);
    REQUIRE(w.start());
    const u64 before = w.dev.served;
    for (int i = 0; i < 1000; ++i) {
        w.dev.event(Spec::kParamChange, 0x2a, 0, 0);
        w.settle();
    }
    CHECK(w.dev.served - before < 2000);
    w.pass(Duration::from_s(11));
    CHECK(w.host->next_service() > kernel::now());
}

TEST_CASE("A command that is not answered is aborted, and only that one fails") {
    ScsiWorld w(GENERATE(from_range(std::begin(kSomeWays), std::end(kSomeWays))));
    ScsiUnit& u = w.dev.add(0, 0);
    REQUIRE(w.start());
    auto& d = *w.disk("sda");
    u.silent = true;
    ScsiIo slow = read(w, 0), patient = read(w, 1);
    slow.timeout = Duration::from_s(5);
    d.submit(slow), d.submit(patient);
    d.flush_submissions();
    CHECK(w.host->next_service() == kernel::now() + Duration::from_s(1));  // then the bell is rung again
    w.pass(Duration::from_s(1));
    CHECK(w.value("bells_repeated") == 1);
    CHECK(w.host->next_service() == kernel::now() + Duration::from_s(4));
    w.pass(Duration::from_ms(3900));
    CHECK(slow.completions == 0);
    w.pass(Duration::from_ms(200));
    CHECK(slow.failed(Error::timed_out));
    CHECK(patient.completions == 0);
    REQUIRE(w.dev.tmfs.size() == 1);
    CHECK(w.dev.tmfs[0].first == u32(ScsiTmf::abort_task));
    CHECK(w.value("scsi_cmd_timeouts") == 1);
    CHECK(w.host->info().recoveries == 0);
    w.dev.wake_up();
    w.settle();
    CHECK(patient.good());
}

TEST_CASE("A bell that the device missed is rung again") {
    ScsiWorld w(GENERATE(from_range(std::begin(kSomeWays), std::end(kSomeWays))));
    w.dev.add(0, 0);
    REQUIRE(w.start());
    w.dev.silent = true;
    ScsiIo lost = read(w, 0), after = read(w, 1);
    send(*w.disk("sda"), lost);
    w.dev.silent = false;
    w.pass(Duration::from_ms(900));
    CHECK(lost.completions == 0);
    w.pass(Duration::from_ms(200));
    CHECK(lost.good());
    CHECK(w.value("bells_repeated") == 1);
    CHECK(w.value("scsi_cmd_timeouts") == 0);
    run(w, *w.disk("sda"), after);
    CHECK(after.good());
    CHECK(w.host->next_service() > kernel::now() + Duration::from_s(10));
}

TEST_CASE("Escalation: the unit is reset, then the device, and the others are served all the same") {
    ScsiWorld w(GENERATE(from_range(std::begin(kSomeWays), std::end(kSomeWays))));
    ScsiUnit &u = w.dev.add(0, 0), &other = w.dev.add(1, 0);
    virtio::ScsiTunables tunables;
    SECTION("LOGICAL UNIT RESET helps") {
        w.dev.tmf_aborts = false;
    }
    SECTION("I_T NEXUS RESET is asked for, too") {
        w.dev.tmf = ScsiDevice::Tmf::rejects;
        tunables.bus_reset_disable = false;
    }
    SECTION("no task management helps") {
        w.dev.tmf = ScsiDevice::Tmf::rejects;
    }
    SECTION("task management says it helped, and it did not") {
        w.dev.tmf = ScsiDevice::Tmf::lies;
    }
    SECTION("task management is not answered either") {
        w.dev.tmf = ScsiDevice::Tmf::silent;
    }
    REQUIRE(w.start(tunables));
    u.silent = true;
    other.silent = true;
    ScsiIo slow = read(w, 0), patient = read(w, 1), elsewhere = read(w, 2);
    slow.timeout = Duration::from_s(5);
    send(*w.disk("sda"), slow);
    send(*w.disk("sda"), patient);
    send(*w.disk("sdb"), elsewhere);
    other.silent = u.silent = false;  // from now on they answer, what they have not taken yet
    w.pass(Duration::from_ms(5100));
    w.pass(Duration::from_s(6));
    CHECK(slow.failed(Error::timed_out));
    w.dev.wake_up();
    w.settle();
    CHECK(patient.good());
    CHECK(elsewhere.good());
    const bool gentle = w.dev.tmf == ScsiDevice::Tmf::works;
    CHECK(w.host->info().recoveries == (gentle ? 0 : 1));
    std::vector<u32> asked;
    for (const auto& t : w.dev.tmfs) asked.push_back(t.first);
    if (gentle) CHECK(asked == std::vector<u32>{0, 5});
    if (w.dev.tmf == ScsiDevice::Tmf::silent) CHECK(asked == std::vector<u32>{0});
    if (w.dev.tmf == ScsiDevice::Tmf::rejects)
        CHECK(asked == (tunables.bus_reset_disable ? std::vector<u32>{0, 5} : std::vector<u32>{0, 5, 4}));
    CHECK_FALSE(w.host->info().broken);
    ScsiIo after = read(w, 0);
    run(w, *w.disk("sda"), after);
    CHECK(after.good());
}

TEST_CASE("All task management functions") {
    ScsiWorld w(GENERATE(Way::pci_vectors, Way::pci_polling));
    ScsiUnit& u = w.dev.add(0, 0);
    REQUIRE(w.start());
    auto& d = *w.disk("sda");
    const virtio::ScsiAddress at{0, 0};
    auto& h = *w.host;
    CHECK(h.oldest_tag(d) == 0);
    u.silent = true;
    ScsiIo r = read(w, 0);
    send(d, r);
    const u64 tag = h.oldest_tag(d);
    CHECK(tag != 0);
    CHECK(h.task_management(ScsiTmf::query_task, at, tag) == ScsiTmfAnswer::succeeded);
    CHECK(h.task_management(ScsiTmf::query_task, at, tag + 1) == ScsiTmfAnswer::complete);
    CHECK(h.task_management(ScsiTmf::query_task_set, at) == ScsiTmfAnswer::succeeded);
    CHECK(h.task_management(ScsiTmf::clear_aca, at) == ScsiTmfAnswer::rejected);
    CHECK(h.task_management(ScsiTmf::abort_task, {0, 1}, tag) == ScsiTmfAnswer::incorrect_lun);
    CHECK(h.task_management(ScsiTmf::abort_task, {1, 0}, tag) == ScsiTmfAnswer::bad_target);
    CHECK(h.task_management(ScsiTmf::abort_task_set, at) == ScsiTmfAnswer::complete);
    w.settle();
    CAPTURE(int(r.error.value_or(Error(99))), r.attempts);
    CHECK(r.completions == 0);  // aborted, and sent again
    CHECK(h.oldest_tag(d) != tag);
    CHECK(h.task_management(ScsiTmf::clear_task_set, at) == ScsiTmfAnswer::complete);
    CHECK(h.task_management(ScsiTmf::logical_unit_reset, at) == ScsiTmfAnswer::complete);
    CHECK(h.task_management(ScsiTmf::i_t_nexus_reset, at) == ScsiTmfAnswer::complete);
    w.settle();
    w.dev.wake_up();
    w.settle();
    CHECK(r.good());
    w.dev.tmf = ScsiDevice::Tmf::silent;
    CHECK(h.task_management(ScsiTmf::query_task, at, tag) == ScsiTmfAnswer::silent);
    w.dev.tmf = ScsiDevice::Tmf::works;
    CHECK(h.task_management(ScsiTmf::query_task, at, tag) == ScsiTmfAnswer::silent);  // the slot is still the device's
}

TEST_CASE("A silent unit does not keep the others from being found") {
    ScsiWorld w(GENERATE(Way::mmio, Way::pci_polling));
    w.dev.add(0, 0);
    w.dev.add(1, 0).silent = true;
    w.dev.add(2, 0);
    REQUIRE(w.start());
    CHECK(w.found.size() == 2);
    CHECK_FALSE(w.host->info().broken);
}

TEST_CASE("A device that lies is reset and every unanswered request is replayed") {
    ScsiWorld w(GENERATE(from_range(std::begin(device::kModernWays), std::end(device::kModernWays))));
    w.dev.add(0, 0);
    w.dev.add(0, 1);
    REQUIRE(w.start());
    w.dev.immediate = false;
    std::vector<std::unique_ptr<ScsiIo>> all;
    for (u32 i = 0; i < 100; ++i) {
        all.emplace_back(new ScsiIo(i % 2 ? Op::write : Op::read, i, {w.piece(512 * i, 512)}));
        w.disk(i % 3 == 0 ? "sda" : "sdb")->submit(*all.back());
    }
    w.disk("sda")->flush_submissions();
    w.disk("sdb")->flush_submissions();
    for (int i = 0; i < 5; ++i) w.dev.serve(i), w.heard();
    const u16 q = GENERATE(u16(0), u16(1), u16(2), u16(3));
    device::RingDevice& ring = w.dev.queues[q].ring;
    SECTION("an id out of range") {
        ring.put(1000, 1), ring.publish_used(u16(ring.used_idx - 1)), w.dev.interrupt_queue(q);
    }
    SECTION("used.idx jumps") {
        ring.set_used_idx(u16(ring.used_idx + 500)), w.dev.interrupt_queue(q);
    }
    SECTION("DEVICE_NEEDS_RESET") {
        w.dev.needs_reset();
    }
    w.dev.immediate = true;
    w.settle();
    CHECK(w.host->info().recoveries == 1);
    int completed = 0;
    for (const auto& r : all) completed += r->good();
    CHECK(completed == 100);
    w.dev.add(6, 0);
    w.dev.event(Spec::kTransportReset, Spec::kResetRescan, 6, 0);  // the event buffers are back, too
    w.settle();
    CHECK(w.found.size() == 3);
}

TEST_CASE("A device that never recovers fails every request, and hangs nobody") {
    ScsiWorld w(GENERATE(from_range(std::begin(device::kModernWays), std::end(device::kModernWays))));
    w.dev.add(0, 0);
    REQUIRE(w.start());
    w.dev.immediate = false;
    auto& d = *w.disk("sda");
    std::vector<std::unique_ptr<ScsiIo>> all;
    for (u32 i = 0; i < 100; ++i) {
        all.emplace_back(new ScsiIo(Op::read, i, {w.piece(512 * i, 512)}));
        d.submit(*all.back());
    }
    d.flush_submissions();
    bool quarantined = false, lies = false;
    SECTION("it lies again and again") {
        lies = true;
        for (int i = 0; i < 40 && !w.host->info().broken; ++i) {
            device::RingDevice& ring = w.dev.queues[2].ring;
            ring.set_used_idx(u16(ring.used_idx + 500));
            if (w.dev.live()) w.dev.interrupt_queue(2);
            w.settle();
        }
    }
    SECTION("it refuses its features") {
        w.dev.refuses_features = true, w.dev.needs_reset(), w.settle();
    }
    SECTION("it does not reset") {
        quarantined = true;
        w.dev.never_resets = true, w.dev.needs_reset(), w.settle();
    }
    SECTION("it is gone from the bus") {
        w.dev.absent = true, w.dev.interrupt_queue(2), w.dev.interrupt_config(), w.settle();
    }
    CHECK(w.host->info().broken);
    u32 held = 0;
    for (const auto& r : all) {
        // The scans between the resets take time, too: some are late before the end.
        CHECK((r->failed(Error::device_broken) || (lies && r->failed(Error::timed_out))));
        held += r->quarantined;
    }
    if (quarantined)
        CHECK(held == 32 + (64 - 32) / 3);  // what was in the ring: 32 indirect, the rest in three descriptors each
    ScsiIo late = read(w, 0);
    run(w, d, late);
    CHECK(late.failed(Error::device_broken));
    CHECK_FALSE(d.present());
    CHECK_FALSE(w.host->service());
    w.dev.never_resets = w.dev.absent = false;
}

TEST_CASE("A device that dies for good during a scan ends the scan") {
    ScsiWorld w(GENERATE(Way::mmio, Way::pci_vectors));
    w.dev.add(0, 0);
    w.dev.add(40, 0);
    REQUIRE(w.start());
    w.dev.immediate = false;
    w.while_waiting = [&] {
        w.dev.never_resets = true;
        if (!w.host->info().broken) w.dev.needs_reset();
    };
    w.host->scan();
    CHECK(w.host->info().broken);
    CHECK_FALSE(w.disk("sda")->present());
    w.while_waiting = nullptr;
    w.dev.never_resets = false;
}

TEST_CASE("Requests outstanding when the driver goes are completed, not forgotten") {
    std::vector<std::unique_ptr<ScsiIo>> all;
    {
        ScsiWorld w(Way::mmio);
        w.dev.add(0, 0).silent = false;
        REQUIRE(w.start());
        w.dev.find(0, 0)->silent = true;
        for (u32 i = 0; i < 3; ++i) {
            all.emplace_back(new ScsiIo(Op::read, i, {w.piece(512 * i, 512)}));
            w.disk("sda")->submit(*all.back());
            if (i == 0) w.disk("sda")->flush_submissions();
        }
    }
    for (const auto& r : all) CHECK(r->failed(Error::device_broken));
}

TEST_CASE("The worker thread does all this by itself") {
    device::Bench<ScsiDevice> bench(Way::mmio, u16(2));
    bench.dev.add(0, 0);
    virtio::ScsiRegistry registry;
    auto host = virtio::Scsi<>::probe(bench.device(), "scsi0", registry);
    REQUIRE(host);
    fs::BlockDevice* disk = nullptr;
    (*host)->for_each_disk([&](ScsiDisk& d) { disk = &d; });
    REQUIRE(disk != nullptr);
    auto memory = kernel::DmaRegion::allocate(4096).value();
    const fs::IoSegment piece{memory.bytes().first(512), memory.addr()};
    BlockRequest r;
    r.data = {&piece, 1};
    kernel::Event event;
    r.context = &event;
    r.done = [](BlockRequest& q) { static_cast<kernel::Event*>(q.context)->set(); };
    disk->submit(r);
    disk->flush_submissions();
    event.wait();
    CHECK_FALSE(r.error);
    host->reset();
    CHECK(bench.dev.all_violations() == std::vector<std::string>{});
}

TEST_CASE("Under random trouble every request is completed exactly once, with the right bytes") {
    const u32 seed = GENERATE(range(1u, 7u));
    CAPTURE(seed);
    ScsiWorld w(GENERATE(Way::pci_vectors, Way::mmio, Way::pci_polling));
    std::mt19937 engine(seed);
    const auto rng = [&](u32 n) { return u32(engine()) % n; };
    for (u8 t = 0; t < 3; ++t) {
        ScsiUnit& u = w.dev.add(t, t);
        for (usize i = 0; i < u.bytes.size(); ++i) u.bytes[i] = u8(i / 512 * 7 + i + t);
    }
    REQUIRE(w.start());
    w.dev.immediate = false;
    w.while_waiting = [&] { w.dev.serve_all(); };
    std::vector<std::unique_ptr<ScsiIo>> all;
    std::vector<u32> unit_of;
    const char* names[] = {"sda", "sdb", "sdc"};
    u32 breaks = 0;
    for (u32 step = 0; step < 1500; ++step) {
        if (all.size() < 500 && rng(2) == 0) {
            const u32 u = rng(3);
            const usize at = 1024 * all.size();
            all.emplace_back(new ScsiIo(Op::read, rng(2046), {w.piece(at, 512), w.piece(at + 512, 512)}));
            unit_of.push_back(u);
            w.disk(names[u])->submit(*all.back());
        }
        if (rng(4) == 0) w.disk(names[rng(3)])->flush_submissions();
        if (!w.dev.waiting.empty() && w.dev.live() && rng(2) == 0) w.dev.serve(rng(u32(w.dev.waiting.size())));
        const u32 which = rng(3);
        ScsiUnit& u = *w.dev.find(u8(which), u16(which));
        if (rng(20) == 0) u.attentions.emplace_back(0x29, 0);
        if (rng(50) == 0) u.busy += 2;
        if (rng(60) == 0) w.dev.event(Spec::kParamChange, 0x2a | 9 << 8, u8(rng(4)), u16(rng(3)));
        if (rng(60) == 0) w.dev.event(Spec::kTransportReset, rng(3) == 2 ? 1 : 0, u8(rng(4)), u16(rng(3)));
        if (breaks < 8 && rng(150) == 0 && w.dev.live()) {
            ++breaks;
            const u16 q = u16(rng(4));
            device::RingDevice& ring = w.dev.queues[q].ring;
            ring.set_used_idx(u16(ring.used_idx + 300));
            w.dev.interrupt_queue(q);
        }
        if (rng(30) == 0) w.pass(Duration::from_ms(300));
        w.heard();
    }
    w.dev.immediate = true;
    for (int i = 0; i < 50; ++i) {
        for (const char* n : names) w.disk(n)->flush_submissions();
        w.dev.serve_all();
        w.pass(Duration::from_s(1));
    }
    CHECK_FALSE(w.host->info().broken);
    for (usize i = 0; i < all.size(); ++i) {
        const ScsiIo& r = *all[i];
        REQUIRE(r.completions == 1);
        if (r.error) continue;
        REQUIRE(std::memcmp(r.pieces[0].bytes.data(),
                            &w.dev.find(u8(unit_of[i]), u16(unit_of[i]))->bytes[r.lba.raw * 512], 1024) == 0);
    }
    const auto failed = std::count_if(all.begin(), all.end(), [](const auto& r) { return r->error.has_value(); });
    CHECK(failed < 50);
}
