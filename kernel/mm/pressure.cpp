// The list of those who can give memory back. A source is added or taken out with interrupts off and is otherwise only
// read, so that an allocation in any context may walk it without a lock.
#include "kernel/mm/pressure.hpp"

#include <arch/cpu.hpp>

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
    usize given = 0;
    for (MemorySource* s = first_source; s != nullptr && given < pages; s = s->next)
        given += s->give(s->context, pages - given, pressure);
    return given;
}

usize reclaimable_pages() {
    usize sum = 0;
    for (MemorySource* s = first_source; s != nullptr; s = s->next)
        if (s->reclaimable != nullptr) sum += s->reclaimable(s->context);
    return sum;
}

}  // namespace ringlet::kernel
