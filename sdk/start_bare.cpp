// main() in an image without the C and C++ libraries: called as any function, on the boot thread. Constructors have
// nothing to do: the linker script refuses an image that has some.
#include <ringlet/application.hpp>

/// The application's main(), with or without parameters: both are called the same way.
extern "C" int ringlet_application_main(int argc, char** argv) __asm__("main");

int ringlet::start_application(int argc, char** argv, char**, usize) {
    return ringlet_application_main(argc, argv);
}
