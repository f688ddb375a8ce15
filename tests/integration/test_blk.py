#!/usr/bin/env python3
"""The block driver against QEMU's: every operation is compared with the image from outside; faults end in errors, not in
hangs. The guest is the appliance `disks`, which takes commands over the serial line."""

import json
import os
import re
import struct
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import MACHINES, VM  # noqa: E402

SECTOR = 512
ALL = ("q35", "microvm", "virt", "virt-mmio")


def pattern(lba, sectors, seed):
    words = [((s + 1) * 0x9e3779b97f4a7c15 ^ seed * 0xbf58476d1ce4e5b9) & (1 << 64) - 1 for s in range(lba, lba + sectors)]
    return b"".join(struct.pack("<Q", w) * (SECTOR // 8) for w in words)


class Disk:
    """A raw image, and a guest that has it as vda."""

    def __init__(self, machine, device="", drive="", megabytes=64, append="", extra=()):
        self.file = tempfile.NamedTemporaryFile(prefix="ringlet-disk-")
        self.file.truncate(megabytes << 20)
        kind = "pci" if MACHINES[machine][2] == "pci" else "device"
        self.vm = VM(machine, net=False, appliance="disks", append=append, extra=[
            "-drive", f"if=none,id=d0,format=raw,file={self.file.name}{',' + drive if drive else ''}",
            "-device", f"virtio-blk-{kind},drive=d0{',' + device if device else ''}", *extra])

    def __enter__(self):
        self.vm.__enter__()
        self.vm.wait(b"using vda ok", 60)
        return self

    def __exit__(self, *what):
        try:
            return self.vm.__exit__(*what)
        finally:
            self.file.close()

    def do(self, line, timeout=30):
        """Runs a command; returns its line of answer."""
        self.vm.send(line + "\n")
        return self.vm.wait(re.compile(rb"[^\n]*(ok|error: [^\n]*|differs)\r?\n"), timeout).decode().strip().split("\n")[-1]

    def bytes(self, lba, sectors):
        return os.pread(self.file.fileno(), sectors * SECTOR, lba * SECTOR)


@expand
class Blk(unittest.TestCase):
    def ok(self, disk, line, timeout=30):
        answer = disk.do(line, timeout)
        self.assertTrue(answer.endswith("ok"), f"{line}: {answer}")
        return answer

    @per_machine(*ALL)
    def test_operations(self, machine):
        with Disk(machine, "serial=RING-4711", "discard=unmap") as d:
            self.assertIn("serial 'RING-4711'", self.ok(d, "info"))
            for lba, n, seed in ((0, 8, 1), (77, 3, 2), (131072 - 512, 512, 3)):
                self.ok(d, f"write {lba} {n} {seed}")
                self.ok(d, f"check {lba} {n} {seed}")
                self.assertEqual(d.bytes(lba, n), pattern(lba, n, seed))
            self.ok(d, "flush")
            os.pwrite(d.file.fileno(), pattern(4096, 16, 9), 4096 * SECTOR)
            self.ok(d, "check 4096 16 9")
            for command in ("discard 8192 256", "zero 8192 256", "zero 8192 256 unmap"):
                self.ok(d, "write 8192 512 4")
                self.ok(d, command)
                self.ok(d, "flush")
                self.assertEqual(d.bytes(8192, 256), bytes(256 * SECTOR), command)
                self.assertEqual(d.bytes(8448, 256), pattern(8448, 256, 4), command)
                self.ok(d, "check 8192 256 zero")
            self.assertIn("not supported", d.do("erase 0 8"))
            self.assertIn("invalid", d.do("write 131071 2 1"))
            self.assertIn("invalid", d.do("discard 131072 1"))

    @per_machine("q35", "virt", "microvm")
    def test_resize(self, machine):
        with Disk(machine) as d:
            self.assertIn("131072 sectors", self.ok(d, "info").replace("sectors 131072", "131072 sectors"))
            d.vm.qmp_command("block_resize", device="d0", size=96 << 20)
            d.vm.wait(b"vda: resized from 131072 to 196608 sectors")
            self.assertIn("generation 1", self.ok(d, "info"))
            self.ok(d, "write 196600 8 5")
            self.assertEqual(d.bytes(196600, 8), pattern(196600, 8, 5))
            d.vm.qmp_command("block_resize", device="d0", size=32 << 20)
            d.vm.wait(b"to 65536 sectors")
            self.assertIn("invalid", d.do("check 131000 8 5"))

    @per_machine("q35", "virt")
    def test_errors_of_the_medium_reach_the_caller(self, machine):
        kind = "pci"
        with tempfile.NamedTemporaryFile(prefix="ringlet-disk-") as f:
            f.truncate(64 << 20)
            rules = [{"event": "none", "iotype": t, "errno": 5, "sector": s}
                     for t, s in (("read", 1000), ("write", 2000), ("discard", 3000), ("write-zeroes", 4000))]
            rules.append({"event": "flush_to_disk", "iotype": "flush", "errno": 5, "once": True})
            node = {"driver": "blkdebug", "discard": "unmap", "node-name": "n0", "image": {"driver": "file", "filename": f.name},
                    "inject-error": rules}
            with VM(machine, net=False, appliance="disks", extra=["-blockdev", json.dumps(node), "-device",
                                                                 f"virtio-blk-{kind},drive=n0"]) as vm:
                vm.wait(b"using vda ok", 60)
                d = Disk.__new__(Disk)
                d.vm = vm
                for _ in range(3):
                    self.assertEqual(d.do("check 1000 8 zero"), "error: input/output error")
                    self.assertEqual(d.do("write 2000 8 1"), "error: input/output error")
                    self.assertEqual(d.do("discard 2992 16"), "error: input/output error")
                    self.assertEqual(d.do("zero 3992 16"), "error: input/output error")
                    self.ok(d, "write 1008 8 2")
                    self.ok(d, "check 1008 8 2")

    @per_machine("q35", "virt", "microvm")
    def test_a_late_request_fails_and_the_disk_goes_on(self, machine):
        # QEMU ends what is throttled when the device is reset, so the reset itself is quick.
        with Disk(machine, drive="throttling.iops-total=2") as d:
            answers = [d.do(f"late 150 {8 * i}") for i in range(4)]
            late = [a for a in answers if "timed out" in a]
            self.assertTrue(late, answers)
            for a in late:
                self.assertLess(int(re.search(r"after (\d+) ms", a).group(1)), 2000)
            d.vm.said(b"resetting it")
            self.ok(d, "write 64 8 7", 60)
            self.ok(d, "check 64 8 7", 60)
            self.assertEqual(d.bytes(64, 8), pattern(64, 8, 7))

    @per_machine("q35", "virt-mmio")
    def test_a_read_only_disk(self, machine):
        with Disk(machine, drive="readonly=on") as d:
            self.assertIn("read-only", self.ok(d, "info"))
            self.assertIn("error: read-only", d.do("write 0 8 1"))
            self.ok(d, "check 0 8 zero")

    @per_machine("q35", "virt")
    def test_queues(self, machine):
        with Disk(machine, "num-queues=6") as d:
            self.assertIn("on 4 queues", self.ok(d, "deep 2000 32", 60))
            self.ok(d, "write 8 64 3")
            self.assertEqual(d.bytes(8, 64), pattern(8, 64, 3))
        with Disk(machine, "num-queues=4,vectors=2") as d:   # all queues on one vector
            self.assertIn("0 errors", self.ok(d, "deep 1000 32", 60))
        with Disk(machine, "num-queues=4,vectors=0") as d:   # the wired line
            self.assertIn("0 errors", self.ok(d, "deep 1000 32", 60))

    @per_machine("q35", "virt-mmio")
    def test_large_blocks(self, machine):
        with Disk(machine, "logical_block_size=4096,physical_block_size=4096") as d:
            self.assertIn("block 4096 physical 4096", self.ok(d, "info"))
            self.ok(d, "write 8 16 3")
            self.assertEqual(d.bytes(8, 16), pattern(8, 16, 3))
            for bad in ("write 1 8 1", "write 8 1 1", "discard 4 8", "zero 8 9"):
                self.assertIn("invalid", d.do(bad))

    @per_machine("q35", "microvm")
    def test_the_write_cache(self, machine):
        with Disk(machine, "write-cache=off") as d:
            self.assertIn("write-through", self.ok(d, "info"))
        with Disk(machine) as d:
            self.assertIn("write-back", self.ok(d, "info"))
            self.ok(d, "write 0 8 1")
            self.ok(d, "cache through")
            self.assertIn("write-through", self.ok(d, "info"))
            self.ok(d, "cache back")
            self.assertIn("write-back", self.ok(d, "info"))
        with Disk(machine, append="hw.vtblk.writecache_mode=0") as d:
            self.assertIn("write-through", self.ok(d, "info"))

    @per_machine("q35", "virt", "microvm")
    def test_reset_under_load(self, machine):
        with Disk(machine, extra=["-action", "reboot=reset"]) as d:
            self.ok(d, "write 0 64 1")
            self.ok(d, "flush")
            for _ in range(3):
                self.ok(d, "load 1024 65536")
                d.vm.qmp_command("system_reset")
                d.vm.wait(b"using vda ok", 60)
                self.ok(d, "check 0 64 1")

    @per_machine("q35", "virt", "microvm")
    def test_deep_queues_need_few_kicks_and_interrupts(self, machine):
        with Disk(machine, "" if machine == "microvm" else "ioeventfd=off") as d:
            answer = self.ok(d, "deep 4000 32", 60)
            kicks, interrupts, spurious = map(int, re.search(r"kicks (\d+) interrupts (\d+) spurious (\d+)", answer).groups())
            self.assertLessEqual(kicks, 10, answer)
            self.assertLessEqual(interrupts, 20, answer)
            self.assertIn("0 errors", answer)


if __name__ == "__main__":
    main()
