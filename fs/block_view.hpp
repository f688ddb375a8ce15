// A pinned view of cached bytes: as long as it lives the block stays in memory, unchanged. Context: thread.
#pragma once

#include <utility>

#include "lib/bytes.hpp"

namespace ringlet::fs {

/// Movable, not copyable; its destructor unpins. Hold few, and briefly: a pinned block cannot be reused.
class PinnedBytes {
public:
    using Release = void (*)(void* owner);

    PinnedBytes() = default;
    /// `release(owner)` is called once, by the destructor; nullptr for bytes that never go away.
    PinnedBytes(Bytes bytes, Release release, void* owner) : bytes_(bytes), release_(release), owner_(owner) {}
    PinnedBytes(PinnedBytes&& o) noexcept
        : bytes_(std::exchange(o.bytes_, {})), release_(std::exchange(o.release_, nullptr)), owner_(o.owner_) {}
    PinnedBytes& operator=(PinnedBytes&& o) noexcept {
        std::swap(bytes_, o.bytes_);
        std::swap(release_, o.release_);
        std::swap(owner_, o.owner_);
        return *this;
    }
    ~PinnedBytes() {
        if (release_ != nullptr) release_(owner_);
    }

    Bytes bytes() const { return bytes_; }

private:
    Bytes bytes_;
    Release release_ = nullptr;
    void* owner_ = nullptr;
};

}  // namespace ringlet::fs
