// The list of those who can give memory back. It is changed and walked with interrupts off, so that an allocation in
// any context may walk it without a lock, and a source that was taken out is not being asked.
#include "kernel/mm/pressure.hpp"

#include <arch/cpu.hpp>

#include "kernel/mm/page_allocator.hpp"

namespace ringlet::kernel {

namespace {
constinit MemorySource* first_source = nullptr;
}

void pressure_register(MemorySource& source) {
    const arch::IrqGuard off;
    source.next = first_source;
    first_source = &source;
}

void pressure_unregister(MemorySource& source) {
    const arch::IrqGuard off;
    for (MemorySource** at = &first_source; *at != nullptr; at = &(*at)->next) {
        if (*at != &source) continue;
        *at = source.next;
        return;
    }
}

usize relieve_pressure(usize pages, Pressure pressure) {
    const arch::IrqGuard off;
    usize given = 0;
    for (MemorySource* s = first_source; s != nullptr && given < pages; s = s->next)
        given += s->give(s->context, pages - given, pressure);
    return given;
}

usize reclaimable_pages() {
    const arch::IrqGuard off;
    usize sum = 0;
    for (MemorySource* s = first_source; s != nullptr; s = s->next)
        if (s->reclaimable != nullptr) sum += s->reclaimable(s->context);
    return sum;
}

bool has_spare_pages(usize pages) {
    const PageStats now = page_stats();
    return now.free_pages >= now.total_pages / 16 + pages || now.total_pages == 0;
}

}  // namespace ringlet::kernel
