// Bytes written and not yet acknowledged: one ring, allocated on first use at 4 KiB, doubled on demand up to the
// configured bound, given back when empty. Context: the network monitor.
#pragma once

#include <algorithm>
#include <memory>
#include <new>

#include "lib/bytes.hpp"

namespace ringlet::net::tcp {

class SendBuffer {
public:
    static constexpr u32 kInitial = 4096;
    explicit SendBuffer(u32 bound) : bound_(bound) {}

    u32 size() const { return size_; }
    u32 room() const { return bound_ - size_; }

    /// Copies in as much as fits; less, down to nothing, when the heap is exhausted too.
    u32 write(Bytes from) {
        const u32 wanted = static_cast<u32>(std::min<usize>(from.size(), room()));
        if (size_ + wanted > capacity_) grow(size_ + wanted);
        const u32 n = std::min(wanted, capacity_ - size_);
        if (n == 0) return 0;
        const u32 at = (head_ + size_) & (capacity_ - 1);
        const u32 before_end = std::min(n, capacity_ - at);
        std::memcpy(storage_.get() + at, from.data(), before_end);
        if (n != before_end) std::memcpy(storage_.get(), from.data() + before_end, n - before_end);
        size_ += n;
        return n;
    }

    struct Pieces {
        Bytes first, second;
    };
    /// The `length` bytes at `offset`; the caller keeps them inside size().
    Pieces at(u32 offset, u32 length) const {
        ASSERT(offset <= size_ && length <= size_ - offset);
        if (length == 0) return {};
        const u32 begin = (head_ + offset) & (capacity_ - 1);
        const u32 before_end = std::min(length, capacity_ - begin);
        return {{storage_.get() + begin, before_end}, {storage_.get(), length - before_end}};
    }

    /// The first `n` bytes are acknowledged. A small ring stays for the next answer; a large one goes.
    void drop(u32 n) {
        ASSERT(n <= size_);
        size_ -= n;
        head_ = size_ == 0 ? 0 : (head_ + n) & (capacity_ - 1);
        if (size_ == 0 && capacity_ > kInitial) release();
    }
    void release() {
        storage_.reset();
        capacity_ = size_ = head_ = 0;
    }

private:
    void grow(u32 needed) {
        u32 bigger = std::max(capacity_, kInitial);
        while (bigger < needed) bigger *= 2;
        std::unique_ptr<std::byte[]> fresh(new (std::nothrow) std::byte[bigger]);
        if (!fresh) return;
        const Pieces old = at(0, size_);
        if (!old.first.empty()) std::memcpy(fresh.get(), old.first.data(), old.first.size());
        if (!old.second.empty()) std::memcpy(fresh.get() + old.first.size(), old.second.data(), old.second.size());
        storage_ = std::move(fresh);
        capacity_ = bigger;
        head_ = 0;
    }

    std::unique_ptr<std::byte[]> storage_;
    u32 bound_;
    u32 capacity_ = 0, head_ = 0, size_ = 0;  // capacity_: a power of two, or 0
};

}  // namespace ringlet::net::tcp
