// What the compiler, libgcc and libstdc++ call by name, in an image with the C and C++ libraries. Context: any.
#include <sys/random.h>

#include <cstddef>
#include <cstdint>

#include "kernel/panic.hpp"
#include "kernel/random.hpp"
#include "lib/assert.hpp"
#include "posix/error.hpp"

using ringlet::kernel::panic;

void ringlet::assert_failed(const char* what) {
    panic(what);
}

extern "C" {

[[noreturn]] void __stack_chk_fail() {
    panic("stack smashing: a function's canary was overwritten");
}

// libstdc++'s own end in std::terminate(), for which a C program would have the whole unwinder in its image.
[[noreturn]] void __cxa_pure_virtual() {
    panic("pure virtual function called");
}
[[noreturn]] void __cxa_deleted_virtual() {
    panic("deleted virtual function called");
}

/// Destructors of globals ask whose they are; there is one image.
void* __dso_handle = nullptr;
/// Tells the linker script that constructors are run.
extern const char ringlet_has_cxx_runtime;
const char ringlet_has_cxx_runtime = 1;

// The linker script's.
extern const std::byte __text_start[], __text_end[], __image_start[], __image_end[], __eh_frame_hdr[];

/// How the unwinder of a libgcc built for glibc 2.35 and later finds the frame tables: <bits/dl_find_object.h>.
struct dl_find_object {
    unsigned long long dlfo_flags;
    const void* dlfo_map_start;
    const void* dlfo_map_end;
    void* dlfo_link_map;
    const void* dlfo_eh_frame;
    unsigned long long reserved[7];
};
static_assert(sizeof(dl_find_object) == 96);

/// 0 and the tables of the image, or -1: `address` is no code, and the walk ends there.
int _dl_find_object(void* address, dl_find_object* result) {
    const auto* at = static_cast<const std::byte*>(address);
    if (at < __text_start || at >= __text_end) return -1;
    *result = {.dlfo_flags = 0,
               .dlfo_map_start = __image_start,
               .dlfo_map_end = __image_end,
               .dlfo_link_map = nullptr,
               .dlfo_eh_frame = __eh_frame_hdr,
               .reserved = {}};
    return 0;
}

/// Random bytes that nobody can foretell. EIO: more than 256 at once.
int getentropy(void* to, size_t bytes) {
    if (bytes > 256) {
        errno = EIO;
        return -1;
    }
    ringlet::kernel::random_fill({static_cast<std::byte*>(to), bytes});
    return 0;
}

ssize_t getrandom(void* to, size_t bytes, unsigned flags) {
    if ((flags & ~static_cast<unsigned>(GRND_NONBLOCK | GRND_RANDOM)) != 0) {
        errno = EINVAL;
        return -1;
    }
    ringlet::kernel::random_fill({static_cast<std::byte*>(to), bytes});
    return static_cast<ssize_t>(bytes);
}

}  // extern "C"
