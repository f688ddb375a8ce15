// Where the composition root and the application meet: how main() begins and how the run ends.
#pragma once

#include "lib/types.hpp"

namespace ringlet {

/// Calls main() and returns its status, or never when the application ends by itself. argv[argc] is nullptr, and so is
/// what ends `environment`, whose strings are NAME=value; all of it lives for ever. Two of them: sdk/start_bare.cpp for images without the C library, where main() runs on the boot
/// thread; posix/start.cpp runs constructors and main() on a thread with a stack of `stack_bytes`, and then exit().
int start_application(int argc, char** argv, char** environment, usize stack_bytes);

/// The run ends as when main() returned `status`: with the shell in the image it stays, else the machine goes off. Not
/// called by main()'s own thread when start_application() can still return. Context: thread. boot/main.cpp.
[[noreturn]] void end_application(int status);

}  // namespace ringlet
