#!/usr/bin/env python3
"""The memory balloon: pages really leave QEMU's process, come back, and memory stays whole meanwhile."""

import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import MACHINES, VM  # noqa: E402

MIB = 1 << 20
B0 = "/machine/peripheral/b0"


class Memory(VM):
    def __init__(self, machine, memory=256, options="", extra=(), append="", disk=()):
        suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
        self.trace = extra
        super().__init__(machine, memory=f"{memory}M", net=False, appliance="memory",
                         append=append, extra=["-device", f"virtio-balloon-{suffix},id=b0{options}", *extra, *disk], check_log=not extra)

    def ask(self, line, timeout=60):
        self.send(line + "\n")
        return self.wait(re.compile(rb"[^\n]+\n"), timeout).decode().strip()

    def values(self):
        return {k: int(v) for k, v in re.findall(r"(\S+)=(\d+)", self.ask("balloon"))}

    def cache(self):
        self.send("disks\n")
        return {k: int(v) for k, v in re.findall(r"\n  (\w+) +(\d+)", self.wait(re.compile(rb"\nok\r?\n"), 60).decode().replace("\r", ""))}

    def rss(self):
        return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{self.process.pid}/status").read()).group(1)) // 1024

    def actual(self):
        return self.qmp_command("query-balloon")["actual"] / MIB

    def until(self, what, timeout=30):
        deadline = time.monotonic() + timeout
        while not what():
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {timeout} s: {self.values()}, actual {self.actual()} MiB, RSS {self.rss()}")
            time.sleep(0.1)


@expand
class Balloon(unittest.TestCase):
    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_pages_leave_and_come_back(self, machine):
        with Memory(machine) as vm:
            vm.said(b"memory: ready")
            vm.wait(b"memory: ready\r\n")
            self.assertEqual(vm.ask("take 160"), "took 160")
            full = vm.rss()
            self.assertEqual(vm.ask("drop"), "ok")
            self.assertGreater(vm.rss(), full - 20)   # the host knows nothing of it yet
            vm.qmp_command("balloon", value=96 * MIB)
            vm.until(lambda: vm.actual() == 96)
            self.assertLess(vm.rss(), full - 100)
            vm.qmp_command("balloon", value=256 * MIB)
            vm.until(lambda: vm.actual() == 256)
            self.assertEqual(vm.ask("take 160"), "took 160")
            self.assertEqual(vm.ask("check"), "ok")

    @per_machine("q35", "virt")
    def test_256_mib_take_few_kicks_and_interrupts(self, machine):
        names = ("virtio_queue_notify", "virtio_notify", "virtio_balloon_set_config")
        trace = [word for name in names for word in ("-trace", name)]
        with Memory(machine, memory=512, extra=trace) as vm:
            vm.wait(b"memory: ready\r\n")
            vm.until(lambda: vm.actual() == 512)
            open(vm.log, "w").close()
            vm.qmp_command("balloon", value=256 * MIB)
            vm.until(lambda: vm.actual() == 256)
            log = open(vm.log, errors="replace").read()
            kicks, interrupts, writes = (log.count(name + " ") for name in names)
            print(f"    {machine}: 256 MiB in {kicks} kicks, {interrupts} interrupts, {writes} writes of actual")
            self.assertLessEqual(kicks, 8)
            self.assertLessEqual(interrupts, 8)
            self.assertLessEqual(writes, 8)

    @per_machine("q35", "virt")
    def test_statistics(self, machine):
        with Memory(machine) as vm:
            vm.wait(b"memory: ready\r\n")
            vm.qmp_command("qom-set", path=B0, property="guest-stats-polling-interval", value=1)
            stats = {}

            def told():
                stats.update(vm.qmp_command("qom-get", path=B0, property="guest-stats")["stats"])
                return 0 < stats["stat-free-memory"] < 1 << 40
            vm.until(told)
            self.assertGreater(stats["stat-total-memory"], 240 * MIB)
            self.assertLessEqual(stats["stat-free-memory"], stats["stat-total-memory"])
            self.assertEqual(stats["stat-swap-in"], 0)
            before = stats["stat-free-memory"]
            self.assertEqual(vm.ask("take 50"), "took 50")
            vm.until(lambda: told() and stats["stat-free-memory"] < before - 49 * MIB)

    @per_machine("q35", "virt")
    def test_the_floor_keeps_the_kernel_alive(self, machine):
        with Memory(machine, memory=64) as vm:
            vm.wait(b"memory: ready\r\n")
            vm.qmp_command("balloon", value=MIB)
            vm.until(lambda: vm.values()["refused"] > 0)
            self.assertGreater(vm.actual(), 4)
            self.assertEqual(vm.ask("take 1"), "took 1")
            self.assertEqual(vm.ask("check"), "ok")

    @per_machine("q35", "virt")
    def test_the_block_cache_gives_way_and_grows_again(self, machine):
        space = Workspace()
        self.addCleanup(space.close)
        image = space.ext4("d.img", space.tree("tree", {"f": b""}), size="64M")
        disk = ["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={image}", "-device", "virtio-blk-pci,drive=d"]
        with Memory(machine, memory=128, disk=disk) as vm:
            vm.wait(b"memory: ready\r\n")
            floor, most = 1 << 20, 4 << 20
            self.assertEqual(vm.ask("write /a 12"), "ok")
            self.assertEqual(vm.cache()["bytes"], most)
            # The host wants more than there is: the cache falls to what a journal needs, and files are written all the same.
            vm.qmp_command("balloon", value=MIB)
            vm.until(lambda: vm.cache()["bytes"] <= floor)
            self.assertGreaterEqual(vm.cache()["given_back"], most - floor)
            self.assertEqual(vm.ask("write /b 12"), "ok")
            self.assertEqual(vm.ask("read /a"), "ok")
            self.assertLessEqual(vm.cache()["bytes"], floor)
            vm.qmp_command("balloon", value=128 * MIB)
            vm.until(lambda: vm.actual() == 128)

            def grown():
                self.assertEqual(vm.ask("read /b"), "ok")
                return vm.cache()["bytes"] == most
            vm.until(grown)
            # So does a heap that finds nothing.
            took = int(vm.ask("take 200").split()[1])
            self.assertGreater(took, 100)
            self.assertLessEqual(vm.cache()["bytes"], floor)
            self.assertEqual(vm.ask("write /c 3"), "ok")
            self.assertEqual(vm.ask("check"), "ok")
            self.assertEqual(vm.ask("drop"), "ok")
            vm.until(grown)
            self.assertEqual(vm.ask("read /c"), "ok")
            self.assertEqual(vm.cache()["errors"], 0)
            vm.send("off\n")
            self.assertEqual(vm.exit_status(), 0)
        done = subprocess.run(["e2fsck", "-fn", image], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)

    @per_machine("q35", "virt")
    def test_a_shortage_takes_memory_back_only_if_agreed(self, machine):
        for agreed in (False, True):
            with self.subTest(agreed=agreed), Memory(machine, options=",deflate-on-oom=on" if agreed else "") as vm:
                vm.wait(b"memory: ready\r\n")
                vm.qmp_command("balloon", value=100 * MIB)
                vm.until(lambda: vm.actual() == 100)
                took = int(vm.ask("take 200").split()[1])
                if agreed:
                    self.assertEqual(took, 200)
                    self.assertGreater(vm.values()["oom_deflated"], 100 * 256)
                    vm.until(lambda: vm.actual() > 200)
                else:
                    self.assertLess(took, 100)
                    self.assertEqual(vm.actual(), 100)
                self.assertEqual(vm.ask("check"), "ok")

    @per_machine("q35", "virt")
    def test_free_memory_is_reported(self, machine):
        with Memory(machine, options=",free-page-reporting=on") as vm:
            vm.wait(b"memory: ready\r\n")
            self.assertEqual(vm.ask("take 160"), "took 160")
            full = vm.rss()
            self.assertEqual(vm.ask("check"), "ok")
            self.assertEqual(vm.ask("drop"), "ok")
            vm.until(lambda: vm.rss() < full - 130)
            self.assertEqual(vm.ask("take 160"), "took 160")
            self.assertEqual(vm.ask("check"), "ok")

    @per_machine("q35", "virt")
    def test_poisoned_pages_leave_and_come_back_poisoned(self, machine):
        with Memory(machine, options=",free-page-reporting=on", append="page_poison=1") as vm:
            vm.wait(b"memory: ready\r\n")
            self.assertEqual(vm.values()["poison"], 0xaaaaaaaa)
            self.assertEqual(vm.ask("take 160"), "took 160")
            self.assertEqual(vm.ask("drop"), "ok")
            vm.qmp_command("balloon", value=96 * MIB)
            vm.until(lambda: vm.actual() == 96)
            vm.qmp_command("balloon", value=256 * MIB)
            vm.until(lambda: vm.actual() == 256)
            self.assertEqual(vm.ask("take 160"), "took 160")
            self.assertEqual(vm.ask("check"), "ok")
            self.assertNotIn(b"written to", vm.output)

    @per_machine("q35", "virt")
    def test_a_write_to_freed_memory_is_found(self, machine):
        with Memory(machine, append="page_poison=1") as vm:
            vm.wait(b"memory: ready\r\n")
            self.assertEqual(vm.ask("spoil"), "ok")
            vm.ask("take 250")
            vm.said(b"free memory was written to at 0x")


if __name__ == "__main__":
    main()
