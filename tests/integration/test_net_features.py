#!/usr/bin/env python3
"""The network device's features in QEMU: filters and modes as QEMU sees them, link changes under a live connection, queue
pairs, and with a tap device checksum and segmentation offload in both directions.

GUEST_ANNOUNCE is not asked for here: QEMU sets the status bit only after a migration. The host tests do."""

import hashlib
import os
import socket
import subprocess
import sys
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import MACHINES, VM  # noqa: E402

BOTH = ("q35", "virt")
TAP = "ringlet-t0"


def user_net(machine, options=""):
    suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
    return ["-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:80", "-device", f"virtio-net-{suffix},netdev=n0,id=nic0{options}"]


def nic(machine, options="", append=""):
    return VM(machine, net=False, appliance="nic", extra=user_net(machine, options), append=append)


def rx_filter(vm):
    return vm.qmp_command("query-rx-filter", name="nic0")[0]


def values(vm):
    return {k: int(v) for k, v in (line.split() for line in vm.shell("values").splitlines() if line)}


def can_tap():
    if os.geteuid() != 0 or not os.path.exists("/dev/net/tun"):
        return False
    return subprocess.run(["unshare", "-n", "ip", "tuntap", "add", "dev", TAP, "mode", "tap"], capture_output=True).returncode == 0


@expand
class ControlQueue(unittest.TestCase):
    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_filters_and_modes_are_what_qemu_sees(self, machine):
        with nic(machine) as vm:
            vm.ready()
            before = rx_filter(vm)
            self.assertFalse(before["promiscuous"])
            self.assertEqual(before["vlan"], "none")
            self.assertEqual(vm.shell("nic macs 1 2 -3"), "ok\n")
            self.assertEqual(vm.shell("nic vlan 7"), "ok\n")
            self.assertEqual(vm.shell("nic vlan 4094"), "ok\n")
            seen = rx_filter(vm)
            self.assertEqual(sorted(seen["unicast-table"]), ["02:00:00:00:00:01", "02:00:00:00:00:02"])
            self.assertEqual(seen["multicast-table"], ["01:00:5e:00:00:03"])
            self.assertEqual(sorted(seen["vlan-table"]), [7, 4094])
            self.assertEqual(vm.shell("nic unvlan 7"), "ok\n")
            self.assertEqual(vm.shell("nic mode pB"), "ok\n")
            seen = rx_filter(vm)
            self.assertTrue(seen["promiscuous"])
            # QEMU 7.2 reports NOBCAST itself under this name; only that it changed is certain.
            self.assertNotEqual(seen["broadcast-allowed"], before["broadcast-allowed"])
            self.assertEqual(seen["vlan-table"], [4094])
            self.assertEqual(vm.shell("nic mode m"), "ok\n")
            seen = rx_filter(vm)
            self.assertFalse(seen["promiscuous"])
            self.assertEqual(seen["broadcast-allowed"], before["broadcast-allowed"])
            self.assertEqual(seen["multicast"], "all")
            self.assertEqual(vm.shell("nic mac 9"), "ok\n")
            self.assertEqual(rx_filter(vm)["main-mac"], "02:00:00:00:00:09")
            # The stack follows: the host hears of it, and answers reach the new address.
            self.assertIn("02:00:00:00:00:09", vm.shell("ip"))
            self.assertIn("3 of 3 answered", vm.shell("ping -c 3 10.0.2.2"))
            with urllib.request.urlopen(vm.url("/"), timeout=20) as answer:
                self.assertEqual(answer.status, 200)
            self.assertIn("failed", vm.shell("nic vlan 4095"))
            counted = values(vm)
            self.assertEqual(counted["ctrl_refused"], 0)
            self.assertEqual(counted["ctrl_timeouts"], 0)

    @per_machine(*BOTH)
    def test_a_link_that_goes_down_keeps_its_connection(self, machine):
        with nic(machine) as vm:
            vm.ready()
            with socket.create_connection(("127.0.0.1", vm.port()), timeout=30) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                self.assertIn(b"200 OK", s.recv(65536))
                vm.qmp_command("set_link", name="nic0", up=False)
                time.sleep(1)
                self.assertEqual(values(vm)["link_up"], 0)
                s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                time.sleep(1)
                vm.qmp_command("set_link", name="nic0", up=True)
                got = b""
                while b"200 OK" not in got:
                    piece = s.recv(65536)
                    self.assertTrue(piece, "the connection was lost")
                    got += piece
            counted = values(vm)
            self.assertEqual(counted["link_up"], 1)
            self.assertEqual(counted["link_changes"], 2)

    @per_machine("q35")
    def test_speed_and_duplex(self, machine):
        with nic(machine, ",speed=2500,duplex=full") as vm:
            vm.ready()
            counted = values(vm)
            self.assertEqual((counted["speed_mbps"], counted["full_duplex"]), (2500, 1))


class Tap:
    """A network namespace with a tap device at 10.9.0.1; the guest is 10.9.0.2."""

    def __init__(self):
        self.name = f"ringlet-{os.getpid()}"
        self.inside = ["ip", "netns", "exec", self.name]
        self.run("ip", "netns", "add", self.name)
        for line in ("ip link set lo up", f"ip tuntap add dev {TAP} mode tap vnet_hdr",
                     f"ip addr add 10.9.0.1/24 dev {TAP}", f"ip link set {TAP} up"):
            self.run(*self.inside, *line.split())

    @staticmethod
    def run(*command):
        subprocess.run(command, check=True, capture_output=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True)


class TapVM(VM):
    """QEMU inside the namespace: a tap device belongs to it."""

    def __init__(self, machine, tap, options="", append="", **more):
        suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
        popen = subprocess.Popen
        subprocess.Popen = lambda command, **kw: popen([*tap.inside, *command], **kw)
        try:
            super().__init__(machine, net=False, appliance="nic", append=f"ip=10.9.0.2/24 {append}",
                             extra=["-netdev", f"tap,id=n0,ifname={TAP},script=no,downscript=no,vnet_hdr=on",
                                    "-device", f"virtio-net-{suffix},netdev=n0,id=nic0{options}"], **more)
        finally:
            subprocess.Popen = popen


@expand
@unittest.skipUnless(can_tap(), "needs root and /dev/net/tun")
class Offload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()
        cls.content = os.urandom(16 << 20)
        cls.sum = hashlib.sha256(cls.content).hexdigest()
        cls.disk = cls.space.ext4("big.img", cls.space.tree("big", {"big.bin": cls.content}))

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    @staticmethod
    def evidence(vm, tap):
        """Of a transfer that does not end: both sides' view of it."""
        sides = [subprocess.run([*tap.inside, *what], capture_output=True, text=True).stdout
                 for what in (("ss", "-tnoi"), ("ip", "-s", "neigh"), ("ip", "-s", "link"))]
        return "\n".join([*sides, *(vm.shell(what) for what in ("connections", "virtio net0", "virtio vda", "values")), vm.tail()])

    def fetch(self, machine, options="", append=""):
        with Tap() as tap, TapVM(machine, tap, options, append, disk=self.disk) as vm:
            vm.ready()
            for _ in range(2):
                curl = subprocess.run([*tap.inside, "curl", "-sS", "--max-time", "60", "http://10.9.0.2/big.bin"],
                                      capture_output=True)
                got = curl.stdout
                if curl.returncode != 0:
                    self.fail(f"{curl.stderr} after {len(got)} bytes\n{self.evidence(vm, tap)}")
                self.assertEqual(hashlib.sha256(got).hexdigest(), self.sum)
            ping = subprocess.run([*tap.inside, "ping", "-c", "3", "-s", "1400", "10.9.0.2"], capture_output=True)
            self.assertEqual(ping.returncode, 0)
            # A request of many segments: it comes merged where GUEST_TSO was agreed.
            long = subprocess.run([*tap.inside, "curl", "-sS", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code}",
                                   "--data-binary", "@-", "http://10.9.0.2/"], input=self.content[:1 << 20],
                                  capture_output=True)
            self.assertIn(long.stdout[:1], (b"2", b"4", b"5"))
            return values(vm)

    @per_machine(*BOTH)
    def test_segments_and_checksums_both_ways(self, machine):
        counted = self.fetch(machine)
        self.assertGreater(counted["txq0.tso"], 100)
        self.assertGreater(counted["txq0.csum"], 100)
        self.assertGreater(counted["rxq0.csum"], 0)
        self.assertEqual(counted["tx_dropped"], 0)
        self.assertEqual(counted["rxq0.iqdrops"], 0)

    @per_machine(*BOTH)
    def test_without_merged_buffers(self, machine):
        counted = self.fetch(machine, ",mrg_rxbuf=off")
        self.assertEqual(counted["rxq0.iqdrops"], 0)

    @per_machine("q35")
    def test_tunables_take_offload_away(self, machine):
        counted = self.fetch(machine, append="hw.vtnet.csum_disable=1")
        self.assertEqual((counted["txq0.tso"], counted["txq0.csum"], counted["rxq0.csum"]), (0, 0, 0))
        counted = self.fetch(machine, append="hw.vtnet.tso_disable=1 hw.vtnet.lro_disable=1")
        self.assertEqual((counted["txq0.tso"], counted["rxq0.host_lro"]), (0, 0))
        self.assertGreater(counted["txq0.csum"], 100)


if __name__ == "__main__":
    main()
