// malloc, and what new (std::nothrow) comes down to, on the kernel's heap, in place of newlib's: one heap for
// everything, which takes pages when it needs them and gives them back, after the balloon and the block cache gave way
// (kernel/mm/pressure.hpp). Out of memory is ENOMEM. Context: thread.
#include <cstdlib>
#include <cstring>

#include <malloc.h>
#include <reent.h>
#include <sys/types.h>

#include "kernel/mm/heap.hpp"
#include "kernel/mm/heap_cache.hpp"
#include "kernel/mm/new.hpp"
#include "lib/types.hpp"
#include "posix/error.hpp"
#include "posix/memory.hpp"

namespace kernel = ringlet::kernel;
namespace posix = ringlet::posix;
using ringlet::usize;
using ringlet::kernel::heap_allocate;
using ringlet::kernel::heap_free;
using ringlet::kernel::heap_usable_size;

namespace {

thread_local constinit kernel::HeapCache cache;
/// Off until the application starts: before there are threads there are no thread_local variables.
constinit bool caching = false;

void give(void* p) {
    if (p != nullptr && !(caching && cache.free(p))) heap_free(p);
}

void* or_enomem(void* p) {
    if (p == nullptr) errno = ENOMEM;
    return p;
}

void* allocate(usize bytes, usize align = alignof(std::max_align_t)) {
    return or_enomem(posix::take_memory(bytes, align));
}

void* allocate_zeroed(usize count, usize each) {
    usize bytes;
    if (__builtin_mul_overflow(count, each, &bytes)) return or_enomem(nullptr);
    void* p = allocate(bytes);
    if (p != nullptr) std::memset(p, 0, bytes);
    return p;
}

/// Stays where it is when the new size wastes less than half of the block.
void* reallocate(void* old, usize bytes) {
    if (old == nullptr) return allocate(bytes);
    if (bytes == 0) {
        give(old);
        return nullptr;
    }
    const usize room = heap_usable_size(old);
    if (bytes <= room && (bytes > room / 2 || room <= 64)) return old;
    void* fresh = allocate(bytes);
    if (fresh == nullptr) return bytes <= room ? old : nullptr;
    std::memcpy(fresh, old, bytes < room ? bytes : room);
    give(old);
    return fresh;
}

constexpr bool is_alignment(usize align) {
    return align != 0 && (align & (align - 1)) == 0;
}

}  // namespace

namespace ringlet::kernel {

/// In operator_new.cpp, which is in an image only when something needs exceptions or new-handlers.
[[gnu::weak]] void* allocate_with_handler(std::size_t bytes, std::size_t align) noexcept;

void* may_allocate(usize bytes, usize align) noexcept {
    void* p = posix::take_memory(bytes, align);
    return p != nullptr || allocate_with_handler == nullptr ? p : allocate_with_handler(bytes, align);
}

void give_back(void* p) noexcept {
    give(p);
}

}  // namespace ringlet::kernel

namespace ringlet::posix {

void* take_memory(usize bytes, usize align) noexcept {
    if (caching && align <= alignof(std::max_align_t)) {
        if (void* p = cache.allocate(bytes)) return p;
    }
    if (void* p = heap_allocate(bytes, align)) return p;
    if (!caching) return nullptr;
    cache.drain();
    return heap_allocate(bytes, align);
}

void start_memory_caches() {
    caching = true;
}

void close_memory_cache() {
    cache.close();
}

}  // namespace ringlet::posix

extern "C" {

void* malloc(size_t bytes) {
    return allocate(bytes);
}
void free(void* p) {
    give(p);
}
void* calloc(size_t count, size_t each) {
    return allocate_zeroed(count, each);
}
void* realloc(void* old, size_t bytes) {
    return reallocate(old, bytes);
}
void* reallocarray(void* old, size_t count, size_t each) {
    usize bytes;
    return __builtin_mul_overflow(count, each, &bytes) ? or_enomem(nullptr) : reallocate(old, bytes);
}
void* memalign(size_t align, size_t bytes) {
    if (is_alignment(align)) return allocate(bytes, align);
    errno = EINVAL;
    return nullptr;
}
void* aligned_alloc(size_t align, size_t bytes) {
    return memalign(align, bytes);
}
int posix_memalign(void** out, size_t align, size_t bytes) {
    if (!is_alignment(align) || align % sizeof(void*) != 0) return EINVAL;
    void* p = posix::take_memory(bytes, align);
    if (p == nullptr) return ENOMEM;
    *out = p;
    return 0;
}
void* valloc(size_t bytes) {
    return allocate(bytes, ringlet::kPageSize);
}
void* pvalloc(size_t bytes) {
    return valloc(ringlet::align_up(bytes, ringlet::kPageSize));
}
size_t malloc_usable_size(void* p) {
    return heap_usable_size(p);
}

// newlib's own calls.
void* _malloc_r(_reent*, size_t bytes) {
    return malloc(bytes);
}
void _free_r(_reent*, void* p) {
    free(p);
}
void* _calloc_r(_reent*, size_t count, size_t each) {
    return calloc(count, each);
}
void* _realloc_r(_reent*, void* old, size_t bytes) {
    return realloc(old, bytes);
}
void* _reallocf_r(_reent*, void* old, size_t bytes) {
    void* p = realloc(old, bytes);
    if (p == nullptr) free(old);
    return p;
}
void* _memalign_r(_reent*, size_t align, size_t bytes) {
    return memalign(align, bytes);
}
size_t _malloc_usable_size_r(_reent*, void* p) {
    return malloc_usable_size(p);
}

/// There is no break to move: the heap takes pages wherever they are.
void* _sbrk(ptrdiff_t) {
    errno = ENOMEM;
    return reinterpret_cast<void*>(-1);
}

}  // extern "C"
