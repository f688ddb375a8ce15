# CMake toolchain file for aarch64 images: Debian's own compiler, our own flags (see cmake/ringlet.cmake).
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(RINGLET_ARCH aarch64)
set(RINGLET_TOOL_PREFIX aarch64-linux-gnu-)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_ASM_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
