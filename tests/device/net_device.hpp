// A virtio network device (virtio 1.3 §5.1): frames in, frames out, over one or several queue pairs, merged or in large
// buffers, and the whole control queue. Checks what a driver must obey. Host tests only.
#pragma once

#include <array>
#include <cstring>
#include <map>
#include <set>

#include "drivers/virtio/spec/net.hpp"
#include "drivers/virtio/spec/net_control.hpp"
#include "tests/device/virtio_device.hpp"

namespace ringlet::device {

class NetDevice final : public VirtioDevice {
public:
    using Spec = virtio::NetSpec;
    using Ctrl = virtio::NetControlSpec;
    using Header = Spec::Header;
    using F = Spec::Feature;
    using Mac = std::array<u8, 6>;
    struct Sent {
        Header header;
        std::vector<u8> frame;
        u16 queue = 1;
        u16 descriptors = 1;
        bool indirect = false;
    };
    /// What the control queue has set; a reset forgets it.
    struct Control {
        std::map<u8, u8> rx;  ///< command -> value; QEMU starts promiscuous
        Mac mac{};
        std::vector<Mac> unicast, multicast;
        std::set<u16> vlans;
        u16 pairs = 1;
        std::vector<u16> rss_table;
        u32 hash_types = 0;
        std::vector<u8> key;
        std::map<u16, std::pair<u32, u32>> coalescing;  ///< queue -> packets, microseconds
        u64 offloads = 0;
        std::vector<std::pair<u8, u8>> history;  ///< class, command
        bool operator==(const Control&) const = default;
    };

    std::vector<Sent> sent;
    std::vector<std::pair<u16, u16>> tx_held;  ///< with hold_tx: queue and chain, not given back yet
    bool hold_tx = false;
    u64 rx_without_buffer = 0;
    Control control;
    // Bad behaviour of the control queue.
    std::optional<u8> answer;     ///< instead of the right one
    bool control_silent = false;  ///< commands stay unanswered
    std::optional<u8> refuse;     ///< commands of this class
    u64 announcements_acknowledged = 0;

    explicit NetDevice(u16 max_pairs = 1) : max_pairs_(max_pairs) {
        type = Spec::kDeviceId;
        using virtio::Common;
        offered = virtio::mask(Common::version_1, Common::event_idx, F::mac, F::status, F::mtu, F::csum, F::guest_csum,
                               F::mrg_rxbuf, F::ctrl_vq);
        config = {0x52, 0x54, 0, 0x12, 0x34, 0x56, 1, 0, u8(max_pairs), u8(max_pairs >> 8), 0xdc, 0x05};
        config.resize(24);
        put32(12, 10'000), config[16] = 1, config[17] = 40, config[18] = 128, put32(20, 0x3f);
        queues.resize(2u * max_pairs + 1);
    }
    /// Everything that virtio 1.3 has and the driver may list.
    void offer_all() {
        using virtio::Common;
        offered = offered |
                  virtio::mask(Common::indirect_desc, F::ctrl_guest_offloads, F::guest_tso4, F::guest_tso6,
                               F::guest_ecn, F::host_tso4, F::host_tso6, F::host_ecn, F::ctrl_rx, F::ctrl_vlan,
                               F::ctrl_rx_extra, F::guest_announce, F::mq, F::ctrl_mac_addr, F::vq_notf_coal,
                               F::notf_coal, F::guest_uso4, F::guest_uso6, F::host_uso, F::hash_report) |
                  virtio::mask(F::guest_hdrlen, F::rss, F::speed_duplex);
    }
    template <class... B> void withdraw(B... b) { offered = offered.without(virtio::mask(b...)); }
    bool has(F f) const { return accepted.test(unsigned(f)); }
    void set_mtu(u16 mtu) { config[10] = u8(mtu), config[11] = u8(mtu >> 8); }
    void set_max_pairs(u16 n) { config[8] = u8(n), config[9] = u8(n >> 8); }
    void announce() {
        change_config([&] { config[6] |= 2; });
    }
    u16 control_queue() const { return has(F::mq) || has(F::rss) ? u16(2 * max_pairs_) : u16{2}; }
    usize header_bytes() const {
        if (has(F::hash_report)) return 20;
        return accepted.test(32) || has(F::mrg_rxbuf) ? 12 : 10;
    }

    void on_notify(u16 queue) override {
        if (queue == control_queue() && has(F::ctrl_vq)) return serve_control(queue);
        if (queue % 2 == 0) return;
        if (queue / 2 >= control.pairs) violations.push_back("transmission on a queue that is off");
        RingDevice& ring = queues[queue].ring;
        ring.busy();
        do {
            while (auto chain = ring.take()) take_frame(*chain, queue);
        } while (ring.sleep());
    }
    void on_reset() override {
        tx_held.clear();
        control = {};
        config[6] = u8(config[6] & ~2);
    }
    void release_tx() {
        for (auto [queue, id] : std::exchange(tx_held, {})) complete(queue, id, 0);
    }

    /// The host sends a frame, merged over as many buffers as it takes. False: there was no buffer.
    bool receive(const std::vector<u8>& frame, Header header = {}, u16 queue = 0) {
        RingDevice& ring = queues[queue].ring;
        std::vector<u8> bytes(header_bytes());
        bytes.insert(bytes.end(), frame.begin(), frame.end());
        std::vector<std::pair<u16, u32>> used;
        usize at = 0;
        std::byte* first = nullptr;
        ring.busy();
        while (at < bytes.size()) {
            auto chain = ring.take();
            if (!chain) return ++rx_without_buffer, (void)ring.sleep(), false;  // what was taken is lost: a bad test
            check_buffer(*chain, ring);
            if (first == nullptr) first = chain->in[0].bytes;
            u32 here = 0;
            for (const Piece& p : chain->in) {
                const u32 n = std::min(p.len, u32(bytes.size() - at));
                std::memcpy(p.bytes, bytes.data() + at, n);
                at += n, here += n;
            }
            used.emplace_back(chain->id, here);
            if (!has(F::mrg_rxbuf) && at < bytes.size()) return ring.violate("receive buffer too small"), false;
        }
        if (header.num_buffers == 0) header.num_buffers = u16(used.size());
        std::memcpy(first, &header, std::min(header_bytes(), sizeof header));
        const u16 before = ring.used_idx;
        for (auto [id, written] : used) ring.put(id, written);
        if (ring.publish_used(before)) interrupt_queue(queue);
        return true;
    }

private:
    void put32(usize at, u32 v) { std::memcpy(config.data() + at, &v, 4); }
    bool large_receive() const {
        return has(F::guest_tso4) || has(F::guest_tso6) || has(F::guest_uso4) || has(F::guest_uso6);
    }
    void check_buffer(const Chain& chain, RingDevice& ring) {
        if (!chain.out.empty()) ring.violate("readable part in a receive buffer");
        const u32 least = u32((large_receive() ? Spec::kMostGsoFrame : Spec::kMostFrame) + header_bytes());
        if (chain.writable() < (has(F::mrg_rxbuf) ? header_bytes() : least)) ring.violate("receive buffer too small");
    }

    void take_frame(const Chain& chain, u16 queue) {
        RingDevice& ring = queues[queue].ring;
        if (!chain.in.empty()) ring.violate("writable part in a transmission");
        if (chain.indirect && !accepted.test(28)) ring.violate("indirect table without INDIRECT_DESC");
        std::vector<u8> bytes;
        for (const Piece& p : chain.out)
            bytes.insert(bytes.end(), reinterpret_cast<u8*>(p.bytes), reinterpret_cast<u8*>(p.bytes) + p.len);
        if (bytes.size() < header_bytes() + 14) return ring.violate("frame without headers");
        Sent s{.header = {},
               .frame = {},
               .queue = queue,
               .descriptors = u16(chain.out.size()),
               .indirect = chain.indirect};
        std::memcpy(&s.header, bytes.data(), std::min(header_bytes(), sizeof s.header));
        s.frame.assign(bytes.begin() + long(header_bytes()), bytes.end());
        check_sent(s, ring);
        sent.push_back(std::move(s));
        if (hold_tx)
            tx_held.emplace_back(queue, chain.id);
        else
            complete(queue, chain.id, 0);
    }
    void check_sent(const Sent& s, RingDevice& ring) {
        const Header& h = s.header;
        if (h.num_buffers != 0) ring.violate("num_buffers set by the driver");
        if ((h.flags & ~1) != 0) ring.violate("flags that only a device sets");
        if ((h.flags & 1) && !has(F::csum)) ring.violate("NEEDS_CSUM without CSUM");
        if ((h.flags & 1) && usize{h.csum_start} + h.csum_offset + 2 > s.frame.size()) ring.violate("csum outside");
        const u8 gso = h.gso_type & 0x7f;
        if (gso == 0) {
            if (s.frame.size() > 1518) ring.violate("frame larger than the MTU");
            if (h.gso_type != 0) ring.violate("ECN without segmentation");
            return;
        }
        const bool able = gso == 1 ? has(F::host_tso4) : gso == 4 ? has(F::host_tso6) : gso == 5 && has(F::host_uso);
        if (!able) ring.violate("segmentation that was not negotiated");
        if (!(h.flags & 1)) ring.violate("segmentation without NEEDS_CSUM");
        if (h.gso_size == 0) ring.violate("segments of size 0");
        if ((h.gso_type & 0x80) && !has(F::host_ecn)) ring.violate("ECN without HOST_ECN");
        if (s.frame.size() > Spec::kMostGsoFrame) ring.violate("beyond 64 KiB");
        if (h.hdr_len < h.csum_start || h.hdr_len > s.frame.size()) ring.violate("hdr_len");
    }

    // --- the control queue --------------------------------------------------------------------------------------

    void serve_control(u16 queue) {
        RingDevice& ring = queues[queue].ring;
        ring.busy();
        do {
            if (control_silent) return;
            while (auto chain = ring.take()) serve_command(*chain, queue);
        } while (ring.sleep());
    }
    void serve_command(const Chain& chain, u16 queue) {
        std::vector<u8> b;
        for (const Piece& p : chain.out)
            b.insert(b.end(), reinterpret_cast<u8*>(p.bytes), reinterpret_cast<u8*>(p.bytes) + p.len);
        if (b.size() < 2 || chain.writable() < 1) return violations.push_back("control command without its parts");
        result_.clear();
        u8 ack = refuse == b[0] || !run(b[0], b[1], {b.begin() + 2, b.end()}) ? Ctrl::kErr : Ctrl::kOk;
        if (ack == Ctrl::kOk) control.history.emplace_back(b[0], b[1]);
        ack = answer.value_or(ack);
        chain.in[0].bytes[0] = std::byte(ack);
        if (chain.writable() < 1 + result_.size()) violations.push_back("no room for the result");
        for (usize i = 0; i < result_.size() && i + 1 < chain.in[0].len; ++i)
            chain.in[0].bytes[1 + i] = std::byte(result_[i]);
        complete(queue, chain.id, u32(1 + result_.size()));
    }
    static u16 word(const std::vector<u8>& d, usize at) { return u16(d[at] | d[at + 1] << 8); }
    static u32 dword(const std::vector<u8>& d, usize at) { return word(d, at) | u32{word(d, at + 2)} << 16; }
    bool needs(F f, const char* what, bool length) {
        if (!has(f)) violations.push_back(std::string(what) + " without its feature");
        if (!length) violations.push_back(std::string(what) + ": wrong length");
        return has(f) && length;
    }

    bool run(u8 cls, u8 cmd, const std::vector<u8>& d) {
        switch (cls) {
        case Ctrl::kRx:
            if (!needs(cmd <= 1 ? F::ctrl_rx : F::ctrl_rx_extra, "RX mode", d.size() == 1) || d[0] > 1) return false;
            control.rx[cmd] = d[0];
            return cmd <= 5;
        case Ctrl::kMac:
            return cmd == Ctrl::kMacTableSet ? set_macs(d) : set_mac(d);
        case Ctrl::kVlan:
            if (!needs(F::ctrl_vlan, "VLAN", d.size() == 2) || word(d, 0) > 4094) return false;
            if (cmd == Ctrl::kVlanAdd) return control.vlans.insert(word(d, 0)).second;
            return control.vlans.erase(word(d, 0)) == 1;
        case Ctrl::kAnnounce:
            if (!needs(F::guest_announce, "ANNOUNCE", d.empty())) return false;
            config[6] = u8(config[6] & ~2), ++generation, ++announcements_acknowledged;
            return true;
        case Ctrl::kMq:
            return steer(cmd, d);
        case Ctrl::kGuestOffloads: {
            if (!needs(F::ctrl_guest_offloads, "OFFLOADS", d.size() == 8)) return false;
            const u64 wanted = dword(d, 0) | u64{dword(d, 4)} << 32;
            if ((wanted & ~accepted.word[0]) != 0) violations.push_back("offload that was not negotiated");
            control.offloads = wanted;
            return true;
        }
        case Ctrl::kNotfCoal:
            return coalesce(cmd, d);
        default:
            violations.push_back("unknown class of command");
            return false;
        }
    }
    bool set_mac(const std::vector<u8>& d) {
        if (!needs(F::ctrl_mac_addr, "MAC", d.size() == 6)) return false;
        std::copy(d.begin(), d.end(), control.mac.begin());
        std::copy(d.begin(), d.end(), config.begin());
        return true;
    }
    bool set_macs(const std::vector<u8>& d) {
        if (!needs(F::ctrl_rx, "MAC table", d.size() >= 8)) return false;
        usize at = 0;
        for (auto* table : {&control.unicast, &control.multicast}) {
            table->clear();
            if (at + 4 > d.size()) return violations.push_back("MAC table is short"), false;
            const u32 n = dword(d, at);
            at += 4;
            for (u32 i = 0; i < n && at + 6 <= d.size(); ++i, at += 6) {
                Mac m;
                std::copy_n(d.begin() + long(at), 6, m.begin());
                if ((m[0] & 1) != (table == &control.multicast)) violations.push_back("address in the wrong table");
                table->push_back(m);
            }
        }
        if (at != d.size()) violations.push_back("MAC table has the wrong length");
        return true;
    }
    bool steer(u8 cmd, const std::vector<u8>& d) {
        if (cmd == Ctrl::kMqPairsSet) {
            if (!needs(F::mq, "PAIRS_SET", d.size() == 2)) return false;
            const u16 n = word(d, 0);
            if (n == 0 || n > max_pairs_) return violations.push_back("impossible number of pairs"), false;
            return open(n);
        }
        const bool rss = cmd == Ctrl::kMqRssConfig;
        if (!needs(rss ? F::rss : F::hash_report, "RSS", d.size() >= 8)) return false;
        control.hash_types = dword(d, 0);
        if ((control.hash_types & ~0x3fu) != 0) violations.push_back("hash types that are not supported");
        const usize entries = rss ? usize{word(d, 4)} + 1 : 0;
        usize at = rss ? 8 + 2 * entries + 2 : 12;
        if (d.size() < at + 1 || d.size() != at + 1 + d[at]) return violations.push_back("RSS length"), false;
        control.key.assign(d.begin() + long(at) + 1, d.end());
        if (control.key.size() > 40) violations.push_back("RSS key too long");
        if (!rss) return true;
        if ((entries & (entries - 1)) != 0 || entries > 128) violations.push_back("RSS table size");
        const u16 pairs = word(d, 8 + 2 * entries);
        control.rss_table.clear();
        for (usize i = 0; i < entries; ++i) {
            control.rss_table.push_back(word(d, 8 + 2 * i));
            if (control.rss_table.back() >= pairs) violations.push_back("RSS entry beyond the pairs");
        }
        return open(pairs);
    }
    bool open(u16 pairs) {
        for (u16 q = 0; q < 2 * pairs; ++q)
            if (!queues[q].enabled) violations.push_back("a pair switched on without its queues");
        control.pairs = pairs;
        return true;
    }
    bool coalesce(u8 cmd, const std::vector<u8>& d) {
        const bool one = cmd >= Ctrl::kCoalVqSet;
        const usize length = cmd == Ctrl::kCoalVqGet ? 4 : one ? 12 : 8;
        if (!needs(one ? F::vq_notf_coal : F::notf_coal, "COAL", d.size() == length)) return false;
        if (!one) {
            for (u16 q = cmd == Ctrl::kCoalTxSet; q < 2 * max_pairs_; q = u16(q + 2))
                control.coalescing[q] = {dword(d, 0), dword(d, 4)};
            return true;
        }
        const u16 q = word(d, 0);
        if (q >= 2 * max_pairs_ || !queues[q].enabled) return violations.push_back("COAL of no queue"), false;
        if (cmd == Ctrl::kCoalVqSet) return control.coalescing[q] = {dword(d, 4), dword(d, 8)}, true;
        const auto [packets, usecs] = control.coalescing[q];
        for (const u32 v : {packets, usecs})
            for (int i = 0; i < 4; ++i) result_.push_back(u8(v >> 8 * i));
        return true;
    }

    u16 max_pairs_;
    std::vector<u8> result_;
};

}  // namespace ringlet::device
