#!/usr/bin/env python3
"""The entropy device: asked once at boot, never waited for."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import MACHINES, VM  # noqa: E402


def rng(machine, backend="rng-random,filename=/dev/urandom", options=""):
    suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
    return ["-object", f"{backend},id=r0", "-device", f"virtio-rng-{suffix},rng=r0{options}"]


@expand
class Rng(unittest.TestCase):
    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_entropy_arrives_once_at_boot(self, machine):
        with VM(machine, net=False, extra=rng(machine)) as vm:
            vm.ready(settle=rb"\A")
            text = vm.shell("virtio rng0")
            self.assertRegex(text, r"kicks 1, late 0, suppressed 0, interrupts 1, spurious 0, ring full 0, bad used 0")
            self.assertRegex(text, r"0 of 4 in flight")
            self.assertIn("version_1", text)

    @per_machine("q35", "virt")
    def test_a_rate_limit_delays_nothing(self, machine):
        # Two bytes a minute: the rest of the request is answered short.
        with VM(machine, net=False, extra=rng(machine, options=",max-bytes=2,period=60000")) as vm:
            vm.ready(settle=rb"\A")
            self.assertRegex(vm.shell("virtio rng0"), r"0 of 4 in flight\n.*bad used 0")

    @per_machine("q35", "virt")
    def test_a_silent_device_delays_nothing(self, machine):
        # The backend waits for a peer that never says anything.
        silent = ["-chardev", "socket,id=c0,host=127.0.0.1,port=0,server=on,wait=off"]
        with VM(machine, net=False, extra=[*silent, *rng(machine, "rng-egd,chardev=c0")]) as vm:
            vm.ready(settle=rb"\A")
            booted = float(re.findall(r"\[ *(\d+\.\d+)\]", vm.output.decode())[-1])
            self.assertLess(booted, 20)
            self.assertRegex(vm.shell("virtio rng0"), r"1 of 4 in flight\n.*kicks 1, ")


if __name__ == "__main__":
    main()
