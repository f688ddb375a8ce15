// Each thread's share of free memory: malloc() and new come from it without a lock. Context: thread.
#pragma once

#include "lib/types.hpp"

namespace ringlet::posix {

/// What malloc() and new take: nullptr when memory is out, also after what could be given up was.
void* take_memory(usize bytes, usize align) noexcept;

/// From now on every thread keeps one. Once, before the application runs.
void start_memory_caches();
/// The thread ends: what it kept is everybody's, and it keeps nothing any more.
void close_memory_cache();

}  // namespace ringlet::posix
