// What the shell's `virtio` command shows: every live device with its features, queues and counters. Drivers register
// themselves, intrusively; no global constructor. Context: thread; devices come at boot and go with their driver
// object.
#pragma once

#include <span>
#include <string_view>

#include "drivers/virtio/counters.hpp"
#include "drivers/virtio/features.hpp"
#include "drivers/virtio/interrupts.hpp"
#include "lib/fixed_vector.hpp"
#include "lib/function_ref.hpp"

namespace ringlet::virtio {

struct QueueInfo {
    std::string_view name;
    u16 index = 0, size = 0, in_flight = 0;
    QueueCounters counters;
};

struct DeviceInfo {
    std::string_view name;       ///< "net0", "vda"
    std::string_view type;       ///< "network", "block"
    std::string_view transport;  ///< "pci", "mmio"
    InterruptMode interrupts = InterruptMode::polling;
    bool broken = false;
    u32 recoveries = 0;
    FeatureBits offered, negotiated;
    std::span<const FeatureName> feature_names;  ///< of this device type; the common ones are known to feature_name()
    static constexpr usize kMostQueues = 17;     ///< eight pairs and a control queue: what NetConfig allows
    FixedVector<QueueInfo, kMostQueues> queues;

    /// Empty when nobody has named this bit.
    std::string_view feature_name(unsigned bit) const;
};

/// The base of every driver object.
class DeviceRecord {
public:
    DeviceRecord(const DeviceRecord&) = delete;
    DeviceRecord& operator=(const DeviceRecord&) = delete;
    virtual DeviceInfo info() const = 0;
    /// The driver's own counters and facts beyond its queues, by name ("rx_csum_offloaded", "rxq0.ipackets"): FreeBSD's
    /// sysctl names where the meaning is the same. A name is valid during the call only.
    virtual void for_each_value(FunctionRef<void(std::string_view name, u64 value)>) const {}
    const DeviceRecord* next() const { return next_; }

protected:
    DeviceRecord() = default;
    ~DeviceRecord() { unlist(); }
    void list();
    void unlist();

private:
    DeviceRecord* next_ = nullptr;
};

/// In the order in which the drivers started.
void for_each_device(FunctionRef<void(const DeviceInfo&)> visit);
void for_each_record(FunctionRef<void(const DeviceRecord&)> visit);

}  // namespace ringlet::virtio
