# CMake toolchain file for x86_64 images: Debian's own compiler, our own flags (see cmake/ringlet.cmake).
set(CMAKE_SYSTEM_NAME Generic)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(RINGLET_ARCH x86_64)
set(RINGLET_TOOL_PREFIX x86_64-linux-gnu-)
set(CMAKE_C_COMPILER x86_64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER x86_64-linux-gnu-g++)
set(CMAKE_ASM_COMPILER x86_64-linux-gnu-gcc)
set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
