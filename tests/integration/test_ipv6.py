#!/usr/bin/env python3
"""IPv6 on a whole machine: autoconfiguration from a scripted router on QEMU's datagram link, then echo, fragments and HTTP
over it, byte for byte; and with a tap device, curl and ping of Linux."""

import os
import random
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from peer import GUEST_MAC, PEER_MAC, Connection, Guest, Peer, checksum, ethernet  # noqa: E402
from tap import Tap, needs_tap  # noqa: E402
from test_net_features import values  # noqa: E402
from vm import Failure, TapVM  # noqa: E402


def address(text):
    return socket.inet_pton(socket.AF_INET6, text)


ROUTER, PREFIX, FAR = address("fe80::1"), address("2001:db8:77::"), address("2001:db8:99::1")
ALL_NODES, ANY = address("ff02::1"), bytes(16)


def ipv6(payload, protocol, source, destination, hops=64):
    return struct.pack(">IHBB", 6 << 28, len(payload), protocol, hops) + source + destination + payload


def with_sum(protocol, source, destination, message, at):
    message = message[:at] + b"\0\0" + message[at + 2:]
    pseudo = source + destination + struct.pack(">II", len(message), protocol)
    return message[:at] + struct.pack(">H", checksum(pseudo + message)) + message[at + 2:]


def sum_is_right(protocol, source, destination, message):
    return checksum(source + destination + struct.pack(">II", len(message), protocol) + message) == 0


class Connection6(Connection):
    def send(self, flags, data=b"", seq=None, ack=None, window=None, options=b""):
        head = struct.pack(">HHIIBBHHH", self.sport, self.dport, self.seq if seq is None else seq,
                           self.ack if ack is None else ack, (5 + len(options) // 4) << 4, flags,
                           self.window if window is None else window, 0, 0)
        self.peer.send6(6, with_sum(6, self.source, self.peer.guest, head + options + data, 16), source=self.source)


class Router(Peer):
    """Answers solicitations for every address but the guest's, advertises a prefix, and knows TCP."""

    def __init__(self, rng):
        super().__init__(rng)
        self.probed, self.groups, self.solicited = [], set(), 0
        self.guest, self.echoes6, self.fragments = None, {}, []

    def send6(self, protocol, payload, source=FAR, destination=None, hops=64):
        self.send(ethernet(ipv6(payload, protocol, source, destination or self.guest, hops), 0x86DD))

    def icmp6(self, message, source=ROUTER, destination=None, hops=255):
        destination = destination or self.guest
        self.send6(58, with_sum(58, source, destination, message, 2), source, destination, hops)

    def advertise(self, lifetime=1800):
        prefix = struct.pack(">BBBBIII", 3, 4, 64, 0xC0, 86400, 14400, 0) + PREFIX
        dns = struct.pack(">BBHI", 25, 3, 0, 600) + address("2001:db8:77::53")
        self.send(ethernet(ipv6(with_sum(58, ROUTER, ALL_NODES, struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, lifetime, 0, 0)
                                         + prefix + dns + b"\x01\x01" + PEER_MAC, 2), 58, ROUTER, ALL_NODES, 255),
                           0x86DD, destination=b"\x33\x33\0\0\0\x01"))

    def handle_ipv6(self, packet):
        _, length, protocol, hops = struct.unpack(">IHBB", packet[:8])
        source, destination, payload = packet[8:24], packet[24:40], packet[40:40 + length]
        if protocol == 0:   # MLD, behind the router alert
            protocol, payload = payload[0], payload[8:]
        if protocol == 44:   # in order, and one datagram at a time: the guest is the only sender
            if len(packet) > 1500:
                raise Failure("the guest sent more than the MTU")
            protocol, _, where, _ = struct.unpack(">BBHI", payload[:8])
            self.fragments.append(payload[8:])
            if where & 1:
                return
            payload, self.fragments = b"".join(self.fragments), []
        if protocol in (6, 58) and not sum_is_right(protocol, source, destination, payload):
            raise Failure("the guest sent a bad checksum over IPv6")
        if protocol == 58:
            self.handle_icmp6(source, payload, hops)
        elif protocol == 6:
            sport, dport, seq, ack, offset, flags, window = struct.unpack(">HHIIBBH", payload[:16])
            c = self.connections.get((destination, dport))
            if c is not None and c.dport == sport:
                c.handle(seq, ack, flags, window, payload[(offset >> 4) * 4:])

    def handle_icmp6(self, source, message, hops):
        kind = message[0]
        if kind == 135:
            if hops != 255:
                raise Failure("a solicitation with hop limit %d" % hops)
            target = message[8:24]
            if source == ANY:
                self.probed.append(target)
            else:
                self.icmp6(struct.pack(">BBHI", 136, 0, 0, 0xE0000000) + target + b"\x02\x01" + PEER_MAC, target, source)
        elif kind == 133:
            self.solicited += 1
            self.advertise()
        elif kind == 143:
            self.groups.add(message[12:28])
        elif kind == 129:
            self.echoes6[message[4:8]] = message[8:]

    def connection(self, **more):
        return Connection6(self, self.port(), source=FAR, options=b"\x02\x04\x05\xa0", **more).open()

    def echo6(self, data, ident=7, sequence=1):
        key = struct.pack(">HH", ident, sequence)
        self.echoes6.pop(key, None)
        message = with_sum(58, FAR, self.guest, b"\x80\0\0\0" + key + data, 2)
        if len(message) <= 1400:
            self.send6(58, message)
        else:
            for at in range(0, len(message), 1200):
                more = at + 1200 < len(message)
                head = struct.pack(">BBHI", 58, 0, at | more, ident << 16 | sequence)
                self.send6(44, head + message[at:at + 1200])
        return self.echoes6.get(key) if self.pump(lambda: key in self.echoes6, 5) else None


@expand
class Ipv6(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        cls.big = random.Random(6).randbytes(1 << 20)
        cls.disk = cls.work.ext4("www.img", cls.work.tree("www", {"index.html": b"six\n", "big.bin": cls.big}), "16M")

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    @per_machine("q35", "virt")
    def test_autoconfiguration_echo_and_http(self, machine):
        with Guest(machine, self.disk, random.Random(6), peer=Router) as guest:
            peer = guest.peer
            self.assertTrue(peer.pump(lambda: len(peer.probed) == 2, 20), "no addresses are made")
            local, peer.guest = sorted(peer.probed, key=lambda a: a[:8] == PREFIX[:8])   # either may come first
            self.assertEqual((local[:8], peer.guest[:8]), (address("fe80::")[:8], PREFIX[:8]))
            for a in peer.probed:
                self.assertIn(address("ff02::1:ff00:0")[:13] + a[13:], peer.groups)
            text = socket.inet_ntop(socket.AF_INET6, peer.guest)
            end = time.monotonic() + 20
            while f"inet6 {text}/64 valid" not in (shown := guest.shell("ip")):
                peer.pump(seconds=0.2)
                self.assertLess(time.monotonic(), end, shown)
            self.assertIn("inet6 gateway fe80::1", shown)
            self.assertIn("inet6 dns 2001:db8:77::53", shown)
            self.assertIn("\n::/0 fe80::1 (router)\n", guest.shell("route"))
            for size in (0, 1, 1300, 1800):
                data = random.Random(size).randbytes(size)
                self.assertEqual(peer.echo6(data, sequence=size or 9), data)
            head, body = peer.http("/")
            self.assertEqual((head[:12], body), (b"HTTP/1.1 200", b"six\n"))
            self.assertEqual(peer.http("/big.bin")[1], self.big)
            self.assertIn("1 of 1 answered", guest.shell("ping -c 1 ::1"))
            # Without its router the guest reaches the link alone.
            peer.advertise(0)
            peer.pump(seconds=0.5)
            self.assertIn("unreachable", guest.shell("ping -c 1 2001:db8:99::1"))
            self.assertNotIn("::/0", guest.shell("route"))

    @per_machine("q35")
    def test_none_when_told(self, machine):
        with Guest(machine, self.disk, random.Random(6), peer=Router, append="ip6=off") as guest:
            guest.peer.pump(seconds=3)
            self.assertEqual((guest.peer.probed, guest.peer.solicited), ([], 0))
            self.assertNotIn("inet6", guest.shell("ip"))


@expand
@needs_tap
class Linux(unittest.TestCase):
    @per_machine("q35", "virt")
    def test_curl_and_ping(self, machine):
        work = Workspace()
        content = os.urandom(4 << 20)
        disk = work.ext4("big.img", work.tree("big", {"big.bin": content}))
        try:
            with Tap() as tap:
                with TapVM(machine, tap, append=f"ip6={tap.guest6}/64", appliance="nic", disk=disk) as vm:
                    vm.ready()
                    end = time.monotonic() + 30
                    while f"inet6 {tap.guest6}/64\n" not in (shown := vm.shell("ip").replace("\r", "")):
                        self.assertLess(time.monotonic(), end, shown)
                        time.sleep(0.3)
                    curl = subprocess.run([*tap.inside, "curl", "-sS", "-g", "--max-time", "60",
                                           f"http://[{tap.guest6}]/big.bin"], capture_output=True)
                    self.assertEqual((curl.returncode, curl.stderr), (0, b""))
                    self.assertEqual(curl.stdout, content)
                    counted = values(vm)
                    self.assertGreater(counted["txq0.tso"], 50)
                    self.assertEqual(counted["tx_dropped"], 0)
                    local = next(line.split()[1] for line in shown.splitlines() if "inet6 fe80" in line).split("/")[0]
                    for to in (tap.guest6, f"{local}%{tap.device}"):
                        ping = subprocess.run([*tap.inside, "ping", "-c", "2", "-s", "1200", to], capture_output=True)
                        self.assertEqual(ping.returncode, 0, ping.stdout)
                    self.assertIn("1 of 1 answered", vm.shell(f"ping -c 1 {tap.host6}"))
        finally:
            work.close()


if __name__ == "__main__":
    main()
