// What the linker script says of thread-local storage. For arch/ only, which says where it lies from the thread
// pointer.
#pragma once

#include <algorithm>

#include "lib/bytes.hpp"

extern "C" {
// `bytes` and `align` are values, not addresses.
extern const std::byte __tls_image[], __tls_image_bytes[], __tls_bytes[], __tls_align[];
}

namespace ringlet::arch {

struct TlsImage {
    usize image = reinterpret_cast<usize>(__tls_image_bytes);  ///< of `bytes`, the first, which are not zero
    usize bytes = reinterpret_cast<usize>(__tls_bytes);
    usize align = std::max<usize>(reinterpret_cast<usize>(__tls_align), 16);
    /// The variables' first values at `to`, then zeros: `room` bytes in all.
    void place(std::byte* to, usize room) const {
        std::byte* const after_image = std::copy_n(__tls_image, image, to);
        std::fill_n(after_image, room - image, std::byte{});
    }
};

}  // namespace ringlet::arch
