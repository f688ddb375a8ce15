// A logical unit of a virtio-scsi host as a disk. Disks are made by the host when it finds a unit and live as long as
// the host: one whose unit has gone answers everything with Error::device_broken, and comes back to life when the same
// unit (by its identification page or serial number) comes back, at whatever address. So whoever holds a BlockDevice&
// holds it for good, and never finds another unit behind it. Context: as fs::BlockDevice.
#pragma once

#include <atomic>

#include "drivers/scsi/unit.hpp"
#include "fs/block_device.hpp"

namespace ringlet::virtio {

using ScsiRequests = List<fs::BlockRequest, fs::BlockRequest>;

/// What waits for its turn at one disk, in order. All disks of a request queue count in one place, so that nobody needs
/// to look at each to learn that nothing waits.
class ScsiWaiting {
public:
    void count_in(u32& total) { total_ = &total; }
    bool empty() const { return list_.empty(); }
    void push_back(fs::BlockRequest& r) {
        ++*total_;
        list_.push_back(r);
    }
    void push_front(fs::BlockRequest& r) {
        ++*total_;
        list_.push_front(r);
    }
    fs::BlockRequest* pop_front() {
        fs::BlockRequest* const r = list_.pop_front();
        if (r != nullptr) --*total_;
        return r;
    }

private:
    ScsiRequests list_;
    u32* total_ = nullptr;
};

/// Where a unit is.
struct ScsiAddress {
    u16 target = 0, lun = 0;
    friend bool operator==(const ScsiAddress&, const ScsiAddress&) = default;
};

class ScsiHost;

class ScsiDisk final : public fs::BlockDevice {
public:
    std::string_view name() const override { return {name_, name_length_}; }
    u64 sectors() const override { return sectors_.load(std::memory_order_relaxed); }
    bool read_only() const override { return read_only_.load(std::memory_order_relaxed); }
    fs::BlockLimits limits() const override;
    u32 generation() const override { return generation_.load(std::memory_order_relaxed); }
    fs::BlockIdentity identity() override;
    fs::WriteCache write_cache() const override {
        return cached_.load(std::memory_order_relaxed) ? fs::WriteCache::write_back : fs::WriteCache::write_through;
    }
    void submit(fs::BlockRequest& r) override;
    void flush_submissions() override;

    /// The unit is there. Context: any.
    bool present() const { return present_.load(std::memory_order_relaxed); }
    ScsiAddress address() const { return address_; }

private:
    friend class ScsiHost;
    explicit ScsiDisk(ScsiHost& host) : host_(host) {}

    ScsiHost& host_;
    char name_[8] = {};
    u8 name_length_ = 0;
    u16 queue_ = 0;  ///< the request queue that serves it
    // Fixed when the unit is found first.
    scsi::Inquiry inquiry_;
    scsi::Serial serial_;
    scsi::Identity identity_;
    // Under the host's lock.
    ScsiAddress address_;
    scsi::Unit unit_;
    fs::BlockLimits limits_;
    ScsiWaiting waiting_;  ///< not in a queue yet
    u32 in_flight_ = 0;
    Instant paused_until_;  ///< the unit is busy: nothing is sent before
    bool refresh_ = false;  ///< ask for capacity and the like
    bool stale_ = false;    ///< the unit has changed since some waiting request was looked at
    // Copies of what is under the lock.
    std::atomic<u64> sectors_{0};
    std::atomic<u32> generation_{0};
    std::atomic<bool> present_{false}, read_only_{false}, cached_{false};
};

}  // namespace ringlet::virtio
