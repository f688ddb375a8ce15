// The boot information of Multiboot2 (specification 2.0 §3.6): a list of tags, read defensively. Pure: host-tested in
// tests/unit/arch. Context: boot.
#pragma once

#include "boot/x86_64/loader.hpp"
#include "lib/result.hpp"

namespace ringlet::boot {

/// In eax at the entry (§3.3).
inline constexpr u32 kMultiboot2Magic = 0x36d7'6289;

/// How many bytes the information has whose first 8 are these; 0 when that is impossible.
usize multiboot2_bytes(Bytes first_bytes);

/// Memory map, command line, the newer of the RSDPs, the first module; the rest is skipped. A tag of the wrong form is
/// as good as absent. Errors: corrupt (a tag runs over the end, or there is no last one), not_found (no memory map).
Result<LoaderInfo> read_multiboot2(Bytes information);

}  // namespace ringlet::boot
