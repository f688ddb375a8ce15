// The device's half of a packed virtqueue (virtio 1.2 §2.8), written from the specification and not from the driver.
// Checks what the driver must obey (violations) and can be as hostile as a test likes. Host tests only.
#pragma once

#include "tests/device/chain.hpp"

namespace ringlet::device {

class PackedDevice : public RingHalf {
public:
    bool one_by_one = false;  ///< IN_ORDER: writes a used descriptor for every chain
    u16 next_avail = 0, next_used = 0;
    bool avail_wrap = true, used_wrap = true;

    void start(const RingSetup& s) {
        setup_ = s;
        if (s.desc.raw % 16 != 0 || s.driver.raw % 4 != 0 || s.device.raw % 4 != 0) violate("misaligned ring");
        if (s.size == 0 || s.size > 32768) return violate("queue size");
        next_avail = next_used = u16(s.first % s.size);
        avail_wrap = used_wrap = true;
        lengths_.assign(s.size, 0);
        desc_ = reinterpret_cast<Desc*>(at(s.desc, 16u * s.size));
        driver_ = reinterpret_cast<u16*>(at(s.driver, 4));
        device_ = reinterpret_cast<u16*>(at(s.device, 4));
    }

    std::optional<Chain> take() {
        if (!has_work()) return std::nullopt;
        Chain chain;
        u16 count = 0;
        for (bool more = true; more;) {
            const Desc& d = desc_[next_avail];
            if (!available(d.flags)) violate("a chain's descriptor is not available");
            more = (d.flags & 1) != 0;
            chain.id = d.id;
            if (d.flags & 4) {
                if (d.flags & 1 || count != 0) violate("INDIRECT inside a chain");
                walk_table(chain, d);
            } else {
                add(chain, d.addr, d.len, (d.flags & 2) != 0);
            }
            step(next_avail, avail_wrap, 1);
            if (++count == setup_.size && more) return violate("chain longer than the queue"), chain;
        }
        if (chain.id >= setup_.size) return violate("id out of range"), chain;
        if (lengths_[chain.id] != 0) violate("id of a chain that the device has");
        lengths_[chain.id] = count;
        if (setup_.in_order) order_.taken(chain.id, chain.writable());
        return chain;
    }
    bool has_work() const { return available(load(&desc_[next_avail].flags, std::memory_order_acquire)); }
    /// What NOTIFICATION_DATA has to say now (§2.9).
    u16 avail_position() const {
        u16 at = next_avail;
        bool wrap = avail_wrap;
        for (u32 i = 0; i < setup_.size; ++i) {
            const u16 flags = load(&desc_[at].flags);
            if (((flags & kAvail) != 0) != wrap || ((flags & kUsed) != 0) == wrap) break;
            if (++at == setup_.size) at = 0, wrap = !wrap;
        }
        return u16(at | (wrap ? 0x8000 : 0));
    }

    bool give(u16 id, u32 written) {
        if (!setup_.in_order) return put(id, written), publish();
        if (!order_.finish(id, written)) return put(id, written), publish();  // a lie
        for (;;) {
            const auto batch = order_.batch(one_by_one);
            if (batch.empty()) break;
            u32 descs = 0;
            for (const auto& e : batch) descs += std::exchange(lengths_[e.id], u16{0});
            write_used(batch.back().id, batch.back().written, descs);
        }
        return publish();
    }
    /// A used descriptor that is not visible yet: several make a batch.
    void put(u32 id, u32 written) {
        const bool known = id < setup_.size && lengths_[id] != 0;
        write_used(u16(id), written, known ? std::exchange(lengths_[id], u16{0}) : 1u);
    }
    bool publish() {
        if (!first_) return false;
        store(&desc_[*first_].flags, first_flags_, std::memory_order_release);
        first_.reset();
        std::atomic_thread_fence(std::memory_order_seq_cst);
        const u16 mode = load(driver_ + 1, std::memory_order_acquire), off_wrap = load(driver_);
        if (mode > 2) violate("reserved bits of the driver's event flags");
        if (mode != 2) return mode == 0;
        if (!setup_.event_idx) violate("RING_EVENT_FLAGS_DESC without EVENT_IDX");
        u16 event = u16(off_wrap & 0x7fff);
        if (event >= setup_.size) violate("event offset outside the ring");
        if ((off_wrap >> 15 != 0) != used_wrap) event = u16(event - setup_.size);
        return need_event(event, next_used, u16(next_used - moved_));
    }

    void busy() { store(device_ + 1, 1); }
    bool sleep() {
        if (setup_.event_idx) {
            store(device_, u16(next_avail | (avail_wrap ? 0x8000 : 0)));
            store(device_ + 1, 2, std::memory_order_release);
        } else {
            store(device_ + 1, 0);
        }
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return has_work();
    }

    // Hostility.
    /// Marks so many descriptors used, whatever they say.
    void jump(u16 n) {
        publish();
        for (u16 i = 0; i < n; ++i) {
            store(&desc_[next_used].flags, used_flags(), std::memory_order_release);
            step(next_used, used_wrap, 1);
        }
    }
    /// Marks the next descriptor used as if it were in the other lap.
    void wrong_wrap(u16 id, u32 written) {
        used_wrap = !used_wrap;
        put(id, written);
        publish();
    }
    void scribble_descriptors(u8 value) {  // all but the flags, which say whose turn it is
        for (u16 i = 0; i < setup_.size; ++i) {
            auto* bytes = reinterpret_cast<u8*>(&desc_[i]);
            for (usize k = 0; k < 14; ++k) __atomic_store_n(bytes + k, value, __ATOMIC_RELAXED);
        }
    }
    void set_device_event(u16 off_wrap) {
        store(device_, off_wrap);
        store(device_ + 1, 2, std::memory_order_release);
    }

private:
    struct Desc {
        u64 addr;
        u32 len;
        u16 id, flags;
    };
    static constexpr u16 kAvail = 1 << 7, kUsed = 1 << 15;

    bool available(u16 flags) const {
        return ((flags & kAvail) != 0) == avail_wrap && ((flags & kUsed) != 0) != avail_wrap;
    }
    u16 used_flags() const { return used_wrap ? kAvail | kUsed : 0; }
    void step(u16& at, bool& wrap, u32 n) const {
        const u32 to = at + n;
        at = u16(to >= setup_.size ? to - setup_.size : to);
        if (to >= setup_.size) wrap = !wrap;
    }
    void write_used(u16 id, u32 written, u32 descs) {
        Desc& d = desc_[next_used];
        store(&d.id, id);
        __atomic_store_n(&d.len, written, __ATOMIC_RELAXED);
        const u16 flags = u16(used_flags() | (written != 0 ? 2 : 0));
        if (first_)
            store(&d.flags, flags);
        else
            first_ = next_used, first_flags_ = flags, moved_ = 0;
        moved_ += descs;
        step(next_used, used_wrap, descs);
    }
    void walk_table(Chain& chain, const Desc& d) {
        if (!setup_.indirect) violate("INDIRECT without INDIRECT_DESC");
        if (d.len == 0 || d.len % 16 != 0) return violate("indirect table length");
        if (d.len / 16 > setup_.size) violate("chain longer than the queue");
        chain.indirect = true;
        const std::byte* table = at(DmaAddr(d.addr), d.len);
        if (table == nullptr) return;
        for (u32 i = 0; i < d.len / 16; ++i) {
            Desc e;
            std::memcpy(&e, table + usize{16} * i, sizeof e);
            if (e.flags & ~2) violate("a flag other than WRITE in an indirect table");
            add(chain, e.addr, e.len, (e.flags & 2) != 0);
        }
    }

    Desc* desc_ = nullptr;
    u16* driver_ = nullptr;
    u16* device_ = nullptr;
    std::vector<u16> lengths_;  ///< descriptors of the chains that the device has, by id
    u32 moved_ = 0;             ///< descriptors of the batch that is not visible yet
    std::optional<u16> first_;  ///< the used descriptor that holds back those after it (§2.8.10)
    u16 first_flags_ = 0;
    InOrder order_;
};

}  // namespace ringlet::device
