// The network stack against bytes: what libFuzzer drives (fuzz_net.cpp) and, shortly, tests/unit/net/fuzz_test.cpp.
// Each run is a function of its bytes; whatever is broken afterwards is reported by abort(). Host only.
#pragma once

#include <span>

#include "lib/types.hpp"

namespace ringlet::fuzz {

/// Ethernet to socket: frames, sound in part, time, and an application, as the bytes say.
void run_stack(std::span<const u8> bytes);
/// The walk over IPv6 extension headers, on its own.
void run_extensions(std::span<const u8> bytes);
/// Reassembly, against a model that knows every byte.
void run_reassembly(std::span<const u8> bytes);

}  // namespace ringlet::fuzz
