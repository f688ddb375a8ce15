# Appliances: an application and Ringlet in one bootable image. Part of the installed package.
include("${CMAKE_CURRENT_LIST_DIR}/media.cmake")

# ringlet_add_appliance(NAME SOURCES main.cpp … [options])
#   SOURCES file …      the application
#   LIBRARIES target …  other CMake libraries that it uses
#   CONFIG file         its constexpr configuration (<ringlet/config.hpp> explains every option); else the default
#   BARE                without the C and C++ libraries: the SDK's headers only, no exceptions, no RTTI; smallest
#   ROOTFS folder       made into the ext4 disk NAME.disk, the first one, mounted at /
#   ROOTFS_SIZE size    of that disk (64M)
#   PACKED              ROOTFS goes into the image instead, compressed and read-only: the disk "rom"
#   DISK name:size …    further disks NAME-name.disk, ext4, empty, made once and kept
#   MEMORY size         what NAME-run gives the guest (64M)
#   ARGS word …         the kernel command line of NAME-run, NAME-iso and NAME-libvirt; the application's behind --
#   RUN option …        further options of NAME-run for qemu-run.sh, e.g. --port 1883:1883
#   ARCH arch …         the architectures it is for: on another one it is left out, with a message
#   LIMIT size          the build fails when the stripped image is larger, e.g. 400K
#   SMALL               all of it, static data too, lies within a megabyte: aarch64 needs no stubs for far addresses
# Targets and files, in the current binary directory:
#   NAME          the ELF image, with the symbol table for its own stack traces, not stripped (NAME.stripped is)
#   NAME.bin      aarch64: the same as a Linux arm64 Image
#   NAME-disk     its disks, raw and, beside them, qcow2
#   NAME-iso      NAME.iso, which boots as a CD and as a disk; ROOTFS is a partition of it
#   NAME-libvirt  NAME.xml, a libvirt domain
#   NAME-run      boots it on this terminal; NAME-debug the same, waiting for gdb
#   NAME-report   where its bytes are, what is in it, drivers with their features, and what memory it takes
# The symbol table needs two links: the first finds the function addresses, the second carries their names. The table
# is in rodata, behind the text, so it moves no function; nor do the frame tables, which the second link leaves out when
# the first has found no unwinder.
function(ringlet_add_appliance name)
  cmake_parse_arguments(APP "BARE;PACKED;SMALL" "CONFIG;ROOTFS;ROOTFS_SIZE;MEMORY;LIMIT" "SOURCES;LIBRARIES;DISK;ARCH;ARGS;RUN" ${ARGN})
  if(APP_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ringlet_add_appliance(${name}): unknown: ${APP_UNPARSED_ARGUMENTS}")
  elseif(NOT APP_SOURCES)
    message(FATAL_ERROR "ringlet_add_appliance(${name}): give it SOURCES")
  elseif(APP_ARCH AND NOT RINGLET_ARCH IN_LIST APP_ARCH)
    message(STATUS "Appliance ${name} is for ${APP_ARCH}, not for ${RINGLET_ARCH}: left out")
    return()
  endif()
  if(APP_PACKED AND (APP_ROOTFS_SIZE OR NOT APP_ROOTFS))
    message(FATAL_ERROR "ringlet_add_appliance(${name}): PACKED puts ROOTFS into the image: give it ROOTFS, and no ROOTFS_SIZE")
  endif()
  ringlet_check_size(${name} MEMORY "${APP_MEMORY}")
  ringlet_check_size(${name} LIMIT "${APP_LIMIT}")
  ringlet_check_size(${name} ROOTFS_SIZE "${APP_ROOTFS_SIZE}")
  ringlet_command_line(${name} "${APP_ARGS}" command_line)
  if(NOT APP_MEMORY)
    set(APP_MEMORY 64M)
  endif()
  if(NOT APP_CONFIG)
    set(APP_CONFIG "${RINGLET_ROOT}/boot/default_appliance.hpp")
  endif()
  get_filename_component(config "${APP_CONFIG}" ABSOLUTE)
  if(NOT EXISTS "${config}")
    message(FATAL_ERROR "ringlet_add_appliance(${name}): CONFIG ${APP_CONFIG}: there is no such file")
  endif()

  # Everything of the application, once; and the composition root, compiled for its configuration.
  add_library(${name}.objects OBJECT ${APP_SOURCES})
  target_include_directories(${name}.objects PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}")
  add_library(${name}.root OBJECT "${RINGLET_ROOT}/boot/main.cpp")
  target_link_libraries(${name}.root PRIVATE ringlet_flags)
  set_property(SOURCE "${RINGLET_ROOT}/boot/main.cpp" PROPERTY COMPILE_OPTIONS "${RINGLET_HOT_OPTIONS}")
  set_target_properties(${name}.root PROPERTIES CXX_STANDARD 23 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS ON)
  if(NOT CMAKE_CXX_STANDARD)  # what <ringlet/...> needs; who needs another one says so
    set_target_properties(${name}.objects PROPERTIES CXX_STANDARD 23)
  endif()
  foreach(part IN ITEMS objects root)
    target_compile_definitions(${name}.${part} PRIVATE
      "RINGLET_APPLIANCE=\"${config}\"" "RINGLET_APPLIANCE_NAME=\"${name}\"")
  endforeach()
  if(APP_BARE)
    target_link_libraries(${name}.objects PRIVATE ringlet_flags ${APP_LIBRARIES})
    set(runtime ringlet_bare)
  else()
    target_link_libraries(${name}.objects PRIVATE ringlet_libc ${APP_LIBRARIES})
    set(runtime ringlet_posix -lstdc++ -lm -lc -lgcc_eh -lgcc)
    if(TARGET ringlet_sysroot)
      add_dependencies(${name}.objects ringlet_sysroot)
    endif()
  endif()
  if(APP_PACKED)
    ringlet_pack(${name} "${APP_ROOTFS}")
    list(PREPEND runtime ringlet_packed -linflate)
    set(APP_ROOTFS)
  endif()
  ringlet_link(${name} "${runtime}" "${APP_LIBRARIES}" "${APP_BARE}" "${APP_SMALL}")

  ringlet_limit(${name} "${APP_LIMIT}")
  ringlet_report(${name} "${APP_MEMORY}" "${APP_LIMIT}")
  ringlet_disks(${name} "${APP_ROOTFS}" "${APP_ROOTFS_SIZE}" "${APP_DISK}")
  ringlet_run_targets(${name} "${APP_MEMORY}" "${APP_RUN}" "${command_line}")
  ringlet_iso(${name} "${APP_ROOTFS}" "${APP_ARGS}")
  ringlet_libvirt(${name} "${APP_MEMORY}" "${command_line}")
endfunction()

# A size as people write it, or nothing.
function(ringlet_check_size name option value)
  if(value AND NOT value MATCHES "^[1-9][0-9]*[KMG]?$")
    message(FATAL_ERROR "ringlet_add_appliance(${name}): ${option} ${value}: not a size; e.g. 64M")
  endif()
endfunction()

# The files of a folder, for dependencies.
function(ringlet_files name folder variable)
  if(NOT IS_DIRECTORY "${folder}")
    message(FATAL_ERROR "ringlet_add_appliance(${name}): ROOTFS ${folder}: there is no such folder")
  endif()
  file(GLOB_RECURSE files CONFIGURE_DEPENDS "${folder}/*")
  set(${variable} "${files}" PARENT_SCOPE)
endfunction()

# A folder as read-only data of the image, packed again when one of its files changes.
function(ringlet_pack name rootfs)
  get_filename_component(folder "${rootfs}" ABSOLUTE)
  ringlet_files(${name} "${folder}" files)
  set(packed "${CMAKE_CURRENT_BINARY_DIR}/${name}.rootfs")
  add_custom_command(OUTPUT "${packed}" VERBATIM
    COMMAND python3 "${RINGLET_ROOT}/tools/pack_rootfs.py" "${folder}" "${packed}"
    DEPENDS ${files} "${RINGLET_ROOT}/tools/pack_rootfs.py")
  set(source "${packed}.S")
  file(CONFIGURE OUTPUT "${source}" @ONLY CONTENT [[
        .section .rodata.rootfs, "a"
        .balign 8
        .global ringlet_rootfs, ringlet_rootfs_end
ringlet_rootfs:
        .incbin "@packed@"
ringlet_rootfs_end:
        .section .note.GNU-stack, ""
]])
  set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${packed}")
  target_sources(${name}.root PRIVATE "${source}")
  target_compile_definitions(${name}.root PRIVATE RINGLET_PACKED_ROOT=true)
  if(TARGET ringlet_sysroot)
    add_dependencies(${name}.root ringlet_sysroot)
  endif()
endfunction()

# Both links, and what is made from the image.
function(ringlet_link name runtime libraries bare small)
  set(script "${RINGLET_ROOT}/linker/${RINGLET_ARCH}.ld")
  set(no_frames "${RINGLET_ROOT}/linker/no_frames.ld")
  set(symbols "${CMAKE_CURRENT_BINARY_DIR}/${name}.symbols.S")
  set(options "${CMAKE_CURRENT_BINARY_DIR}/${name}.options")
  get_property(group GLOBAL PROPERTY RINGLET_ROOMS)
  list(APPEND group ${libraries} ${runtime})
  list(JOIN group "," group)
  foreach(pass IN ITEMS ${name}.pass1 ${name})
    add_executable(${pass} $<TARGET_OBJECTS:${name}.objects> $<TARGET_OBJECTS:${name}.root>)
    target_link_libraries(${pass} PRIVATE ringlet_flags "$<LINK_GROUP:RESCAN,${group}>")
    if(pass STREQUAL name)
      target_link_options(${pass} PRIVATE "@${options}")
    endif()
    # -n: loaders read the file, none maps it, so that its parts need not begin at pages there.
    target_link_options(${pass} PRIVATE -nostdlib -static -no-pie -Wl,-n -Wl,--build-id=none -Wl,--gc-sections
      -Wl,-z,noexecstack "-Wl,-T,${script}" "-L${RINGLET_SYSROOT}/lib")
    if(NOT bare)
      target_link_options(${pass} PRIVATE -Wl,--eh-frame-hdr)
    endif()
    # Wherever an ADRP lies so that Cortex-A53's erratum 843419 would matter, the linker adds a page with a stub, unless it
    # may write ADR instead. That reaches a megabyte; the link fails when it does not.
    if(small AND RINGLET_ARCH STREQUAL aarch64)
      target_link_options(${pass} PRIVATE -Wl,--fix-cortex-a53-843419=adr)
    endif()
    set_target_properties(${pass} PROPERTIES LINK_DEPENDS "${script}" LINKER_LANGUAGE CXX)
  endforeach()
  add_custom_command(OUTPUT "${symbols}" BYPRODUCTS "${options}" VERBATIM
    COMMAND python3 "${RINGLET_ROOT}/tools/symbols.py" --nm ${RINGLET_TOOL_PREFIX}nm --elf $<TARGET_FILE:${name}.pass1>
            --out "${symbols}" --options "${options}" --no-frames "${no_frames}"
    DEPENDS ${name}.pass1 "${no_frames}" "${RINGLET_ROOT}/tools/symbols.py")
  target_sources(${name} PRIVATE "${symbols}")
  target_link_options(${name} PRIVATE "-Wl,-Map=${CMAKE_CURRENT_BINARY_DIR}/${name}.map")
  add_custom_command(TARGET ${name} POST_BUILD VERBATIM
    COMMAND ${RINGLET_TOOL_PREFIX}strip -o "${CMAKE_CURRENT_BINARY_DIR}/${name}.stripped" $<TARGET_FILE:${name}>)
  if(RINGLET_ARCH STREQUAL aarch64)
    add_custom_command(TARGET ${name} POST_BUILD VERBATIM
      COMMAND ${RINGLET_TOOL_PREFIX}objcopy -O binary $<TARGET_FILE:${name}> "${CMAKE_CURRENT_BINARY_DIR}/${name}.bin")
  endif()
endfunction()

# "64K" as a number; nothing is 0.
function(ringlet_bytes size variable)
  string(REPLACE "K" " * 1024" bytes "${size}")
  string(REPLACE "M" " * 1024 * 1024" bytes "${bytes}")
  string(REPLACE "G" " * 1024 * 1024 * 1024" bytes "${bytes}")
  if(bytes STREQUAL "")
    set(bytes 0)
  endif()
  math(EXPR bytes "${bytes}")
  set(${variable} ${bytes} PARENT_SCOPE)
endfunction()

# What the configuration says is compiled into an object of its own, when somebody asks.
function(ringlet_report name memory limit)
  ringlet_bytes("${memory}" memory_bytes)
  ringlet_bytes("${limit}" limit_bytes)
  add_library(${name}.description OBJECT EXCLUDE_FROM_ALL "${RINGLET_ROOT}/boot/description.cpp")
  target_link_libraries(${name}.description PRIVATE ringlet_flags)
  set_target_properties(${name}.description PROPERTIES CXX_STANDARD 23 CXX_STANDARD_REQUIRED ON CXX_EXTENSIONS ON
    INTERPROCEDURAL_OPTIMIZATION OFF)
  target_compile_definitions(${name}.description PRIVATE "RINGLET_DESCRIBED_RAM=${memory_bytes}"
    "$<TARGET_PROPERTY:${name}.root,COMPILE_DEFINITIONS>")
  add_custom_target(${name}-report VERBATIM DEPENDS ${name} ${name}.description
    COMMAND python3 "${RINGLET_ROOT}/tools/image_size.py" "${CMAKE_CURRENT_BINARY_DIR}/${name}.map" --top 25
            --symbols $<TARGET_FILE:${name}> --nm ${RINGLET_TOOL_PREFIX}nm
    COMMAND python3 "${RINGLET_ROOT}/tools/appliance_report.py" --description $<TARGET_OBJECTS:${name}.description>
            --image $<TARGET_FILE:${name}> --stripped "${CMAKE_CURRENT_BINARY_DIR}/${name}.stripped" --limit ${limit_bytes}
            --prefix "${RINGLET_TOOL_PREFIX}")
endfunction()

function(ringlet_limit name limit)
  if(NOT limit)
    return()
  endif()
  ringlet_bytes("${limit}" bytes)
  add_custom_command(TARGET ${name} POST_BUILD VERBATIM
    COMMAND ${CMAKE_COMMAND} -DFILE=${CMAKE_CURRENT_BINARY_DIR}/${name}.stripped -DLIMIT=${bytes}
            -P "${RINGLET_ROOT}/cmake/check_limit.cmake")
endfunction()

# An ext4 disk image from a folder, made again when a file of the folder changes, or an empty one, made once.
function(ringlet_disks name rootfs rootfs_size others)
  set(disks)
  set(made)
  set(mke2fs ${CMAKE_COMMAND} -E env "PATH=/usr/sbin:/sbin:$ENV{PATH}" mke2fs -q -F -t ext4)
  if(rootfs)
    get_filename_component(folder "${rootfs}" ABSOLUTE)
    ringlet_files(${name} "${folder}" files)
    if(NOT rootfs_size)
      set(rootfs_size 64M)
    endif()
    set(disk "${CMAKE_CURRENT_BINARY_DIR}/${name}.disk")
    add_custom_command(OUTPUT "${disk}" VERBATIM
      COMMAND ${CMAKE_COMMAND} -E rm -f "${disk}"
      COMMAND ${mke2fs} -d "${folder}" "${disk}" ${rootfs_size}
      DEPENDS ${files})
    list(APPEND disks "${disk}")
  endif()
  foreach(other IN LISTS others)
    if(NOT other MATCHES "^([A-Za-z0-9_-]+):([1-9][0-9]*[KMG]?)$")
      message(FATAL_ERROR "ringlet_add_appliance(${name}): DISK ${other}: give name:size, e.g. data:64M")
    endif()
    set(disk "${CMAKE_CURRENT_BINARY_DIR}/${name}-${CMAKE_MATCH_1}.disk")
    add_custom_command(OUTPUT "${disk}" VERBATIM COMMAND ${mke2fs} "${disk}" ${CMAKE_MATCH_2})
    list(APPEND disks "${disk}")
  endforeach()
  if(NOT disks)
    return()
  endif()
  foreach(disk IN LISTS disks)
    add_custom_command(OUTPUT "${disk}.qcow2" VERBATIM
      COMMAND qemu-img convert -q -f raw -O qcow2 "${disk}" "${disk}.qcow2" DEPENDS "${disk}")
    list(APPEND made "${disk}.qcow2")
  endforeach()
  add_custom_target(${name}-disks ALL DEPENDS ${disks})
  add_dependencies(${name} ${name}-disks)
  add_custom_target(${name}-disk DEPENDS ${disks} ${made})
  set_target_properties(${name} PROPERTIES RINGLET_DISKS "${disks}")
endfunction()

function(ringlet_run_targets name memory run command_line)
  set(append)
  if(command_line)
    set(append -- -append "${command_line}")
  endif()
  get_target_property(disks ${name} RINGLET_DISKS)
  set(options --arch ${RINGLET_ARCH} --memory ${memory} --image $<TARGET_FILE:${name}>)
  if(disks)
    foreach(disk IN LISTS disks)
      list(APPEND options --disk "${disk}")
    endforeach()
  else()
    list(APPEND options --disk none)
  endif()
  add_custom_target(${name}-run VERBATIM USES_TERMINAL DEPENDS ${name}
    COMMAND "${RINGLET_ROOT}/qemu-run.sh" ${options} ${run} ${append})
  add_custom_target(${name}-debug VERBATIM USES_TERMINAL DEPENDS ${name}
    COMMAND "${RINGLET_ROOT}/qemu-run.sh" ${options} --gdb ${run} ${append})
endfunction()

# ringlet_add_library(NAME …): add_library() for code with the C and C++ libraries. With an installed package's toolchain
# file, every library is such a one; in Ringlet's own tree this says so.
function(ringlet_add_library name)
  add_library(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE $<BUILD_INTERFACE:ringlet_libc>)
  if(TARGET ringlet_sysroot)
    add_dependencies(${name} ringlet_sysroot)
  endif()
endfunction()

# ringlet_debian_source(PACKAGE VARIABLE): the folder of a Debian source package, got when it is not there yet.
function(ringlet_debian_source package variable)
  execute_process(COMMAND "${RINGLET_ROOT}/tools/debian_source.sh" ${package}
    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${variable} "${folder}" PARENT_SCOPE)
endfunction()
