# Compiler flags and the few functions every directory uses.
#   ringlet_room(NAME SOURCES …)   a static library ringlet_NAME: one directory of the tree
#   ringlet_test(NAME SOURCES … ROOMS …)   a Catch2 executable on the host

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(RINGLET_ROOT "${CMAKE_CURRENT_LIST_DIR}/..")
cmake_path(NORMAL_PATH RINGLET_ROOT)

add_library(ringlet_flags INTERFACE)
target_include_directories(ringlet_flags INTERFACE
  "${RINGLET_ROOT}" "${RINGLET_ROOT}/arch/include" "${RINGLET_ROOT}/arch/${RINGLET_ARCH}/include"
  "${RINGLET_ROOT}/sdk/include")
target_compile_options(ringlet_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wimplicit-fallthrough -Werror=return-type
  $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual -Wnon-virtual-dtor>
  "-ffile-prefix-map=${RINGLET_ROOT}/=" -fno-common -fno-omit-frame-pointer -fno-optimize-sibling-calls)

if(RINGLET_ARCH STREQUAL host)
  set(RINGLET_SANITIZE "" CACHE STRING "Sanitizers of the host build, e.g. address,undefined or thread")
  target_compile_definitions(ringlet_flags INTERFACE RINGLET_SHARED_HOOK_ENABLED)
  target_compile_options(ringlet_flags INTERFACE -g)
  if(RINGLET_SANITIZE)
    target_compile_options(ringlet_flags INTERFACE -fsanitize=${RINGLET_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(ringlet_flags INTERFACE -fsanitize=${RINGLET_SANITIZE})
  endif()
else()
  target_compile_options(ringlet_flags INTERFACE
    -O2 -g1 -fno-pie -ffunction-sections -fdata-sections -fno-unwind-tables -fno-asynchronous-unwind-tables
    -fstack-protector-strong -fno-strict-aliasing
    $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-use-cxa-atexit>)
  if(RINGLET_ARCH STREQUAL x86_64)
    target_compile_options(ringlet_flags INTERFACE -mno-red-zone -mcmodel=small -fcf-protection=none
                           -mstack-protector-guard=global)
  else()
    target_compile_options(ringlet_flags INTERFACE -mno-outline-atomics -mbranch-protection=none)
  endif()
endif()

function(ringlet_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES" ${ARGN})
  add_library(ringlet_${name} STATIC ${ROOM_SOURCES})
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
