// Named streams of bytes between an appliance and its host, for example QEMU's virtserialport. Context: thread.
//   Port p = TRY(Port::open("org.example.data"));
//   if (p.wait_open(now() + Duration::from_s(10))) n = TRY(p.read(buffer, Instant::never()));
#pragma once

#include "kernel/port.hpp"

namespace ringlet {

using kernel::Port;

}  // namespace ringlet
