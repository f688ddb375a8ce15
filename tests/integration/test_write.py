#!/usr/bin/env python3
"""A disk that is written from the shell: what e2fsck says afterwards, and after the machine was killed."""

import os
import random
import re
import shutil
import struct
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import VM  # noqa: E402

MACHINES = ("q35", "virt")
MOUNTED = rb"ext4 mounted at /\r?\n"


def entries_of(path):
    """A log in dm-log-writes' format: how many entries, and [(offset, data)], where no data is a flush."""
    with open(path, "rb") as log:
        magic, _, count, sector = struct.unpack("<QQQI", log.read(28))
        assert magic == 0x6a736677736872, hex(magic)
        at, entries = sector, []
        for _ in range(count):
            log.seek(at)
            first, sectors, flags, _ = struct.unpack("<QQQQ", log.read(32))
            at += sector
            if flags & 1:
                entries.append((0, b""))
            if sectors and not flags & 4:
                log.seek(at)
                entries.append((first * sector, log.read(sectors * sector)))
                at += sectors * sector
    return len(entries), entries


def make_cut(fresh, writes, to, chance):
    """The medium after `writes`: all up to the last flush and, of the others, all or any of their sectors. Returns how many
    writes are certainly there."""
    shutil.copy(fresh, to)
    flushed = max([i + 1 for i, (_, data) in enumerate(writes) if not data], default=0)
    with open(to, "r+b") as image:
        for i, (offset, data) in enumerate(writes):
            for at in range(0, len(data), 512):
                if i < flushed or chance is None or chance.random() < 0.5:
                    image.seek(offset + at)
                    image.write(data[at:at + 512])
    return flushed


@expand
class Write(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()
        cls.big = random.Random(1).randbytes(3_000_000)
        tree = cls.space.tree("tree", {"docs/guide.txt": b"one\ntwo\n", "big": cls.big})
        cls.fresh = cls.space.ext4("fresh.img", tree, size="24M")

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    def image(self):
        path = self.space.file(self.id() + ".img")
        shutil.copy(self.fresh, path)
        return path

    def boot(self, machine, image, **named):
        return VM(machine, net=False, extra=["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={image}",
                                             "-device", "virtio-blk-pci,drive=d"],
                  **named)

    def check(self, image):
        """Nothing to mend."""
        done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)

    def contents(self, image, path):
        return subprocess.run(["debugfs", "-R", f"cat {path}", image], capture_output=True, timeout=60).stdout

    def quiet(self, vm, *lines):
        for line in lines:
            self.assertEqual(vm.shell(line), "", line)

    @per_machine(*MACHINES)
    def test_files_are_written_and_the_disk_is_left_in_order(self, machine):
        image = self.image()
        with self.boot(machine, image) as vm:
            vm.ready(settle=MOUNTED)
            self.quiet(vm, "mkdir -p /a/b", "write /a/b/f hello world", "cp -r /a /c", "mv /c/b/f /top", "ln -s /top /link",
                       "ln /top /hard", "rm -r /a", "write -a /docs/guide.txt three", "cp /docs/guide.txt /docs/copy")
            for i in range(40):
                self.quiet(vm, f"write /docs/a-file-with-a-rather-long-name-{i} {i}")
            self.assertEqual(vm.shell("cat /link"), "hello world\n")
            vm.send(b"poweroff\n")
            self.assertEqual(vm.exit_status(), 0)
        self.check(image)
        self.assertEqual(self.contents(image, "/top"), b"hello world\n")
        self.assertEqual(self.contents(image, "/docs/copy"), b"one\ntwo\nthree\n")
        self.assertEqual(self.contents(image, "/docs/a-file-with-a-rather-long-name-39"), b"39\n")
        listing = subprocess.run(["debugfs", "-R", "ls -p /", image], capture_output=True, text=True, timeout=60).stdout
        names = set(re.findall(r"/[\d]+/\d+/\d+/\d+/([^/]+)/", listing))
        self.assertLessEqual({"c", "top", "link", "hard", "docs"}, names)
        self.assertNotIn("a", names)

    @per_machine(*MACHINES)
    def test_what_was_synced_survives_a_kill(self, machine):
        image = self.image()
        for round in range(3):
            with self.boot(machine, image) as vm:
                vm.ready(settle=MOUNTED)
                if round:
                    self.assertIn(b"journal replayed", vm.output)
                self.quiet(vm, f"write /kept{round} kept {round}", "sync", f"write /lost{round} perhaps", "rm /docs/guide.txt"
                           if round == 0 else f"mv /kept{round - 1} /moved{round - 1}")
            # Left the block above: QEMU was killed.
        with self.boot(machine, image) as vm:
            vm.ready(settle=MOUNTED)
            self.assertEqual(vm.shell("cat /kept2"), "kept 2\n")
            for n in (0, 1):
                texts = [vm.shell(f"cat /kept{n}"), vm.shell(f"cat /moved{n}")]
                self.assertEqual(texts.count(f"kept {n}\n"), 1, texts)
            vm.send(b"poweroff\n")
            self.assertEqual(vm.exit_status(), 0)
        self.check(image)

    @per_machine(*MACHINES)
    def test_every_state_that_a_power_cut_can_leave(self, machine):
        image, log, cut = self.image(), self.space.file("log.img"), self.space.file("cut.img")
        with open(log, "wb") as out:
            out.truncate(1 << 31)
        layers = ["-blockdev", f"driver=file,filename={image},node-name=f0", "-blockdev", f"driver=file,filename={log},node-name=l0",
                  "-blockdev", "driver=blklogwrites,file=f0,log=l0,log-sector-size=512,node-name=w0",
                  "-device", "virtio-blk-pci,drive=w0,write-cache=on"]
        promised = []                                         # how long the log was when a sync had returned
        with VM(machine, net=False, extra=layers) as vm:
            vm.ready(settle=MOUNTED)
            for i in range(12):
                self.quiet(vm, f"mkdir /d{i}", f"write /d{i}/kept text {i}", f"cp /docs/guide.txt /d{i}/copy", f"mv /d{i}/copy /copy{i % 3}",
                           "rm -rf /d0/gone" if i % 2 else "write /d0/gone once")
                self.quiet(vm, "sync")
                promised.append(entries_of(log)[0])
            vm.send(b"poweroff\n")
            self.assertEqual(vm.exit_status(), 0)
        count, writes = entries_of(log)
        self.assertGreater(count, 60)
        chance = random.Random(1)
        for n in range(30):
            end = chance.randrange(count + 1)
            kept = make_cut(self.fresh, writes[:end], cut, chance if n % 3 else None)
            subprocess.run(["e2fsck", "-fy", "-E", "journal_only", cut], capture_output=True, timeout=60)
            self.check(cut)
            for i, when in enumerate(promised):
                if when <= kept:
                    self.assertEqual(self.contents(cut, f"/d{i}/kept"), f"text {i}\n".encode(), (n, end, i))

    @per_machine(*MACHINES)
    def test_partitions_of_several_disks_at_once(self, machine):
        other = self.space.ext4(self.id() + ".other", self.space.tree("other", {"notes/one.txt": b"1\n"}), size="12M", options=("-b", "1024"))
        disks = [self.space.partitioned(self.id() + f".{label}", part, label) for label, part in (("gpt", self.fresh), ("dos", other))]
        drives = [word for i, path in enumerate(disks)
                  for word in ("-blockdev", f"driver=raw,node-name=d{i},file.driver=file,file.filename={path}",
                               "-device", f"virtio-blk-pci,drive=d{i}")]
        with VM(machine, net=False, extra=drives, append="root=vda2") as vm:
            vm.ready(settle=MOUNTED)
            self.quiet(vm, "mkdir /b", "mkdir /c", "mount memfs /c")
            vm.shell("mount vdb2 /b")
            self.assertEqual(vm.shell("mount"), "ext4 on / (vda2, rw)\nmemfs on /c (rw)\next4 on /b (vdb2, rw)\n")
            self.assertIn("mount: vdb2: already in use\n", vm.shell("mount vdb2 /docs"))
            self.assertEqual(vm.shell("cat /b/notes/one.txt"), "1\n")
            self.quiet(vm, "cp /big /b/big", "cp /b/notes/one.txt /docs/from-b", "write /b/notes/two.txt two", "cp /b/big /c/big",
                       "cp /c/big /again", "umount /b")
            self.assertIn("not found", vm.shell("cat /b/notes/one.txt"))
            self.assertEqual(subprocess.run(["e2fsck", "-fn", f"{disks[1]}?offset={4096 * 512}"], capture_output=True, timeout=60).returncode, 0)
            vm.shell("mount vdb2 /b")
            self.quiet(vm, "write /b/last once more")   # left to poweroff, in its order
            vm.send(b"poweroff\n")
            self.assertEqual(vm.exit_status(), 0)
        for path, files in zip(disks, ({"/docs/from-b": b"1\n", "/again": self.big}, {"/notes/two.txt": b"two\n", "/big": self.big,
                                                                                    "/last": b"once more\n"})):
            part = f"{path}?offset={4096 * 512}"
            self.check(part)
            for name, content in files.items():
                self.assertEqual(self.contents(part, name), content, name)

    @per_machine(*MACHINES)
    def test_a_full_disk(self, machine):
        image = self.image()
        with self.boot(machine, image) as vm:
            vm.ready(settle=MOUNTED)
            said = ""
            for i in range(20):
                said = vm.shell(f"cp /big /copy{i}")
                if said:
                    break
            self.assertIn("no space", said)
            self.assertIn("no space", vm.shell("cp /big /again"))
            self.quiet(vm, "rm /copy0", "cp /docs/guide.txt /small")
            vm.send(b"poweroff\n")
            self.assertEqual(vm.exit_status(), 0)
        self.check(image)
        self.assertEqual(self.contents(image, "/copy1"), self.big)
        self.assertEqual(self.contents(image, "/small"), b"one\ntwo\n")


if __name__ == "__main__":
    main()
