#!/usr/bin/env python3
"""The classic services of examples/testd, byte for byte: over QEMU's own network, over IPv6 from a scripted peer, and with a tap
device from the Linux kernel. After each test everything that the guest lent is back."""

import concurrent.futures
import datetime
import os
import random
import re
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import peer as raw  # noqa: E402
import testd  # noqa: E402
from harness import expand, main, per_machine  # noqa: E402
from tap import Tap, needs_tap  # noqa: E402
from test_ipv6 import FAR, PREFIX, Router, with_sum  # noqa: E402
from testd import KIB, MIB, TCP_PORTS, UDP_PORTS, Reach, TapGuest, UserGuest, noise  # noqa: E402

BOTH = ("q35", "virt")
DATE = rb"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\r\n"


def hold_back(s, seconds=1.0):
    """Writes until nothing is taken for `seconds`; the bytes that were."""
    taken, piece = 0, noise(64 * KIB)
    s.settimeout(seconds)
    try:
        while taken < 64 * MIB:
            taken += s.send(piece)
    except TimeoutError:
        pass
    return taken


def abort(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Checks:
    """What holds over every way to reach the guest."""

    def echo(self, reach, sizes):
        for size in sizes:
            testd.echoed(reach, noise(size, size))              # our half is closed while the echo still runs
        testd.echoed(reach, noise(MIB, 3), stay=True)           # both halves stay open to the end
        with reach.connect(7) as s:                             # nothing at all
            self.assertEqual(testd.exchange(s, b""), b"")

    def the_time(self, guest, reach):
        text = testd.daytime(reach)
        found = re.fullmatch(DATE, text)
        self.assertTrue(found, text)
        told = datetime.datetime.fromisoformat(found[1].decode()).replace(tzinfo=datetime.timezone.utc)
        self.assertLess(abs(told.timestamp() - time.time()), 30)
        end = time.monotonic() + 5
        while not re.search(r"tcp .*:13 .*TIME-WAIT", shown := guest.shell("netstat")):   # who closes first waits
            self.assertLess(time.monotonic(), end, shown)

    def pages(self, reach):
        keep, last = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"
        _, body = testd.page(reach)
        self.assertEqual(len(body), 612)
        head, rest = testd.page(reach, keep * 50 + last)   # pipelined; the last one closes
        whole = head + b"\r\n\r\n" + rest
        self.assertEqual((whole.count(b"HTTP/1.1 200 OK"), whole.count(body), whole.count(b"Connection: close")), (51, 51, 1))
        with reach.connect(80) as s:
            for request in (keep, keep[:10], keep[10:]):   # kept alive, and a head in two pieces
                s.sendall(request)
                time.sleep(0.05)
            got = b""
            while got.count(body) < 2:
                got += s.recv(65536)
        head, _ = testd.page(reach, b"GET / HTTP/1.1\r\nX: " + b"x" * 5000)
        self.assertEqual(head.split(b"\r\n")[0], b"HTTP/1.1 400 Bad Request")

    def datagrams(self, reach, sizes):
        with reach.datagrams(7) as s:
            s.settimeout(2)
            for size in sizes:
                data = noise(size, size)
                for attempt in range(3):   # a datagram may get lost, but not always
                    s.send(data)
                    try:
                        self.assertEqual(s.recv(70000), data)
                        break
                    except TimeoutError:
                        self.assertLess(attempt, 2, f"no echo of {size} bytes")
        with reach.datagrams(9) as s:
            s.settimeout(0.3)
            s.send(b"nobody answers")
            self.assertRaises(TimeoutError, s.recv, 100)

    def deaf(self, guest, reach, check=lambda s: None):
        """The window closes and holds the sender, and stays so. Returns the connection."""
        s = reach.connect(6000)
        taken = hold_back(s)
        self.assertGreater(taken, 16 * KIB)
        self.assertLess(taken, 16 * MIB)
        self.assertEqual(guest.connections(), ["ESTABLISHED"])
        queued = [int(line.split()[1]) for line in guest.shell("netstat").splitlines() if "ESTABLISHED" in line]
        check(s)
        self.assertEqual(hold_back(s), 0)
        self.assertEqual(queued, [int(line.split()[1]) for line in guest.shell("netstat").splitlines() if "ESTABLISHED" in line])
        self.assertGreater(queued[0], 8 * KIB)
        testd.echoed(reach, noise(100 * KIB))   # nobody else is held
        return s


@expand
class User(Checks, unittest.TestCase):
    """No privilege needed."""

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_everything_that_it_says_is_there(self, machine):
        with UserGuest(machine) as guest:
            guest.started()
            self.assertLess(guest.output.index(b"testd: address 10.0.2.15"), guest.output.index(b"testd: ready"))
            rows = [line.split() for line in guest.shell("netstat").splitlines()]
            self.assertEqual(sorted(int(r[3].rpartition(":")[2]) for r in rows if r and r[0] == "tcp"), sorted(TCP_PORTS))
            self.assertLessEqual(set(UDP_PORTS), {int(r[3].rpartition(":")[2]) for r in rows if r and r[0] == "udp"})
            self.echo(guest, (1, 1461, 100 * KIB))
            self.datagrams(guest, (0, 1, 1472))
            self.pages(guest)
            guest.serves(guest)

    @per_machine(*BOTH)
    def test_echo_and_discard(self, machine):
        with UserGuest(machine) as guest:
            guest.started()
            self.echo(guest, (1, 2, 1459, 1460, 1461, 2048, 16 * KIB, 64 * KIB + 1, 4 * MIB))
            testd.discarded(guest, noise(4 * MIB))
            guest.at_rest()
            self.assertEqual(guest.counter("bad checksums"), 0)

    @per_machine(*BOTH)
    def test_twenty_echoes_at_once(self, machine):
        with UserGuest(machine) as guest:
            guest.started()
            data = [noise(200 * KIB, i) for i in range(20)]
            sockets = []
            for _ in data:   # QEMU's forwarder has a backlog of one: the answer shows that the connection is there
                s = guest.connect(7)
                s.sendall(b"!")
                self.assertEqual(s.recv(1), b"!")
                sockets.append(s)
            self.assertEqual(guest.connections(), ["ESTABLISHED"] * 20)
            with concurrent.futures.ThreadPoolExecutor(20) as pool:
                for got, sent in zip(pool.map(testd.exchange, sockets, data), data):
                    testd.same("echo", got, sent)
            for s in sockets:
                s.close()
            guest.serves(guest)

    @per_machine(*BOTH)
    def test_chargen_and_daytime(self, machine):
        with UserGuest(machine) as guest:
            guest.started()
            for size in (1, 10 * KIB, 3 * MIB):   # and we leave in the middle each time
                testd.generated(guest, size)
                testd.generated(guest, size, port=6002)
            self.the_time(guest, guest)
            guest.serves(guest)

    @per_machine(*BOTH)
    def test_who_never_reads_holds_the_sender(self, machine):
        with UserGuest(machine) as guest:
            guest.started()
            # QEMU's network keeps to itself that its client is gone; the other tests see the end.
            self.deaf(guest, guest).close()
            testd.page(guest)


class Scripted(Router):
    """The router of test_ipv6, with datagrams."""

    def __init__(self, rng):
        super().__init__(rng)
        self.datagrams = []

    def handle_ipv6(self, packet):
        if packet[6] == 17:
            self.datagrams.append(packet[40:])
        super().handle_ipv6(packet)


@expand
class Ipv6(unittest.TestCase):
    """From a scripted peer on QEMU's datagram link: no privilege needed."""

    def attached(self, machine):
        guest = raw.Guest(machine, None, random.Random(6), peer=Scripted, serving=b"testd: ready\r\n",
                          appliance="testd")
        self.addCleanup(guest.close, check=False)
        if not guest.peer.pump(lambda: any(a[:8] == PREFIX[:8] for a in guest.peer.probed), 10):
            self.fail("no address of the router's prefix")
        guest.peer.pump(seconds=1.5)   # nobody has it (RFC 4862 §5.4)
        guest.peer.guest = next(a for a in guest.peer.probed if a[:8] == PREFIX[:8])
        return guest

    @per_machine(*BOTH)
    def test_services(self, machine):
        guest = self.attached(machine)
        wire = guest.peer
        c = wire.connection(dport=7)
        data = noise(40 * KIB)
        for at in range(0, len(data), 4 * KIB):
            c.write(data[at:at + 4 * KIB])
            self.assertTrue(wire.pump(lambda: len(c.received) >= at + 4 * KIB, 10), len(c.received))
        testd.same("echo", bytes(c.received), data)
        c.end()
        c = wire.connection(dport=13)
        self.assertTrue(wire.pump(lambda: c.finished, 10))
        self.assertRegex(bytes(c.received), DATE)
        c.end()
        c = wire.connection(dport=19)
        self.assertTrue(wire.pump(lambda: len(c.received) > 50 * KIB, 10))
        testd.same("chargen", bytes(c.received), (testd.CHARGEN * (len(c.received) // len(testd.CHARGEN) + 1))[:len(c.received)])
        c.end()
        head, body = wire.http("/")
        self.assertEqual((head[:15], len(body)), (b"HTTP/1.1 200 OK", 612))
        for size in (0, 1, 1432):
            message = struct.pack(">HHHH", 4000 + size, 7, 8 + size, 0) + noise(size)
            wire.send6(17, with_sum(17, FAR, wire.guest, message, 6))
            self.assertTrue(wire.pump(lambda: wire.datagrams, 10))
            self.assertEqual(wire.datagrams.pop()[8:], noise(size))
        guest.close()

    @per_machine("q35")
    def test_probes_of_a_closed_window_are_answered(self, machine):
        """By hand, over IPv4: what lies beyond the window is not taken, and each probe is answered, for as long as it takes."""
        guest = raw.Guest(machine, None, random.Random(7), serving=b"testd: ready\r\n",
                          appliance="testd")
        self.addCleanup(guest.close, check=False)
        wire, answers = guest.peer, []
        c = wire.connection(dport=6000)
        c.handle = lambda seq, ack, flags, window, data: answers.append((ack, window, flags))
        acked, end = c.seq, time.monotonic() + 20
        while True:
            c.send(raw.ACK, noise(1400), seq=acked)
            self.assertTrue(wire.pump(lambda: answers, 5), "no ACK")
            acked, window, _ = answers.pop()
            answers.clear()
            if window < 1400:
                break
            self.assertLess(time.monotonic(), end)
        if window:
            c.send(raw.ACK, noise(window), seq=acked)
            self.assertTrue(wire.pump(lambda: answers and answers[-1][1] == 0, 5), answers)
            acked = answers[-1][0]
        for _ in range(10):
            answers.clear()
            c.send(raw.ACK, b"?", seq=acked)
            self.assertTrue(wire.pump(lambda: answers, 5), "a probe without an answer")
            self.assertEqual(answers[0], (acked, 0, raw.ACK))
            wire.pump(seconds=0.4)
        answers.clear()
        c.send(raw.RST, seq=acked)
        wire.pump(seconds=0.3)
        self.assertEqual(answers, [])
        self.assertNotIn("ESTABLISHED", guest.shell("netstat"))
        guest.close()


@expand
@needs_tap
class Linux(Checks, unittest.TestCase):
    """The Linux kernel's stack, over a tap with offloads."""

    def answered_probes(self, s):
        """4 s of zero-window probes: all answered, and the connection lives."""
        time.sleep(4)
        info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        state, probes, backoff = info[0], info[3], info[4]
        self.assertEqual(state, 1)
        self.assertLessEqual(probes, 1)       # sent since the last answer
        self.assertGreaterEqual(backoff, 2)   # sent at all

    @per_machine(*BOTH)
    def test_services_over_both_protocols(self, machine):
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            for host in (tap.guest, tap.guest6):
                reach = Reach(tap, host)
                with self.subTest(host):
                    self.echo(reach, (1, 1428, 1448, 1449, 64 * KIB + 1, 8 * MIB))
                    testd.discarded(reach, noise(16 * MIB))
                    testd.generated(reach, 8 * MIB)
                    self.the_time(guest, reach)
                    self.pages(reach)
                    self.datagrams(reach, (0, 1, 1452, 1472, 1473, 1800))   # the last ones in fragments
                    abort(self.deaf(guest, reach, self.answered_probes))
                    guest.at_rest()
                    guest.serves(reach)
            self.assertEqual(guest.counter("bad checksums"), 0)

    @per_machine(*BOTH)
    def test_nobody_else_listens(self, machine):
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            for host in (tap.guest, tap.guest6):
                reach = Reach(tap, host)
                for port in (1, 8, 81, 6001, 65535):
                    with self.assertRaises(ConnectionRefusedError, msg=f"{host} {port}"):
                        reach.connect(port)
                with reach.datagrams(10) as s:
                    s.settimeout(5)
                    s.send(b"?")
                    with self.assertRaises(ConnectionRefusedError):   # ICMP: port unreachable
                        s.recv(100)
            guest.serves(reach)


if __name__ == "__main__":
    main()
