#!/usr/bin/env python3
"""The network device's features in QEMU: filters and modes as QEMU sees them, link changes under a live connection, queue
pairs, steering, devices that want a reset, and with a tap device checksum and segmentation offload in both directions."""

import hashlib
import os
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from tap import Tap, needs_tap  # noqa: E402
from vm import MACHINES, VM, TapVM  # noqa: E402

BOTH = ("q35", "virt")
# Ethernet to all, ARP, from 10.0.2.15 for 10.0.2.15: what QEMU's user network gives the guest.
GRATUITOUS_ARP = re.compile(rb"\xff{6}.{6}\x08\x06\x00\x01\x08\x00\x06\x04\x00.{7}\x0a\x00\x02\x0f.{6}\x0a\x00\x02\x0f", re.S)


def user_net(machine, options=""):
    suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
    return ["-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:80", "-device", f"virtio-net-{suffix},netdev=n0,id=nic0{options}"]


def nic(machine, options="", append="", extra=()):
    return VM(machine, net=False, appliance="nic", extra=user_net(machine, options) + list(extra), append=append)


def rx_filter(vm):
    return vm.qmp_command("query-rx-filter", name="nic0")[0]


def values(vm):
    return {k: int(v) for k, v in (line.split() for line in vm.shell("values").splitlines() if line)}


def in_use(vm):
    """The names of the features that were agreed."""
    words = vm.shell("virtio net0 features").split()
    return {w[:-1] for w in words if w.endswith("*")}


class Debugger:
    """QEMU's gdb stub, to change the guest's memory behind its back."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringlet-gdb-")
        self.path = os.path.join(self.folder.name, "gdb")
        self.option = ["-gdb", f"unix:{self.path},server=on,wait=off"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()

    def write(self, address, data):
        """`data` to the physical `address`; the guest stands still meanwhile."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.path)
            for command in ("Qqemu.PhyMemMode:1", f"M{address:x},{len(data):x}:{data.hex()}"):
                s.sendall(b"+$" + command.encode() + b"#%02x" % (sum(command.encode()) & 0xff))
                answer = b""
                while not re.search(rb"\$OK#..", answer):
                    piece = s.recv(4096)
                    if not piece or re.search(rb"\$(E..)?#..", answer + piece):
                        raise AssertionError(f"the debugger said {answer + piece}")
                    answer += piece
            s.sendall(b"+$D#44")
            s.recv(16)


def announced(dump):
    with open(dump, "rb") as f:
        return len(GRATUITOUS_ARP.findall(f.read()))


def spoil_receive_ring(vm, debugger):
    """Every posted descriptor becomes one that QEMU must refuse (its next one does not exist): at the next frame the
    device wants a reset. QEMU forgets that when the frame comes while the guest stands still, hence the pause: its user network
    still acknowledges the answer."""
    time.sleep(0.5)
    path = next(d["path"] for d in vm.qmp_command("x-query-virtio") if d["name"] == "virtio-net")
    queue = vm.qmp_command("x-query-virtio-queue-status", path=path, queue=0)
    debugger.write(queue["vring-desc"], struct.pack("<QIHH", 0x1000, 1, 3, 0xffff) * queue["vring-num"])


def request(s):
    s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def answer(s):
    got = b""
    while b"200 OK" not in got:
        piece = s.recv(65536)
        if not piece:
            raise AssertionError("the connection was lost")
        got += piece


@expand
class ControlQueue(unittest.TestCase):
    def change(self, vm, *settings):
        for setting in settings:
            self.assertEqual(vm.shell(f"link {setting}"), "", setting)

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_filters_and_modes_are_what_qemu_sees(self, machine):
        with nic(machine) as vm:
            vm.ready()
            before = rx_filter(vm)
            self.assertFalse(before["promiscuous"])
            self.assertEqual(before["vlan"], "none")
            self.assertIn("receives: own address allmulti\n", vm.shell("link"))   # groups are the stack's to choose
            self.change(vm, "promisc on", "nobcast on", "vlan 7 on", "vlan 4094 on", "vlan 7 off",
                        "filter 02:00:00:00:00:01 01:00:5e:00:00:03 02:00:00:00:00:02")
            seen = rx_filter(vm)
            self.assertEqual(sorted(seen["unicast-table"]), ["02:00:00:00:00:01", "02:00:00:00:00:02"])
            self.assertEqual(seen["multicast-table"], ["01:00:5e:00:00:03"])
            self.assertEqual(seen["vlan-table"], [4094])
            self.assertTrue(seen["promiscuous"])
            # QEMU 7.2 reports NOBCAST itself under this name; only that it changed is certain.
            self.assertNotEqual(seen["broadcast-allowed"], before["broadcast-allowed"])
            shown = vm.shell("link")
            for text in ("receives: own address promisc allmulti nobcast\n", "vlans: 4094\n", "filter 02:00:00:00:00:01\n",
                         "filter 01:00:5e:00:00:03\n"):
                self.assertIn(text, shown)
            self.change(vm, "promisc off", "nobcast off", "mac 02:00:00:00:00:09")
            seen = rx_filter(vm)
            self.assertFalse(seen["promiscuous"])
            self.assertEqual(seen["broadcast-allowed"], before["broadcast-allowed"])
            self.assertEqual(seen["multicast"], "all")
            self.assertEqual(seen["main-mac"], "02:00:00:00:00:09")
            # The stack follows: the host hears of it, and answers reach the new address.
            end = time.monotonic() + 10
            while "02:00:00:00:00:09" not in (shown := vm.shell("ip")):
                self.assertLess(time.monotonic(), end, shown)
            self.assertIn("3 of 3 answered", vm.shell("ping -c 3 10.0.2.2"))
            with urllib.request.urlopen(vm.url("/"), timeout=20) as answer:
                self.assertEqual(answer.status, 200)
            for wrong in ("vlan 4095 on", "mac 01:00:5e:00:00:01", "mac 02:00", "promisc maybe", "coalesce 1 2 3 4", "pairs 2"):
                self.assertIn("link: ", vm.shell(f"link {wrong}"), wrong)
            self.assertIn("usage: link", vm.shell("link nonsense"))
            self.assertIn("link vlan ID on|off", vm.shell("link help"))
            counted = values(vm)
            self.assertEqual(counted["ctrl_refused"], 0)
            self.assertEqual(counted["ctrl_timeouts"], 0)

    @per_machine(*BOTH)
    def test_a_link_that_goes_down_keeps_its_connection(self, machine):
        with nic(machine) as vm:
            vm.ready()
            with socket.create_connection(("127.0.0.1", vm.port()), timeout=30) as s:
                request(s)
                answer(s)
                for _ in range(3):
                    vm.qmp_command("set_link", name="nic0", up=False)
                    time.sleep(1)
                    self.assertEqual(values(vm)["link_up"], 0)
                    self.assertIn("net0: down", vm.shell("link"))
                    request(s)
                    time.sleep(1)
                    vm.qmp_command("set_link", name="nic0", up=True)
                    answer(s)
            counted = values(vm)
            self.assertEqual(counted["link_up"], 1)
            self.assertEqual(counted["link_changes"], 6)

    @per_machine(*BOTH)
    def test_a_device_that_wants_a_reset_keeps_its_connection(self, machine):
        with Debugger() as debugger, nic(machine, extra=debugger.option) as vm:
            vm.ready()
            self.change(vm, "vlan 7 on")
            with socket.create_connection(("127.0.0.1", vm.port()), timeout=30) as s:
                request(s)
                answer(s)
                for round in range(1, 3):
                    spoil_receive_ring(vm, debugger)
                    request(s)
                    answer(s)
                    self.assertIn(f"recovered {round} times", vm.shell("virtio net0"))
            self.assertEqual(rx_filter(vm)["vlan-table"], [7])
            self.assertIn("1 of 1 answered", vm.shell("ping -c 1 10.0.2.2"))

    @per_machine("q35", "microvm", "virt-mmio")
    def test_an_announcement_is_made_and_acknowledged(self, machine):
        with tempfile.TemporaryDirectory(prefix="ringlet-pcap-") as folder:
            dump = os.path.join(folder, "frames")
            with nic(machine, extra=["-object", f"filter-dump,id=f0,netdev=n0,file={dump}"]) as vm:
                vm.ready()
                vm.shell("ping -c 1 10.0.2.2")
                before = announced(dump)
                vm.qmp_command("announce-self", initial=50, max=100, rounds=1, step=50)
                deadline = time.monotonic() + 20
                while values(vm)["announcements"] == 0 and time.monotonic() < deadline:
                    time.sleep(0.2)
                self.assertEqual(values(vm)["announcements"], 1)
                self.assertEqual(values(vm)["ctrl_refused"], 0)   # QEMU refuses an acknowledgement it has not asked for
                while announced(dump) == before and time.monotonic() < deadline:    # the driver knows before the stack has sent it
                    time.sleep(0.2)
                self.assertGreater(announced(dump), before)

    @per_machine("q35", "virt-mmio")
    def test_the_mtu_is_the_hosts(self, machine):
        for mtu in (1280, 576):
            with nic(machine, f",host_mtu={mtu}") as vm:
                vm.ready()
                self.assertEqual(values(vm)["mtu"], mtu)
                self.assertIn(f"mtu {mtu} ", vm.shell("ip"))
                self.assertIn("mtu", in_use(vm))
        for mtu in (9000, 575):   # more than our buffers hold, less than we send: must not be accepted
            with nic(machine, f",host_mtu={mtu}") as vm:
                vm.ready()
                self.assertEqual(values(vm)["mtu"], 1500)
                self.assertNotIn("mtu", in_use(vm))

    @per_machine("q35")
    def test_speed_and_duplex(self, machine):
        with nic(machine, ",speed=2500,duplex=full") as vm:
            vm.ready()
            counted = values(vm)
            self.assertEqual((counted["speed_mbps"], counted["full_duplex"]), (2500, 1))


@expand
@needs_tap
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

    def fetch(self, machine, device="", append=""):
        with Tap() as tap, TapVM(machine, tap, device, append, appliance="nic", disk=self.disk) as vm:
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
        counted = self.fetch(machine, "mrg_rxbuf=off")
        self.assertEqual(counted["rxq0.iqdrops"], 0)

    def several_at_once(self, tap, count):
        """
        `count` downloads at the same time, each its own flow, from ports that have nothing in common. Ports in a row,
        which Linux gives, differ in few bits, and one key of the Toeplitz hash in about sixty sends all of them to
        one queue.
        """
        running = [subprocess.Popen([*tap.inside, "curl", "-sS", "--max-time", "100", "--local-port", f"{port}-{port + 9}",
                                     "http://10.9.0.2/big.bin"], stdout=subprocess.PIPE)
                   for port in random.sample(range(10000, 60000, 10), count)]
        for curl in running:
            self.assertEqual(hashlib.sha256(curl.communicate()[0]).hexdigest(), self.sum)

    def pairs(self, machine, device):
        """Several queue pairs: four, then two, then four again, with traffic on each."""
        with Tap(queues=4) as tap, TapVM(machine, tap, device, appliance="nic", disk=self.disk) as vm:
            vm.ready()
            agreed = in_use(vm)
            counted = values(vm)
            self.assertEqual((counted["max_vq_pairs"], counted["act_vq_pairs"], counted["ctrl_refused"]), (4, 4, 0))
            self.assertIn("queue pairs: 4 of 4", vm.shell("link"))
            self.several_at_once(tap, 8)
            counted = values(vm)
            self.assertGreater(sum(counted[f"rxq{i}.ipackets"] > 20 for i in range(4)), 1, counted)
            self.assertGreater(sum(counted[f"txq{i}.opackets"] > 20 for i in range(4)), 1, counted)
            self.assertEqual(vm.shell("link pairs 2"), "")
            before = values(vm)
            self.several_at_once(tap, 3)
            counted = values(vm)
            self.assertEqual(counted["act_vq_pairs"], 2)
            for i in (2, 3):
                self.assertEqual(counted[f"txq{i}.opackets"], before[f"txq{i}.opackets"])
            self.assertEqual(vm.shell("link pairs 4"), "")
            self.several_at_once(tap, 1)
            self.assertEqual([values(vm)[name] for name in ("tx_dropped", "ctrl_refused", "ctrl_timeouts")], [0, 0, 0])
            return agreed

    @per_machine(*BOTH)
    def test_several_queue_pairs(self, machine):
        vectors = ",vectors=10" if machine != "virt-mmio" else ""
        self.assertIn("mq", self.pairs(machine, "mq=on" + vectors))

    @per_machine("q35", "virt-mmio")
    def test_steering_by_hash(self, machine):
        agreed = self.pairs(machine, "mq=on,rss=on,hash=on")
        self.assertLessEqual({"rss", "hash_report"}, agreed)

    @per_machine("q35")
    def test_receive_offloads_are_switched_while_it_runs(self, machine):
        with Tap() as tap, TapVM(machine, tap, appliance="nic") as vm:
            vm.ready()

            send = "import socket, sys; s = socket.create_connection(('10.9.0.2', 9), 60); s.sendall(sys.stdin.buffer.read()); " \
                   "s.shutdown(socket.SHUT_WR); s.recv(1)"

            def upload():
                before = values(vm)
                subprocess.run([*tap.inside, "python3", "-c", send], input=self.content[:1 << 20], check=True, timeout=60)
                counted = values(vm)
                return [counted[name] - before[name] for name in ("rxq0.host_lro", "rxq0.csum", "rxq0.ipackets")]

            merged, summed, _ = upload()
            self.assertGreater(merged, 0)   # how many depends on how fast the guest is
            self.assertGreater(summed, 0)
            self.assertEqual(vm.shell("offloads 0"), "ok\n")
            merged, summed, packets = upload()
            self.assertEqual((merged, summed), (0, 0))
            self.assertGreater(packets, 500)
            self.assertEqual(vm.shell(f"offloads {1 << 1 | 1 << 7}"), "ok\n")   # GUEST_CSUM, GUEST_TSO4
            self.assertGreater(upload()[0], 0)
            self.assertIn("failed", vm.shell(f"offloads {1 << 10}"))   # UFO was never agreed

    @per_machine("q35")
    def test_tunables_take_offload_away(self, machine):
        counted = self.fetch(machine, append="hw.vtnet.csum_disable=1")
        self.assertEqual((counted["txq0.tso"], counted["txq0.csum"], counted["rxq0.csum"]), (0, 0, 0))
        counted = self.fetch(machine, append="hw.vtnet.tso_disable=1 hw.vtnet.lro_disable=1")
        self.assertEqual((counted["txq0.tso"], counted["rxq0.host_lro"]), (0, 0))
        self.assertGreater(counted["txq0.csum"], 100)


if __name__ == "__main__":
    main()
