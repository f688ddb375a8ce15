#!/usr/bin/env python3
"""The serial shell, driven as a person or a script would, on both architectures."""

import datetime
import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import INTRUDER, PROMPT, VM  # noqa: E402

BOTH = ("q35", "virt")


@expand
class Shell(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        top = cls.work.tree("top", {"index.html": b"<p>hi</p>\n", "docs/guide.txt": b"one\ntwo\n", "docs/other.txt": b"x\n",
                                    "with space.txt": b"spaced\n", "tall.txt": b"line\n" * 2000})
        cls.odd = cls.work.ext4("odd.img", cls.work.tree("odd", {"binary": bytes(range(256)) * 64, "long": b"x" * 3000000,
                                                                 **{f"many/{i:04}": b"" for i in range(500)}}), "16M")
        os.symlink("docs/guide.txt", os.path.join(top, "link"))
        os.mkdir(os.path.join(top, "tmp"))
        cls.disk = cls.work.ext4("top.img", top, "16M")
        damaged = cls.work.ext4("damaged.img", top, "16M")
        for command in ("sif /docs/guide.txt links_count 7", "unlink /docs/other.txt"):
            subprocess.run(["debugfs", "-w", "-R", command, damaged], check=True, capture_output=True)
        cls.broken = cls.work.partitioned("broken.img", damaged)

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    def vm(self, machine, **options):
        vm = VM(machine, **{"disk": self.disk, **options})
        self.addCleanup(vm.process.kill)
        return vm.ready()

    @per_machine(*BOTH)
    def test_files(self, machine):
        with self.vm(machine) as vm:
            self.assertEqual(vm.shell("pwd"), "/\n")
            listing = vm.shell("ls")
            self.assertEqual([x for x in listing.split("\n") if x], ["docs/", "index.html", "link", "lost+found/", "tall.txt", "tmp/", "with space.txt"])
            self.assertRegex(vm.shell("ls -l"), r"-rw.* 10 .*index.html\n[\s\S]*link -> docs/guide.txt")
            vm.shell("cd docs")
            self.assertEqual(vm.shell("pwd"), "/docs\n")
            self.assertEqual(vm.shell("cat guide.txt"), "one\ntwo\n")
            self.assertEqual(vm.shell("cat ../link"), "one\ntwo\n")
            self.assertEqual(vm.shell("cat '../with space.txt' \"/with space.txt\" ../with\\ space.txt"), "spaced\n" * 3)
            self.assertIn("Size: 8 bytes", vm.shell("stat guide.txt"))
            self.assertEqual(vm.shell("cd nowhere"), "cd: nowhere: not found\n")
            self.assertEqual(vm.shell("cd guide.txt"), "cd: guide.txt: not a directory\n")
            self.assertEqual(vm.shell("cat /docs"), "cat: /docs: is a directory\n")
            vm.shell("cd")
            self.assertEqual(vm.shell("pwd"), "/\n")
            self.assertEqual(vm.shell("cat tall.txt"), "line\n" * 2000)
            self.assertRegex(vm.shell("mount"), r"ext4 on / \(vda, r[ow]\)\nmemfs on /tmp \(rw\)\n")
            self.assertRegex(vm.shell("df"), r"ext4 .* /\n")

    def says(self, vm, commands):
        """Each command and all that it says."""
        for command, answer in commands:
            with self.subTest(command):
                self.assertEqual(vm.shell(command), answer)

    @per_machine(*BOTH)
    def test_the_tree_changes(self, machine):
        with self.vm(machine) as vm:
            self.says(vm, (
                ("cd /tmp", ""), ("mkdir -p a/b/c 'with space'", ""), ("mkdir a", "mkdir: a: already exists\n"),
                ("mkdir no/such", "mkdir: no/such: not found\n"), ("mkdir -p a/b", ""),
                ("write a/b/one first line", ""), ("write -a a/b/one second   line", ""),
                ("cat a/b/one", "first line\nsecond line\n"),
                ("write 'with space/x' 'two  blanks'", ""), ("cat with\\ space/x", "two  blanks\n"),
                ("cp a/b/one 'with space'", ""), ("cat 'with space/one'", "first line\nsecond line\n"),
                ("cp a x", "cp: /tmp/a: is a directory\n"), ("cp -r a copy", ""), ("cat copy/b/one", "first line\nsecond line\n"),
                ("cp a/b/one a/b/one", "cp: /tmp/a/b/one: already exists\n"),
                ("cp -r a a/b/c/inside", "cp: /tmp/a/b/c/inside: invalid argument\n"),
                ("rm -r a/b/c", ""), ("ln -s b/one a/link", ""), ("cat a/link", "first line\nsecond line\n"), ("cp -r a copy2", ""),
                ("cat copy2/link", "first line\nsecond line\n"), ("ln a/b/one a/hard", ""),
                ("mv a/hard a/renamed", ""), ("mv a/renamed copy", ""), ("cat copy/renamed", "first line\nsecond line\n"),
                ("mv a copy", ""), ("ls copy", "a/\nb/\nrenamed\n"), ("mv copy copy/a/x", "mv: /tmp/copy: invalid argument\n"),
                ("rmdir copy", "rmdir: copy: already in use\n"), ("rm copy", "rm: copy: is a directory\n"),
                ("rm nothing", "rm: nothing: not found\n"), ("rm -f nothing", ""), ("rm -r copy copy2 'with space'", ""), ("ls", ""),
                ("touch t", ""), ("cp /index.html /tall.txt /tmp", ""), ("cat index.html", "<p>hi</p>\n"),
                ("cp -r /docs /link /tmp", ""), ("cat docs/guide.txt link", "one\ntwo\none\ntwo\n"),
                ("mv docs/guide.txt docs/guide", ""), ("cat link", "cat: link: not found\n"),
                ("write bin 0123456789abcdefXYZ", ""),
                ("hexdump bin", "00000000 30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n"
                                "00000010 58 59 5a 0a                                       |XYZ.|\n00000014\n"),
                ("sync", ""), ("rm -r /", "rm: /: already in use\n"), ("rmdir /tmp", "rmdir: /tmp: already in use\n"),
                # From one filesystem to another: copied, then removed.
                ("mkdir m", ""), ("mount memfs m", ""), ("mv docs m/here", ""), ("cat m/here/guide", "one\ntwo\n"), ("ls docs", "ls: docs: not found\n"),
                ("mv m/here/guide t", ""), ("cat t", "one\ntwo\n"), ("ln t m/t", "ln: /tmp/m/t: on different filesystems\n"),
                ("mv m n", "mv: /tmp/m: already in use\n"), ("umount m", ""), ("ls m", "")))
            self.assertRegex(vm.shell("du"), r"^ +0 KiB  /tmp/m\n +\d+ KiB  /tmp\n$")
            self.assertRegex(vm.shell("du t"), r"^ +4 KiB  /tmp/t\n$")
            self.assertRegex(vm.shell("df -i"), r"Type +Files[\s\S]*memfs +\d+ +\d+ +\d+  /tmp\n")
            for command in ("cp", "cp x", "mv x", "ln", "ln -s x", "rm", "rm -z x", "mkdir", "rmdir", "touch", "write", "hexdump", "umount",
                            "mount x", "mount -o wo x y", "mount -o remount,ro", "mount a /b rx", "fstrim", "df -x", "sync x"):
                with self.subTest(command):
                    self.assertRegex(vm.shell(command), rf"^usage: {command.split()[0]}")

    @per_machine(*BOTH)
    def test_mounts_come_and_go(self, machine):
        parts = self.work.partitioned("parts.img", self.disk)
        with self.vm(machine, disk=[self.odd, parts], append="ro mount=vdb2,/many,ro") as vm:
            self.assertEqual(vm.shell("mount"), "ext4 on / (vda, ro)\next4 on /many (vdb2, ro)\n")
            self.assertEqual(vm.shell("cat /many/index.html"), "<p>hi</p>\n")
            self.says(vm, (
                ("write /many/x y", "write: /many/x: read-only\n"), ("touch /x", "touch: /x: read-only\n"),
                ("mount vdb /many", "mount: vdb: already in use\n"), ("mount vdz /many", "mount: vdz: not found\n"),
                ("mount memfs /nowhere", "mount: memfs: not found\n"), ("mount memfs /many/docs", ""),
                ("umount /many", "umount: /many: already in use\n"), ("write /many/docs/x words", ""),
                ("cat /many/docs/x", "words\n"), ("mv /many/docs/x /many", "mv: /many/docs/x: read-only\n"),
                ("mount -o remount,ro /many/docs", "mount: /many/docs: not supported\n"),
                ("fstrim /many/docs", "fstrim: /many/docs: not supported\n"),
                ("umount /many/docs", ""), ("cat /many/docs/guide.txt", "one\ntwo\n"), ("umount /many/docs", "umount: /many/docs: not found\n"),
                ("umount /many", ""), ("umount /many", "umount: /many: not found\n"), ("mount", "ext4 on / (vda, ro)\n")))

    @per_machine(*BOTH)
    def test_fsck(self, machine):
        with self.vm(machine) as vm:
            self.assertIn("vda: not checked: it is mounted for writing", vm.shell("fsck"))
            self.assertEqual(vm.shell("mount -o remount,ro /"), "")
            clean = vm.shell("fsck")
            self.assertRegex(clean, r"^vda: clean: \d+ inodes, \d+ of them directories, and \d+ blocks in use\n$")
            self.assertEqual(vm.shell("fsck vda"), clean)
            self.assertEqual(vm.shell("fsck vdb"), "fsck: vdb: no such disk or partition\n")
            self.assertEqual(vm.shell("fsck vda2"), "fsck: vda2: no such disk or partition\n")
        with self.vm(machine, disk=self.broken) as vm:
            self.assertEqual(vm.shell("mount -o remount,ro /"), "")
            said = vm.shell("fsck vda2").splitlines()
            self.assertEqual([line for line in said if "a count of 7 links, 1 found" in line], said[:1])
            self.assertIn("in use, but no directory has it", said[1])
            self.assertEqual(said[2:], ["vda2: 2 problems"])
            self.assertEqual(vm.shell("fsck").splitlines(), said)
            self.assertEqual(vm.shell("fsck vda"), "vda: not checked: not found\n")
            self.assertEqual(vm.shell("cat /docs/guide.txt"), "one\ntwo\n")

    @per_machine(*BOTH)
    def test_fsck_ends_when_it_is_asked_to(self, machine):
        # A million inodes, each to be looked at, and a superblock that only its copy can stand in for.
        large = self.work.ext4("large.img", None, "512M", ("-b", "4096", "-N", "1000000", "-O", "^metadata_csum,^uninit_bg,^flex_bg"))
        with open(large, "r+b") as image:
            image.seek(1024 + 4)
            image.write(b"\xff" * 4)
        with self.vm(machine, disk=[self.disk, large]) as vm:
            vm.send("fsck vdb\r")
            vm.wait(b"fsck vdb\r\n")
            time.sleep(0.1)
            vm.send("\x03")
            vm.wait(re.compile(rb"superblock: its copy in block \d+ is used: \d+ blocks of 4096 bytes do not fit the device\r\n"
                               rb"\^C\r\nvdb: not checked to the end\r\n"), 30)
            vm.wait(PROMPT)
            self.assertEqual(vm.shell("echo fine"), "fine\n")

    @per_machine(*BOTH)
    def test_system(self, machine):
        with self.vm(machine) as vm:
            commands = vm.shell("help")
            for name in ("help ls cat cd pwd stat free ps uptime date dmesg lspci virtio ip link ping netstat mount df poweroff "
                         "reboot panic cp mv ln rm mkdir rmdir touch write hexdump du sync umount fstrim").split():
                self.assertRegex(commands, rf"(?m)^{name}\b")
            self.assertRegex(vm.shell("free"), r"Memory\s+\d+ KiB\s+\d+ KiB\s+\d+ KiB")
            threads = vm.shell("ps")
            for name in ("main", "net", "shell", "idle"):
                self.assertIn(name, threads)
            self.assertRegex(vm.shell("uptime"), r"up 0 days, 00:\d\d:\d\d, \d+\.\d% idle")
            shown = datetime.datetime.strptime(vm.shell("date").strip(), "%Y-%m-%d %H:%M:%S UTC")
            self.assertLess(abs((datetime.datetime.utcnow() - shown).total_seconds()), 60)
            self.assertIn("Ringlet", vm.shell("dmesg"))
            self.assertIn("1af4:", vm.shell("lspci"))
            self.assertRegex(vm.shell("virtio"), r"net0.*\n[\s\S]*vda")
            self.assertRegex(vm.shell("virtio net0"), r"version_1[\s\S]*kicks")

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_network(self, machine):
        with self.vm(machine) as vm:
            vm.wait(b"httpd: serving")
            self.assertRegex(vm.shell("ip"), r"inet 10\.0\.2\.15/24 gateway 10\.0\.2\.2")
            for size in (0, 1, 56, 1000, 1472):
                self.assertIn("2 of 2 answered", vm.shell(f"ping -c 2 -s {size} 10.0.2.2"))
            self.assertIn("too large", vm.shell("ping -c 1 -s 65000 10.0.2.2"))
            self.assertIn("0 of 1 answered", vm.shell("ping -c 1 10.0.2.200"))
            self.assertRegex(vm.shell("netstat"), r"tcp .*\*:80 .*LISTEN")
            self.assertIn("segments", vm.shell("netstat -s"))
            self.assertIn("is not an address", vm.shell("ping 1.2.3"))

    @per_machine(*BOTH)
    def test_mistakes_get_one_clear_line(self, machine):
        with self.vm(machine) as vm:
            self.assertEqual(vm.shell("frobnicate"), "frobnicate: unknown command; `help` lists them\n")
            self.assertRegex(vm.shell("stat"), r"^usage: stat PATH\n$")
            self.assertRegex(vm.shell("ls -z"), r"^usage: ls")
            self.assertEqual(vm.shell("cat 'x"), "a quote is not closed\n")
            self.assertEqual(vm.shell("   "), "")
            self.assertEqual(vm.shell("echo " + "w " * 20), "too many words\n")

    @per_machine("q35")
    def test_editing_history_and_completion(self, machine):
        with self.vm(machine) as vm:
            vm.send("echo helo\x1b[Dl\r")
            vm.wait(re.compile(rb"\r\nhello\r\n"))
            vm.wait(PROMPT)
            vm.send("\x1b[A\r")
            vm.wait(re.compile(rb"\r\nhello\r\n"))
            vm.wait(PROMPT)
            vm.send("upt\t\r")
            vm.wait(b"up 0 days")
            vm.wait(PROMPT)
            vm.send("cat do\tg\t\r")
            vm.wait(b"one\r\ntwo\r\n")
            vm.wait(PROMPT)
            vm.send("ping -c 100 10.0.2.2\r")
            vm.wait(b"seq=2")
            vm.send("\x03")
            vm.wait(b"^C")
            vm.wait(PROMPT)
            vm.send("rubbish\x03echo fine\r")
            vm.wait(b"\r\nfine\r\n")

    @per_machine("q35", "virt", "microvm")
    def test_panic_names_functions_and_ends_with_its_own_status(self, machine):
        with VM(machine, disk=self.disk, extra=["-semihosting"] if machine == "virt" else ()) as vm:
            vm.ready()
            vm.send("panic\n")
            status = vm.exit_status()
            text = vm.output.decode(errors="replace")
            self.assertIn("RINGLET PANIC: asked for on the shell", text)
            trace = text[text.index("RINGLET PANIC"):]
            self.assertRegex(trace, r"pc [0-9a-f]{16}  sp/fp [0-9a-f]{16}")
            for name in ("panic_machine", "Shell::execute", "Shell::run"):
                self.assertRegex(trace, rf"{name}\S*\+0x[0-9a-f]+")
            self.assertNotIn(status, (0, None))

    @per_machine(*BOTH)
    def test_fifty_lines_at_once_lose_nothing(self, machine):
        # Sent before the guest reads at all: the input ring holds 256 characters, the rest waits with the sender.
        with VM(machine, disk=self.disk) as vm:
            self.addCleanup(vm.process.kill)
            vm.send("".join(f"echo number {i:03} of fifty lines\n" for i in range(50)) + "cat tall.txt\nls -l\necho the end\n")
            vm.wait(b"\r\nthe end\r\n", 60)
            said = re.findall(rb"(?<!echo )number (\d+) of fifty lines\r\n", INTRUDER.sub(b"", vm.output))
            self.assertEqual([int(n) for n in said], list(range(50)))

    @per_machine(*BOTH)
    def test_noise_on_the_line_is_survived(self, machine):
        with self.vm(machine) as vm:
            every = bytes(b for b in range(256) if b not in (0x0a, 0x0d))   # a line of it would only be a command
            for noise in (every, every[::-1], b"\x1b[999;999H\x1b[", b"\x1bO\x1b\x1b[3~\x1b[1;5D", b"a" * 5000, b"\t" * 20,
                          b"\xff\x00" * 300, bytes(range(256)) * 4):
                vm.send(noise + b"\x03")
            vm.send("x\x03echo still\\ here\r")
            vm.wait(b"\r\nstill here\r\n")
            vm.wait(PROMPT)
            self.assertEqual(vm.shell("pwd"), "/\n")

    @per_machine(*BOTH)
    def test_big_and_binary_files_and_control_c(self, machine):
        with self.vm(machine, disk=self.odd) as vm:
            vm.send("cat binary\r")
            vm.wait(PROMPT)
            self.assertEqual(vm.output.count(b"\xfc\xfd\xfe\xff"), 64)
            names = vm.shell("ls many").split()
            self.assertEqual(names, [f"{i:04}" for i in range(500)])
            for command, proof in (("cat long", b"x" * 1000), ("ls -l many", b"0007"), ("ping -c 1000 127.0.0.1", b"seq=1")):
                vm.send(command + "\r")
                vm.wait(proof)
                vm.send("\x03")
                vm.wait(b"^C\r\n")
                vm.wait(PROMPT)
            self.assertEqual(vm.shell("pwd"), "/\n")

    @per_machine(*BOTH)
    def test_bad_options_of_ping(self, machine):
        with self.vm(machine) as vm:
            for bad in ("", "-c", "-c 0 10.0.2.2", "-c x 10.0.2.2", "-s -1 10.0.2.2", "-z 1 10.0.2.2", "-c 99999999999999999999 10.0.2.2",
                        "10.0.2.2 10.0.2.3", "-c 1"):
                with self.subTest(bad):
                    self.assertRegex(vm.shell(f"ping {bad}".strip()), r"^usage: ping \[-c COUNT\]")
            self.assertIn("is not an address", vm.shell("ping -c 1 10.0.2.256"))

    @per_machine(*BOTH)
    def test_panic_halts_or_reboots_as_told(self, machine):
        for action in ("halt", "reboot"):
            with self.subTest(action), self.vm(machine, append=f"panic={action}") as vm:
                vm.send("panic\n")
                vm.wait(b"RINGLET PANIC", panic_is_failure=False)
                if action == "reboot":   # -no-reboot: the reset ends QEMU
                    self.assertEqual(vm.exit_status(), 0)
                    continue
                vm.wait(re.compile(rb"#\d+ \S*Shell::run"), panic_is_failure=False)
                time.sleep(1)
                self.assertIsNone(vm.process.poll())


if __name__ == "__main__":
    main()
