// Memory that a device may still access because it never confirmed its reset: kept for ever, on purpose.
#pragma once

namespace ringlet::virtio {

/// `memory`: what the device was given, or the object that owns it. Nothing is freed and no destructor runs. Context:
/// thread.
void keep_for_ever(void* memory);

}  // namespace ringlet::virtio
