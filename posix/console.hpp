// The serial console as a terminal: descriptors 0, 1 and 2, and /dev/console.
#pragma once

#include "posix/description.hpp"

namespace ringlet::posix {

/// The one console of the machine.
Ref console_description();

}  // namespace ringlet::posix
