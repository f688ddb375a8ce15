// The device's half of a virtqueue of either layout: a closed switch over split_device.hpp and packed_device.hpp, so
// that one device model serves both. Host tests only.
#pragma once

#include "tests/device/packed_device.hpp"
#include "tests/device/split_device.hpp"

namespace ringlet::device {

class RingDevice {
    template <class F> auto each(F f) {
        if constexpr (std::is_void_v<decltype(f(split))>) {
            packed ? f(packed_half) : f(split);
            after();
        } else {
            auto result = packed ? f(packed_half) : f(split);
            after();
            return result;
        }
    }
    void after() {
        last_avail = split.last_avail, used_idx = split.used_idx;
        RingHalf& half = packed ? static_cast<RingHalf&>(packed_half) : split;
        for (std::string& what : std::exchange(half.violations, {})) violations.push_back(std::move(what));
    }

public:
    u16 size = 0;
    bool packed = false, event_idx = false;
    DmaAddr desc, driver, device;
    std::vector<std::string> violations;
    u16 last_avail = 0, used_idx = 0;  ///< split only
    SplitDevice split;
    PackedDevice packed_half;

    void start(const RingSetup& s) {
        size = s.size, packed = s.packed, event_idx = s.event_idx;
        desc = s.desc, driver = s.driver, device = s.device;
        each([&](auto& half) { half.start(s); });
    }
    void start(u16 n, DmaAddr d, DmaAddr a, DmaAddr u, bool events, u16 first = 0) {
        start({.size = n, .desc = d, .driver = a, .device = u, .event_idx = events, .first = first});
    }
    /// IN_ORDER: a used entry for every chain, never one for a batch.
    void one_by_one() { split.one_by_one = packed_half.one_by_one = true; }

    /// The next chain that the driver has made available.
    std::optional<Chain> take() {
        return each([](auto& half) { return half.take(); });
    }
    bool has_work() const { return packed ? packed_half.has_work() : split.has_work(); }
    /// What NOTIFICATION_DATA has to say now (§2.9): avail.idx, or the next descriptor and its wrap counter.
    u16 avail_position() const { return packed ? packed_half.avail_position() : split.avail_position(); }

    /// Returns a chain; true: the driver wants an interrupt for it. With IN_ORDER it may wait for older ones.
    bool give(u16 id, u32 written) {
        return each([&](auto& half) { return half.give(id, written); });
    }
    /// A used entry that is not visible yet: several make a batch. Honest or not.
    void put(u32 id, u32 written) {
        each([&](auto& half) { half.put(id, written); });
    }
    bool publish() {
        return each([](auto& half) { return half.publish(); });
    }
    bool publish_used(u16) { return publish(); }
    static bool need_event(u16 event, u16 now, u16 old) { return RingHalf::need_event(event, now, old); }

    /// "Do not kick me, I am looking anyway."
    void busy() {
        each([](auto& half) { half.busy(); });
    }
    /// "Kick me"; true: work came meanwhile.
    bool sleep() {
        return each([](auto& half) { return half.sleep(); });
    }

    // Hostility.
    /// Claims to have used so many more chains or descriptors.
    void jump(u16 n) {
        if (packed)
            packed_half.jump(n);
        else
            split.set_used_idx(u16(split.used_idx + n));
        after();
    }
    /// An index that cannot be. A packed ring has none: there an id that cannot be.
    void set_used_idx(u16 v) {
        if (packed)
            put(0xffff, 0), publish();
        else
            jump(u16(v - used_idx));
    }
    void scribble_descriptors(u8 value) {
        each([&](auto& half) { half.scribble_descriptors(value); });
    }
    void violate(std::string what) { violations.push_back(std::move(what)); }
    std::byte* at(DmaAddr addr, usize bytes) {
        return each([&](auto& half) { return half.at(addr, bytes); });
    }
};

}  // namespace ringlet::device
