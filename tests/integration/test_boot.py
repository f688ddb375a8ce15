#!/usr/bin/env python3
"""From power-on to a shell on every machine: with little and much memory, with and without devices, with odd disks."""

import os
import re
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import VM  # noqa: E402

EVERYWHERE = ("q35", "pc", "microvm", "virt", "virt-gicv3", "virt-mmio")


@expand
class Boot(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        cls.disk = cls.work.ext4("www.img", cls.work.tree("www", {"index.html": b"<p>it works</p>\n", "hello.txt": b"hello\n"}), "16M")

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    def vm(self, machine, **options):
        vm = VM(machine, **options)
        self.addCleanup(vm.process.kill)
        return vm

    def serves(self, vm):
        vm.wait(b"httpd: serving")
        with urllib.request.urlopen(vm.url(), timeout=20) as answer:
            self.assertEqual(answer.read(), b"<p>it works</p>\n")

    @per_machine(*EVERYWHERE)
    def test_boots_serves_and_powers_off(self, machine):
        with self.vm(machine, disk=self.disk) as vm:
            vm.ready()
            self.serves(vm)
            self.assertIn("hello\n", vm.shell("cat /hello.txt"))
            vm.send("poweroff\n")
            self.assertEqual(vm.exit_status(), 0)

    @per_machine("q35", "pc", "virt", "virt-gicv3")
    def test_the_power_button_ends_the_run_in_order(self, machine):
        disk = self.work.ext4(f"{machine}-button.img", size="32M")
        with self.vm(machine, extra=["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={disk}", "-device",
                                     "virtio-blk-pci,drive=d"]) as vm:
            vm.ready()
            vm.shell("write /kept by the button")
            vm.qmp_command("system_powerdown")
            vm.wait(b"the power button was pressed")
            self.assertEqual(vm.exit_status(), 0)
        self.assertEqual(subprocess.run(["e2fsck", "-fn", disk], capture_output=True, timeout=60).returncode, 0)
        self.assertEqual(subprocess.run(["debugfs", "-R", "cat /kept", disk], capture_output=True, timeout=60).stdout, b"by the button\n")

    @per_machine("q35", "pc", "microvm", "virt", "virt-gicv3")
    def test_reboots(self, machine):
        # -no-reboot turns the guest's reset into the end of QEMU.
        with self.vm(machine) as vm:
            vm.ready()
            vm.send("reboot\n")
            self.assertEqual(vm.exit_status(), 0)
            self.assertIn(b"rebooting", vm.output)

    @per_machine("q35", "microvm", "virt")
    def test_any_memory_size(self, machine):
        sizes = ["4M", "8M", "64M", "1G", "4G"]
        for size in sizes:
            with self.subTest(size), self.vm(machine, memory=size, disk=self.disk) as vm:
                vm.ready()
                self.serves(vm)
                total = int(re.search(r"Memory\s+(\d+) KiB", vm.shell("free")).group(1)) / 1024
                wanted = float(size[:-1]) * (1024 if size[-1] == "G" else 1)
                self.assertGreater(total, wanted * 0.95 - 2)
                self.assertLessEqual(total, wanted)

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_no_disk(self, machine):
        with self.vm(machine) as vm:
            vm.ready()
            vm.wait(b":80/")  # its line may come in the middle of an answer otherwise
            self.assertIn("no disk", vm.shell("dmesg"))
            self.assertIn("memfs on /", vm.shell("mount"))

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_no_nic(self, machine):
        with self.vm(machine, disk=self.disk, net=False) as vm:
            vm.ready()
            self.assertIn("no network", vm.shell("dmesg"))
            self.assertIn("hello\n", vm.shell("cat /hello.txt"))
            self.assertIn("no network interface", vm.shell("ip"))
            self.assertIn("1 of 1 answered", vm.shell("ping -c 1 127.0.0.1"))

    @per_machine("q35", "virt")
    def test_an_empty_disk_is_named_as_such(self, machine):
        empty = self.work.file("empty.img")
        with open(empty, "wb") as f:
            f.truncate(1 << 20)
        with self.vm(machine, disk=empty) as vm:
            vm.ready()
            self.assertRegex(vm.shell("dmesg"), r"vda.*no filesystem")
            self.assertIn("memfs on /", vm.shell("mount"))

    @per_machine("q35", "virt")
    def test_an_unknown_incompatible_feature_is_refused_by_name(self, machine):
        image = self.work.ext4("encrypted.img", None, "16M", ["-O", "encrypt"])
        with self.vm(machine, disk=image) as vm:
            vm.ready()
            self.assertRegex(vm.shell("dmesg"), r"vda.*encrypt")
            vm.shell("ls /")
        subprocess.run(["debugfs", "-w", "-R", "ssv feature_incompat 0x80000242", image], check=True, capture_output=True)
        with self.vm(machine, disk=image) as vm:
            vm.ready()
            self.assertRegex(vm.shell("dmesg"), r"vda.*unsupported feature")

    @per_machine("q35", "virt")
    def test_partitions(self, machine):
        for label in ("gpt", "dos"):
            image = self.work.partitioned(f"{label}.img", self.disk, label)
            with self.subTest(label), self.vm(machine, disk=image) as vm:
                vm.ready()
                self.assertIn("hello\n", vm.shell("cat /hello.txt"))

    @per_machine("q35", "virt")
    def test_behind_a_root_port(self, machine):
        extra = ["-device", "pcie-root-port,id=p1,chassis=1", "-device", "pcie-root-port,id=p2,chassis=2",
                 "-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:80", "-device", "virtio-net-pci,netdev=n0,bus=p1",
                 "-drive", f"if=none,id=d0,format=raw,file={self.disk},snapshot=on", "-device", "virtio-blk-pci,drive=d0,bus=p2"]
        with self.vm(machine, net=False, extra=extra) as vm:
            vm.ready()
            self.serves(vm)

    @per_machine("q35", "virt")
    def test_without_message_interrupts(self, machine):
        extra = ["-global", "virtio-net-pci.vectors=0", "-global", "virtio-blk-pci.vectors=0"]
        with self.vm(machine, disk=self.disk, extra=extra) as vm:
            vm.ready()
            self.serves(vm)
            self.assertIn("line", vm.shell("virtio"))

    @per_machine("q35", "virt")
    def test_a_static_address(self, machine):
        with self.vm(machine, disk=self.disk, append="ip=10.0.2.77/24,10.0.2.2") as vm:
            vm.ready()
            vm.wait(b"httpd: serving / on http://10.0.2.77")
            self.assertIn("1 of 1 answered", vm.shell("ping -c 1 10.0.2.2"))

    @per_machine("q35", "virt")
    def test_no_address_when_told(self, machine):
        with self.vm(machine, disk=self.disk, append="ip=off") as vm:
            vm.ready()
            self.assertNotIn("inet ", vm.shell("ip"))
            self.assertIn("hello", vm.shell("cat /hello.txt"))

    @per_machine("q35", "virt")
    def test_the_fixed_address_when_no_dhcp_server_answers(self, machine):
        # A link to nowhere: datagrams to a port of this machine where nobody listens.
        bus = "pci"
        extra = ["-netdev", "dgram,id=n0,local.type=inet,local.host=127.0.0.1,local.port=0,"
                 "remote.type=inet,remote.host=127.0.0.1,remote.port=9", "-device", f"virtio-net-{bus},netdev=n0"]
        with self.vm(machine, disk=self.disk, net=False, extra=extra, append="ip=dhcp,10.0.2.78/24,10.0.2.2") as vm:
            vm.ready(settle=rb"main\(\) \d+ cycles[^\n]*\n")
            self.assertIn("no address yet", vm.shell("ip"))
            deadline = time.monotonic() + 40
            while "inet 10.0.2.78/24 gateway 10.0.2.2" not in (shown := vm.shell("ip")):
                self.assertLess(time.monotonic(), deadline, shown)
                time.sleep(1)
            self.assertIn("no answer: the fixed address is used", shown)

    @per_machine("q35", "virt")
    def test_the_root_is_chosen_among_two_disks(self, machine):
        other = self.work.ext4("other.img", self.work.tree("other", {"other.txt": b"the other\n"}), "16M")
        for root, name, text in (("", "hello.txt", "hello\n"), ("root=vda", "hello.txt", "hello\n"),
                                 ("root=vdb", "other.txt", "the other\n")):
            with self.subTest(root), self.vm(machine, disk=[self.disk, other], append=root) as vm:
                vm.ready()
                self.assertEqual(vm.shell(f"cat /{name}"), text)
                self.assertIn("vdb", vm.shell("virtio"))

    @per_machine("q35", "virt")
    def test_more_interfaces_and_devices_than_there_are_drivers(self, machine):
        extra = ["-device", "virtio-balloon-pci"]
        for i in range(1, 6):
            extra += ["-netdev", f"user,id=n{i},net=10.0.{10 + i}.0/24", "-device", f"virtio-net-pci,netdev=n{i}"]
        with self.vm(machine, disk=self.disk, extra=extra, append="loglevel=debug wrong=1 wrong=2") as vm:
            vm.ready()
            self.serves(vm)
            log = vm.shell("dmesg")
            self.assertEqual(len(re.findall(r"net4: left alone, there are 4 network interfaces already", log)), 2)
            self.assertIn("virtio device type 5 has no driver", log)
            self.assertRegex(log, r"unknown: wrong\n")

    @per_machine("virt")
    def test_entry_at_el2(self, machine):
        with self.vm(machine, disk=self.disk, extra=["-M", "virt,virtualization=on"]) as vm:
            vm.ready()
            self.serves(vm)

    @per_machine("q35")
    def test_bad_command_lines_are_named_and_survived(self, machine):
        with self.vm(machine, disk=self.disk, append="ip=999.1.1.1 nonsense=1 loglevel=loud root=vdz9") as vm:
            vm.ready()
            log = vm.shell("dmesg")
            for word in ("ip=", "nonsense", "loglevel", "vdz9"):
                self.assertIn(word, log)


if __name__ == "__main__":
    main()
