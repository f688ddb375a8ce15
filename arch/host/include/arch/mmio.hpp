// Device registers on the host: every access goes to a fake device registered in arch/host.hpp. An address
// nobody registered ends the test with a message: a wrong MMIO address must never read or write real memory.
// Context: any.
#pragma once

#include <concepts>
#include <cstdint>
#include <type_traits>

#include "lib/types.hpp"

namespace ringlet::arch {

namespace detail {
u64 fake_mmio_read(std::uintptr_t address, unsigned width);
void fake_mmio_write(std::uintptr_t address, unsigned width, u64 value);
}  // namespace detail

template <class T>
requires std::unsigned_integral<T> T mmio_read(std::uintptr_t address) {
    return static_cast<T>(detail::fake_mmio_read(address, sizeof(T)));
}

template <class T>
requires std::unsigned_integral<T>
void mmio_write(std::uintptr_t address, std::type_identity_t<T> value) {
    detail::fake_mmio_write(address, sizeof(T), value);
}

}  // namespace ringlet::arch
