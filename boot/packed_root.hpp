// The root filesystem of an appliance that has it in its image (ROOTFS … PACKED). Used by boot_main() alone.
#pragma once

namespace ringlet::boot {

/// Adds it as the disk "rom"; what is wrong with it goes to the log. Before the others, so that it is the first to be
/// considered for "/". Once. Context: thread.
void add_packed_root();

}  // namespace ringlet::boot
