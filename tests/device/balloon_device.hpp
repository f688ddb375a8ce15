// A virtio memory balloon (virtio 1.2 §5.5) over a piece of host memory as the machine's RAM. It zeroes what it is
// given, as a host that discards pages does, and knows for each page whose it is. Host tests only.
#pragma once

#include <cstring>
#include <deque>
#include <set>

#include "drivers/virtio/spec/balloon.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class BalloonDevice final : public VirtioDevice {
public:
    using Spec = virtio::BalloonSpec;
    using F = Spec::Feature;
    u64 ram_base = 0, ram_bytes = 0;
    std::set<u64> inside;                    ///< page numbers in the balloon
    std::deque<std::pair<u16, Chain>> held;  ///< with hold: (queue, chain) not served yet
    bool hold = false;
    u32 poison = 0;  ///< what reported pages are full of when they are used again
    u64 actual_writes = 0, actual = 0, requests = 0, reported_bytes = 0, reports = 0;
    std::vector<Spec::Stat> stats;
    std::optional<Chain> stats_chain;
    std::vector<u32> commands;
    std::vector<std::pair<u64, u32>> hints;

    BalloonDevice() {
        type = Spec::kDeviceId;
        // As QEMU: bit 30 is offered and must never be accepted.
        offered = virtio::mask(virtio::Common::version_1, virtio::Common::event_idx, F::stats_vq) |
                  virtio::FeatureBits::of(30);
        config.resize(16);
        queues.resize(3);
        for (Queue& q : queues) q.max_size = 128;
    }
    void offer(F feature) { offered = offered | virtio::mask(feature); }
    /// Features first: a queue of each. `dense`: as QEMU, whatever is not offered takes no number.
    void number_queues(bool dense) {
        const usize count = dense             ? 3 + offered.test(3) + offered.test(5)
                            : offered.test(5) ? 5
                            : offered.test(3) ? 4
                                              : 3;
        queues.resize(count);
        for (Queue& q : queues) q.max_size = 128;
        if (!dense && !offered.test(3) && count == 5) queues[3].max_size = 0;
        hint_queue_ = offered.test(3) ? 3 : 0xffff;
        report_queue_ = !offered.test(5) ? 0xffff : u16(count - 1);
    }
    void set_target(u32 pages) {
        change_config([&] { std::memcpy(config.data(), &pages, 4); });
    }
    void set_command(u32 command) {
        change_config([&] { std::memcpy(config.data() + 8, &command, 4); });
    }
    void on_config_write(u64 at, unsigned width, u64 v) override {
        if (at == 12 && width == 4 && accepted.test(unsigned(F::page_poison))) {
            poison = u32(v);
            return;
        }
        if (at != 4 || width != 4) return VirtioDevice::on_config_write(at, width, v);
        actual = u32(v);
        const u32 now = u32(v);
        std::memcpy(config.data() + 4, &now, 4);
        ++actual_writes;
    }
    void on_reset() override {
        poison = 0;
        held.clear();
        stats_chain.reset();
    }
    void on_notify(u16 queue) override {
        RingDevice& ring = queues[queue].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) {
                if (hold)
                    held.emplace_back(queue, *chain);
                else
                    serve(queue, *chain);
            }
        } while (ring.sleep());
    }
    void serve_held() {
        while (!held.empty()) {
            const auto [queue, chain] = held.front();
            held.pop_front();
            serve(queue, chain);
        }
    }
    void want_statistics() {
        if (stats_chain) complete(2, std::exchange(stats_chain, std::nullopt)->id, 0);
    }

private:
    void serve(u16 queue, const Chain& chain) {
        if (queue <= 1) return pages(queue == 0, chain);
        if (queue == 2) return statistics(chain);
        if (queue == hint_queue_) return hint(chain);
        if (queue == report_queue_) return report(chain);
        violations.push_back("a queue that does not exist");
    }
    void pages(bool inflate, const Chain& chain) {
        ++requests;
        RingDevice& ring = queues[inflate ? 0 : 1].ring;
        if (!chain.in.empty() || chain.out.empty()) return ring.violate("page numbers must be readable");
        std::vector<u32> numbers;
        for (const Piece& p : chain.out) {
            if (p.len % 4 != 0) ring.violate("half a page number");
            numbers.resize(numbers.size() + p.len / 4);
            std::memcpy(&numbers[numbers.size() - p.len / 4], p.bytes, p.len);
        }
        for (const u64 n : numbers) {
            if (n * 4096 < ram_base || n * 4096 >= ram_base + ram_bytes) {
                ring.violate("a page that is no memory");
            } else if (inflate) {
                if (!inside.insert(n).second) ring.violate("a page given twice");
                std::memset(reinterpret_cast<void*>(n * 4096), 0, 4096);
            } else if (inside.erase(n) == 0) {
                ring.violate("a page taken back that was not given");
            }
        }
        complete(inflate ? 0 : 1, chain.id, 0);
    }
    void statistics(const Chain& chain) {
        if (stats_chain) violations.push_back("two statistics at once");
        stats.resize(chain.out.at(0).len / sizeof(Spec::Stat));
        std::memcpy(stats.data(), chain.out[0].bytes, stats.size() * sizeof(Spec::Stat));
        stats_chain = chain;
    }
    bool is_ram(u64 base, u64 bytes) const { return base >= ram_base && base + bytes <= ram_base + ram_bytes; }
    void report(const Chain& chain) {
        RingDevice& ring = queues[report_queue_].ring;
        ++reports;
        if (!chain.out.empty()) ring.violate("a report is writable");
        for (const Piece& p : chain.in) {
            for (u32 i = 0; i + 4 <= p.len; i += 4) std::memcpy(p.bytes + i, &poison, 4);
            reported_bytes += p.len;
        }
        complete(report_queue_, chain.id, 0);
    }
    void hint(const Chain& chain) {
        if (!chain.out.empty()) {
            u32 command;
            std::memcpy(&command, chain.out[0].bytes, 4);
            commands.push_back(command);
        }
        for (const Piece& p : chain.in) hints.emplace_back(reinterpret_cast<u64>(p.bytes), p.len);
        complete(hint_queue_, chain.id, 0);
    }
    u16 hint_queue_ = 0xffff, report_queue_ = 0xffff;
};

}  // namespace ringlet::device
