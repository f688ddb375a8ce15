# Compiler flags and the few functions every directory uses.
#   ringlet_room(NAME SOURCES … COLD …)   a static library ringlet_NAME: one directory of the tree
#   ringlet_test(NAME SOURCES … ROOMS …)   a Catch2 executable on the host

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Rooms refer to each other (arch calls the kernel through its hooks): they are searched again until nothing is missing.
set(CMAKE_CXX_LINK_GROUP_USING_RESCAN "LINKER:--start-group" "LINKER:--end-group")
set(CMAKE_CXX_LINK_GROUP_USING_RESCAN_SUPPORTED TRUE)
set(RINGLET_ROOT "${CMAKE_CURRENT_LIST_DIR}/..")
cmake_path(NORMAL_PATH RINGLET_ROOT)

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

  # The C and C++ libraries (toolchain/sysroot.sh): made when the first target that needs them is built.
  set(RINGLET_SYSROOT "${CMAKE_BINARY_DIR}/sysroot")
  file(GLOB_RECURSE sysroot_inputs CONFIGURE_DEPENDS "${RINGLET_ROOT}/toolchain/*")
  add_custom_command(OUTPUT "${RINGLET_SYSROOT}.built" VERBATIM USES_TERMINAL
    COMMAND "${RINGLET_ROOT}/toolchain/sysroot.sh" --link "${RINGLET_SYSROOT}" ${RINGLET_ARCH}
    COMMAND ${CMAKE_COMMAND} -E touch "${RINGLET_SYSROOT}.built"
    DEPENDS ${sysroot_inputs})
  add_custom_target(ringlet_sysroot DEPENDS "${RINGLET_SYSROOT}.built")
  # Applications with those libraries: all of C and C++.
  add_library(ringlet_libc INTERFACE)
  target_link_libraries(ringlet_libc INTERFACE ringlet_machine)
  target_include_directories(ringlet_libc INTERFACE "${RINGLET_ROOT}/posix/include")
  target_compile_options(ringlet_libc INTERFACE "-specs=${RINGLET_SYSROOT}/ringlet.specs")
  add_dependencies(ringlet_libc ringlet_sysroot)
endif()

# SOURCES are built for speed, COLD ones for size: what runs once, seldom, or for people. What belongs where is measured:
# bench/serve.py counts the instructions of a request, NAME-size shows the bytes.
function(ringlet_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;COLD" ${ARGN})
  add_library(ringlet_${name} STATIC ${ROOM_SOURCES} ${ROOM_COLD})
  if(ROOM_COLD AND NOT RINGLET_ARCH STREQUAL host)
    set_property(SOURCE ${ROOM_COLD} APPEND PROPERTY COMPILE_OPTIONS "$<$<NOT:$<COMPILE_LANGUAGE:ASM>>:-Os>")
  endif()
  target_link_libraries(ringlet_${name} PUBLIC ringlet_flags)
  set_property(GLOBAL APPEND PROPERTY RINGLET_ROOMS ringlet_${name})
endfunction()

# A Catch2 test program; ROOMS are linked as one group, because arch and kernel call each other.
function(ringlet_test name)
  cmake_parse_arguments(TEST "" "" "SOURCES;ROOMS" ${ARGN})
  add_executable(test_${name} ${TEST_SOURCES})
  list(TRANSFORM TEST_ROOMS PREPEND ringlet_)
  list(JOIN TEST_ROOMS "," group)
  target_link_libraries(test_${name} PRIVATE ringlet_flags catch_main "$<LINK_GROUP:RESCAN,${group}>")
  add_test(NAME ${name} COMMAND test_${name})
endfunction()

# ringlet_add_appliance(NAME SOURCES main.cpp … [LIBC] [LIBRARIES target …] [CONFIG appliance.hpp] [ROOTFS folder]
#                       [DISK_SIZE 64M])
# Links an application and Ringlet into one bootable image; with LIBC the application has the C and C++ libraries, with
# exceptions, threads, files and sockets, without it the SDK's headers only. Targets and files, in the current binary
# directory:
#   NAME        the ELF image, with the symbol table for its own stack traces, not stripped (NAME.elf.stripped is)
#   NAME.bin    aarch64: the same as a Linux arm64 Image
#   NAME.disk   with ROOTFS: an ext4 disk image made from the folder
#   NAME-size   a target that prints where the bytes of the image are
# The symbol table needs two links: the first finds the function addresses, the second carries their names. The table
# is the last thing in rodata, so it moves no text.
function(ringlet_add_appliance name)
  cmake_parse_arguments(APP "LIBC" "CONFIG;ROOTFS;DISK_SIZE" "SOURCES;LIBRARIES" ${ARGN})
  if(APP_UNPARSED_ARGUMENTS OR NOT APP_SOURCES)
    message(FATAL_ERROR "ringlet_add_appliance(${name}): give SOURCES; unknown: '${APP_UNPARSED_ARGUMENTS}'")
  endif()
  if(APP_CONFIG)
    get_filename_component(config "${APP_CONFIG}" ABSOLUTE)
  else()
    set(config "${RINGLET_ROOT}/boot/default_appliance.hpp")
  endif()
  set(script "${RINGLET_ROOT}/linker/${RINGLET_ARCH}.ld")
  set(symbols "${CMAKE_CURRENT_BINARY_DIR}/${name}.symbols.S")

  # Everything of the application, once; and the composition root, compiled for its configuration.
  add_library(${name}.objects OBJECT ${APP_SOURCES})
  target_include_directories(${name}.objects PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  add_library(${name}.root OBJECT "${RINGLET_ROOT}/boot/main.cpp")
  target_link_libraries(${name}.root PRIVATE ringlet_flags)
  foreach(part IN ITEMS objects root)
    target_compile_definitions(${name}.${part} PRIVATE
      "RINGLET_APPLIANCE=\"${config}\"" "RINGLET_APPLIANCE_NAME=\"${name}\"")
  endforeach()

  get_property(rooms GLOBAL PROPERTY RINGLET_ROOMS)
  if(APP_LIBC)
    target_link_libraries(${name}.objects PUBLIC ringlet_libc ${APP_LIBRARIES})
    add_dependencies(${name}.objects ringlet_sysroot)
    list(APPEND rooms ringlet_posix ${APP_LIBRARIES} -lstdc++ -lm -lc -lgcc_eh -lgcc)
  else()
    target_link_libraries(${name}.objects PUBLIC ringlet_flags ${APP_LIBRARIES})
    list(APPEND rooms ringlet_bare ${APP_LIBRARIES})
  endif()
  list(JOIN rooms "," group)
  foreach(pass IN ITEMS ${name}.pass1 ${name})
    add_executable(${pass} $<TARGET_OBJECTS:${name}.objects> $<TARGET_OBJECTS:${name}.root>)
    target_link_libraries(${pass} PRIVATE ringlet_flags "$<LINK_GROUP:RESCAN,${group}>")
    if(APP_LIBC)
      target_link_options(${pass} PRIVATE "-L${RINGLET_SYSROOT}/lib" -Wl,--eh-frame-hdr)
    endif()
    target_link_options(${pass} PRIVATE -nostdlib -static -no-pie -Wl,--build-id=none -Wl,--gc-sections
      -Wl,-z,noexecstack -Wl,-z,max-page-size=4096 "-Wl,-T,${script}")
    set_target_properties(${pass} PROPERTIES LINK_DEPENDS "${script}")
  endforeach()
  add_custom_command(OUTPUT "${symbols}" VERBATIM
    COMMAND python3 "${RINGLET_ROOT}/tools/symbols.py" --nm ${RINGLET_TOOL_PREFIX}nm --elf $<TARGET_FILE:${name}.pass1>
            --out "${symbols}"
    DEPENDS ${name}.pass1 "${RINGLET_ROOT}/tools/symbols.py")
  target_sources(${name} PRIVATE "${symbols}")
  target_link_options(${name} PRIVATE "-Wl,-Map=${CMAKE_CURRENT_BINARY_DIR}/${name}.map")
  add_custom_command(TARGET ${name} POST_BUILD VERBATIM
    COMMAND ${RINGLET_TOOL_PREFIX}strip -o ${CMAKE_CURRENT_BINARY_DIR}/${name}.stripped $<TARGET_FILE:${name}>)
  add_custom_target(${name}-size VERBATIM DEPENDS ${name}
    COMMAND python3 "${RINGLET_ROOT}/tools/image_size.py" ${name}.map --top 25 --symbols $<TARGET_FILE:${name}>
            --nm ${RINGLET_TOOL_PREFIX}nm)
  if(RINGLET_ARCH STREQUAL aarch64)
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM
      COMMAND ${RINGLET_TOOL_PREFIX}objcopy -O binary $<TARGET_FILE:${name}> ${name}.bin)
  endif()
  if(APP_ROOTFS)
    ringlet_disk(${name} "${APP_ROOTFS}" "${APP_DISK_SIZE}")
  endif()
endfunction()

# An ext4 disk image NAME.disk from a folder, made again when a file of the folder changes.
function(ringlet_disk name folder size)
  get_filename_component(folder "${folder}" ABSOLUTE)
  if(NOT size)
    set(size 64M)
  endif()
  set(disk "${CMAKE_CURRENT_BINARY_DIR}/${name}.disk")
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${folder}/*")
  add_custom_command(OUTPUT "${disk}" VERBATIM
    COMMAND ${CMAKE_COMMAND} -E rm -f "${disk}"
    COMMAND ${CMAKE_COMMAND} -E env "PATH=/usr/sbin:/sbin:$ENV{PATH}" mke2fs -q -t ext4 -d "${folder}" "${disk}" ${size}
    DEPENDS ${files})
  add_custom_target(${name}-disk ALL DEPENDS "${disk}")
  add_dependencies(${name} ${name}-disk)
endfunction()
