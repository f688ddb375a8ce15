// A piece of host memory as the machine's RAM, and the real kernel started on it once per test program.
#pragma once

#include <sys/mman.h>

#include <arch/host.hpp>
#include <cstdlib>
#include <span>
#include <vector>

#include "arch/platform.hpp"
#include "kernel/mm/heap.hpp"
#include "kernel/mm/page_allocator.hpp"
#include "lib/strong.hpp"

namespace ringlet::test {

/// Zeroed memory aligned to 1 GiB at most; unmapped at the end. Its address is its "physical" address.
class Ram {
public:
    explicit Ram(u64 bytes, u64 align = 4_MiB) : bytes_(bytes + align) {
        memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory_ == MAP_FAILED) std::abort();
        base = align_up<u64>(reinterpret_cast<std::uintptr_t>(memory_), align);
    }
    ~Ram() { munmap(memory_, bytes_); }
    Ram(const Ram&) = delete;

    arch::MmioRange range(u64 offset, u64 bytes) const { return {PhysAddr(base + offset), bytes}; }
    u64 base = 0;

private:
    void* memory_;
    u64 bytes_;
};

/// For tests of the heap, which keeps an empty slab of each class until memory is out: here the memory goes away.
class HeapRam : public Ram {
public:
    using Ram::Ram;
    ~HeapRam() {
        void* all = nullptr;
        for (usize bytes = 4_MiB; bytes >= kPageSize; bytes /= 2)
            while (void* p = kernel::heap_allocate(bytes)) {
                *static_cast<void**>(p) = all;
                all = p;
            }
        while (all != nullptr) {
            void* const next = *static_cast<void**>(all);
            kernel::heap_free(all);
            all = next;
        }
    }
};

inline constexpr PhysAddr kAllMapped{~u64{0}};

}  // namespace ringlet::test
