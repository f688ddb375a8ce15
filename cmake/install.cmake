# cmake --install: a package that other projects find with find_package(Ringlet). The tree under share/ringlet has the
# same layout as this one, as far as an appliance needs it: headers, the composition root, linker scripts, tools.
#   share/ringlet/          headers, boot/main.cpp, linker/, cmake/, tools/, qemu-run.sh, toolchain/ARCH.cmake
#   lib/ringlet/ARCH/       Ringlet's libraries, and in sysroot/ the C and C++ libraries
#   lib/cmake/Ringlet/      RingletConfig.cmake
# Several architectures go into one prefix. Build the target `sdk` before.
include(CMakePackageConfigHelpers)

# The composition root with the default configuration: what a program gets that is linked without
# ringlet_add_appliance().
add_library(ringlet_root STATIC EXCLUDE_FROM_ALL "${RINGLET_ROOT}/boot/main.cpp")
target_link_libraries(ringlet_root PUBLIC ringlet_flags)
target_compile_definitions(ringlet_root PRIVATE
  "RINGLET_APPLIANCE=\"${RINGLET_ROOT}/boot/default_appliance.hpp\"" "RINGLET_APPLIANCE_NAME=\"ringlet\"")

get_property(rooms GLOBAL PROPERTY RINGLET_ROOMS)
set(libraries ${rooms} ringlet_bare ringlet_packed ringlet_posix ringlet_root)
add_custom_target(sdk DEPENDS ${libraries} ringlet_sysroot)

install(TARGETS ${libraries} ARCHIVE DESTINATION lib/ringlet/${RINGLET_ARCH})
foreach(folder IN ITEMS arch boot drivers fs kernel lib net sdk/include shell)
  install(DIRECTORY ${folder}/ DESTINATION share/ringlet/${folder} FILES_MATCHING PATTERN "*.hpp")
endforeach()
install(FILES boot/main.cpp boot/description.cpp DESTINATION share/ringlet/boot)
install(FILES linker/${RINGLET_ARCH}.ld linker/no_frames.ld DESTINATION share/ringlet/linker)
install(FILES cmake/flags.cmake cmake/appliance.cmake cmake/media.cmake cmake/check_limit.cmake DESTINATION share/ringlet/cmake)
install(PROGRAMS tools/symbols.py tools/image_size.py tools/appliance_report.py tools/pack_rootfs.py tools/iso.sh tools/debian_source.sh
        DESTINATION share/ringlet/tools)
install(FILES tools/packages.sh DESTINATION share/ringlet/tools)
install(PROGRAMS qemu-run.sh DESTINATION share/ringlet)
configure_file(sdk/cmake/toolchain.cmake.in "${CMAKE_BINARY_DIR}/package/${RINGLET_ARCH}.cmake" @ONLY)
install(FILES "${CMAKE_BINARY_DIR}/package/${RINGLET_ARCH}.cmake" DESTINATION share/ringlet/toolchain)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/package/RingletConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES sdk/cmake/RingletConfig.cmake "${CMAKE_BINARY_DIR}/package/RingletConfigVersion.cmake"
  DESTINATION lib/cmake/Ringlet)

# The sysroot, with specs for its new place, and with what makes a plain link a bootable image.
string(REPLACE "ringlet_" "-lringlet_" link_rooms "${libraries}")
list(REMOVE_ITEM link_rooms -lringlet_bare -lringlet_packed)
list(JOIN link_rooms " " link_rooms)
install(CODE "
  set(arch ${RINGLET_ARCH})
  set(from \"${CMAKE_BINARY_DIR}/sysroot\")
  set(rooms \"${link_rooms}\")
  set(posix_include \"${RINGLET_ROOT}/posix/include\")
  include(\"${RINGLET_ROOT}/cmake/install_sysroot.cmake\")")
