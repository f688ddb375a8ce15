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
OTHER_CONFIG = """#pragma once
#include <ringlet/config.hpp>
using enum ringlet::virtio::Common;
inline constexpr ringlet::ApplianceConfig kAppliance{
    .power_button = false,
    .ipv6 = false,
    .net_driver = {.features = {.required = {version_1, ringlet::virtio::NetSpec::Feature::mac}, .optional = {event_idx}}},
    .blk = false, .rng = false, .pci_legacy = false, .mmio = false, .mmio_legacy = false,
    .main_stack_bytes = 96 * 1024, .packet_buffers = 40};
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
            "other.hpp": OTHER_CONFIG.encode(),
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

    def report(self, folder):
        """The words of web-report behind its tables of sizes, and those tables."""
        done = run("cmake", "--build", folder, "--target", "web-report")
        self.assertEqual(done.returncode, 0, done.stdout[-3000:])
        sizes, _, rest = done.stdout.partition("\nname ")
        return " ".join(("name " + rest).split()), sizes

    def test_report(self):
        folder, _ = self.build("x86_64", "reported", "-GNinja", "-DMORE=LIMIT;2M")
        said, sizes = self.report(folder)
        for room in ("kernel", "posix", "fs", "application"):
            self.assertRegex(sizes, rf"(?m)^{room} +\d+ +\d+ +\d+ +\d+$")
        stripped = os.path.getsize(os.path.join(folder, "web.stripped"))
        for words in ("name web parts power_button filesystems buses pci pci_legacy mmio mmio_legacy driver: block",
                      "topology config_wce", "driver: entropy required nothing", f"file {stripped:,} bytes stripped",
                      "of LIMIT (2 MiB)", "main() 256 KiB of stack", "in a guest with 16 MiB (MEMORY)", "block cache 1 MiB"):
            self.assertIn(words, said)
        self.assertEqual(re.findall(r"driver: (\S+)", said), ["block", "entropy"])
        self.assertNotIn("packet buffers", said)
        header = run("readelf", "-lW", os.path.join(folder, "web")).stdout
        loads = [(int(a, 16), int(n, 16)) for a, n in re.findall(r"LOAD +\S+ +(\S+) +\S+ +\S+ +(\S+)", header)]
        loaded = max(a + n for a, n in loads) - min(a for a, _ in loads)
        self.assertIn(f"loaded {loaded:,} bytes", said)

    def test_report_of_another_configuration(self):
        folder, _ = self.build("x86_64", "reported otherwise", "-GNinja", "-DMORE=CONFIG;other.hpp;MEMORY;32M")
        said, _ = self.report(folder)
        self.assertIn("parts shell TCP/IP dns sntp buses pci driver: network required mac version_1 optional event_idx memory", said)
        for words in ("main() 96 KiB of stack", "32 MiB (MEMORY)", "packet buffers 40 of 4 KiB: 160 KiB", "TCP 2,048 connections"):
            self.assertIn(words, said)
        self.assertNotIn("block cache", said)
        self.assertNotIn("LIMIT", said)

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
