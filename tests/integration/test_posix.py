#!/usr/bin/env python3
"""The cases of tests/posix on Linux and in guests of both architectures: the same outcome, or a difference that
docs/posix.md tells. RINGLET_POSIX_WRITE=1 writes that page; without, it must be what the cases say."""

import difflib
import glob
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, main  # noqa: E402
from vm import BUILD, ROOT, VM  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "tools"))
import posix_doc  # noqa: E402

PAGE = os.path.join(ROOT, "docs", "posix.md")


def on_linux():
    work = Workspace()
    try:
        program = work.file("cases")
        subprocess.run(["gcc", "-D_GNU_SOURCE", "-O1", "-w", "-pthread", "-o", program,
                        *sorted(glob.glob(os.path.join(ROOT, "tests/posix/*.c")))], check=True)
        return subprocess.run([program], capture_output=True, text=True, timeout=120, check=True).stdout
    finally:
        work.close()


def in_guest(machine):
    # A case executes what is no instruction, of which QEMU would complain.
    with VM(machine, memory="128M", appliance="posix_cases", check_log=False) as vm:
        vm.wait(b"cases: done", 240)
        return vm.output.replace(b"\r", b"").decode(errors="replace")


class Posix(unittest.TestCase):
    maxDiff = None

    def compare(self, machine):
        arch = {"q35": "x86_64", "virt": "aarch64"}[machine]
        build = os.path.join(BUILD, arch)
        own = sorted(glob.glob(os.path.join(build, "**", "libringlet_*.a"), recursive=True))
        libraries = [os.path.join(build, "sysroot", "lib", f"lib{n}.a") for n in ("c", "m", "gcc", "gcc_eh")]
        page = posix_doc.render(on_linux(), in_guest(machine), posix_doc.symbols(own, libraries))
        if os.environ.get("RINGLET_POSIX_WRITE"):
            open(PAGE, "w", encoding="utf-8").write(page)
        old = open(PAGE, encoding="utf-8").read() if os.path.exists(PAGE) else ""
        changes = "\n".join(difflib.unified_diff(old.splitlines(), page.splitlines(), "docs/posix.md", machine, lineterm="", n=0))
        self.assertEqual(changes, "", f"docs/posix.md is not what {machine} does")

    def test_q35(self):
        self.compare("q35")

    def test_virt(self):
        self.compare("virt")


if __name__ == "__main__":
    main()
