#!/usr/bin/env python3
"""Every byte arrives over a wire that loses, doubles, damages and overtakes frames, within bounded time: with Ringlet's own
client, with the TCP of QEMU's user network, and with a tap device with the Linux kernel and curl. The wire is between QEMU's
datagram link and the peer; RINGLET_SEED repeats a run."""

import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import testd  # noqa: E402
from harness import expand, main, per_machine  # noqa: E402
from impaired import Datagrams, Frames, Quality, Wire  # noqa: E402
from tap import Tap, needs_tap  # noqa: E402
from testd import KIB, MIB, Reach, UserGuest, noise  # noqa: E402
from vm import MACHINES, VM, Failure  # noqa: E402

SEED = int(os.environ.get("RINGLET_SEED", "20241127"))
BOTH = ("q35", "virt")
# The second one also stands for a slow line: 20 ms there and back, 16 Mbit/s.
WIRES = {"1 %": Quality(loss=0.01, duplicate=0.01, reorder=0.05, corrupt=0.005),
         "5 %": Quality(loss=0.05, duplicate=0.01, reorder=0.05, corrupt=0.005),
         "slow": Quality(loss=0.01, duplicate=0.01, reorder=0.05, corrupt=0.005, delay=0.01, held=0.02, rate=2e6)}
SECONDS = 40   # for anything; a connection that gets nowhere takes longer


def device(machine):
    return f"virtio-net-{'pci' if MACHINES[machine][2] == 'pci' else 'device'},netdev=n0"


class Wired(testd.Guest, VM):
    """testd at the end of a wire, with fixed addresses."""

    def __init__(self, machine, end, address, mac="52:54:00:12:34:56", appliance="testd"):
        self.address6 = f"2001:db8:9::{address[-1]}"
        super().__init__(machine, net=False, appliance=appliance, append=f"ip={address}/24 ip6={self.address6}/64",
                         extra=["-netdev", end.netdev(), "-device", f"{device(machine)},mac={mac}"])


class Forwarded(UserGuest):
    """The wire leads out of QEMU and back into it, to its user network: reached from this computer without any privilege."""

    def __init__(self, machine, here, there):
        rules = "".join(f",hostfwd={kind}:127.0.0.1:0-:{port}" for kind, ports in (("tcp", testd.TCP_PORTS), ("udp", testd.UDP_PORTS))
                        for port in ports)
        VM.__init__(self, machine, net=False, appliance="testd", extra=[
            "-netdev", here.netdev("n0"), "-device", device(machine), "-netdev", there.netdev("n1"), "-netdev", f"user,id=n2{rules}",
            "-netdev", "hubport,id=h1,hubid=0,netdev=n1", "-netdev", "hubport,id=h2,hubid=0,netdev=n2"])


@expand
class Impaired(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="ringlet-wire-")
        self.addCleanup(self.folder.cleanup)

    def end(self, name):
        return Datagrams(self.folder.name, name)

    def wire(self, one, other):
        wire = Wire(one, other, Quality(), f"{SEED} {self.id().rpartition('.')[2]}")
        self.addCleanup(wire.close)
        return wire

    def over(self, wire, quality):
        """A block under one of WIRES, which must have done what it says."""
        return Bad(self, wire, WIRES[quality], quality)

    def repaired(self, *guests, counters=("retransmitted", "bad checksums", "out of order")):
        """The guests noticed: without that the wire was good, or nobody looked at checksums."""
        for counter in counters:
            self.assertGreater(sum(g.counter(counter) for g in guests), 0, counter)

    def echoed_in_the_end(self, guest, data):
        """QEMU's network now and then takes a connection for finished after the first segment: in dumps its FIN follows that
        at once, before the guest has said anything but SYN."""
        for _ in range(2):
            try:
                return testd.echoed(guest, data, SECONDS)
            except Failure as failure:
                if f"1460 of {len(data)} bytes" not in str(failure):
                    raise
        testd.echoed(guest, data, SECONDS)

    @per_machine(*BOTH)
    def test_qemus_own_network(self, machine):
        """Its TCP knows no SACK and waits a second and more for what is lost: little is sent to the guest, mostly in order."""
        wire = self.wire(self.end("here"), self.end("there"))
        with Forwarded(machine, *wire.ends) as guest:
            guest.started()
            for quality in ("1 %", "5 %"):
                with self.over(wire, quality):
                    testd.generated(guest, 1 * MIB, SECONDS)
                    for _ in range(3):
                        self.assertEqual(len(testd.page(guest, seconds=SECONDS)[1]), 612)
                    self.echoed_in_the_end(guest, noise(20 * KIB, 2))
            self.repaired(guest, counters=("retransmitted", "bad checksums"))
            guest.serves(guest)

    def told(self, client, line, server):
        """What `client` says to `line`; if that takes too long, what the server knows of it."""
        try:
            return client.shell(line, SECONDS)
        except Failure as failure:
            raise Failure(f"{failure}\n" + "".join(server.shell(what) for what in ("netstat", "netstat -s", "ip"))) from failure

    def between_two(self, server, client):
        wire = self.wire(self.end("server"), self.end("client"))
        with Wired(server, wire.ends[0], "10.9.0.2") as guest, \
                Wired(client, wire.ends[1], "10.9.0.3", "52:54:00:12:34:57", "client") as other:
            other.started(b"the shell stays\r\n")   # the last line of its log
            guest.started()
            for quality in WIRES:
                with self.over(wire, quality):
                    size = 2 * MIB if quality == "1 %" else MIB // 2
                    for host in ("10.9.0.2", "2001:db8:9::2"):
                        text = self.told(other, f"talk {host} {size} {SEED % 1000}", guest)
                        sent, came = re.search(r"sent: crc (\S+)", text), re.search(r"came: (\d+) bytes, crc (\S+)", text)
                        self.assertTrue(sent and came, text)
                        self.assertEqual((int(came[1]), came[2]), (size, sent[1]))
                        text = self.told(other, f"fetch {host} {size}", guest)
                        crc = zlib.crc32((testd.CHARGEN * (size // len(testd.CHARGEN) + 1))[:size])
                        self.assertIn(f"came: {size} bytes, crc {crc:08x}\n", text)
            self.repaired(guest, other)
            guest.at_rest()

    def test_ringlet_with_itself_q35_virt(self):
        self.between_two("q35", "virt")

    def test_ringlet_with_itself_virt_q35(self):
        self.between_two("virt", "q35")

    @needs_tap
    @per_machine(*BOTH)
    def test_linux(self, machine):
        with Tap(offloads=False) as tap:
            wire = self.wire(Frames(tap.frames()), self.end("guest"))
            with Wired(machine, wire.ends[1], tap.guest) as guest:
                guest.started()
                for quality in WIRES:
                    with self.over(wire, quality):
                        size = 2 * MIB if quality == "1 %" else MIB // 2
                        for host in (tap.guest, tap.guest6):
                            reach = Reach(tap, host)
                            testd.echoed(reach, noise(size), SECONDS)
                            testd.discarded(reach, noise(size), SECONDS)
                            testd.generated(reach, size, SECONDS)
                        self.requests(tap, 20, keep=True)
                        self.requests(tap, 5, keep=False)
                self.repaired(guest)
                guest.serves(Reach(tap))

    def requests(self, tap, count, keep):
        url = f"http://{tap.guest}/"
        options = ["-sS", "--max-time", str(SECONDS), *([] if keep else ["-H", "Connection: close"])]
        got = subprocess.run([*tap.inside, "curl", *options, *[url] * count], capture_output=True, timeout=SECONDS + 10)
        self.assertEqual((got.returncode, got.stderr), (0, b""))
        self.assertEqual(len(got.stdout), 612 * count)
        self.assertEqual(got.stdout, got.stdout[:612] * count)


class Bad:
    def __init__(self, test, wire, quality, name):
        self.test, self.wire, self.quality, self.name = test, wire, quality, name

    def __enter__(self):
        self.before, self.began = self.wire.counts, time.monotonic()
        self.wire.set(self.quality)

    def __exit__(self, kind, value, traceback):
        self.wire.set(Quality())
        done = {name: n - self.before[name] for name, n in self.wire.counts.items()}
        print(f"{self.name}: {time.monotonic() - self.began:.1f} s, {done}")
        if kind is None:
            for name in ("lost", "duplicated", "reordered", "corrupted"):
                self.test.assertGreater(done[name], 0, name)


if __name__ == "__main__":
    print(f"seed {SEED}")
    main()
