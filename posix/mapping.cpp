// mmap(): memory of whole pages, zeroed or with a file's bytes. There is one address space without a pager: what is
// mapped is there at once, always readable and writable, and a file's mapping is a copy, which is what MAP_PRIVATE
// promises; what it does not promise is refused. Context: thread.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernel/sched/mutex.hpp"
#include "kernel/sync/lock.hpp"
#include "posix/descriptor_table.hpp"
#include "posix/file.hpp"

using namespace ringlet;
using namespace ringlet::posix;

namespace {

/// What is mapped, so that munmap() can be checked. Pages in the middle of a mapping cannot be given back.
struct Mapping : ListNode<> {
    std::byte* base = nullptr;
    usize bytes = 0;  ///< whole pages
};
struct Mappings {
    List<Mapping> all;
};
constinit kernel::Guarded<Mappings, kernel::Rank::service, kernel::Mutex> mappings;

Outcome<void*> add(usize bytes) {
    auto* mapping = new (std::nothrow) Mapping;
    auto* base = static_cast<std::byte*>(std::aligned_alloc(kPageSize, bytes));
    if (mapping == nullptr || base == nullptr) {
        delete mapping;
        std::free(base);
        return refuse(ENOMEM);
    }
    std::memset(base, 0, bytes);
    mapping->base = base;
    mapping->bytes = bytes;
    mappings.lock()->all.push_back(*mapping);
    return base;
}

Outcome<> drop(void* at, usize bytes) {
    if (reinterpret_cast<std::uintptr_t>(at) % kPageSize != 0 || bytes == 0) return refuse(EINVAL);
    Mapping* found = nullptr;
    {
        auto held = mappings.lock();
        for (Mapping& m : held->all)
            if (m.base == at && m.bytes == align_up(bytes, kPageSize)) found = &m;
        if (found == nullptr) return refuse(ENOTSUP);
        held->all.remove(*found);
    }
    std::free(found->base);
    delete found;
    return {};
}

Outcome<> fill(std::span<std::byte> to, Description& file, u64 offset) {
    while (!to.empty()) {
        const usize n = TRY_POSIX(file.read_at(offset, to));
        if (n == 0) return {};  // behind the end there are zeros
        to = to.subspan(n);
        offset += n;
    }
    return {};
}

Outcome<void*> map(usize bytes, int protection, int flags, int fd, off_t offset) {
    const int sharing = flags & (MAP_SHARED | MAP_PRIVATE);
    if (bytes == 0 || (sharing != MAP_SHARED && sharing != MAP_PRIVATE)) return refuse(EINVAL);
    if (offset < 0 || offset % static_cast<off_t>(kPageSize) != 0) return refuse(EINVAL);
    if (bytes > SIZE_MAX - kPageSize) return refuse(ENOMEM);
    if ((flags & MAP_FIXED) != 0 || (protection & PROT_EXEC) != 0) return refuse(ENOTSUP);
    const usize whole = align_up(bytes, kPageSize);
    if ((flags & MAP_ANONYMOUS) != 0) return add(whole);
    const Ref file = TRY_POSIX(description(fd));
    if (file->as_file() == nullptr) return refuse(ENODEV);
    if (!file->readable()) return refuse(EACCES);
    // A copy does not follow the file, nor the file it.
    if (sharing == MAP_SHARED) return refuse(!file->writable() && (protection & PROT_WRITE) != 0 ? EACCES : ENOTSUP);
    void* const base = TRY_POSIX(add(whole));
    const auto filled = fill({static_cast<std::byte*>(base), bytes}, *file, static_cast<u64>(offset));
    if (!filled) {
        (void)drop(base, whole);
        return refuse(filled.error());
    }
    return base;
}

bool is_mapped(const void* at, usize bytes) {
    const auto* first = static_cast<const std::byte*>(at);
    auto held = mappings.lock();
    for (const Mapping& m : held->all)
        if (first >= m.base && first + bytes <= m.base + m.bytes) return true;
    return false;
}

}  // namespace

extern "C" {

void* mmap(void*, size_t bytes, int protection, int flags, int fd, off_t offset) {
    const auto mapped = map(bytes, protection, flags, fd, offset);
    if (mapped) return *mapped;
    errno = mapped.error().code;
    return MAP_FAILED;
}
int munmap(void* at, size_t bytes) {
    return answer(drop(at, bytes));
}
/// All memory can be read and written, and that cannot be changed for a part.
int mprotect(void*, size_t, int protection) {
    if (protection == (PROT_READ | PROT_WRITE)) return 0;
    errno = ENOSYS;
    return -1;
}
int msync(void* at, size_t bytes, int) {
    if (reinterpret_cast<std::uintptr_t>(at) % kPageSize != 0) return answer(Outcome<>(refuse(EINVAL)));
    return answer(is_mapped(at, bytes) ? Outcome<>() : refuse(ENOMEM));
}
int madvise(void*, size_t, int advice) {
    if (advice != MADV_DONTNEED) return 0;
    errno = ENOSYS;  // to many it means: give me zeros
    return -1;
}
int posix_madvise(void*, size_t, int) {
    return 0;
}
/// Nothing is ever swapped out.
int mlock(const void*, size_t) {
    return 0;
}
int munlock(const void*, size_t) {
    return 0;
}

}  // extern "C"
