// One run: bytes choose the driver, the transport, the ring, and then everything that the application and the device
// do. Another driver is another function here, and another line in drive.cpp. Whatever is broken afterwards is reported
// by abort(). Host only.
#pragma once

#include <span>

#include "tests/unit/virtio/bench.hpp"

namespace ringlet::fuzz {

class Script;
void run_blk(device::Way way, Script& s);
void run_net(device::Way way, Script& s);
void run_scsi(device::Way way, Script& s);
void run_balloon(device::Way way, Script& s);
void run_rng(device::Way way, Script& s);
void run_console(device::Way way, Script& s);

void run(std::span<const u8> bytes);

}  // namespace ringlet::fuzz
