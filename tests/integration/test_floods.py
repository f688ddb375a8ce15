#!/usr/bin/env python3
"""Floods of forged frames as fast as the link takes them, slow requests by the hundred, and ten thousand connections. A
client is served throughout; memory stays within its bounds; afterwards all is as before. The frames come from
bench/net/flood.c over QEMU's datagram link, which loses nothing: the guest has to take every one of them. How fast a
client is served meanwhile is measured by bench/net/attacks.py, not here. RINGLET_SEED chooses another seed;
RINGLET_FLOOD how many frames a flood has (60,000)."""

import os
import random
import re
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attacker import Target, flood_program  # noqa: E402
from harness import Workspace, expand, main, per_machine  # noqa: E402
from peer import ACK, M32, PSH, RST, SYN, Guest, tcp  # noqa: E402

SEED = int(os.environ.get("RINGLET_SEED", "20261127"))
FRAMES = int(os.environ.get("RINGLET_FLOOD", "60000"))
BOTH = ("q35", "virt")
# kind: (share of FRAMES, counters that must move)
FLOODS = {
    "syn": (1.0, ["SYN cookies sent"]),
    "rst": (0.5, ["bad resets"]),
    "ack": (0.5, ["resets out"]),
    "fragment": (0.3, ["fragments_limited"]),
    "arp": (0.5, ["arp_in"]),
    "nd": (0.5, ["nd_in"]),
    "udp": (0.5, ["icmp_errors_limited", "udp_in"]),
    "icmp": (0.5, ["icmp_echo_replied"]),
}


class Floods:
    machine = target = None

    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        cls.flood = flood_program(cls.work.path)
        cls.target = Target(cls.machine, SEED)

    @classmethod
    def tearDownClass(cls):
        if cls.target:
            cls.target.close()
        cls.work.close()

    def served(self, peer):
        """One HTTP request and one echo, over connections of their own; seconds that both took."""
        began = time.monotonic()
        self.assertTrue(peer.page(peer.connection4()), "no page during the flood")
        c = peer.connection4(port=7)
        self.assertTrue(peer.echoed(c, b"under fire"), "no echo during the flood")
        c.end()
        return time.monotonic() - began

    def flooded(self, kind, share, wanted):
        target, peer = self.target, self.target.peer
        before = target.counters()
        pair = peer.connection4(port=7)   # was there before, must be there afterwards
        command = [self.flood, peer.path("qemu.sock"), kind, str(int(FRAMES * share)), str(SEED), "0", "52:54:00:12:34:56", "10.9.0.2",
                   socket.inet_ntop(socket.AF_INET6, peer.guest)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        times, end = [], time.monotonic() + 60
        try:
            while process.poll() is None:
                times.append(self.served(peer))
                self.assertLess(time.monotonic(), end, "the flood does not end")
            said = process.stdout.read()
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        sent, seconds = re.search(r"FLOOD (\d+) ([\d.]+)", said).groups()
        self.assertEqual(int(sent), int(FRAMES * share))
        self.assertGreater(len(times), 0)
        print(f"{kind}: {sent} frames in {seconds} s, {len(times)} rounds served, the slowest in {max(times):.2f} s", end=" ", flush=True)
        self.assertTrue(peer.echoed(pair, b"still here"))
        pair.end()
        after = target.counters()
        for name in wanted:
            self.assertGreater(after[name], before[name] + 100, name)
        heap, memory, packets = target.usage()
        self.assertLess(heap, target.baseline[0] + 1024)   # the bounded tables: half-open, neighbours, prefixes
        # What is half open is over within a minute and a half; 128 of them is what there may be.
        target.recovered(spare=512)


def build(name, machine):
    tests = {f"test_{kind}": (lambda self, kind=kind, of=of: self.flooded(kind, *of)) for kind, of in FLOODS.items()}
    return type(name, (Floods, unittest.TestCase), {"machine": machine, **tests})


FloodsPc = build("FloodsPc", "q35")
FloodsArm = build("FloodsArm", "virt")


@expand
class Crowds(unittest.TestCase):
    def opened(self, peer, count, port):
        """Opens `count` connections, a hundred at a time, again where no answer came; those that opened: {port: (seq, ack)}."""
        found = {}

        def handle_tcp(source, destination, segment):
            sport, dport, seq, ack, _, flags = struct.unpack(">HHIIBB", segment[:14])
            if sport == port and flags & (SYN | ACK) == SYN | ACK and dport in waiting:
                found[dport] = (ack, (seq + 1) & M32)
                waiting.discard(dport)
                peer.send_ip(tcp(dport, port, ack, (seq + 1) & M32, ACK), 6)
            elif sport == port and flags & RST:
                found.pop(dport, None)
        waiting, served = set(), peer.handle_tcp
        peer.handle_tcp = handle_tcp
        try:
            for first in range(0, count, 100):
                waiting.update(range(10000 + first, 10000 + min(first + 100, count)))
                for _ in range(3):
                    for p in sorted(waiting):
                        peer.send_ip(tcp(p, port, p * 7919, 0, SYN, options=b"\2\4\5\xb4"), 6)
                    if peer.pump(lambda: not waiting, 2):
                        break
                else:
                    waiting.clear()
                    break   # refused
        finally:
            peer.handle_tcp = served
        return found

    def echoed_by(self, peer, connections, port):
        """How many of them send a word back."""
        heard = set()

        def handle_tcp(source, destination, segment):
            sport, dport, seq, ack, offset, _ = struct.unpack(">HHIIBB", segment[:14])
            if sport == port and dport in connections and segment[(offset >> 4) * 4:] == struct.pack(">H", dport):
                heard.add(dport)
                peer.send_ip(tcp(dport, port, ack, seq + 2, ACK), 6)
        served = peer.handle_tcp
        peer.handle_tcp = handle_tcp
        try:
            for _ in range(5):   # as any client: what is lost is sent again
                for p in sorted(connections.keys() - heard):
                    seq, ack = connections[p]
                    peer.send_ip(tcp(p, port, seq, ack, ACK, struct.pack(">H", p)), 6)
                if peer.pump(lambda: len(heard) == len(connections), 4):
                    break
        finally:
            peer.handle_tcp = served
        return len(heard)

    def end(self, peer, connections, port, sent):
        """Resets them all: whether what was sent was taken is not known, and only the exact number is believed."""
        for p, (seq, _) in connections.items():
            peer.send_ip(tcp(p, port, seq, 0, RST), 6)
            peer.send_ip(tcp(p, port, seq + sent, 0, RST), 6)
            if p % 64 == 0:
                peer.pump(seconds=0.002)

    @per_machine(*BOTH)
    def test_ten_thousand_connections(self, machine):
        with Target(machine, SEED, memory="256M") as target:
            before = target.usage()
            connections = self.opened(target.peer, 10000, 7)
            self.assertEqual(len(connections), 10000)
            used = target.usage()
            self.assertEqual(self.echoed_by(target.peer, connections, 7), 10000)
            target.healthy()
            print(f"{(used[0] - before[0]) / 10000:.2f} KiB of heap each", end=" ", flush=True)
            self.end(target.peer, connections, 7, 2)
            target.recovered(spare=2048)

    @per_machine(*BOTH)
    def test_those_who_take_nothing(self, machine):
        """More answers that nobody acknowledges than there are buffers for: whoever reads is served again seconds later."""
        with Target(machine, SEED) as target:
            connections = self.opened(target.peer, 1500, 80)
            self.assertEqual(len(connections), 1500)
            request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            for p, (seq, ack) in connections.items():
                target.peer.send_ip(tcp(p, 80, seq, ack, ACK, request, window=500), 6)
            target.peer.pump(seconds=1)
            target.healthy()
            self.assertGreater(target.counters()["evicted: takes nothing"], 100)
            self.end(target.peer, connections, 80, len(request))
            target.recovered(seconds=60, spare=512)

    @per_machine(*BOTH)
    def test_more_connections_than_fit(self, machine):
        """In 16 MiB there is room for a thousand: those are kept, others wait outside, and there is room again afterwards."""
        with Target(machine, SEED, memory="16M") as target:
            connections = self.opened(target.peer, 3000, 7)
            self.assertGreater(len(connections), 900)
            self.assertLess(len(connections), 1100)
            self.assertEqual(self.echoed_by(target.peer, connections, 7), len(connections))
            self.assertGreater(target.counters()["refused: table full"], 0)
            self.end(target.peer, connections, 7, 2)
            target.recovered(spare=512)
            again = self.opened(target.peer, 800, 7)
            self.assertEqual(len(again), 800)
            self.end(target.peer, again, 7, 0)
            target.recovered(spare=512)


@expand
class Slowloris(unittest.TestCase):
    """Against examples/httpd, with as little memory as it may have: there is room for some 150 connections."""

    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        cls.disk = cls.work.ext4("www.img", cls.work.tree("www", {"index.html": b"<p>served</p>\n", "big.bin": 1 << 20}), "16M")

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    @per_machine(*BOTH)
    def test_slow_requests_by_the_hundred(self, machine):
        with Guest(machine, self.disk, random.Random(SEED), memory="4M") as guest:
            peer, slow = guest.peer, []

            request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

            def fetch():
                c = peer.connection()
                c.write(request)
                for _ in range(20):   # as any client: what is lost is sent again
                    if peer.pump(lambda: c.finished or c.reset, 1):
                        break
                    c.send(ACK | PSH, request, seq=c.seq - len(request))
                c.end()
                if not (c.received.startswith(b"HTTP/1.1 200") and c.received.endswith(b"<p>served</p>\n")):
                    self.fail(f"{c.received} (reset: {c.reset})\n{guest.shell('netstat -s')}{guest.shell('netstat')[:3000]}")
            fetch()
            for _ in range(10):
                for i in range(60):
                    c = peer.connection(window=1000)
                    if i % 20 == 0:   # asks for much and takes one segment of it
                        c.write(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
                        peer.pump(lambda: c.received or c.reset, 1)
                        c.auto = False
                    slow.append(c)
                for i, c in enumerate(slow):
                    if c.auto and not c.reset:
                        c.write(b"GET / HTTP/1.1\r\nX-Slow: yyyyyyyyyyyyyyy"[i % 8:][:1])   # a byte from time to time
                fetch()
            self.assertGreater(sum(c.reset for c in slow), 100, "nobody was thrown out")
            self.assertLess(sum(c.reset for c in slow), len(slow) - 50, "everybody was thrown out")
            for c in slow:   # some bytes may not have been taken: one of these is the next that is expected
                for behind in range(12):
                    c.send(RST, seq=c.seq - behind)
                c.end()
            fetch()
            end = time.monotonic() + 20
            while len(re.findall("ESTABLISHED|FIN_WAIT|CLOSE|SYN_RECEIVED", shown := guest.shell("netstat"))) > 8:
                self.assertLess(time.monotonic(), end, shown[:2000])
                peer.pump(seconds=0.5)
            fetch()


if __name__ == "__main__":
    print(f"seed {SEED}")
    main()
