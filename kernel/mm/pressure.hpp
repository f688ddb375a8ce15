// Memory pressure: who holds memory that could serve others (the balloon, a block cache) registers, and is asked before
// an allocation is refused or the host is. Context: see each function.
#pragma once

#include <atomic>

#include "lib/types.hpp"

namespace ringlet::kernel {

enum class Pressure : u8 {
    wanted,     ///< the host wants memory. Called by a thread that holds no lock
    exhausted,  ///< an allocation is about to fail. Any context, any lock of a higher rank than Rank::balloon may be
                ///< held
};

/// Somebody who can give memory back. Registered objects live for ever, or until unregistered.
struct MemorySource {
    /// Gives about `pages` pages back to the page allocator, and says how many it really gave. Interrupts are off: it
    /// must not sleep and not allocate, and must be quick. Its locks are of Rank::balloon or lower.
    using Give = usize (*)(void* context, usize pages, Pressure pressure);
    /// How many pages it could give: memory that is used, but only for want of something better. nullptr: none.
    using Reclaimable = usize (*)(void* context);
    Give give = nullptr;
    Reclaimable reclaimable = nullptr;
    void* context = nullptr;
    MemorySource* next = nullptr;
};

/// Context: thread. The last registered is asked first.
void pressure_register(MemorySource& source);
void pressure_unregister(MemorySource& source);
/// Asks until `pages` pages came back or nobody has more; says how many came.
usize relieve_pressure(usize pages, Pressure pressure);
/// Pages that relieve_pressure() could bring at best. Context: any.
usize reclaimable_pages();
/// Whether somebody who could do without may take `pages` more: a sixteenth of memory stays free. Context: any.
bool has_spare_pages(usize pages);

}  // namespace ringlet::kernel
