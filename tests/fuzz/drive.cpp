// See drive.hpp.
#include "tests/fuzz/drive.hpp"

#include "tests/fuzz/hostile_device.hpp"

namespace ringlet::fuzz {

void run(std::span<const u8> bytes) {
    Script s(bytes);
    const device::Way way = device::kWays[s.below(u32(std::size(device::kWays)))];
    constexpr void (*kDrivers[])(device::Way, Script&) = {run_blk,     run_net, run_scsi,
                                                          run_balloon, run_rng, run_console};
    kDrivers[s.below(u32(std::size(kDrivers)))](way, s);
}

}  // namespace ringlet::fuzz
