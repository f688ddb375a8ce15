// The table of function names that tools/symbols.py puts into an image. All numbers little-endian:
//   u32 magic "RSYM", u32 functions, u32 text_bytes, u32 stream_bytes
//   u16 token_at[257]                      where each token's text begins in `tokens`
//   u16 zero
//   { u32 text_offset, u32 stream_offset } one for each 32 functions
//   stream: per function: LEB128 distance from the one before (0 for the first of a group), u8 length, name
//   as tokens tokens: their text
// Text offsets count from __text_start. A damaged table gives no name, never a fault. Context: any.
#pragma once

#include <span>

#include "kernel/panic.hpp"
#include "lib/bytes.hpp"

namespace ringlet::kernel {

/// Looks up `text_offset` in `table`; the name is decoded into `buffer`, cut at its end.
Symbol symbol_lookup(Bytes table, u64 text_offset, std::span<char> buffer);

}  // namespace ringlet::kernel
