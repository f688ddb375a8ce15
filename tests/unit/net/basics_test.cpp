// Packets, addresses, checksums, SipHash: against independent models and published vectors.
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "lib/siphash.hpp"
#include "net/address.hpp"
#include "net/checksum.hpp"
#include "net/packet.hpp"

using namespace ringlet;
using namespace ringlet::net;

namespace {

/// RFC 1071 as its text has it: 16 bits at a time, big-endian.
u16 slow_sum(const std::vector<u8>& v) {
    u32 s = 0;
    for (usize i = 0; i < v.size(); i += 2) {
        s += u32{v[i]} << 8 | (i + 1 < v.size() ? v[i + 1] : 0u);
        s = (s >> 16) + (s & 0xffff);
    }
    return static_cast<u16>(s);
}

Bytes bytes_of(const std::vector<u8>& v, usize from = 0) {
    return std::as_bytes(std::span(v)).subspan(from);
}

}  // namespace

TEST_CASE("packet pool: conserves its buffers, gives nothing when empty") {
    std::vector<std::byte> memory(4 * PacketBuffer::kSize);
    PacketPool pool(memory, DmaAddr(0x1000'0000));
    REQUIRE(pool.total() == 4);
    {
        std::vector<PacketBuffer> held;
        for (usize i = 0; i < 4; ++i) {
            auto p = pool.allocate();
            REQUIRE(p);
            CHECK(p->headroom() == PacketBuffer::kHeadroom);
            CHECK(p->dma().raw == 0x1000'0000 + i * PacketBuffer::kSize + PacketBuffer::kHeadroom);
            held.push_back(std::move(*p));
        }
        CHECK_FALSE(pool.allocate());
        CHECK(pool.exhausted() == 1);
        held.pop_back();
        CHECK(pool.free() == 1);
        held.front() = std::move(held.back());
        held.pop_back();
    }
    CHECK(pool.free() == 4);
}

TEST_CASE("packet pool: a run is sixteen buffers in a row of which none is in use") {
    constexpr usize kRun = PacketBuffer::kRun, kBytes = kRun * PacketBuffer::kSize;
    std::vector<std::byte> memory((2 * kRun + 3) * PacketBuffer::kSize);
    PacketPool pool(memory, DmaAddr(0x1000'0000));
    auto first = pool.allocate();  // of the three that are no run
    auto run = pool.allocate_run();
    REQUIRE(run);
    CHECK(run->buffers() == kRun);
    CHECK(run->fragments() == 1);
    CHECK(run->size() == 0);
    CHECK(run->tailroom() == kBytes);
    CHECK(pool.free() == kRun + 2);
    std::memset(run->append(kBytes).data(), 0x5a, kBytes);
    CHECK(run->tailroom() == 0);

    // Single buffers come from what is no run, and from the other one only when that is used up.
    std::vector<PacketBuffer> singles;
    for (int i = 0; i < 3; ++i) singles.push_back(*pool.allocate());
    CHECK_FALSE(pool.allocate_run());
    CHECK(pool.exhausted() == 0);
    for (usize i = 3; i < kRun + 2; ++i) singles.push_back(*pool.allocate());
    CHECK(pool.free() == 0);
    CHECK_FALSE(pool.allocate());
    for (PacketBuffer& p : singles) std::memset(p.append(p.tailroom()).data(), 0, p.tailroom());
    CHECK(std::ranges::all_of(run->data(), [](std::byte b) { return b == std::byte{0x5a}; }));

    // A run outlives its owner for its views, as a buffer does.
    auto view = pool.view(*run, 5000, 50'000);
    REQUIRE(view);
    CHECK(view->buffers() == 0);
    CHECK(view->tailroom() == 0);
    CHECK(view->dma().raw == run->dma().raw + 5000);
    run.reset();
    CHECK(pool.orphans() == kRun);
    CHECK(pool.free() == 0);
    view.reset();
    CHECK(pool.orphans() == 0);
    CHECK(pool.free() == kRun);

    // Its buffers may go out one by one; it is whole again when the last of them is back, whatever their order.
    std::vector<PacketBuffer> parts;
    for (usize i = 0; i < kRun; ++i) parts.push_back(*pool.allocate());
    while (!parts.empty()) {
        CHECK_FALSE(pool.allocate_run());
        std::swap(parts[parts.size() / 3], parts.back());
        parts.pop_back();
    }
    auto again = pool.allocate_run();
    REQUIRE(again);
    CHECK(again->tailroom() == kBytes);
    again.reset();
    singles.clear();
    first.reset();
    CHECK(pool.free() == pool.total());
    auto both = std::array{pool.allocate_run(), pool.allocate_run()};
    CHECK((both[0] && both[1]));
    CHECK_FALSE(pool.allocate_run());
}

TEST_CASE("packet: headers go on and come off, short ones are refused") {
    std::vector<std::byte> memory(PacketBuffer::kSize);
    PacketPool pool(memory, DmaAddr(0));
    auto p = pool.allocate();
    p->append(3);
    CHECK(p->pull<be32>() == nullptr);
    CHECK(p->size() == 3);
    *p->push<be32>() = 0x01020304;
    CHECK(p->size() == 7);
    CHECK(u32{*p->pull<be32>()} == 0x01020304);
    CHECK_FALSE(p->pull_bytes(4));
    p->trim_to(1);
    CHECK(p->size() == 1);
}

TEST_CASE("packet: a chain is one packet; pulling and trimming go over all its buffers") {
    std::vector<std::byte> memory(8 * PacketBuffer::kSize);
    PacketPool pool(memory, DmaAddr(0x1000'0000));
    constexpr usize kSizes[] = {100, 1, 0, 2048, 300};  // an empty one too: devices are strange
    const auto make = [&] {
        std::optional<PacketBuffer> p;
        u8 value = 0;
        for (const usize n : kSizes) {
            PacketBuffer b = *pool.allocate();
            b.window(0, 0);
            for (auto& at : b.append(n)) at = std::byte(value++);
            if (p)
                p->append_fragment(std::move(b));
            else
                p = std::move(b);
        }
        p->meta().gso_size = 77;
        return std::move(*p);
    };
    const auto contents = [](const PacketBuffer& p) {
        std::vector<u8> all;
        p.for_each_fragment([&](MutableBytes b, DmaAddr) {
            for (auto at : b) all.push_back(u8(at));
        });
        return all;
    };
    std::vector<u8> whole;
    for (usize i = 0; i < 2449; ++i) whole.push_back(u8(i));
    for (const usize pulled : {0, 1, 99, 100, 101, 102, 2148, 2149, 2150, 2448, 2449}) {
        for (const usize kept : {0, 1, 100, 101, 500, 2049, 2449, 3000}) {
            INFO("pulled " << pulled << ", kept " << kept);
            PacketBuffer p = make();
            REQUIRE(p.fragments() == 5);
            REQUIRE(p.total_size() == 2449);
            REQUIRE_FALSE(p.pull_bytes(2450));
            REQUIRE(contents(p) == whole);
            REQUIRE(p.pull_bytes(pulled));
            CHECK(p.total_size() == 2449 - pulled);
            p.trim_to(kept);
            const usize end = std::min(pulled + kept, whole.size());
            CHECK(contents(p) == std::vector<u8>(whole.begin() + long(pulled), whole.begin() + long(end)));
            CHECK(p.meta().gso_size == 77);
            CHECK(pool.free() == 8u - p.fragments());
            PacketBuffer tail = *pool.allocate();
            tail.append(5);
            p.append_fragment(std::move(tail));  // the chain's end is still known
            CHECK(p.total_size() == end - pulled + 5);
            usize singles = 0;
            for (std::optional<PacketBuffer> rest = std::move(p); rest; ++singles) {
                auto more = rest->take_rest();
                CHECK(rest->fragments() == 1);
                rest = std::nullopt;
                if (more) rest.emplace(std::move(*more));
            }
            CHECK(singles >= 2);
        }
        CHECK(pool.free() == 8);
    }
    PacketBuffer a = make();
    PacketBuffer b = *pool.allocate();
    b.append(3);
    b.append_fragment(*pool.allocate());
    a.append_fragment(std::move(b));  // chains join
    CHECK(a.fragments() == 7);
    std::vector<DmaAddr> at;
    a.for_each_fragment([&](MutableBytes, DmaAddr d) { at.push_back(d); });
    CHECK(at[0] == a.dma());
    CHECK(at.size() == 7);
}

TEST_CASE("internet checksum: equals the slow sum at every length, offset and split") {
    std::mt19937 random(1071);
    for (usize n = 0; n < 200; ++n) {
        std::vector<u8> v(n + 3);
        for (u8& b : v) b = random() % 4 == 0 ? 0xff : static_cast<u8>(random());
        for (usize from = 0; from < 3; ++from) {
            const std::vector<u8> piece(v.begin() + static_cast<i64>(from), v.end());
            InternetSum whole;
            whole.add(bytes_of(v, from));
            // 0 and 0xffff are the same number in one's complement.
            CHECK(whole.sum() % 0xffff == slow_sum(piece) % 0xffff);

            std::vector<std::byte> copy(piece.size() + 1, std::byte{0x5a});
            InternetSum fused;
            fused.add_copying(copy, bytes_of(v, from));
            CHECK(fused.sum() == whole.sum());
            CHECK(std::memcmp(copy.data(), piece.data(), piece.size()) == 0);
            CHECK(copy.back() == std::byte{0x5a});

            const usize split = random() % (piece.size() + 1);
            InternetSum first, second;
            first.add(bytes_of(v, from).first(split));
            second.add(bytes_of(v, from).subspan(split));
            first.add_at(second, split);
            CHECK(first.sum() % 0xffff == whole.sum() % 0xffff);
        }
    }
}

TEST_CASE("internet checksum: the example of RFC 1071 §3, and words in host order") {
    const std::vector<u8> v{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    InternetSum s;
    s.add(bytes_of(v));
    CHECK(s.sum() == 0xddf2);
    CHECK(s.checksum() == 0x220d);
    InternetSum w;
    w.add_u32(0x0001f203);
    w.add_u16(0xf4f5);
    w.add_u16(0xf6f7);
    CHECK(w.sum() == 0xddf2);
    w.add_u16(0x220d);
    CHECK(w.is_valid());
    w.add_u16(1);
    CHECK_FALSE(w.is_valid());
}

TEST_CASE("internet checksum: incremental update is the full computation (RFC 1624)") {
    CHECK(checksum_update(0xdd2f, 0x5555, 0x3285) == 0x0000);  // the RFC's own example, §4
    std::mt19937 random(1624);
    for (int i = 0; i < 1000; ++i) {
        std::vector<u8> v(20);
        for (u8& b : v) b = static_cast<u8>(random());
        const u16 before = internet_checksum(bytes_of(v));
        const u16 from = static_cast<u16>(v[8] << 8 | v[9]), to = static_cast<u16>(random());
        v[8] = static_cast<u8>(to >> 8);
        v[9] = static_cast<u8>(to);
        CHECK(checksum_update(before, from, to) == internet_checksum(bytes_of(v)));
    }
}

TEST_CASE("siphash-2-4: the paper's vector and the reference implementation's") {
    const SipKey key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    std::vector<u8> in;
    const u64 expected[] = {0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d};
    for (usize n = 0; n < 16; ++n) {
        if (n < 4) CHECK(siphash(key, bytes_of(in)) == expected[n]);
        if (n == 15) CHECK(siphash(key, bytes_of(in)) == 0xa129ca6149be45e5);
        in.push_back(static_cast<u8>(n));
    }
    CHECK(siphash(key, 0x0706050403020100, 0x0f0e0d0c0b0a0908) == siphash(key, bytes_of(in)));
}

TEST_CASE("addresses: text there and back, nonsense refused") {
    char text[16];
    CHECK(Ipv4Addr::parse("10.0.2.15") == Ipv4Addr::of(10, 0, 2, 15));
    CHECK(to_text(Ipv4Addr::of(255, 255, 255, 255), text) == "255.255.255.255");
    for (const char* bad : {"", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1..2.3", "1.2.3.4 ", "a.2.3.4", "1.2.3.", ".1.2.3",
                            "01.2.3.4", "1.2.3.-4", "1.2.3.0004"})
        CHECK_FALSE(Ipv4Addr::parse(bad));
    char mac[18];
    CHECK(to_text(MacAddr{{0x52, 0x54, 0, 0x12, 0x34, 0x0f}}, mac) == "52:54:00:12:34:0f");
    CHECK(MacAddr::parse("52:54:00:12:34:0F") == MacAddr{{0x52, 0x54, 0, 0x12, 0x34, 0x0f}});
    for (const char* bad : {"", "52:54:00:12:34", "52:54:00:12:34:0", "52:54:00:12:34:0f:", "52:54:00:12:34:0g",
                            "52-54-00-12-34-0f", "52:54:00:12:340f:", " 2:54:00:12:34:0f"})
        CHECK_FALSE(MacAddr::parse(bad));
}
