// The console driver and its ports against a model of the device, over every transport and interrupt mode.
#include <catch2/catch.hpp>

#include "drivers/virtio/console.hpp"
#include "tests/device/console_device.hpp"
#include "tests/unit/virtio/bench.hpp"

using namespace ringlet;
using device::ConsoleModel, device::Way;
using kernel::Port;
using Console = virtio::Console<device::every_ring<virtio::ConsoleConfig>()>;
using Spec = virtio::ConsoleSpec;

namespace {

constexpr std::string_view kData = "org.ringlet.data";

struct World : device::Bench<ConsoleModel> {
    std::unique_ptr<Console> console;
    explicit World(Way way, bool multiport = true, u32 max = 4) : Bench(way, multiport, max) {
        arch::host::use_virtual_clock();
    }
    Result<> start() {
        auto r = Console::probe(device(), "console0");
        if (!r) return fail(r.error());
        console = std::move(*r);
        turn();
        return {};
    }
    ~World() {
        console.reset();
        arch::host::use_real_clock();
        CHECK(dev.all_violations() == std::vector<std::string>{});
    }
    /// The thread's turns, until it has nothing to do.
    void turn() {
        for (int i = 0; i < 6; ++i) (void)console->service(kernel::now());
    }
    /// The host talked nonsense: that answers to it make none either is not the driver's fault.
    void forgive() {
        for (auto& q : dev.queues) q.ring.violations.clear();
        dev.violations.clear();
    }
    Port open(std::string_view name) {
        auto port = Port::open(name);
        REQUIRE(port);
        turn();
        return std::move(*port);
    }
    u64 value(std::string_view name) const {
        u64 found = ~u64{0};
        console->for_each_value([&](std::string_view n, u64 v) {
            if (n == name) found = v;
        });
        return found;
    }
};

Result<std::string> read(Port& port, usize most = 4096) {
    std::string text(most, 0);
    const auto n = port.read(std::as_writable_bytes(std::span(text)), kernel::now());
    if (!n) return fail(n.error());
    text.resize(*n);
    return text;
}
Result<usize> write(Port& port, std::string_view text) {
    return port.write(std::as_bytes(std::span(text)), kernel::now());
}
std::string pattern(usize n) {
    std::string text(n, 0);
    for (usize i = 0; i < n; ++i) text[i] = char(i * 31 + i / 251);
    return text;
}
std::string typed() {
    std::string text;
    while (const auto c = kernel::console_read(Instant{})) text += *c;
    return text;
}
const auto any_way = [] { return GENERATE(from_range(std::begin(device::kAllWays), std::end(device::kAllWays))); };

}  // namespace

TEST_CASE("Ports are announced, named, opened by both sides, and carry bytes") {
    World w(any_way());
    w.dev.ports[1].there = true, w.dev.ports[1].name = kData;
    REQUIRE(w.start());
    CHECK(w.dev.ready == 1);
    CHECK(w.dev.ports[0].ready);
    CHECK(w.dev.ports[1].ready);
    CHECK_FALSE(w.dev.ports[2].ready);
    CHECK(w.value("ports") == 2);
    CHECK(Port::open("nothing").error() == Error::not_found);
    {
        Port port = w.open(kData);
        CHECK(w.dev.ports[1].guest_open);
        CHECK(Port::open(kData).error() == Error::in_use);
        CHECK_FALSE(port.host_open());
        CHECK_FALSE(port.wait_open(kernel::now()));
        CHECK(read(port).error() == Error::closed);
        CHECK(write(port, "x").error() == Error::closed);
        w.dev.connect(1);
        w.turn();
        CHECK(port.wait_open(kernel::now()));
        CHECK(read(port).error() == Error::timed_out);

        const std::string all = pattern(100'000);
        w.dev.type_in(1, all);
        std::string got;
        while (const auto piece = read(port, 777)) got += *piece;
        CHECK(got == all);
        usize sent = 0;
        while (sent < all.size()) sent += write(port, all.substr(sent)).value();
        CHECK(w.dev.ports[1].from_guest == all);
        CHECK(w.value("bytes_in") == all.size());
        CHECK(w.value("bytes_out") == all.size());

        w.dev.type_in(1, "last");
        w.dev.connect(1, false);
        w.turn();
        CHECK_FALSE(port.host_open());
        CHECK(port.wait_open(kernel::now()));  // something is left
        CHECK(read(port).value() == "last");
        CHECK(read(port).error() == Error::closed);
        w.dev.connect(1);
        w.turn();
        CHECK(write(port, "again").value() == 5);
    }
    w.turn();
    CHECK_FALSE(w.dev.ports[1].guest_open);
    CHECK(w.value("bad_messages") == 0);
}

TEST_CASE("A slow reader holds the host up, and a host that does not read the writer") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    w.dev.ports[1].there = w.dev.ports[1].host_open = true, w.dev.ports[1].name = kData;
    REQUIRE(w.start());
    Port port = w.open(kData);
    const auto c = virtio::ConsoleConfig{};
    const usize most = usize{c.buffers} * c.buffer_bytes;
    w.dev.type_in(1, std::string(10'000, 'a'));
    CHECK(w.dev.ports[1].to_guest.size() == 10'000 - most);
    CHECK(read(port, 10'000)->size() == most);
    w.dev.ports[1].hold = true;
    CHECK(write(port, std::string(10'000, 'b')).value() == most);
    CHECK(write(port, "b").error() == Error::timed_out);
    w.dev.let_go(1);
    CHECK(write(port, "c").value() == 1);
    CHECK(w.dev.ports[1].from_guest == std::string(most, 'b') + "c");
}

TEST_CASE("Ports come and go while they are open") {
    World w(any_way());
    REQUIRE(w.start());
    for (int round = 0; round < 20; ++round) {
        w.dev.plug(2, std::string(kData));
        w.turn();
        Port port = w.open(kData);
        w.dev.connect(2);
        w.turn();
        CHECK(write(port, "hello").value() == 5);
        w.dev.type_in(2, "unread");
        w.dev.unplug(2);
        w.turn();
        CHECK_FALSE(port.host_open());
        CHECK(read(port).error() == Error::closed);
        CHECK(write(port, "x").error() == Error::closed);
        CHECK(Port::open(kData).error() == Error::not_found);
    }
    CHECK(w.dev.ports[2].from_guest == "hello");
    CHECK(w.value("bad_messages") == 0);
}

TEST_CASE("Port 0 becomes the system console") {
    const bool multiport = GENERATE(true, false);
    World w(any_way(), multiport);
    REQUIRE(w.start());
    typed();
    REQUIRE(w.console->attach());
    w.turn();
    CHECK(Port::open("hvc0").error() == Error::in_use);
    kernel::console_write("one\ntwo");
    CHECK(w.dev.ports[0].from_guest == "one\r\ntwo");
    w.dev.type_in(0, "ls\r");
    w.turn();
    CHECK(typed() == "ls\r");

    // What does not fit into the input ring stays with the device; nothing is lost.
    const std::string all = pattern(20'000);
    const u64 lost = kernel::console_overruns();
    w.dev.type_in(0, all);
    std::string got;
    for (int i = 0; i < 200; ++i) w.turn(), got += typed();
    CHECK(got == all);
    CHECK(kernel::console_overruns() == lost);
}

TEST_CASE("Console output waits a bounded time for a host that does not read, once") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    REQUIRE(w.start());
    REQUIRE(w.console->attach());
    w.turn();
    arch::host::use_real_clock();
    w.dev.ports[0].hold = true;
    const Instant before = kernel::now();
    for (int i = 0; i < 1000; ++i) kernel::console_write("lost");
    CHECK(kernel::now() - before >= Duration::from_ms(virtio::ConsoleConfig{}.write_wait_ms));
    CHECK(w.value("stalls") == 1);
    CHECK(w.value("dropped") == (1000 - virtio::ConsoleConfig{}.buffers) * 4);
    w.dev.let_go(0);
    w.dev.ports[0].from_guest.clear();
    kernel::console_write("heard");
    CHECK(w.dev.ports[0].from_guest == "heard");
    arch::host::use_virtual_clock(kernel::now());
}

TEST_CASE("A panic reaches the former console and the emergency register") {
    static std::string serial;
    serial.clear();
    (void)kernel::console_attach([](std::string_view text) { serial += text; });
    World w(GENERATE(Way::pci_vectors, Way::mmio, Way::mmio_v1));
    const bool offered = GENERATE(true, false);
    if (!offered) w.dev.offered = w.dev.offered.without(virtio::mask(Spec::Feature::emerg_write));
    REQUIRE(w.start());
    REQUIRE(w.console->attach());
    kernel::console_write("normal");
    CHECK(serial.empty());
    kernel::console_use_panic_output();
    kernel::console_write("PANIC");
    CHECK(serial == "PANIC");
    CHECK(w.dev.emergency == (offered ? "PANIC" : ""));
    w.console.reset();
    (void)kernel::console_attach(nullptr);
}

TEST_CASE("A console tells its size") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio, Way::mmio_v1));
    w.dev.set_size(80, 24);
    REQUIRE(w.start());
    CHECK(w.value("columns") == 80);
    CHECK(w.value("rows") == 24);
    w.dev.set_size(132, 50);
    if (w.console->polled()) return;
    w.turn();
    CHECK(w.value("columns") == 132);
    w.dev.say(0, Spec::resize, 0, std::string("\x0a\x00\x14\x00", 4));
    w.turn();
    CHECK(w.value("columns") == 10);
    CHECK(w.value("rows") == 20);
}

TEST_CASE("Nonsense in control messages is counted and changes nothing") {
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    w.dev.ports[1].there = w.dev.ports[1].host_open = true, w.dev.ports[1].name = kData;
    REQUIRE(w.start());
    Port port = w.open(kData);
    u64 bad = 0;
    const auto nonsense = [&](u32 id, u16 event, u16 value, std::string rest = {}) {
        w.dev.say(id, event, value, rest);
        w.turn();
        CHECK(w.value("bad_messages") == ++bad);
    };
    nonsense(1u, Spec::device_add, 1);     // it is there already
    nonsense(2u, Spec::device_remove, 1);  // it is not
    nonsense(3u, Spec::port_open, 1);
    nonsense(4u, Spec::port_open, 1);
    nonsense(0xffff'ffffu, Spec::device_remove, 1);
    nonsense(1u, Spec::device_ready, 1);
    nonsense(1u, Spec::port_ready, 1);
    nonsense(1u, u16(8), 1);
    nonsense(1u, u16(0xffff), 0xffff);
    nonsense(0u, Spec::resize, 0, std::string("abc"));
    nonsense(1u, Spec::port_name, 1, std::string(65, 'n'));
    nonsense(1u, Spec::port_name, 1, std::string(500, 'n'));
    nonsense(1u, Spec::port_name, 1, std::string("\x1b[2J"));
    nonsense(1u, Spec::port_name, 1, std::string());
    for (usize n = 0; n < 8; ++n) {
        w.dev.say_bytes(std::string(n, 0));
        w.turn();
        CHECK(w.value("bad_messages") == ++bad);
    }
    CHECK(write(port, "still").value() == 5);
    w.dev.say(1, Spec::port_name, 1, "renamed");
    w.turn();
    CHECK(Port::open(kData).error() == Error::not_found);
    CHECK(Port::open("renamed").error() == Error::in_use);

    w.dev.say(4, Spec::device_add, 1), w.dev.say(0xffff'ffff, Spec::device_add, 1);
    w.turn();
    CHECK(w.value("refused_ports") == 2);
    CHECK(w.dev.failed_ports == std::set<u32>{4, 0xffff'ffff});

    for (int i = 0; i < 5000; ++i) w.dev.say(u32(i % 9), u16(i % 11), u16(i), std::string(usize(i % 130), char(i)));
    for (int i = 0; i < 200; ++i) w.turn();
    CHECK(w.dev.messages.empty());
    w.forgive();
    CHECK_FALSE(w.console->info().broken);
    CHECK(w.console->info().recoveries == 0);
}

TEST_CASE("Random messages, bytes and ports do no harm") {
    u32 seed = GENERATE(range(1u, 6u));
    const auto random = [&] { return seed = seed * 1664525 + 1013904223, seed >> 8; };
    World w(GENERATE(Way::pci_vectors, Way::mmio));
    arch::host::use_real_clock();
    REQUIRE(w.start());
    REQUIRE(w.console->attach());
    for (int i = 0; i < 300; ++i) {
        const u32 id = random() % 5;
        switch (random() % 8) {
        case 0:
            w.dev.lie = random() % 3 == 0 ? random() : 0;
            break;
        case 1:
            w.dev.ports[0].hold = random() % 2;
            if (!w.dev.ports[0].hold) w.dev.let_go(0);
            break;
        case 2:
            w.dev.type_in(0, pattern(random() % 2000));
            break;
        case 3:
            kernel::console_write("text\n");
            break;
        default:
            w.dev.say(id, u16(random() % 9), u16(random() % 2), std::string(random() % 100, 'x'));
        }
        (void)w.console->service(kernel::now());
        (void)typed();
    }
    w.forgive();
    CHECK_FALSE(w.console->info().broken);
}

TEST_CASE("After a reset ports are announced again, and what had been received is still there") {
    World w(any_way());
    w.dev.ports[1].there = w.dev.ports[1].host_open = true, w.dev.ports[1].name = kData;
    REQUIRE(w.start());
    REQUIRE(w.console->attach());
    Port port = w.open(kData);
    typed();
    w.dev.type_in(1, "before");
    SECTION("DEVICE_NEEDS_RESET") {
        w.dev.needs_reset();
    }
    SECTION("a lie on a data queue") {
        w.dev.complete(Spec::transmit_queue(1), 60000, 0);
        CHECK(write(port, "x").value_or(0) <= 1);
    }
    SECTION("a lie on the control queue") {
        w.dev.complete(2, 60000, 8);
    }
    SECTION("used.idx jumps on the console's queue") {
        w.dev.queues[1].ring.set_used_idx(500);
        kernel::console_write("x");
    }
    w.turn();
    CHECK(w.console->info().recoveries == 1);
    CHECK(w.dev.ready == 2);
    CHECK(w.dev.ports[1].guest_open);
    CHECK(port.host_open());
    CHECK(read(port).value() == "before");
    w.dev.type_in(1, "after");
    CHECK(read(port).value() == "after");
    w.dev.ports[1].from_guest.clear();
    CHECK(write(port, "out").value() == 3);
    CHECK(w.dev.ports[1].from_guest == "out");
    w.dev.type_in(0, "key");
    w.turn();
    CHECK(typed() == "key");

    for (int i = 0; i < 100 && !w.console->info().broken; ++i) w.dev.needs_reset(), w.turn();
    CHECK(w.console->info().broken);
    CHECK(read(port).error() == Error::device_broken);
    CHECK(write(port, "x").error() == Error::device_broken);
    kernel::console_write("into the void");
    CHECK(w.console->service(kernel::now()).is_never());
}

TEST_CASE("A console that is gone from the bus fails who reads and writes") {
    World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio));
    w.dev.ports[1].there = w.dev.ports[1].host_open = true, w.dev.ports[1].name = kData;
    REQUIRE(w.start());
    Port port = w.open(kData);
    w.dev.absent = true;  // and says nothing of it: the thread looks
    CHECK(w.console->service(kernel::now()).is_never());
    CHECK(w.console->info().broken);
    CHECK(read(port).error() == Error::device_broken);
    CHECK(write(port, "x").error() == Error::device_broken);
    w.dev.absent = false;
}

TEST_CASE("A console that does not come back keeps its buffers") {
    const usize before = arch::host::live_dma_regions();
    {
        World w(Way::mmio);
        REQUIRE(w.start());
        REQUIRE(w.console->attach());
        w.dev.never_resets = true;
        w.dev.needs_reset();
        w.turn();
        CHECK(w.console->info().broken);
    }
    CHECK(arch::host::live_dma_regions() > before);
    kernel::console_write("nobody");
}

TEST_CASE("Impossible consoles are an error at once, and strange ones are used as far as they go") {
    SECTION("no ports") {
        World w(Way::mmio, true, 4);
        std::memset(&w.dev.config[4], 0, 4);
        CHECK(w.start().error() == Error::device_broken);
    }
    SECTION("fewer queues than ports") {
        World w(Way::mmio, true, 4);
        w.dev.queues.resize(6);
        CHECK(w.start().error() == Error::device_broken);
    }
    SECTION("refuses its features") {
        World w(Way::pci_vectors);
        w.dev.refuses_features = true;
        CHECK(w.start().error() == Error::unsupported);
    }
    SECTION("as many ports as there can be") {
        World w(Way::pci_vectors, true, 511);
        for (u32 id = 0; id < 40; ++id) w.dev.ports[id].there = true;
        REQUIRE(w.start());
        CHECK(w.value("ports") == 4);
        CHECK(w.value("refused_ports") == 36);
    }
    SECTION("tiny queues") {
        World w(Way::mmio);
        for (auto& q : w.dev.queues) q.max_size = 2;
        w.dev.ports[1].there = w.dev.ports[1].host_open = true, w.dev.ports[1].name = kData;
        REQUIRE(w.start());
        for (int i = 0; i < 20; ++i) w.turn();
        Port port = w.open(kData);
        const std::string all = pattern(5000);
        w.dev.type_in(1, all);
        std::string got;
        while (const auto piece = read(port)) got += *piece;
        CHECK(got == all);
    }
}
