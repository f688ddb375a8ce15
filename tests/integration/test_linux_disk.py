#!/usr/bin/env python3
"""A disk that Linux and Ringlet take turns at: what one leaves, in order or not, the other finds."""

import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(1, os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "bench"))
import guests  # noqa: E402
from harness import Workspace, main  # noqa: E402
from vm import VM  # noqa: E402

MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "crc16", "crc32c_generic",
           "libcrc32c", "mbcache", "jbd2", "ext4"]
FILE = re.compile(r"^F (.*?)\r?$", re.M)


def device(image):
    return ["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={image}", "-device", "virtio-blk-pci,drive=d"]


class LinuxDisk(unittest.TestCase):
    def linux(self, image, words, ready=rb"DONE\r?\n"):
        """What Linux's process says until it is done; then the machine is killed."""
        try:
            boot = guests.booted("linux", "q35", "", words, os.path.join("..", "tests", "integration", "linux_disk.c"), MODULES)
        except (SystemExit, subprocess.CalledProcessError, OSError) as why:
            self.skipTest(f"no kernel of Linux's: {why}")
        with guests.Guest("q35", ["-m", "256M", *boot, *device(image)], counting=False) as guest:
            done = guest.wait(ready, 120)
            text = guest.output.decode(errors="replace")
            self.assertTrue(done, text[-3000:])
            if words[0] == "read":
                guest.process.wait(timeout=60)
        self.assertNotIn("ERROR", text)
        return sorted(FILE.findall(text))

    def ask(self, vm, line):
        vm.send(line + "\n")
        text = vm.wait(re.compile(rb"(?:^|\n)(?:ok|[a-z ]+)\r?\n"), 120).decode()
        self.assertTrue(text.rstrip().endswith("ok"), text[-300:])
        return sorted(FILE.findall(text))

    def test_an_aged_disk_goes_back_and_forth(self):
        space = Workspace()
        self.addCleanup(space.close)
        # RINGLET_FULL=1: of another kind, too.
        for options in ((), ("-b", "1024", "-O", "^metadata_csum"))[:2 if os.environ.get("RINGLET_FULL") else 1]:
            image = space.ext4(f"aged{len(options)}.img", size="96M", options=options)
            with self.subTest(options=options):
                self.back_and_forth(space, image)

    def back_and_forth(self, space, image):
        aged = self.linux(image, ["age", "7"])
        self.assertGreater(len(aged), 2000)
        header = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True, timeout=60).stdout
        self.assertIn("needs_recovery", header)
        shutil.copy(image, image + ".killed")
        with VM("q35", net=False, appliance="files", extra=device(image), memory="128M") as vm:
            vm.wait(b"files: ready\r\n")
            self.assertIn(b"journal replayed", vm.output)
            self.assertEqual(self.ask(vm, "show /"), aged)
            self.ask(vm, "change")
            changed = self.ask(vm, "show /")
            self.assertNotEqual(changed, aged)
            vm.send("off\n")
            self.assertEqual(vm.exit_status(), 0)
        self.assertEqual(subprocess.run(["e2fsck", "-fn", image], capture_output=True, timeout=60).returncode, 0)
        self.assertEqual(self.linux(image, ["read"]), changed)
        self.assertEqual(subprocess.run(["e2fsck", "-fn", image], capture_output=True, timeout=60).returncode, 0)


if __name__ == "__main__":
    main()
