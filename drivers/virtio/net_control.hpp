// The network device's control queue, virtio 1.3 §5.1.6.5: what the device shall let through, where it shall put it and
// how often it shall interrupt. Keeps what was set, so that all of it can be set again after a reset. Not a template:
// the driver lends it a way to send one command. Context: thread, under the network monitor; each command waits for its
// answer, with a bound.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>

#include "drivers/virtio/counters.hpp"
#include "drivers/virtio/ring.hpp"
#include "drivers/virtio/spec/net.hpp"
#include "drivers/virtio/spec/net_control.hpp"
#include "kernel/mm/dma.hpp"
#include "lib/bytes.hpp"
#include "lib/function_ref.hpp"
#include "lib/leak.hpp"
#include "net/link_control.hpp"

namespace ringlet::virtio {

using net::Coalescing, net::RxMode;

/// What the device can do, read from its configuration by the driver.
struct NetAbilities {
    FeatureBits features;
    u16 pairs = 1;       ///< that the driver has opened
    u16 rss_table = 0;   ///< entries at most
    u8 rss_key = 0;      ///< bytes at most
    u32 hash_types = 0;  ///< supported
};

class NetControl final : public net::LinkControl {
public:
    using Feature = NetSpec::Feature;
    static constexpr usize kMaxMacs = 128;  ///< in the filter table; with more it is opened wide
    static constexpr u16 kMaxVlan = 4094;
    static constexpr u16 kMaxQueues = 16;
    static constexpr u16 kRssEntries = 128;

    /// Gives the device one command and waits for the answer. Errors: timed_out, device_broken.
    using Send = Result<> (*)(void* driver, Segment command, Segment answer);

    NetControl(std::string_view device, Send send_one, void* driver)
        : device_(device), send_(send_one), driver_(driver) {}
    ~NetControl();
    NetControl(const NetControl&) = delete;
    NetControl& operator=(const NetControl&) = delete;

    /// The control queue of a running device, by the device's name; nullptr when there is none.
    static NetControl* find(std::string_view device);

    // net::LinkControl. What is in force is what recovery restores.
    Result<> set_rx_mode(const RxMode& mode) override;
    Result<> set_mac_filter(std::span<const net::MacAddr> addresses) override;
    Result<> add_vlan(u16 id) override { return set_vlan(id, true); }
    Result<> remove_vlan(u16 id) override { return set_vlan(id, false); }
    Result<> set_mac(const net::MacAddr& mac) override;
    Result<> set_pairs(u16 pairs) override;
    Result<> set_rss_table(std::span<const u8> pairs) override;
    Result<> set_coalescing(Coalescing rx, Coalescing tx) override;
    Result<> set_queue_coalescing(u16 queue, Coalescing c) override;
    Result<Coalescing> queue_coalescing(u16 queue) override;
    net::LinkAbilities abilities() const override;
    RxMode rx_mode() const override { return mode_; }
    std::span<const net::MacAddr> mac_filter() const override {
        return std::span(macs_).first(usize{unicast_} + multicast_);
    }
    bool has_vlan(u16 id) const override { return id <= kMaxVlan && (vlans_[id / 64] >> id % 64 & 1) != 0; }
    u16 pairs() const override { return pairs_; }
    std::optional<Coalescing> rx_coalescing() const override { return coalescing_[0]; }
    std::optional<Coalescing> tx_coalescing() const override { return coalescing_[1]; }

    /// GUEST_* feature bits that shall be in force. invalid: one that was not negotiated. Errors as above.
    Result<> set_guest_offloads(u64 features);
    /// The answer to GUEST_ANNOUNCE. Errors as above.
    Result<> acknowledge_announcement();
    /// The address set with set_mac(), if any.
    const std::optional<net::MacAddr>& mac() const { return mac_; }

    // --- for the driver -------------------------------------------------------------------------------------------
    /// The memory for commands, once. no_memory.
    Result<> prepare();
    /// The device runs (again): sets everything that differs from a fresh device. Refusals are counted and logged; an
    /// error means that it does not answer.
    Result<> apply(const NetAbilities& abilities);
    void list();
    /// The device may still write into the command's memory: never give it back.
    void quarantine() { leak(std::move(memory_)); }

    u64 refused() const { return refused_.value(); }
    void visit_values(FunctionRef<void(std::string_view name, u64 value)> visit) const;

private:
    using S = NetControlSpec;
    static constexpr usize kBytes = 2048, kAnswerAt = kBytes - 64;

    bool has(Feature f) const { return abilities_.features.test(unsigned(f)); }
    void begin(u8 class_id, u8 command);
    void put(const void* bytes, usize n);
    template <class V> void put(const V& v) { put(&v, sizeof v); }
    Result<> send(usize result_bytes = 0);
    template <class V> Result<> run(u8 class_id, u8 command, const V& v) {
        begin(class_id, command);
        put(v);
        return send();
    }
    Result<> rx_switch(u8 command, bool on) { return run(S::kRx, command, u8{on}); }
    Result<> send_rx_mode(const RxMode& mode, bool overflow, bool all);
    Result<> send_macs();
    Result<> set_vlan(u16 id, bool on);
    Result<> send_vlan(u16 id, bool on);
    Result<> send_steering();
    Result<> send_rss();
    Result<> send_coalescing(u8 command, Coalescing c);
    Result<> send_queue_coalescing(u16 queue, Coalescing c);
    Result<> tolerate(Result<> r, std::string_view what);

    std::string_view device_;
    Send send_;
    void* driver_;
    NetControl* next_ = nullptr;
    kernel::DmaRegion memory_;
    usize length_ = 0;
    NetAbilities abilities_;

    RxMode mode_;
    std::array<net::MacAddr, kMaxMacs> macs_{};  ///< unicast first
    u16 unicast_ = 0, multicast_ = 0;
    bool overflow_ = false;  ///< more addresses than the table holds
    std::array<u64, 64> vlans_{};
    std::optional<net::MacAddr> mac_;
    u16 pairs_ = 1, wanted_pairs_ = 0;  ///< 0: all that are open
    std::array<u8, S::kHashKeyBytes> key_{};
    std::array<u8, kRssEntries> table_{};
    u16 table_entries_ = 0;                    ///< 0: spread evenly
    std::optional<Coalescing> coalescing_[2];  ///< rx, tx
    std::array<std::optional<Coalescing>, kMaxQueues> queue_coalescing_{};
    std::optional<u64> offloads_;
    Counter commands_, refused_, bad_answers_, timeouts_;
};

}  // namespace ringlet::virtio
