// ASSERT: always compiled in, for our own invariants only. No byte that comes from a peer, a disk, a device,
// firmware or a command line may reach one: those get an Error, a counter, and a dropped packet or failed request.
#pragma once

namespace ringlet {

/// Ends the program with `what` (file: condition). The kernel panics; the host tests abort. Context: any.
[[noreturn, gnu::cold]] void assert_failed(const char* what);

}  // namespace ringlet

#define RINGLET_STRINGIFY_(x) #x
#define RINGLET_STRINGIFY(x) RINGLET_STRINGIFY_(x)
#define ASSERT(cond)                                                                                                   \
    ((cond) ? void() : ::ringlet::assert_failed(__FILE_NAME__ ":" RINGLET_STRINGIFY(__LINE__) ": " #cond))
