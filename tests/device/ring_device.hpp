// The device's half of a split virtqueue (virtio 1.2 §2.7), written from the specification and not from the driver.
// Checks what the driver must obey (violations) and can be as hostile as a test likes. Host tests only.
#pragma once

#include <atomic>
#include <optional>
#include <string>
#include <vector>

#include "arch/host.hpp"
#include "lib/strong.hpp"

namespace ringlet::device {

struct Piece {
    std::byte* bytes = nullptr;
    u32 len = 0;
};

struct Chain {
    u16 id = 0;
    std::vector<Piece> out, in;  ///< device-readable, device-writable
    bool indirect = false;
    u32 writable() const {
        u32 n = 0;
        for (const Piece& p : in) n += p.len;
        return n;
    }
};

class RingDevice {
public:
    u16 size = 0;
    bool event_idx = false;
    DmaAddr desc, driver, device;
    std::vector<std::string> violations;
    u16 last_avail = 0, used_idx = 0;

    void start(u16 n, DmaAddr d, DmaAddr a, DmaAddr u, bool events, u16 first = 0) {
        size = n, desc = d, driver = a, device = u, event_idx = events;
        last_avail = used_idx = first;
        if (d.raw % 16 != 0 || a.raw % 2 != 0 || u.raw % 4 != 0) violate("misaligned ring");
        desc_ = at(desc, 16u * n);
        avail_ = reinterpret_cast<u16*>(at(driver, 6u + 2u * n));
        used_ = reinterpret_cast<u16*>(at(device, 6u + 8u * n));
    }

    /// The next chain that the driver has made available.
    std::optional<Chain> take() {
        const u16 idx = load(avail_ + 1, std::memory_order_acquire);
        if (idx == last_avail) return std::nullopt;
        if (u16(idx - last_avail) > size) violate("avail.idx jumped");
        const u16 head = load(avail_ + 2 + last_avail % size);
        ++last_avail;
        return walk(head);
    }
    bool has_work() const { return load(avail_ + 1, std::memory_order_acquire) != last_avail; }

    /// Returns a chain; true: the driver wants an interrupt for it.
    bool give(u16 id, u32 written) {
        put(id, written);
        return publish_used(u16(used_idx - 1));
    }
    /// An entry that is not visible yet: several make a batch.
    void put(u32 id, u32 written) {
        auto* element = reinterpret_cast<u32*>(used_ + 2) + 2 * (used_idx % size);
        __atomic_store_n(element, id, __ATOMIC_RELAXED);
        __atomic_store_n(element + 1, written, __ATOMIC_RELAXED);
        ++used_idx;
    }
    bool publish_used(u16 old) {
        __atomic_store_n(used_ + 1, used_idx, __ATOMIC_RELEASE);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        if (!event_idx) return (load(avail_) & 1) == 0;
        const u16 event = load(avail_ + 2 + size);
        return need_event(event, used_idx, old);
    }
    static bool need_event(u16 event, u16 now, u16 old) { return u16(now - event - 1) < u16(now - old); }

    /// "Do not kick me, I am looking anyway."
    void busy() {
        if (event_idx)
            store(avail_event(), u16(last_avail - 1));
        else
            store(used_, 1);
    }
    /// "Kick me"; true: work came meanwhile.
    bool sleep() {
        if (event_idx)
            store(avail_event(), last_avail);
        else
            store(used_, 0);
        std::atomic_thread_fence(std::memory_order_seq_cst);
        return has_work();
    }

    // Hostility.
    void set_used_idx(u16 v) {
        used_idx = v;
        __atomic_store_n(used_ + 1, v, __ATOMIC_RELEASE);
    }
    void scribble_descriptors(u8 value) {
        for (usize i = 0; i < usize{16} * size; ++i) desc_[i] = std::byte(value);
    }
    void violate(std::string what) { violations.push_back(std::move(what)); }

    std::byte* at(DmaAddr addr, usize bytes) {
        std::byte* p = arch::host::dma_to_pointer(addr, bytes);
        if (p == nullptr) violate("address outside DMA memory");
        return p;
    }

private:
    struct Entry {
        u64 addr;
        u32 len;
        u16 flags, next;
    };
    static u16 load(const u16* p, std::memory_order order = std::memory_order_relaxed) {
        return __atomic_load_n(p, int(order));
    }
    static void store(u16* p, u16 v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
    u16* avail_event() const { return used_ + 2 + usize{4} * size; }

    Chain walk(u16 head) {
        Chain chain{.id = head, .out = {}, .in = {}, .indirect = false};
        if (head >= size) return violate("avail entry out of range"), chain;
        const std::byte* table = desc_;
        u32 entries = size;
        Entry e = entry(table, head);
        if (e.flags & 4) {
            if (e.flags & 1) violate("INDIRECT with NEXT");
            if (e.len == 0 || e.len % 16 != 0) violate("indirect table length");
            chain.indirect = true;
            entries = e.len / 16;
            table = at(DmaAddr(e.addr), e.len);
            if (table == nullptr) return chain;
            e = entry(table, 0);
        }
        for (u32 steps = 1;; ++steps) {
            add(chain, e);
            if (!(e.flags & 1)) return chain;
            if (e.next >= entries || steps >= entries) return violate("chain loops or leaves the table"), chain;
            e = entry(table, e.next);
        }
    }
    void add(Chain& chain, const Entry& e) {
        if (e.len == 0) violate("empty descriptor");
        if (e.flags & 4) violate("INDIRECT inside a chain");
        const Piece piece{at(DmaAddr(e.addr), e.len), e.len};
        if (e.flags & 2)
            chain.in.push_back(piece);
        else if (!chain.in.empty())
            violate("readable after writable");
        else
            chain.out.push_back(piece);
    }
    static Entry entry(const std::byte* table, u32 i) {
        Entry e;
        std::memcpy(&e, table + usize{16} * i, sizeof e);
        return e;
    }

    std::byte* desc_ = nullptr;
    u16* avail_ = nullptr;
    u16* used_ = nullptr;
};

}  // namespace ringlet::device
