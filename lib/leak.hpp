// Gives up an object and what it owns on purpose: its destructor never runs. For memory that a device may still write
// to. Context: any.
#pragma once

#include <memory>
#include <type_traits>

namespace ringlet {

template <class T>
requires(!std::is_lvalue_reference_v<T>) void leak(T&& object) {
    alignas(T) std::byte grave[sizeof(T)];
    std::construct_at(reinterpret_cast<T*>(grave), std::move(object));
}

}  // namespace ringlet
