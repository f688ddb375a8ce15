// A network driver of any configuration in front of a model of the device.
#pragma once

#include <catch2/catch.hpp>

#include "drivers/virtio/net.hpp"
#include "tests/device/net_device.hpp"
#include "tests/unit/virtio/bench.hpp"

namespace ringlet::device {

template <virtio::NetConfig kGiven> struct NetWorld : Bench<NetDevice> {
    static constexpr virtio::NetConfig kC = every_ring(kGiven);
    using F = virtio::NetSpec::Feature;
    kernel::DmaRegion memory;
    net::PacketPool pool;
    int wakes = 0;
    std::unique_ptr<virtio::Net<kC>> nic;

    explicit NetWorld(Way way, u16 device_pairs = 1, usize buffers = 400)
        : Bench(way, device_pairs), memory(kernel::DmaRegion::allocate(buffers * net::PacketBuffer::kSize).value()),
          pool(memory.bytes(), memory.addr()) {
        dev.offer_all();
        offer_rings(dev);
    }
    Result<> start(const virtio::NetTunables& tunables = {}) {
        auto r = virtio::Net<kC>::probe(
            device(), pool, "net0", [](void* p) { ++static_cast<NetWorld*>(p)->wakes; }, this, tunables);
        if (!r) return fail(r.error());
        nic = std::move(*r);
        return {};
    }
    ~NetWorld() {
        nic.reset();
        CHECK(pool.free() == pool.total());
        CHECK(dev.all_violations() == std::vector<std::string>{});
    }
    virtio::NetControl& control() { return *nic->control(); }
    u64 value(std::string_view name) const {
        std::optional<u64> found;
        nic->for_each_value([&](std::string_view n, u64 v) {
            if (n == name) found = v;
        });
        REQUIRE(found.has_value());
        return *found;
    }
    /// A packet of `bytes`, counting upwards from `seed`, in buffers of at most `piece`.
    net::PacketBuffer packet(usize bytes, usize piece = 1800, u8 seed = 0) {
        std::optional<net::PacketBuffer> p;
        for (usize at = 0; at < bytes;) {
            auto part = pool.allocate().value();
            const usize n = std::min(piece, bytes - at);
            for (auto& b : part.append(n)) b = std::byte(u8(at++ + seed));
            if (p)
                p->append_fragment(std::move(part));
            else
                p.emplace(std::move(part));
        }
        return std::move(*p);
    }
    static std::vector<u8> counting(usize bytes, u8 seed = 0) {
        std::vector<u8> v(bytes);
        for (usize i = 0; i < bytes; ++i) v[i] = u8(i + seed);
        return v;
    }
    /// The same as an IPv4 TCP frame as far as a driver looks: 54 bytes of headers.
    static std::vector<u8> tcp(usize bytes, bool v6 = false) {
        auto v = counting(bytes);
        v[12] = v6 ? 0x86 : 0x08, v[13] = v6 ? 0xdd : 0;
        v[v6 ? 54 + 12 : 34 + 12] = 0x50;
        return v;
    }
    static std::vector<u8> bytes_of(const net::PacketBuffer& p) {
        std::vector<u8> v;
        p.for_each_fragment([&](MutableBytes b, DmaAddr) {
            for (auto x : b) v.push_back(u8(x));
        });
        return v;
    }
    /// The device lies; the driver resets it.
    void break_and_recover() {
        dev.queues[0].ring.put(60000, 1), dev.queues[0].ring.publish_used(0);
        while (nic->receive()) {
        }
        REQUIRE(nic->rearm(net::Arm::rx));
    }
};

inline constexpr virtio::NetConfig kFull = virtio::NetConfig::full(4);

}  // namespace ringlet::device
