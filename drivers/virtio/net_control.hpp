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
#include "net/link.hpp"

namespace ringlet::virtio {

/// What arrives besides frames for our address, for broadcast and for the filter tables. The last four: CTRL_RX_EXTRA.
struct RxMode {
    bool promiscuous = false, all_multicast = false;
    bool all_unicast = false, no_multicast = false, no_unicast = false, no_broadcast = false;
};

/// An interrupt after so many packets or so many microseconds, whichever is first; a zero switches it off.
struct Coalescing {
    u32 packets = 0, microseconds = 0;
    friend constexpr bool operator==(Coalescing, Coalescing) = default;
};

/// What the device can do, read from its configuration by the driver.
struct NetAbilities {
    FeatureBits features;
    u16 pairs = 1;       ///< that the driver has opened
    u16 rss_table = 0;   ///< entries at most
    u8 rss_key = 0;      ///< bytes at most
    u32 hash_types = 0;  ///< supported
};

class NetControl {
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

    // Each of these: unsupported (not negotiated), io (the device refused), timed_out, device_broken; what was set
    // before is then still what recovery restores.
    Result<> set_rx_mode(const RxMode& mode);
    /// Replaces the table of further addresses, unicast and multicast mixed. More than kMaxMacs: promiscuous instead.
    Result<> set_mac_filter(std::span<const net::MacAddr> addresses);
    /// invalid: beyond kMaxVlan. With CTRL_VLAN the device starts with none: tagged frames do not arrive.
    Result<> add_vlan(u16 id) { return set_vlan(id, true); }
    Result<> remove_vlan(u16 id) { return set_vlan(id, false); }
    /// Our own address. invalid: a multicast address, or all zeros. The stack follows at its next turn (pump()).
    Result<> set_mac(const net::MacAddr& mac);
    Result<> acknowledge_announcement();
    /// Queue pairs in use, of those that the driver has opened. invalid: none, or more than that.
    Result<> set_pairs(u16 pairs);
    /// Which pair serves a hash: a power of two of entries, each an open pair. Empty: spread evenly. invalid.
    Result<> set_rss_table(std::span<const u8> pairs);
    Result<> set_coalescing(Coalescing rx, Coalescing tx);
    /// One queue (index as in the device). invalid: not an open queue.
    Result<> set_queue_coalescing(u16 queue, Coalescing c);
    Result<Coalescing> queue_coalescing(u16 queue);
    /// GUEST_* feature bits that shall be in force. invalid: one that was not negotiated.
    Result<> set_guest_offloads(u64 features);

    const RxMode& rx_mode() const { return mode_; }
    bool has_vlan(u16 id) const { return id <= kMaxVlan && (vlans_[id / 64] >> id % 64 & 1) != 0; }
    const std::optional<net::MacAddr>& mac() const { return mac_; }
    u16 pairs() const { return pairs_; }

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
