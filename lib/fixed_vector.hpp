// A vector with a bound known at compile time and its storage inside. Context: the owner's.
#pragma once

#include <memory>
#include <span>
#include <utility>

#include "lib/assert.hpp"
#include "lib/types.hpp"

namespace ringlet {

template <class T, usize kCapacity> class FixedVector {
    union {
        T items_[kCapacity];
    };
    usize size_ = 0;

public:
    constexpr FixedVector() {}
    constexpr ~FixedVector() { clear(); }
    FixedVector(const FixedVector& o) {
        for (const T& v : o) try_push_back(v);
    }
    FixedVector(FixedVector&& o) noexcept {
        for (T& v : o) try_push_back(std::move(v));
        o.clear();
    }
    FixedVector& operator=(FixedVector o) noexcept {
        clear();
        for (T& v : o) try_push_back(std::move(v));
        return *this;
    }

    /// False, and nothing changed, when full.
    template <class... A> [[nodiscard]] constexpr bool try_emplace_back(A&&... a) {
        if (size_ == kCapacity) return false;
        std::construct_at(&items_[size_], std::forward<A>(a)...);
        ++size_;
        return true;
    }
    constexpr bool try_push_back(T v) { return try_emplace_back(std::move(v)); }
    constexpr void clear() {
        while (size_ != 0) pop_back();
    }
    constexpr void pop_back() {
        ASSERT(size_ != 0);
        std::destroy_at(&items_[--size_]);
    }
    constexpr usize size() const { return size_; }
    static constexpr usize capacity() { return kCapacity; }
    constexpr bool empty() const { return size_ == 0; }
    constexpr bool full() const { return size_ == kCapacity; }
    constexpr T& operator[](usize i) {
        ASSERT(i < size_);
        return items_[i];
    }
    constexpr const T& operator[](usize i) const {
        ASSERT(i < size_);
        return items_[i];
    }
    constexpr T* begin() { return items_; }
    constexpr T* end() { return items_ + size_; }
    constexpr const T* begin() const { return items_; }
    constexpr const T* end() const { return items_ + size_; }
    constexpr operator std::span<const T>() const { return {items_, size_}; }
    constexpr operator std::span<T>() { return {items_, size_}; }
};

}  // namespace ringlet
