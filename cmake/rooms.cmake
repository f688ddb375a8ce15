# What the directories of this tree are built with. Not part of the installed package.
#   ringlet_room(NAME SOURCES … COLD …)   a static library ringlet_NAME: one directory of the tree
#   ringlet_test(NAME SOURCES … ROOMS …)   a Catch2 executable on the host

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(RINGLET_ROOT "${CMAKE_CURRENT_LIST_DIR}/..")
cmake_path(NORMAL_PATH RINGLET_ROOT)
include("${CMAKE_CURRENT_LIST_DIR}/flags.cmake")

if(NOT RINGLET_ARCH STREQUAL host)
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

# SOURCES are built for speed (and on x86_64 without frame pointers), COLD ones for size: what runs once, seldom, or
# for people. What belongs where is measured: bench/serve.py counts the instructions of a request, NAME-report shows the
# bytes.
function(ringlet_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;COLD" ${ARGN})
  add_library(ringlet_${name} STATIC ${ROOM_SOURCES} ${ROOM_COLD})
  if(ROOM_SOURCES)
    set_property(SOURCE ${ROOM_SOURCES} APPEND PROPERTY COMPILE_OPTIONS "${RINGLET_HOT_OPTIONS}")
  endif()
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
