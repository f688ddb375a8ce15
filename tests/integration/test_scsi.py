#!/usr/bin/env python3
"""Disks and CD-ROMs behind a SCSI host: serving files, plugging, resizing, errors, thin disks, time-outs.

The appliance `scsi` is httpd with SCSI only, and `disk NAME OPERATION …` in its shell for what lies below filesystems.
"""

import os
import random
import re
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import MACHINES, VM, Failure  # noqa: E402

READY = rb"disk: ready[^\n]*\n"


def crc32c(data):
    """As the guest computes it: bit by bit, for a few sectors."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def host(machine, options=""):
    suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
    return ["-device", f"virtio-scsi-{suffix},id=s0{options}"]


def disk(node, path, address="", options="", device="scsi-hd", driver="file"):
    where = f",{address}" if address else ""
    return ["-blockdev", f"driver=raw,node-name={node},file.driver={driver},file.filename={path}{options}",
            "-device", f"{device},id={node},drive={node},bus=s0.0{where}"]


@expand
class Scsi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()
        cls.content = random.Random(5).randbytes(300_000)
        tree = cls.space.tree("www", {"index.html": b"from a LUN", "big": cls.content})
        cls.root = cls.space.ext4("root.img", tree, size="16M")

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    def blank(self, name, size=8 << 20, data=b""):
        path = self.space.file(name)
        with open(path, "wb") as out:
            out.write(data)
            out.truncate(size)
        return path

    def boot(self, machine, *extra, options="", **named):
        return VM(machine, appliance="scsi", net=named.pop("net", False), extra=[*host(machine, options), *extra], **named)

    def ask(self, vm, line, expected="ok", timeout=40):
        """The first answer that is not the log's."""
        lines = [x for x in vm.shell(line, timeout).splitlines() if x and not x.startswith("[")]
        self.assertTrue(lines and lines[0].startswith(expected), f"{line}: {lines}\n{vm.tail()}")
        return lines[0]

    def until(self, vm, line, pattern, timeout=15):
        deadline = time.monotonic() + timeout
        while True:
            text = vm.shell(line)
            if re.search(pattern, text):
                return text
            if time.monotonic() > deadline:
                self.fail(f"{line}: no {pattern} in {text}\n{vm.tail()}")
            time.sleep(0.1)

    def plug(self, vm, **device):
        """QEMU lets go of an unplugged disk a little later than it says."""
        for _ in range(50):
            try:
                return vm.qmp_command("device_add", **device)
            except Failure as failure:
                last = failure
                time.sleep(0.1)
        raise last

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_files_are_served_from_a_lun(self, machine):
        with self.boot(machine, *disk("root", self.root, "scsi-id=2,lun=1", ",read-only=on"), net=True,
                       options=",num_queues=2") as vm:
            vm.ready()
            self.assertIn(b"sda: ext4 mounted read-only at /", vm.output)
            with urllib.request.urlopen(vm.url("/"), timeout=20) as answer:
                self.assertEqual(answer.read(), b"from a LUN")
            with urllib.request.urlopen(vm.url("/big"), timeout=20) as answer:
                self.assertEqual(answer.read(), self.content)
            text = vm.shell("virtio scsi0")
            self.assertIn("event_idx", text)
            self.assertNotRegex(text, r"bad used [1-9]")

    @per_machine("q35", "virt", "virt-mmio")
    def test_targets_units_and_a_cd(self, machine):
        data = random.Random(7).randbytes(8192)
        iso = self.blank("cd.iso", 1 << 20, data)
        one, far = self.blank("one.img"), self.blank("far.img")
        with self.boot(machine, *disk("one", one, "scsi-id=0,lun=0"), *disk("far", far, "scsi-id=200,lun=300,serial=FAR1"),
                       *disk("cd", iso, "scsi-id=7", ",read-only=on", "scsi-cd")) as vm:
            vm.ready(settle=READY)
            listing = vm.shell("disks")
            self.assertRegex(listing, r"sr0 +1024 KiB +2048 .*read-only")
            self.assertIn("serial FAR1", vm.shell("disk sdb info"))
            self.assertEqual(self.ask(vm, "disk sr0 read 0 16").split()[1], f"{crc32c(data):08x}")
            self.ask(vm, "disk sr0 write 0 16", "failed: read-only")
            self.ask(vm, "disk sdb write 100 16 9")
            self.ask(vm, "disk sdb flush")
            self.assertEqual(self.ask(vm, "disk sdb read 100 16").split()[1], f"{crc32c(bytes([9]) * 8192):08x}")
            with open(far, "rb") as image:
                image.seek(100 * 512)
                self.assertEqual(image.read(8193), bytes([9]) * 8192 + b"\0")

    @per_machine("q35", "virt")
    def test_disks_are_plugged_and_unplugged(self, machine):
        path = self.blank("hot.img", 4 << 20)
        with self.boot(machine) as vm:
            vm.ready(settle=READY)
            vm.qmp_command("blockdev-add", **{"driver": "raw", "node-name": "hot",
                                              "file": {"driver": "file", "filename": path}})
            for _ in range(3):
                self.plug(vm, driver="scsi-hd", id="hd", drive="hot", bus="s0.0", lun=2, serial="HOT", **{"scsi-id": 5})
                self.until(vm, "disks", r"sda +4096 KiB")
                self.ask(vm, "disk sda write 0 8 1")
                vm.qmp_command("device_del", id="hd")
                self.until(vm, "disks", r"no disks")
                self.assertIn("no such disk", vm.shell("disk sda read 0 8"))
            self.assertIn(b"sda: unit 5:2 has gone", vm.output)

    @per_machine("q35", "virt")
    def test_a_disk_is_unplugged_under_load(self, machine):
        path, other = self.blank("busy.img", 4 << 20), self.blank("other2.img")
        with self.boot(machine, *disk("busy", path, "scsi-id=5"), *disk("other", other, "scsi-id=6")) as vm:
            vm.ready(settle=READY)
            self.ask(vm, "disk sda load")
            self.until(vm, "disk sda state", r"served \d{3,} failed 0 of 16")
            vm.qmp_command("device_del", id="busy")
            self.until(vm, "disks", r"(?s)\A(?!.*sda).*sdb")
            self.until(vm, "disk sda state", r"failed 16 of 16")     # every request has ended, none hangs
            self.ask(vm, "disk sdb write 0 8 1")

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_reset_under_load(self, machine):
        path = self.blank("reset.img", 4 << 20)
        with self.boot(machine, *disk("reset", path), reboot=True) as vm:
            vm.ready(settle=READY)
            self.ask(vm, "disk sda write 0 8 7")
            self.ask(vm, "disk sda flush")
            for _ in range(3):
                self.assertEqual(self.ask(vm, "disk sda read 0 8").split()[1], f"{crc32c(bytes([7]) * 4096):08x}")
                self.ask(vm, "disk sda load")
                self.until(vm, "disk sda state", r"served \d{3,} failed 0 of 16")
                vm.qmp_command("system_reset")
                vm.wait(re.compile(READY), 60)

    @per_machine("q35", "virt")
    def test_a_disk_grows(self, machine):
        path = self.blank("grow.img", 4 << 20)
        with self.boot(machine, *disk("grow", path)) as vm:
            vm.ready(settle=READY)
            self.ask(vm, "disk sda write 8192 8", "failed: invalid")
            vm.qmp_command("block_resize", **{"node-name": "grow", "size": 6 << 20})
            self.until(vm, "disks", r"sda +6144 KiB")
            self.ask(vm, "disk sda write 8192 8")
            self.assertRegex(vm.shell("disk sda info"), r"generation 2")

    @per_machine("q35", "virt")
    def test_errors_of_the_medium(self, machine):
        path = self.blank("bad.img", 4 << 20)
        rules = self.space.file("bad.conf")
        with open(rules, "w") as out:
            out.write('[inject-error]\nevent = "read_aio"\nerrno = "5"\nsector = "800"\nonce = "off"\n')
        bad = ["-blockdev", f"driver=raw,node-name=bad,file.driver=blkdebug,file.config={rules},file.image.driver=file,"
                            f"file.image.filename={path}",
               "-device", "scsi-hd,drive=bad,bus=s0.0,rerror=report,werror=report"]
        with self.boot(machine, *bad) as vm:
            vm.ready(settle=READY)
            self.ask(vm, "disk sda read 800 8", "failed: ")
            self.ask(vm, "disk sda read 1600 8")
            self.assertRegex(vm.output.decode(errors="replace"), r"scsi0: 0:0: command 28: ")

    @per_machine("q35", "virt")
    def test_a_thin_disk_gives_space_back(self, machine):
        path = self.blank("thin.img", 4 << 20, os.urandom(4 << 20))
        before = os.stat(path).st_blocks
        with self.boot(machine, *disk("thin", path, options=",discard=unmap,detect-zeroes=unmap")) as vm:
            vm.ready(settle=READY)
            self.assertNotRegex(vm.shell("disk sda info"), r"discard 0,")
            self.ask(vm, "disk sda discard 2048 4096")
            self.assertEqual(self.ask(vm, "disk sda read 2048 8").split()[1], f"{crc32c(bytes(4096)):08x}")
            self.ask(vm, "disk sda zeroes 0 64")
            self.assertEqual(self.ask(vm, "disk sda read 56 8").split()[1], f"{crc32c(bytes(4096)):08x}")
            self.assertLess(os.stat(path).st_blocks, before - 4000)

    @per_machine("q35", "virt")
    def test_a_late_command_is_aborted(self, machine):
        path = self.blank("slow.img", 4 << 20)
        slow = ["-object", '{"qom-type":"throttle-group","id":"t0","limits":{"bps-total":1024}}',
                "-blockdev", f"driver=throttle,node-name=slow,throttle-group=t0,file.driver=file,file.filename={path}",
                "-device", "scsi-hd,drive=slow,bus=s0.0"]
        with self.boot(machine, *slow, *disk("other", self.blank("other.img"), "scsi-id=9")) as vm:
            vm.ready(settle=READY, timeout=90)
            self.ask(vm, "disk sda write 0 64 1", "")    # 32 KiB: the bucket is empty for half a minute
            self.ask(vm, "disk sda write 0 64 1 2", "failed: timed out", timeout=60)
            self.assertIn(b"no answer in time, abort task", vm.output)
            self.ask(vm, "disk sdb write 0 8 1")


if __name__ == "__main__":
    main()
