// Two services joined by a wire whose ends interrupt each other, as NICs do; real threads, real time.
#pragma once

#include <catch2/catch.hpp>

#include <atomic>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel/mm/dma.hpp"
#include "net/api/selector.hpp"
#include "net/api/socket.hpp"

namespace ringlet::net::test {

/// One end: a bounded inbox, armed or not.
class WireEnd {
public:
    WireEnd(PacketPool& pool, u8 n) : pool_(pool), mac_{{2, 0, 0, 0, 0, n}} {}
    void connect(WireEnd& peer, Service& service) {
        peer_ = &peer;
        service_ = &service;
    }

    MacAddr mac() const { return mac_; }
    u16 mtu() const { return 1500; }
    Offloads offloads() const { return {}; }
    bool changed() const { return true; }
    bool carrier() const { return true; }
    std::optional<PacketBuffer> receive() {
        std::lock_guard lock(mutex_);
        if (inbox_.empty()) return std::nullopt;
        auto p = pool_.allocate();
        if (p) std::memcpy(p->append(inbox_.front().size()).data(), inbox_.front().data(), inbox_.front().size());
        inbox_.pop_front();
        return p;
    }
    u16 room() {
        ++rooms;
        return 8;
    }
    void transmit(PacketBuffer p) { out_.emplace_back(p.data().begin(), p.data().end()); }
    void flush() {
        if (out_.empty()) return;
        ++kicks;
        peer_->deliver(out_);
        out_.clear();
    }
    bool rearm(Arm) {
        std::lock_guard lock(mutex_);
        armed_ = inbox_.empty();
        return !armed_;
    }
    bool settled() const { return is_settled; }
    bool silent() const { return false; }
    bool watch(Instant) { return is_stuck; }
    bool take_announce() { return false; }
    std::atomic<u64> kicks{0}, interrupts{0}, rooms{0};
    bool is_settled = true, is_stuck = false;

private:
    using Frames = std::vector<std::vector<std::byte>>;
    void deliver(Frames& frames) {
        bool interrupt;
        {
            std::lock_guard lock(mutex_);
            for (auto& f : frames)
                if (inbox_.size() < 256) inbox_.push_back(std::move(f));
            interrupt = std::exchange(armed_, false);
        }
        if (!interrupt) return;
        ++interrupts;
        service_->interrupt();
    }
    PacketPool& pool_;
    MacAddr mac_;
    WireEnd* peer_ = nullptr;
    Service* service_ = nullptr;
    std::mutex mutex_;
    std::deque<std::vector<std::byte>> inbox_;
    bool armed_ = false;
    Frames out_;
};
static_assert(Link<WireEnd>);

inline constexpr usize kPackets = 512;

struct Machine {
    /// The pool's, and as much again that applications may lend.
    kernel::DmaRegion memory = *kernel::DmaRegion::allocate(2 * kPackets * PacketBuffer::kSize);
    PacketPool pool{memory.bytes().first(kPackets * PacketBuffer::kSize), memory.addr()};
    MutableBytes lendable() const { return memory.bytes().subspan(kPackets * PacketBuffer::kSize); }
    WireEnd end;
    Service service;
    std::thread thread;
    explicit Machine(u8 n) : end(pool, n) {}
    void open(u8 n, const NameSettings& names) {
        StackConfig c;
        c.names = names;
        c.addressing = Addressing::fixed;
        c.fixed = {Ipv4Addr::of(10, 0, 0, n), 24, {}, {}};
        c.secret[3] = n;
        c.tcp.time_wait = Duration::from_ms(50);
        REQUIRE(service.open(end, pool, c));
        thread = std::thread([this] { service.run(); });
    }
};

struct Net {
    Machine a{1}, b{2};
    explicit Net(const NameSettings& names = {}) {
        a.end.connect(b.end, a.service);
        b.end.connect(a.end, b.service);
        a.open(1, names);
        b.open(2, {});
    }
    ~Net() {
        for (Machine* m : {&a, &b}) {
            m->service.stop();
            m->thread.join();
        }
        for (Machine* m : {&a, &b}) {
            auto held = m->service.lock();
            CHECK(m->pool.free() + held->stack->packets_held() == m->pool.total());
            CHECK(held->stack->others_are_known());
        }
    }
};

inline constexpr Ipv4Addr kA = Ipv4Addr::of(10, 0, 0, 1), kB = Ipv4Addr::of(10, 0, 0, 2);
inline constexpr Duration kSoon = Duration::from_s(20);

inline Bytes text(std::string_view s) {
    return std::as_bytes(std::span(s));
}

}  // namespace ringlet::net::test
