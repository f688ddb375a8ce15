// The device's half of a split virtqueue (virtio 1.2 §2.7), written from the specification and not from the driver.
// Checks what the driver must obey (violations) and can be as hostile as a test likes. Host tests only.
#pragma once

#include "tests/device/chain.hpp"

namespace ringlet::device {

class SplitDevice : public RingHalf {
public:
    bool one_by_one = false;  ///< IN_ORDER: writes a used entry for every chain
    u16 last_avail = 0, used_idx = 0;

    void start(const RingSetup& s) {
        setup_ = s;
        last_avail = used_idx = signalled_ = s.first;
        if (s.desc.raw % 16 != 0 || s.driver.raw % 2 != 0 || s.device.raw % 4 != 0) violate("misaligned ring");
        if (s.size == 0 || s.size > 32768 || (s.size & (s.size - 1)) != 0) violate("queue size");
        desc_ = at(s.desc, 16u * s.size);
        avail_ = reinterpret_cast<u16*>(at(s.driver, 6u + 2u * s.size));
        used_ = reinterpret_cast<u16*>(at(s.device, 6u + 8u * s.size));
    }

    std::optional<Chain> take() {
        const u16 idx = load(avail_ + 1, std::memory_order_acquire);
        if (idx == last_avail) return std::nullopt;
        if (u16(idx - last_avail) > setup_.size) violate("avail.idx jumped");
        const u16 head = load(avail_ + 2 + last_avail % setup_.size);
        ++last_avail;
        Chain chain = walk(head);
        if (setup_.in_order) order_.taken(chain.id, chain.writable());
        return chain;
    }
    bool has_work() const { return load(avail_ + 1, std::memory_order_acquire) != last_avail; }
    /// What NOTIFICATION_DATA has to say now (§2.9).
    u16 avail_position() const { return load(avail_ + 1); }

    /// Returns a chain; true: the driver wants an interrupt for it.
    bool give(u16 id, u32 written) {
        if (!setup_.in_order) return put(id, written), publish();
        if (!order_.finish(id, written)) return put(id, written), publish();  // a lie
        for (;;) {
            const auto batch = order_.batch(one_by_one);
            if (batch.empty()) break;
            put(batch.back().id, batch.back().written);
            used_idx = u16(used_idx + batch.size() - 1);
        }
        return publish();
    }
    /// An entry that is not visible yet: several make a batch.
    void put(u32 id, u32 written) {
        auto* element = reinterpret_cast<u32*>(used_ + 2) + 2 * (used_idx % setup_.size);
        __atomic_store_n(element, id, __ATOMIC_RELAXED);
        __atomic_store_n(element + 1, written, __ATOMIC_RELAXED);
        ++used_idx;
    }
    bool publish() {
        const u16 old = std::exchange(signalled_, used_idx);
        if (old == used_idx) return false;
        __atomic_store_n(used_ + 1, used_idx, __ATOMIC_RELEASE);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (!setup_.event_idx) return (load(avail_) & 1) == 0;
        return need_event(load(avail_ + 2 + setup_.size), used_idx, old);
    }

    void busy() {
        if (setup_.event_idx)
            store(avail_event(), u16(last_avail - 1));
        else
            store(used_, 1);
    }
    bool sleep() {
        if (setup_.event_idx)
            store(avail_event(), last_avail);
        else
            store(used_, 0);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return has_work();
    }

    // Hostility.
    void set_used_idx(u16 v) {
        used_idx = signalled_ = v;
        __atomic_store_n(used_ + 1, v, __ATOMIC_RELEASE);
    }
    void scribble_descriptors(u8 value) {
        for (usize i = 0; i < usize{16} * setup_.size; ++i) __atomic_store_n(desc_ + i, std::byte(value), 0);
    }
    void set_device_event(u16 event) { store(avail_event(), event); }

private:
    struct Entry {
        u64 addr;
        u32 len;
        u16 flags, next;
    };
    u16* avail_event() const { return used_ + 2 + usize{4} * setup_.size; }

    Chain walk(u16 head) {
        Chain chain{.id = head, .out = {}, .in = {}, .indirect = false};
        if (head >= setup_.size) return violate("avail entry out of range"), chain;
        if (setup_.in_order && head != next_head_) violate("descriptors out of order with IN_ORDER");
        const std::byte* table = desc_;
        u32 entries = setup_.size, used = 1;
        Entry e = entry(table, head);
        if (e.flags & 4) {
            if (e.flags & 1) violate("INDIRECT with NEXT");
            if (e.len == 0 || e.len % 16 != 0) violate("indirect table length");
            if (!setup_.indirect) violate("INDIRECT without INDIRECT_DESC");
            chain.indirect = true;
            entries = e.len / 16;
            if (entries > setup_.size) violate("chain longer than the queue");
            table = at(DmaAddr(e.addr), e.len);
            if (table == nullptr) return chain;
            head = 0;
            e = entry(table, 0);
        }
        for (u16 x = head;; x = e.next, e = entry(table, x)) {
            if (e.flags & 4) violate("INDIRECT inside a chain");
            add(chain, e.addr, e.len, (e.flags & 2) != 0);
            if (!(e.flags & 1)) break;
            if (e.next >= entries || ++used > entries) return violate("chain loops or leaves the table"), chain;
            if (setup_.in_order && !chain.indirect && e.next != (x + 1) % setup_.size)
                violate("next is not the next descriptor with IN_ORDER");
        }
        next_head_ = u16((next_head_ + (chain.indirect ? 1 : used)) % setup_.size);
        return chain;
    }
    static Entry entry(const std::byte* table, u32 i) {
        Entry e;
        std::memcpy(&e, table + usize{16} * i, sizeof e);
        return e;
    }

    std::byte* desc_ = nullptr;
    u16* avail_ = nullptr;
    u16* used_ = nullptr;
    u16 signalled_ = 0;
    u16 next_head_ = 0;
    InOrder order_;
};

}  // namespace ringlet::device
