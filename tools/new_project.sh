#!/usr/bin/env bash
# Makes a project of one's own that builds and boots: tools/new_project.sh NAME (`./qemu-run.sh --new NAME` calls it).
# The first time also builds Ringlet's package, with the C and C++ libraries, into build/prefix: some minutes.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$root/tools/packages.sh"

[ $# -eq 1 ] || { sed -n '2,3s/^# //p' "$0"; exit 2; }
name=$(basename "$1")
[[ $name =~ ^[A-Za-z][A-Za-z0-9_-]*$ ]] || { echo "not a name for a project: $name; letters, digits, - and _" >&2; exit 2; }
[ ! -e "$1" ] || { echo "$1 is there already" >&2; exit 1; }
case $(uname -m) in aarch64) arch=aarch64 ;; *) arch=x86_64 ;; esac

prefix=$root/build/prefix
if [ ! -f "$prefix/share/ringlet/toolchain/$arch.cmake" ]; then
    echo "Building Ringlet's package into $prefix, once"
    declare -n build_packages=BUILD_PACKAGES_$arch run_packages=RUN_PACKAGES_$arch
    need_packages "${BUILD_PACKAGES[@]}" "${build_packages[@]}" "${run_packages[@]}" "${SYSROOT_PACKAGES[@]}"
    [ -f "$root/build/$arch/build.ninja" ] || (cd "$root" && cmake --preset "$arch" >/dev/null)
    cmake --build "$root/build/$arch" --target sdk
    cmake --install "$root/build/$arch" --prefix "$prefix" >/dev/null
fi

mkdir -p "$1/www"
cat >"$1/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.25)
project($name LANGUAGES C CXX)
find_package(Ringlet REQUIRED)
ringlet_add_appliance($name SOURCES main.cpp CONFIG appliance.hpp ROOTFS www MEMORY 32M)
END
cat >"$1/CMakePresets.json" <<END
{
  "version": 3,
  "configurePresets": [
    {
      "name": "$arch",
      "generator": "Ninja",
      "binaryDir": "\${sourceDir}/build",
      "toolchainFile": "$prefix/share/ringlet/toolchain/$arch.cmake",
      "cacheVariables": { "CMAKE_BUILD_TYPE": "Release" }
    }
  ],
  "buildPresets": [ { "name": "$arch", "configurePreset": "$arch" } ]
}
END
cat >"$1/appliance.hpp" <<END
// What is in the image: <ringlet/config.hpp> explains every option.
#pragma once

#include <ringlet/config.hpp>

inline constexpr ringlet::ApplianceConfig kAppliance{.name = "$name", .shell = false};
END
cat >"$1/main.cpp" <<'END'
#include <fstream>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
    std::ifstream file("/hello.txt");
    for (std::string line; std::getline(file, line);) std::cout << line << '\n';
    for (int i = 1; i < argc; ++i) std::cout << "argument " << i << ": " << argv[i] << '\n';
}
END
echo "Hello from the disk of $name." >"$1/www/hello.txt"
cat <<END
$1 is made. To build and boot it:
    cd $1 && cmake --preset $arch && cmake --build --preset $arch --target $name-run
END
