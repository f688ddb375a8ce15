// A filesystem in memory: "/" when there is no disk, and "/tmp". Bounded; nothing survives a reboot. Context:
// thread.
#pragma once

#include <memory>

#include "fs/inode.hpp"

namespace ringlet::fs {

/// An empty filesystem whose files, names and bookkeeping together use at most `max_bytes` of heap.
/// no_memory.
Result<std::unique_ptr<FileSystem>> make_memfs(u64 max_bytes);

}  // namespace ringlet::fs
