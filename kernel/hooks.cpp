// The upward calls of arch/ that belong to no other file: pages for translation tables and interrupt
// controllers. (interrupt: kernel/irq; timer and interrupt_exit: kernel/sched; fault: kernel/panic.cpp.)
// Context: thread or boot.
#include "arch/hooks.hpp"

#include <cstring>

#include "kernel/mm/page_allocator.hpp"

namespace ringlet::arch::hooks {

Result<PhysAddr> allocate_table_page() {
    const PhysAddr page = TRY(kernel::allocate_pages(0));
    std::memset(reinterpret_cast<void*>(page.raw), 0, kPageSize);
    return page;
}

Result<PhysAddr> allocate_contiguous(usize bytes) {
    const usize pages = bytes / kPageSize + (bytes % kPageSize != 0);
    const PhysAddr base = TRY(kernel::allocate_page_run(pages));
    std::memset(reinterpret_cast<void*>(base.raw), 0, pages * kPageSize);
    return base;
}

void free_table_page(PhysAddr page) {
    kernel::free_pages(page, 0);
}

}  // namespace ringlet::arch::hooks
