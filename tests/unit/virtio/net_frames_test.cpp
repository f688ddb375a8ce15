// Frames of more than one buffer, segmentation in both directions, several queue pairs, hostile headers.
#include "tests/unit/virtio/net_world.hpp"

using namespace ringlet;
using device::NetDevice, device::NetWorld, device::Way, device::kFull;
using net::Arm, net::PacketBuffer, net::PacketMeta;
using virtio::NetConfig;
using F = virtio::NetSpec::Feature;

namespace {

using World = NetWorld<kFull>;
constexpr NetConfig kOnePair = [] {
    NetConfig c;
    c.features.optional.bits = c.features.optional.bits |
                               virtio::mask(F::host_tso6, F::guest_tso6, F::host_uso, F::guest_uso4, F::guest_hdrlen);
    return c;
}();
using Small = NetWorld<kOnePair>;

PacketMeta segments(PacketMeta::Gso gso, u16 size, u16 start = 34, u16 headers = 54) {
    return {.checksum = PacketMeta::Checksum::partial,
            .gso = gso,
            .csum_offset = u8(gso == PacketMeta::Gso::udp ? 6 : 16),
            .csum_start = start,
            .gso_size = size,
            .header_bytes = headers};
}
constexpr NetDevice::Header kTso4{
    .flags = 1, .gso_type = 1, .hdr_len = 54, .gso_size = 1460, .csum_start = 34, .csum_offset = 16};

}  // namespace

TEST_CASE("Frames of all sizes arrive over merged buffers") {
    Small w(Way::mmio);
    REQUIRE(w.start());
    CHECK(w.nic->offloads().guest_tso);
    for (const usize bytes : {60u, 1514u, 1920u, 1921u, 1935u, 1936u, 1937u, 4000u, 9014u, 40000u, 65549u, 65589u}) {
        INFO(bytes);
        const auto in = Small::tcp(bytes);
        REQUIRE(w.dev.receive(in, kTso4));
        auto p = w.nic->receive();
        REQUIRE(p);
        CHECK(Small::bytes_of(*p) == in);
        CHECK(p->total_size() == bytes);
        CHECK(p->meta().gso == PacketMeta::Gso::tcp4);
        CHECK(p->meta().gso_size == 1460);
        CHECK(p->meta().header_bytes == 54);
        CHECK(p->meta().checksum == PacketMeta::Checksum::partial);
        CHECK_FALSE(w.nic->receive());
        p.reset();
        w.nic->flush();
    }
    CHECK(w.value("rxq0.host_lro") == 12);
    CHECK(w.value("rxq0.iqdrops") == 0);
    // A frame without segmentation still takes the short way.
    REQUIRE(w.dev.receive(Small::counting(100)));
    CHECK(w.nic->receive()->meta().gso == PacketMeta::Gso::none);
}

TEST_CASE("Without MRG_RXBUF merged frames arrive in buffers of 64 KiB") {
    Small w(GENERATE(Way::mmio, Way::pci_vectors));
    w.dev.withdraw(F::mrg_rxbuf);
    const bool indirect = GENERATE(true, false);
    if (!indirect) w.dev.withdraw(virtio::Common::indirect_desc);
    REQUIRE(w.start());
    CHECK(w.nic->offloads().guest_tso);
    for (const usize bytes : {60u, 1514u, 1920u, 1921u, 30000u, 65589u, 60u}) {
        const auto in = Small::tcp(bytes);
        REQUIRE(w.dev.receive(in, kTso4));
        auto p = w.nic->receive();
        REQUIRE(p);
        CHECK(Small::bytes_of(*p) == in);
        p.reset();
        w.nic->flush();
    }
}

TEST_CASE("A pool too small for large buffers does without merged frames") {
    Small w(Way::mmio, 1, 140);
    w.dev.withdraw(F::mrg_rxbuf);
    REQUIRE(w.start());
    CHECK_FALSE(w.nic->offloads().guest_tso);
    CHECK_FALSE(w.dev.has(F::guest_tso4));
    CHECK(w.dev.has(F::guest_csum));
    REQUIRE(w.dev.receive(Small::counting(1514)));
    CHECK(w.nic->receive()->size() == 1514);
}

TEST_CASE("Hostile headers: dropped, counted, and nothing after them suffers") {
    Small w(Way::pci_vectors);
    REQUIRE(w.start());
    const auto dropped = [&](std::string_view why, usize bytes, NetDevice::Header h, bool v6 = false) {
        const u64 before = w.value(why);
        REQUIRE(w.dev.receive(Small::tcp(bytes, v6), h));
        CHECK_FALSE(w.nic->receive());
        CHECK(w.value(why) == before + 1);
        w.nic->flush();
        REQUIRE(w.dev.receive(Small::counting(99)));
        CHECK(w.nic->receive()->size() == 99);
    };
    dropped("rx_bad_gso", 3000, {.flags = 1, .gso_type = 1, .gso_size = 0, .csum_start = 34, .csum_offset = 16});
    dropped("rx_bad_gso", 3000, {.flags = 1, .gso_type = 3, .gso_size = 1000});     // UFO
    dropped("rx_bad_gso", 3000, {.flags = 1, .gso_type = 0x7f, .gso_size = 1000});  // unknown
    dropped("rx_bad_gso", 100, {.flags = 1, .gso_type = 2, .gso_size = 1000});
    dropped("rx_bad_gso", 3000, kTso4, true);  // IPv6 as TCPV4
    dropped("rx_mergeable_failed", 100, {.num_buffers = 65535});
    dropped("rx_mergeable_failed", 100, {.num_buffers = 65});
    CHECK(w.value("rxq0.iqdrops") == 7);

    // Announced, but the first buffer is not full: where the rest belongs cannot be known.
    const u64 failed = w.value("rx_mergeable_failed");
    REQUIRE(w.dev.receive(Small::counting(100), {.num_buffers = 3}));
    REQUIRE(w.dev.receive(Small::counting(101)));
    REQUIRE(w.dev.receive(Small::counting(102)));
    REQUIRE(w.dev.receive(Small::counting(103)));
    CHECK(w.nic->receive()->size() == 103);
    CHECK(w.value("rx_mergeable_failed") == failed + 1);

    // Larger than anything IP can carry: 36 full buffers.
    REQUIRE(w.dev.receive(Small::tcp(66000), kTso4));
    CHECK_FALSE(w.nic->receive());
    CHECK(w.value("rx_frame_too_large") == 1);
    w.nic->flush();
    REQUIRE(w.dev.receive(Small::counting(98)));
    CHECK(w.nic->receive()->size() == 98);
}

TEST_CASE("A merged frame that never completes costs its buffers and nothing else") {
    Small w(Way::mmio);
    REQUIRE(w.start());
    const auto chain = w.dev.queues[0].ring.take();
    NetDevice::Header h = kTso4;
    h.num_buffers = 3;
    std::memcpy(chain->in[0].bytes, &h, sizeof h);
    w.dev.complete(0, chain->id, chain->writable());
    CHECK_FALSE(w.nic->receive());
    for (int i = 0; i < 100; ++i) {
        w.nic->flush();
        CHECK_FALSE(w.nic->receive());
        CHECK_FALSE(w.nic->rearm(Arm::rx));
    }
    SECTION("until the rest comes") {
        for (int i = 0; i < 2; ++i) {
            const auto rest = w.dev.queues[0].ring.take();
            w.dev.complete(0, rest->id, rest->writable());
        }
        CHECK_FALSE(w.nic->receive());  // rubbish: no IPv4 inside
        CHECK(w.value("rx_bad_gso") == 1);
    }
    SECTION("or a reset") {
        w.break_and_recover();
        REQUIRE(w.dev.receive(Small::counting(77)));
        CHECK(w.nic->receive()->size() == 77);
    }
    SECTION("or an empty continuation") {
        const auto rest = w.dev.queues[0].ring.take();
        w.dev.complete(0, rest->id, 0);
        CHECK_FALSE(w.nic->receive());
        CHECK(w.value("rx_mergeable_failed") == 1);
    }
}

TEST_CASE("Received segmentation and checksums are believed only inside the frame") {
    Small w(Way::mmio);
    REQUIRE(w.start());
    const auto meta = [&](usize bytes, NetDevice::Header h, bool v6 = false) {
        REQUIRE(w.dev.receive(Small::tcp(bytes, v6), h));
        auto p = w.nic->receive();
        REQUIRE(p);
        w.nic->flush();
        return p->meta();
    };
    auto h = kTso4;
    h.csum_start = 0xffff, h.csum_offset = 0xffff;
    auto m = meta(3000, h);
    CHECK(m.checksum == PacketMeta::Checksum::none);
    CHECK(m.header_bytes == 0);
    CHECK(w.value("rx_csum_bad_offset") == 1);
    h = kTso4;
    // The TCP header would reach into the second buffer.
    h.csum_start = PacketBuffer::kSize - PacketBuffer::kHeadroom - 10;
    m = meta(6000, h);
    CHECK(m.gso == PacketMeta::Gso::tcp4);
    CHECK(m.header_bytes == 0);
    h = kTso4, h.hdr_len = 0xffff, h.gso_type = 0x81;
    m = meta(3000, h);
    CHECK(m.header_bytes == 54);
    CHECK(m.ecn);
    m = meta(3000, {.flags = 1, .gso_type = 4, .gso_size = 1220, .csum_start = 54, .csum_offset = 16}, true);
    CHECK(m.gso == PacketMeta::Gso::tcp6);
    CHECK(m.header_bytes == 74);
    m = meta(3000, {.flags = 1, .gso_type = 5, .gso_size = 700, .csum_start = 34, .csum_offset = 6});
    CHECK(m.gso == PacketMeta::Gso::udp);
    CHECK(m.header_bytes == 42);
}

TEST_CASE("What was not negotiated is not believed") {
    Small w(Way::mmio);
    w.dev.withdraw(F::guest_tso4, F::guest_csum);
    REQUIRE(w.start());
    CHECK_FALSE(w.dev.has(F::guest_tso6));  // needs GUEST_CSUM
    REQUIRE(w.dev.receive(Small::tcp(100), {.flags = 2}));
    CHECK(w.nic->receive()->meta().checksum == PacketMeta::Checksum::none);
    REQUIRE(w.dev.receive(Small::tcp(100), kTso4));
    CHECK_FALSE(w.nic->receive());
    REQUIRE(w.dev.receive(Small::tcp(5000)));  // larger than the MTU and not segmented
    CHECK_FALSE(w.nic->receive());
    CHECK(w.value("rx_bad_gso") == 1);
    CHECK(w.value("rx_frame_too_large") == 1);
}

TEST_CASE("Segments of 64 KiB leave as one indirect chain with their metadata") {
    Small w(Way::mmio);
    if (GENERATE(true, false)) w.dev.withdraw(virtio::Common::indirect_desc);
    const bool indirect = w.dev.offered.test(unsigned(virtio::Common::indirect_desc));
    REQUIRE(w.start());
    const auto o = w.nic->offloads();
    CHECK((o.tso4 && o.tso6 && o.uso && o.ecn && o.tx_checksum));
    CHECK(o.max_fragments == 36);
    CHECK(o.max_gso_bytes == 65535);
    auto p = w.packet(60000);
    const u16 pieces = p.fragments();
    p.meta() = segments(PacketMeta::Gso::tcp4, 1460);
    p.meta().ecn = true;
    w.nic->transmit(std::move(p));
    w.nic->flush();
    REQUIRE(w.dev.sent.size() == 1);
    const auto& s = w.dev.sent[0];
    CHECK(s.frame == Small::counting(60000));
    CHECK(s.header.gso_type == 0x81);
    CHECK(s.header.gso_size == 1460);
    CHECK(s.header.hdr_len == 54);
    CHECK((s.header.flags == 1 && s.header.csum_start == 34 && s.header.csum_offset == 16));
    CHECK(s.indirect == indirect);
    CHECK(s.descriptors == pieces);
    auto q = w.packet(3000);
    q.meta() = segments(PacketMeta::Gso::udp, 500, 34, 42);
    w.nic->transmit(std::move(q));
    auto v6 = w.packet(3000);
    v6.meta() = segments(PacketMeta::Gso::tcp6, 1220, 54, 74);
    w.nic->transmit(std::move(v6));
    w.nic->transmit(w.packet(1000));
    w.nic->flush();
    CHECK(w.dev.sent.at(1).header.gso_type == 5);
    CHECK(w.dev.sent.at(2).header.gso_type == 4);
    CHECK_FALSE(w.dev.sent.at(3).indirect);
    CHECK(w.dev.sent.at(3).descriptors == 1);
    CHECK(w.value("txq0.tso") == 3);
    CHECK(w.value("txq0.csum") == 3);
    CHECK(w.value("txq0.opackets") == 4);
    CHECK(w.value("txq0.obytes") == 67000);
}

TEST_CASE("Large packets beyond the ring wait inside the driver, in order, none lost") {
    Small w(Way::mmio, 1, 1200);
    w.dev.withdraw(virtio::Common::indirect_desc);
    REQUIRE(w.start());
    w.dev.hold_tx = true;
    u16 room = w.nic->room();
    CHECK(room == 64);
    for (u8 i = 0; i < 20; ++i) {  // as pump() does: as many as room() said, however large
        auto p = w.packet(30000, 1800, i);
        p.meta() = segments(PacketMeta::Gso::tcp4, 1460);
        w.nic->transmit(std::move(p));
    }
    w.nic->transmit(w.packet(60, 1800, 20));  // must not overtake
    w.nic->flush();
    CHECK(w.nic->room() == 0);
    CHECK(w.value("tx_held") != 0);
    for (int i = 0; i < 30; ++i) {
        CHECK_FALSE(w.nic->rearm(Arm::rx_and_tx));
        const int before = w.wakes;
        if (w.dev.tx_held.empty()) break;
        w.dev.release_tx();
        CHECK(w.wakes == before + 1);
        (void)w.nic->room();
        w.nic->flush();
    }
    REQUIRE(w.dev.sent.size() == 21);
    for (u8 i = 0; i < 20; ++i) CHECK(w.dev.sent[i].frame == Small::counting(30000, i));
    CHECK(w.dev.sent[20].frame.size() == 60);
    CHECK(w.nic->room() == 64);
}

TEST_CASE("What the device cannot send is dropped and counted, not handed over") {
    Small w(Way::mmio);
    w.dev.withdraw(F::host_tso4, F::host_ecn);
    REQUIRE(w.start());
    CHECK_FALSE(w.nic->offloads().tso4);
    const auto send = [&](PacketMeta m) {
        auto p = w.packet(3000);
        p.meta() = m;
        w.nic->transmit(std::move(p));
        w.nic->flush();
        return w.dev.sent.size();
    };
    CHECK(send(segments(PacketMeta::Gso::tcp4, 1460)) == 0);
    CHECK(send(segments(PacketMeta::Gso::tcp6, 0)) == 0);
    auto m = segments(PacketMeta::Gso::tcp6, 1220);
    m.ecn = true;
    CHECK(send(m) == 0);
    m.ecn = false;
    CHECK(send(m) == 1);
    CHECK(w.value("tx_dropped") == 3);
    // More pieces than the ring will ever hold.
    auto p = w.packet(2000, 20);
    p.meta() = segments(PacketMeta::Gso::tcp6, 1220);
    w.nic->transmit(std::move(p));
    w.nic->flush();
    (void)w.nic->room();
    CHECK(w.dev.sent.size() == 1);
    CHECK(w.value("tx_dropped") == 4);
    w.nic->transmit(w.packet(60));
    w.nic->flush();
    CHECK(w.dev.sent.size() == 2);
}

TEST_CASE("A partial checksum over a chain is finished in software, odd pieces too") {
    Small w(Way::mmio);
    w.dev.withdraw(F::csum);
    REQUIRE(w.start());
    std::vector<u8> frame = Small::counting(1201);
    frame[50] = frame[51] = 0;
    u32 sum = 0;
    for (usize i = 34; i < frame.size(); ++i) sum += u32(frame[i]) << ((i - 34) % 2 == 0 ? 8 : 0);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    for (const usize piece : {1201u, 1001u, 101u, 100u, 63u}) {
        auto p = w.packet(1201, piece);
        p.data()[50] = p.data()[51] = std::byte{0};
        p.meta() = {.checksum = PacketMeta::Checksum::partial, .csum_offset = 16, .csum_start = 34};
        w.nic->transmit(std::move(p));
        w.nic->flush();
        const auto& f = w.dev.sent.back().frame;
        CHECK((f[50] << 8 | f[51]) == int(0xffff - sum));
        CHECK(w.dev.sent.back().header.flags == 0);
    }
    CHECK(w.value("tx_csum_software") == 5);
}

TEST_CASE("Tunables only take away") {
    Small w(Way::mmio);
    SECTION("csum_disable") {
        REQUIRE(w.start({.csum_disable = true}));
        CHECK_FALSE(w.dev.has(F::csum));
        CHECK_FALSE(w.dev.has(F::guest_csum));
        CHECK_FALSE(w.dev.has(F::guest_tso4));
        CHECK_FALSE(w.dev.has(F::host_tso4));
        CHECK(w.dev.has(F::mrg_rxbuf));
    }
    SECTION("tso_disable") {
        REQUIRE(w.start({.tso_disable = true}));
        CHECK(w.dev.has(F::csum));
        CHECK_FALSE(w.dev.has(F::host_tso4));
        CHECK_FALSE(w.dev.has(F::host_uso));
        CHECK(w.dev.has(F::guest_tso4));
    }
    SECTION("lro_disable") {
        REQUIRE(w.start({.lro_disable = true, .tso_maxlen = 20000}));
        CHECK_FALSE(w.dev.has(F::guest_tso4));
        CHECK_FALSE(w.dev.has(F::guest_uso4));
        CHECK(w.dev.has(F::host_tso4));
        CHECK(w.nic->offloads().max_gso_bytes == 20000);
    }
}

TEST_CASE("Several pairs: all are received from, flows stay on one") {
    World w(GENERATE(Way::pci_vectors, Way::pci_line, Way::mmio), 4, 1000);
    w.dev.withdraw(F::hash_report);
    if (GENERATE(true, false)) w.dev.withdraw(F::rss);
    REQUIRE(w.start());
    CHECK(w.dev.control.pairs == 4);
    CHECK(w.value("act_vq_pairs") == 4);
    for (u16 round = 0; round < 100; ++round) {
        for (u16 q = 0; q < 4; ++q) REQUIRE(w.dev.receive(World::counting(60u + q), {}, u16(2 * q)));
        usize total = 0;
        for (int i = 0; i < 4; ++i) total += w.nic->receive()->size();
        CHECK(total == 60 + 61 + 62 + 63);
        CHECK_FALSE(w.nic->receive());
        w.nic->flush();
    }
    std::array<int, 4> used{};
    for (u16 port = 0; port < 64; ++port) {
        auto frame = World::tcp(100);
        const u16 theirs = u16(50000 + 2 * port);  // as a server sees clients of one host: neighbours, all even
        frame[14] = 0x45, frame[20] = frame[21] = 0, frame[23] = 6, frame[34] = 0, frame[35] = 80;
        frame[36] = u8(theirs >> 8), frame[37] = u8(theirs);
        for (int i = 0; i < 2; ++i) {
            auto p = w.packet(100);
            std::memcpy(p.data().data(), frame.data(), frame.size());
            w.nic->transmit(std::move(p));
        }
        w.nic->flush();
        const usize n = w.dev.sent.size();
        CHECK(w.dev.sent[n - 1].queue == w.dev.sent[n - 2].queue);
        ++used[w.dev.sent[n - 1].queue / 2];
    }
    for (const int n : used) CHECK(n > 4);
    CHECK(w.value("rxq3.ipackets") == 100);
    (void)w.nic->room();
    CHECK_FALSE(w.nic->rearm(Arm::rx_and_tx));
    REQUIRE(w.dev.receive(World::counting(60), {}, 6));
    CHECK(w.nic->rearm(Arm::rx_and_tx));
    CHECK(w.value("rxq3.rescheduled") == 1);
    CHECK(w.nic->receive()->size() == 60);
    w.break_and_recover();
    CHECK(w.dev.control.pairs == 4);
    REQUIRE(w.dev.receive(World::counting(99), {}, 6));
    CHECK(w.nic->receive()->size() == 99);
}

TEST_CASE("Flows of both IP versions are told apart, and their packets are not") {
    using virtio::flow_hash;
    const auto hash = [](const std::vector<u8>& f) { return flow_hash(std::as_bytes(std::span(f))); };
    for (const bool v6 : {false, true}) {
        INFO(v6);
        auto f = World::tcp(100, v6);
        const usize protocol = v6 ? 20 : 23, ports = v6 ? 54 : 34, address = v6 ? 53 : 33;
        if (!v6) f[14] = 0x45, f[20] = f[21] = 0;
        f[protocol] = 6;
        const u32 one = hash(f);
        CHECK(one != 0);
        f[ports + 4] ^= 1, f[90] ^= 1;  // sequence number, payload
        CHECK(hash(f) == one);
        for (const usize at : {ports, ports + 3, address}) {
            auto other = f;
            other[at] ^= 1;
            CHECK(hash(other) != one);
        }
        f[protocol] = 1;  // no ports: all of these two hosts together
        const u32 hosts = hash(f);
        f[ports] ^= 1;
        CHECK(hash(f) == hosts);
        for (usize n = 0; n < f.size(); ++n) (void)hash({f.begin(), f.begin() + long(n)});
    }
    CHECK(hash(std::vector<u8>(100)) == 0);
}

TEST_CASE("A hash in the header makes it 20 bytes") {
    World w(Way::mmio, 2, 1000);
    REQUIRE(w.start());
    REQUIRE(w.dev.has(F::hash_report));
    const auto in = World::tcp(30000);
    REQUIRE(w.dev.receive(in, kTso4));
    CHECK(World::bytes_of(*w.nic->receive()) == in);
    REQUIRE(w.dev.receive(World::counting(60)));
    CHECK(World::bytes_of(*w.nic->receive()) == World::counting(60));
    w.nic->transmit(w.packet(60));
    w.nic->flush();
    CHECK(w.dev.sent.back().frame == World::counting(60));
}
