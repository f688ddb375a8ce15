// What both halves of a device's ring have in common: chains, memory, complaints. Host tests only.
#pragma once

#include <atomic>
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
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

/// How a queue was enabled.
struct RingSetup {
    u16 size = 0;
    DmaAddr desc, driver, device;
    bool packed = false, in_order = false, event_idx = false, indirect = true;
    u16 first = 0;  ///< where the indices start: RingOptions::first_index
};

class RingHalf {
public:
    std::vector<std::string> violations;
    void violate(std::string what) { violations.push_back(std::move(what)); }

    std::byte* at(DmaAddr addr, usize bytes) {
        std::byte* p = arch::host::dma_to_pointer(addr, bytes);
        if (p == nullptr) violate("address outside DMA memory");
        return p;
    }
    static bool need_event(u16 event, u16 now, u16 old) { return u16(now - event - 1) < u16(now - old); }

protected:
    static u16 load(const u16* p, std::memory_order order = std::memory_order_relaxed) {
        return __atomic_load_n(p, int(order));
    }
    static void store(u16* p, u16 v, std::memory_order order = std::memory_order_relaxed) {
        __atomic_store_n(p, v, int(order));
    }
    void add(Chain& chain, u64 addr, u32 len, bool writable) {
        if (len == 0) violate("empty descriptor");
        const Piece piece{at(DmaAddr(addr), len), len};
        if (writable)
            chain.in.push_back(piece);
        else if (!chain.in.empty())
            violate("readable after writable");
        else
            chain.out.push_back(piece);
    }

    RingSetup setup_;
};

/// IN_ORDER: chains go back in the order in which they came, whatever the order in which they are finished.
class InOrder {
public:
    struct Entry {
        u16 id;
        u32 writable, written;
        bool finished;
        bool complete() const { return written == writable; }
    };
    void taken(u16 id, u32 writable) {
        place_[id] = gone_ + entries_.size();
        entries_.push_back({id, writable, 0, false});
    }
    /// The next batch that may go back as one: all but the last were used completely. Empty: the oldest is not done.
    std::vector<Entry> batch(bool one_by_one) {
        std::vector<Entry> all;
        while (!entries_.empty() && entries_.front().finished) {
            all.push_back(entries_.front());
            entries_.pop_front(), ++gone_;
            if (one_by_one || !all.back().complete()) break;
        }
        return all;
    }
    /// False: the device has no such chain.
    bool finish(u16 id, u32 written) {
        const auto at = place_.find(id);
        if (at == place_.end()) return false;
        Entry& e = entries_[at->second - gone_];
        place_.erase(at);
        return e.finished = true, e.written = written, true;
    }

private:
    std::deque<Entry> entries_;
    std::unordered_map<u16, u64> place_;
    u64 gone_ = 0;
};

}  // namespace ringlet::device
