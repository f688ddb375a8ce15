# Compiler flags: ringlet_machine, ringlet_flags, and the way a group of libraries is searched. RINGLET_ROOT and
# RINGLET_ARCH are set. Part of the installed package.

# Rooms refer to each other (arch calls the kernel through its hooks): they are searched again until nothing is missing.
set(CMAKE_CXX_LINK_GROUP_USING_RESCAN "LINKER:--start-group" "LINKER:--end-group")
set(CMAKE_CXX_LINK_GROUP_USING_RESCAN_SUPPORTED TRUE)
set(CMAKE_C_LINK_GROUP_USING_RESCAN "LINKER:--start-group" "LINKER:--end-group")
set(CMAKE_C_LINK_GROUP_USING_RESCAN_SUPPORTED TRUE)

# What all code of an image agrees on: where headers are, and what the machine demands.
add_library(ringlet_machine INTERFACE)
target_include_directories(ringlet_machine INTERFACE
  "${RINGLET_ROOT}" "${RINGLET_ROOT}/arch/include" "${RINGLET_ROOT}/arch/${RINGLET_ARCH}/include"
  "${RINGLET_ROOT}/sdk/include")
target_compile_options(ringlet_machine INTERFACE
  "-ffile-prefix-map=${RINGLET_ROOT}/=" -fno-common -fno-omit-frame-pointer -fno-optimize-sibling-calls)

# Ringlet's own code, and applications without the C library.
add_library(ringlet_flags INTERFACE)
target_link_libraries(ringlet_flags INTERFACE ringlet_machine)
target_compile_options(ringlet_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wimplicit-fallthrough -Werror=return-type
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual -Wnon-virtual-dtor>)

# What is built for speed has no frames on x86_64, where one costs three instructions a call. It leaves rbp alone, so that
# the frames of all other code still make one chain (arch/callers.hpp). On aarch64 a frame is how a return address is saved.
# Two stores of registers made into one of a vector are more instructions, not fewer.
set(RINGLET_HOT_OPTIONS "")
if(RINGLET_ARCH STREQUAL x86_64)
  set(RINGLET_HOT_OPTIONS "$<$<NOT:$<COMPILE_LANGUAGE:ASM>>:-fomit-frame-pointer;-ffixed-rbp;-fno-tree-slp-vectorize>")
endif()

if(RINGLET_ARCH STREQUAL host)
  set(RINGLET_SANITIZE "" CACHE STRING "Sanitizers of the host build, e.g. address,undefined or thread")
  target_compile_definitions(ringlet_flags INTERFACE RINGLET_SHARED_HOOK_ENABLED)
  target_compile_options(ringlet_flags INTERFACE -g)
  if(RINGLET_FUZZER)  # see tests/fuzz
    target_compile_options(ringlet_flags INTERFACE -O1 -fsanitize-coverage=trace-pc,trace-cmp)
  endif()
  if(RINGLET_SANITIZE)
    target_compile_options(ringlet_flags INTERFACE -fsanitize=${RINGLET_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(ringlet_flags INTERFACE -fsanitize=${RINGLET_SANITIZE})
  endif()
else()
  target_compile_options(ringlet_machine INTERFACE -fno-pie -ffunction-sections -fdata-sections -g1)
  target_compile_options(ringlet_flags INTERFACE
    -O2 -fno-align-jumps -fno-align-loops -fno-unwind-tables -fno-asynchronous-unwind-tables -fstack-protector-strong
    -fno-strict-aliasing
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-use-cxa-atexit>)
  if(RINGLET_ARCH STREQUAL x86_64)
    target_compile_options(ringlet_machine INTERFACE -mno-red-zone -mcmodel=small -fcf-protection=none
                           -mstack-protector-guard=global)
  else()
    target_compile_options(ringlet_machine INTERFACE -mno-outline-atomics -mbranch-protection=none)
  endif()
endif()
