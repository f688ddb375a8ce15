// What is above the drivers does not notice that a device was reset: a TCP connection over net, a mounted ext4
// filesystem on blk, while their devices lie and ask for resets in the middle of the work.
#include "drivers/virtio/blk.hpp"
#include "net/pump.hpp"
#include "tests/unit/fs/image.hpp"
#include "tests/unit/net/fixture.hpp"
#include "tests/unit/virtio/blk_world.hpp"
#include "tests/unit/virtio/net_world.hpp"

using namespace ringlet;
using device::Way;

namespace {

/// A lie, or a cry for help; another one each time.
template <class D> void break_device(D& dev, u16 queue, u32 how) {
    device::RingDevice& ring = dev.queues[queue].ring;
    if (how % 3 == 0) return dev.needs_reset();
    if (how % 3 == 1)
        ring.put(60000, 1), ring.publish();
    else
        ring.set_used_idx(u16(ring.used_idx + 1000));
    dev.interrupt_queue(queue);
}

/// A stack behind the driver, a peer on the wire.
struct Wire {
    device::NetWorld<virtio::NetConfig{}> world;
    Instant now{1'000'000'000};
    std::optional<net::Stack> stack;
    net::test::Host peer{2};

    explicit Wire(Way way) : world(way) {
        arch::host::use_virtual_clock(now);
        REQUIRE(world.start({.csum_disable = true}));
        stack.emplace(net::test::Host::config(1), world.pool);
        stack->start(now);
    }
    ~Wire() {
        stack.reset();
        arch::host::use_real_clock();
    }
    /// Everything that happens before the next timer, then that.
    void step() {
        for (bool moved = true; moved;) {
            if (world.nic->polled()) world.nic->poll();
            moved = net::pump(*world.nic, *stack, now);
            peer.stack.poll(now);
            for (const auto& s : std::exchange(world.dev.sent, {})) moved = true, peer.input(s.frame, now);
            while (auto f = peer.output(now)) moved = true, (void)world.dev.receive(*f);
        }
        (void)world.nic->watch(now);
        const Instant next = std::min({stack->deadline(), peer.stack.deadline(), now + Duration::from_s(1)});
        now = std::max(now + Duration::from_us(1), next);
        arch::host::advance_to(now);
    }
};

}  // namespace

TEST_CASE("A TCP connection lives through the resets of its network device") {
    Wire w(GENERATE(Way::pci_vectors, Way::pci_line, Way::pci_polling, Way::mmio));
    net::tcp::Tcp &ours = w.stack->tcp(), &theirs = w.peer.stack.tcp();
    const auto listener = *theirs.listen({{}, 80}, 4);
    const auto c = *w.stack->connect({net::Ipv4Addr::of(10, 0, 0, 2), 80}, w.now);
    std::optional<net::tcp::Handle> s;
    std::vector<std::byte> sent(200'000), out, back;
    for (usize i = 0; i < sent.size(); ++i) sent[i] = std::byte(i * 31 + i / 251);
    usize at = 0, returned = 0;
    u32 steps = 0, breaks = 0;
    std::byte buffer[4096];
    while (back.size() < sent.size()) {
        REQUIRE(++steps < 100'000);
        if (auto n = ours.write(c, Bytes(sent).subspan(at), w.now)) at += *n;
        if (!s)
            if (auto h = theirs.accept(listener)) s = *h;
        if (s) {
            if (auto n = theirs.read(*s, buffer, w.now)) out.insert(out.end(), buffer, buffer + *n);
            if (auto n = theirs.write(*s, Bytes(out).subspan(returned), w.now)) returned += *n;
        }
        if (auto n = ours.read(c, buffer, w.now)) back.insert(back.end(), buffer, buffer + *n);
        if (back.size() > breaks * 20'000) {  // always with segments and acknowledgements under way
            w.world.dev.hold_tx = true;
            (void)net::pump(*w.world.nic, *w.stack, w.now);
            break_device(w.world.dev, u16(breaks % 2), breaks);
            w.world.dev.hold_tx = false;
            ++breaks;
        }
        w.step();
    }
    CHECK((back == sent));
    CHECK(breaks == 10);
    CHECK(w.world.nic->info().recoveries == breaks);
    CHECK_FALSE(w.world.nic->info().broken);
    CHECK(ours.info(c)->state == net::tcp::State::established);
    ours.abort(c, w.now);
}

namespace {

/// The thread that waits for the disk sleeps: the device's turn, and the driver's thread's.
struct Sleeper {
    static inline test::World* world = nullptr;
    static inline u32 naps = 0, breaks = 0;
    static void nap(Instant) {
        test::World& w = *world;
        if (++naps % 9 == 0) {
            break_device(w.dev, 0, breaks++);
            return w.heard();
        }
        while (!w.dev.waiting.empty() && w.dev.live()) w.dev.serve(0);
        w.later(Duration::from_s(10));  // so that there is peace between two resets
    }
};

}  // namespace

TEST_CASE("A mounted ext4 filesystem lives through the resets of its disk") {
    const fs::test::Scratch scratch;
    fs::test::make_tree(scratch.path / "tree", 7, 50);
    fs::test::make_image(scratch.path / "image", scratch.path / "tree", "-b 1024", "24M");
    const std::string image = fs::test::read_host(scratch.path / "image");
    test::World w(GENERATE(Way::pci_vectors, Way::pci_polling, Way::mmio), image.size() / 512);
    std::memcpy(w.dev.disk.data(), image.data(), image.size());
    REQUIRE(w.start());
    w.dev.immediate = false;
    Sleeper::world = &w, Sleeper::naps = Sleeper::breaks = 0;
    arch::host::set_sleep_hook(Sleeper::nap);
    {
        fs::test::Mounted mounted(*w.disk, 256 << 10);
        CHECK(fs::test::compare(mounted.vfs, scratch.path / "tree", "/") > 100);
    }
    arch::host::set_sleep_hook(nullptr);
    CHECK(Sleeper::breaks > 10);
    CHECK(w.disk->info().recoveries == Sleeper::breaks);
    CHECK_FALSE(w.disk->info().broken);
}
