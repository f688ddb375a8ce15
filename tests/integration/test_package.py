#!/usr/bin/env python3
"""The installed package: other people's projects find it, build and boot; each mistake gets its sentence."""

import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import BUILD, ROOT, VM  # noqa: E402

ARCHES = {"q35": "x86_64", "virt": "aarch64"}

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(web LANGUAGES C CXX)
find_package(Ringlet REQUIRED)
include(CheckFunctionExists)
check_function_exists(pread HAVE_PREAD)
check_function_exists(no_such_function HAVE_NO_SUCH_FUNCTION)
if(NOT HAVE_PREAD OR HAVE_NO_SUCH_FUNCTION)
  message(FATAL_ERROR "configure checks do not tell the truth")
endif()
add_subdirectory(third)
ringlet_add_appliance(web SOURCES main.cpp LIBRARIES third CONFIG appliance.hpp ROOTFS www ROOTFS_SIZE 8M DISK data:8M
                      MEMORY 16M ${MORE})
"""
MAIN = r"""
#include <filesystem>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <third.h>
int main(int argc, char** argv) {
    try {
        throw std::runtime_error("thrown and caught");
    } catch (const std::exception& e) {
        std::cout << e.what() << ' ' << third(14) << '\n';
    }
    std::string line;
    std::getline(std::ifstream("/index.html") >> std::ws, line);
    std::cout << line << '\n';
    std::ofstream("/new.txt") << "written\n";
    for (auto& entry : std::filesystem::directory_iterator("/"))
        if (entry.is_regular_file()) std::cout << entry.path().string() << ' ' << entry.file_size() << '\n';
    return argc == 2 ? 3 : 0;
}
"""
CONFIG = """#pragma once
#include <ringlet/config.hpp>
inline constexpr ringlet::ApplianceConfig kAppliance{.name = "web", .shell = false, .net = false};
"""


def run(*command, **more):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, **more)


@expand
class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()
        cls.prefix = cls.space.file("a prefix")
        for arch in ARCHES.values():
            for step in (["cmake", "--build", f"{BUILD}/{arch}", "--target", "sdk"],
                         ["cmake", "--install", f"{BUILD}/{arch}", "--prefix", cls.prefix]):
                done = run(*step)
                assert done.returncode == 0, done.stdout[-3000:]
        cls.project = cls.space.tree("my project", {
            "CMakeLists.txt": PROJECT.encode(), "main.cpp": MAIN.encode(), "appliance.hpp": CONFIG.encode(),
            "www/index.html": b"hello from the disk\n",
            "third/CMakeLists.txt": b"add_library(third STATIC third.c)\n"
                                    b"target_include_directories(third PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})\n",
            "third/third.c": b'#include "third.h"\nint third(int x) { return 3 * x; }\n',
            "third/third.h": b'#ifdef __cplusplus\nextern "C"\n#endif\nint third(int x);\n'})

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    def toolchain(self, arch):
        return f"-DCMAKE_TOOLCHAIN_FILE={self.prefix}/share/ringlet/toolchain/{arch}.cmake"

    def build(self, arch, name, *options):
        folder = self.space.file(name)
        done = run("cmake", "-S", self.project, "-B", folder, self.toolchain(arch), *options)
        self.assertEqual(done.returncode, 0, done.stdout)
        return folder, run("cmake", "--build", folder)

    def boots(self, machine, folder):
        kernel = os.path.join(folder, "web" if machine == "q35" else "web.bin")
        with VM(machine, net=False, kernel=kernel, memory="16M", disk=os.path.join(folder, "web.disk")) as vm:
            vm.wait(b"thrown and caught 42")
            vm.wait(b"hello from the disk")
            vm.wait(b"/index.html 20")
            vm.wait(b"/new.txt 8")
            self.assertEqual(vm.exit_status(), 0)

    @per_machine(*ARCHES)
    def test_a_project_elsewhere_with_spaces_in_paths(self, machine):
        folder, built = self.build(ARCHES[machine], f"build {machine}", "-GNinja", "-DCMAKE_BUILD_TYPE=Release")
        self.assertEqual(built.returncode, 0, built.stdout[-3000:])
        self.boots(machine, folder)
        self.assertTrue(os.path.exists(os.path.join(folder, "web-data.disk")))
        sections = run("readelf", "-SW", os.path.join(folder, "web")).stdout
        self.assertGreater(int(re.search(r"\.ringlet\.symbols\s+\S+\s+\S+\s+\S+\s+([0-9a-f]+)", sections).group(1), 16), 1000)
        media = run("cmake", "--build", folder, "--target", "web-iso", "web-libvirt")
        self.assertEqual(media.returncode, 0, media.stdout[-3000:])
        for name in ("web.iso", "web.xml"):
            self.assertTrue(os.path.exists(os.path.join(folder, name)))

    def test_make_and_debug(self):
        folder, built = self.build("x86_64", "make", "-G", "Unix Makefiles", "-DCMAKE_BUILD_TYPE=Debug")
        self.assertEqual(built.returncode, 0, built.stdout[-3000:])
        self.boots("q35", folder)

    def test_link_time_optimisation(self):
        folder, built = self.build("x86_64", "lto", "-GNinja", "-DCMAKE_BUILD_TYPE=Release",
                                   "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=ON")
        self.assertEqual(built.returncode, 0, built.stdout[-3000:])
        self.boots("q35", folder)

    def test_a_program_linked_without_cmake(self):
        source, kernel = self.space.file("plain.c"), self.space.file("plain")
        with open(source, "w") as out:
            out.write('#include <stdio.h>\nint main(void) { puts("plain link"); return 0; }\n')
        done = run("x86_64-linux-gnu-gcc", f"-specs={self.prefix}/lib/ringlet/x86_64/sysroot/ringlet.specs", source, "-o", kernel)
        self.assertEqual(done.returncode, 0, done.stdout)
        with VM("q35", net=False, kernel=kernel) as vm:
            vm.wait(b"plain link")

    def test_mistakes_get_a_sentence(self):
        done = run("cmake", "-S", self.project, "-B", self.space.file("host"), f"-DCMAKE_PREFIX_PATH={self.prefix}")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("-DCMAKE_TOOLCHAIN_FILE=", done.stdout)
        for more, sentence in (("NONSENSE;1", "unknown: NONSENSE"), ("LIMIT;lots", "not a size"), ("ROOTFS;nowhere", "no such folder"),
                               ("ARGS;it's", "no quotes")):
            done = run("cmake", "-S", self.project, "-B", self.space.file("wrong"), self.toolchain("x86_64"), f"-DMORE={more}")
            self.assertNotEqual(done.returncode, 0, more)
            self.assertIn(sentence, " ".join(done.stdout.split()))
        folder, built = self.build("x86_64", "limited", "-GNinja", "-DMORE=LIMIT;100K")
        self.assertNotEqual(built.returncode, 0)
        self.assertIn("102400 are allowed", " ".join(built.stdout.split()))


if __name__ == "__main__":
    main()
