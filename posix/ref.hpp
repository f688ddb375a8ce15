// What several owners share: it dies with the last of them.
#pragma once

#include <atomic>
#include <utility>

#include "lib/types.hpp"

namespace ringlet::posix {

class Counted {
public:
    Counted() = default;
    virtual ~Counted() = default;
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    void retain() { users_.fetch_add(1, std::memory_order_relaxed); }
    void release() {
        if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

protected:
    /// False when it is dying already.
    bool retain_if_used() {
        u32 users = users_.load(std::memory_order_relaxed);
        while (users != 0)
            if (users_.compare_exchange_weak(users, users + 1, std::memory_order_acquire)) return true;
        return false;
    }

private:
    std::atomic<u32> users_{1};
};

/// One owner of a T, which is Counted.
template <class T> class RefTo {
public:
    RefTo() = default;
    /// Takes over the use that `t` was made with.
    explicit RefTo(T* t) : it_(t) {}
    RefTo(const RefTo& o) : it_(o.it_) {
        if (it_ != nullptr) it_->retain();
    }
    RefTo(RefTo&& o) noexcept : it_(std::exchange(o.it_, nullptr)) {}
    RefTo& operator=(RefTo o) noexcept {
        std::swap(it_, o.it_);
        return *this;
    }
    ~RefTo() {
        if (it_ != nullptr) it_->release();
    }
    explicit operator bool() const { return it_ != nullptr; }
    T* get() const { return it_; }
    T* operator->() const { return it_; }
    T& operator*() const { return *it_; }

private:
    T* it_ = nullptr;
};

}  // namespace ringlet::posix
