#!/usr/bin/env python3
"""A peer that lies, floods and hoards. After each attack the shell answers, HTTP on the same link is served byte for byte,
and memory and packet buffers are back where they were."""

import os
import random
import re
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, main  # noqa: E402
from peer import (ACK, BROADCAST, FIN, GUEST_IP, GUEST_MAC, M32, PEER_IP, PEER_MAC, PSH, RST, SYN, URG, Connection, Guest,  # noqa: E402
                  arp, ethernet, icmp, ipv4, option, tcp, udp, word)

SEED = int(os.environ.get("RINGLET_SEED", "20240607"))
PAGE = b"<p>still here</p>\n"
SHORT = ("syn_flood", "bad_lengths", "tcp_options", "segments_out_of_place", "ping_of_all_sizes", "hostile_dhcp", "random_frames")


class Attacks:
    """The attacks, machine by machine; `machine` and the set that runs are chosen below."""

    machine = None
    guest = None

    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        cls.big = random.Random(3).randbytes(1 << 20)
        cls.disk = cls.work.ext4("www.img", cls.work.tree("www", {"index.html": PAGE, "big.bin": cls.big}), "16M")

    @classmethod
    def tearDownClass(cls):
        cls.drop(check=True)
        cls.work.close()

    @classmethod
    def drop(cls, check=False):
        guest, cls.guest = cls.guest, None
        if guest:
            guest.close(check)

    def setUp(self):
        self.rng = random.Random(f"{SEED} {self.id()}")
        if self.guest is None:
            type(self).guest = Guest(self.machine, self.disk, random.Random(SEED))
            self.healthy()   # what is allocated once is allocated now: the block cache above all
            self.assertEqual(self.guest.peer.http("/big.bin")[1], self.big)
            type(self).baseline = self.usage()
        self.peer = self.guest.peer
        self.broken = True
        self.addCleanup(lambda: self.broken and self.drop())   # the next test begins with a fresh guest

    def tearDown(self):
        self.settle()
        self.broken = False

    # --- what must hold after each attack
    def usage(self):
        """(heap KiB, memory KiB, free packets)"""
        text = self.guest.shell("free")
        packets = re.search(r"(\d+) of \d+ free", self.guest.shell("netstat -s"))
        used = [int(x) for x in re.findall(r"KiB\s+(\d+) KiB", text)]
        return used[1], used[0], int(packets.group(1))

    def healthy(self):
        head, body = self.guest.peer.http("/")
        self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
        self.assertEqual(body, PAGE)

    def settle(self):
        if self.guest.vm.process.poll() is not None:
            self.guest.vm._pump(time.monotonic() + 1)
            self.fail("QEMU has ended:\n" + self.guest.vm.tail())
        try:
            self.healthy()
        except Exception as error:
            self.fail(f"{error}\n{self.guest.shell('netstat')[:3000]}{self.guest.shell('netstat -s')}{self.guest.shell('ps')}")
        heap, memory, packets = self.baseline
        end = time.monotonic() + 12
        while True:
            now = self.usage()
            # A slab more of some size class is no leak, and the receive ring is refilled in batches. As many connections
            # as may be half open (128, a KiB each) stay for a minute.
            if now[0] <= heap + 64 + 128 and now[1] <= memory + 1024 and now[2] >= packets - 48:
                return
            if time.monotonic() > end:
                self.fail(f"(heap KiB, memory KiB, free packets) were {self.baseline}, are {now}:\n{self.guest.shell('netstat')[:2000]}")
            self.peer.pump(seconds=0.3)

    def raw_tcp(self, *arguments, ip=None, **more):
        ip = dict(ip or {})
        source = ip.get("source", PEER_IP)
        self.peer.send_ip(tcp(*arguments, source=source, **more), 6, **ip)

    # --- attacks
    def attack_bad_lengths(self):
        send, rng = self.peer.send, self.rng
        whole = ethernet(ipv4(tcp(40000, 80, 1, 0, SYN, options=b"\x02\x04\x05\xb4"), 6))
        for cut in range(1, len(whole)):
            send(whole[:cut])
        for size in (1514, 1515, 1518, 1522, 2048, 2049, 4096, 9000, 65535):
            send(ethernet(ipv4(b"x" * (size - 34), 17, total=size - 14)))
        for total in (0, 1, 19, 20, 21, 27, 28, 39, 40, 41, 59, 60, 1500, 65535):
            for ihl in range(16):
                send(ethernet(ipv4(tcp(40001, 80, 1, 0, SYN), 6, total=total, ihl=ihl)))
        for version in range(16):
            send(ethernet(ipv4(b"", 6, version=version)))
        for offset in range(16):
            for size in (0, 1, 4, 20, 40, 41):
                self.raw_tcp(40002, 80, 1, 0, rng.choice((SYN, ACK, SYN | ACK)), b"\1" * size, offset=offset)
        for length in (0, 1, 7, 8, 9, 100, 65535):
            for size in (0, 1, 8, 100):
                self.peer.send_ip(udp(1, 68, b"x" * size, length=length), 17)
                self.peer.send_ip(udp(67, 68, b"x" * size, length=length), 17)
        for size in range(0, 40):
            self.peer.send_ip(icmp(8, 0, 7)[:size], 1)
            self.peer.send_ip(b"\0" * size, 17)
            self.peer.send_ip(b"\0" * size, 6)
            self.peer.send_ip(icmp(3, rng.randrange(16), 0, rng.randbytes(size)), 1)
            send(ethernet(arp(1, PEER_MAC, PEER_IP, b"\0" * 6, GUEST_IP)[:size], 0x0806))
        for kind in (0, 45, 46, 0x0800, 0x0806, 0x8100, 0x88A8, 0x86DD, 0xFFFF):
            for size in (0, 1, 4, 46, 1500):
                send(ethernet(rng.randbytes(size), kind))

    def attack_tcp_options(self):
        for kind in range(0, 40):
            for length in (0, 1, 2, 3, 4, 10, 40, 255):
                body = bytes([kind, length]) + self.rng.randbytes(2)
                self.raw_tcp(41000 + kind, 80, 5, 0, SYN, options=body)
                self.raw_tcp(41000 + kind, 80, 6, 0, RST)
        for _ in range(500):
            options = self.rng.randbytes(4 * self.rng.randrange(1, 11))
            self.raw_tcp(41100, 80, 5, 0, SYN, options=options)
            self.raw_tcp(41100, 80, 6, 0, RST)
        # Announced: a maximum segment of 0, 1, 65535; scales beyond 14; then it must still serve.
        for options in (b"\2\4\0\0", b"\2\4\0\1", b"\2\4\xff\xff", b"\3\3\xff\0", b"\2\4\0\1\3\3\x0e\0"):
            _, body = self.peer.http("/", options=options, window=2000 if b"\3\3" in options else 65535)
            self.assertEqual(body, PAGE)

    def attack_syn_flood(self):
        flood = [(0x0B000000 + self.rng.getrandbits(24), self.rng.randrange(1024, 65536), self.rng.getrandbits(32)) for _ in range(20000)]
        for source, port, seq in flood:
            self.raw_tcp(port, 80, seq, 0, SYN, options=b"\2\4\5\xb4", ip={"source": source})
        self.healthy()
        for source, port, seq in flood[-1500:]:   # the ones that may still be half-open
            self.raw_tcp(port, 80, seq + 1, 0, RST, ip={"source": source})

    def attack_floods_of_odd_flags(self):
        victim = self.peer.connection()
        for _ in range(4000):
            flags, seq = self.rng.randrange(64), self.rng.getrandbits(32)
            port = self.rng.choice((victim.sport, self.rng.randrange(1024, 65536)))
            if port == victim.sport and flags & RST and seq == victim.seq:
                continue
            self.raw_tcp(port, self.rng.choice((80, 80, 81)), seq, self.rng.getrandbits(32), flags, self.rng.randbytes(self.rng.choice((0, 0, 1, 100))))
        self.peer.pump(seconds=0.2)
        victim.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")   # blind segments must not have hurt it
        self.assertTrue(self.peer.pump(lambda: bytes(victim.received).endswith(PAGE), 10), bytes(victim.received))
        victim.end()

    def attack_ack_storm(self):
        victim = self.peer.connection()
        before = victim.segments
        for _ in range(5000):
            victim.send(ACK, seq=self.rng.getrandbits(32), ack=self.rng.getrandbits(32))
        self.peer.pump(seconds=0.5)
        self.assertLess(victim.segments - before, 200)   # RFC 5961: answers to what was not asked are rationed
        victim.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertTrue(self.peer.pump(lambda: bytes(victim.received).endswith(PAGE), 10))
        victim.end()

    def attack_segments_out_of_place(self):
        request = b"GET /index.html HTTP/1.1\r\nHost: x\r\nX-Pad: " + b"p" * 3000 + b"\r\nConnection: close\r\n\r\n"
        c = self.peer.connection()
        start = c.seq
        pieces = []
        for _ in range(300):
            a = self.rng.randrange(1, len(request))
            pieces.append((a, request[a:a + self.rng.randrange(1, 1400)]))
        for a, data in pieces:   # all but the first byte, overlapping, in any order
            c.send(ACK, data, seq=start + a)
        for _ in range(200):     # beyond and before the window
            c.send(ACK, b"z" * 100, seq=start + self.rng.choice((70000, 1 << 20, 1 << 31, -1100, -70000)) + self.rng.randrange(1000))
        c.seq = (start + len(request)) & M32
        for i in range(0, len(request), 1000):
            c.send(ACK | (URG if i else 0), request[i:i + 1000], seq=start + i, urgent=65535)
        self.assertTrue(self.peer.pump(lambda: c.finished, 10))
        self.assertTrue(bytes(c.received).endswith(PAGE))
        c.end()

    def attack_one_byte_hoards(self):
        hoarders = [self.peer.connection() for _ in range(40)]
        for c in hoarders:
            for i in range(2, 400, 2):
                c.send(ACK, b"h", seq=c.seq + i)
        self.healthy()
        for c in hoarders:
            c.end()

    def attack_zero_windows(self):
        takers = [self.peer.connection(window=w) for w in (0, 1, 2, 64) for _ in range(15)]
        for c in takers:
            c.write(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        self.peer.pump(seconds=2)
        self.healthy()
        for c in takers:   # windows that shrink, open and close again
            for w in (5000, 0, 3, 65535, 0):
                c.send(ACK, window=w)
        self.peer.pump(seconds=1)
        for c in takers:
            self.assertEqual(bytes(c.received).partition(b"\r\n\r\n")[2], self.big[:len(bytes(c.received).partition(b"\r\n\r\n")[2])])
            c.end()

    def attack_a_download_byte_for_byte(self):
        _, body = self.peer.http("/big.bin", seconds=30)
        self.assertEqual(body, self.big)

    def attack_ends_in_odd_states(self):
        for order in range(60):
            port = self.peer.port()
            c = Connection(self.peer, port)
            c.auto = False
            if order % 3:
                self.peer.pump(lambda: c.opened, 5)
            for _ in range(self.rng.randrange(1, 8)):
                flags = self.rng.choice((FIN | ACK, FIN, RST, RST | ACK, SYN, SYN | ACK, ACK, FIN | SYN, SYN | RST, PSH | ACK, 0, 63))
                c.send(flags, self.rng.choice((b"", b"GET / HTTP/1.1\r\n", b"\r\n")), seq=c.seq + self.rng.choice((0, 0, 0, 1, -1, 2)),
                       ack=c.ack + self.rng.choice((0, 0, 1, -1, 100)))
            self.peer.pump(seconds=0.005)
            for d in range(-1, 70):
                c.send(RST, seq=c.seq + d)
            c.end()

    def attack_fragments_and_routes(self):
        whole = icmp(8, 0, 1, b"f" * 3000)
        for ident in range(200):
            for offset in (0, 1, 185, 8190, 8191):
                self.peer.send_ip(whole[:self.rng.randrange(0, 1480)], self.rng.choice((1, 6, 17)), ident=ident,
                                  fragment=offset | self.rng.choice((0, 0x2000, 0xE000)))
        for kind in (7, 68, 130, 131, 136, 137, 0, 1, 255):
            for length in (0, 1, 2, 3, 4, 7, 39, 40, 41, 255):
                self.peer.send_ip(icmp(8, 0, 1, b"r"), 1, options=(bytes([kind, length, 4]) + word(PEER_IP) * 9)[:40].ljust(40, b"\1"))
                self.raw_tcp(42000, 80, 1, 0, ACK, ip={"options": (bytes([kind, length, 4]) + b"\0" * 37)})

    def attack_forged_icmp(self):
        victim = self.peer.connection()
        victim.write(b"GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for _ in range(1500):
            seq = self.rng.choice((victim.ack, victim.ack + self.rng.randrange(65536), self.rng.getrandbits(32)))
            quoted = ipv4(struct.pack(">HHI", 80, victim.sport, seq & M32), self.rng.choice((6, 6, 17, 1)), source=GUEST_IP,
                          destination=PEER_IP, total=self.rng.choice((20, 40, 1500)), ihl=self.rng.choice((5, 5, 5, 0, 4, 15)))
            kind, code = self.rng.choice(((3, self.rng.randrange(16)), (11, 0), (11, 1), (4, 0), (5, 1), (12, 0), (13, 0), (17, 0)))
            self.peer.send_ip(icmp(kind, code, self.rng.choice((0, 1, 68, 1400, 65535)), quoted[:self.rng.choice((28, 28, 20, 27, 60))]), 1)
        self.assertTrue(self.peer.pump(lambda: victim.finished, 40), f"{len(victim.received)} bytes")
        self.assertTrue(bytes(victim.received).endswith(self.big))
        victim.end()

    def attack_arp(self):
        send = self.peer.send
        for _ in range(3000):
            mac = b"\2" + self.rng.randbytes(5)
            sender = self.rng.choice((0x0A090000 + self.rng.randrange(256), self.rng.getrandbits(32), GUEST_IP, 0, M32))
            send(ethernet(arp(self.rng.choice((1, 2, 3, 0)), mac, sender, GUEST_MAC, self.rng.choice((GUEST_IP, PEER_IP, sender))), 0x0806, source=mac,
                          destination=self.rng.choice((GUEST_MAC, BROADCAST))))
        for mac in (GUEST_MAC, BROADCAST, b"\0" * 6, b"\1\0\x5e\0\0\1"):
            for sender in (PEER_IP, GUEST_IP, 0x0A0900FF):
                send(ethernet(arp(2, mac, sender, GUEST_MAC, GUEST_IP), 0x0806, source=PEER_MAC))
        # Somebody has taken our place for a while: a second later our own word counts again.
        self.peer.pump(seconds=1.2)
        send(ethernet(arp(1, PEER_MAC, PEER_IP, b"\0" * 6, GUEST_IP), 0x0806, destination=BROADCAST))
        self.assertIn("inet 10.9.0.2/24", self.guest.shell("ip"))

    def attack_impossible_sources(self):
        sources = (GUEST_IP, 0x7F000001, M32, 0, 0xE0000001, 0x0A0900FF, 0xF0000001, 0x0A090000)
        for source in sources:
            for destination in (GUEST_IP, 0x7F000001, M32, 0x0A0900FF, 0xE0000001, 0):
                for to in (GUEST_MAC, BROADCAST, b"\1\0\x5e\0\0\1"):
                    for mac in (PEER_MAC, GUEST_MAC, BROADCAST):
                        for payload, protocol in ((icmp(8, 0, 1, b"x"), 1), (tcp(80, 80, 1, 0, SYN, source=source, destination=destination), 6),
                                                  (udp(68, 68, b"x", source=source, destination=destination), 17),
                                                  (udp(7, 7, b"x", source=source, destination=destination), 17), (b"?", 99)):
                            self.peer.send(ethernet(ipv4(payload, protocol, source=source, destination=destination), source=mac, destination=to))

    def attack_random_frames(self):
        """Valid packets with a few bytes broken, checksums repaired or not."""
        for _ in range(3000):
            kind = self.rng.randrange(4)
            if kind == 0:
                body, protocol = bytearray(tcp(43000, 80, 5, 0, self.rng.choice((SYN, ACK)), options=b"\2\4\5\xb4\1\1\4\2")), 6
            elif kind == 1:
                body, protocol = bytearray(self.peer.good_dhcp(1, b"abcd")[0]), 17
                body = bytearray(udp(67, 68, bytes(body)))
            elif kind == 2:
                body, protocol = bytearray(icmp(8, 0, 9, b"q" * 64)), 1
            else:
                body, protocol = bytearray(icmp(3, 1, 0, ipv4(b"12345678", 6, source=GUEST_IP, destination=PEER_IP))), 1
            for _ in range(self.rng.randrange(1, 5)):
                body[self.rng.randrange(len(body))] = self.rng.randrange(256)
            frame = bytearray(ethernet(ipv4(bytes(body), protocol)))
            if self.rng.randrange(2):
                frame[self.rng.randrange(12, 34)] = self.rng.randrange(256)
            self.peer.send(bytes(frame))
        self.raw_tcp(43000, 80, 6, 0, RST)

    def attack_ping_of_all_sizes(self):
        for size in range(0, 1473):
            data = self.rng.randbytes(size)
            self.assertEqual(self.peer.echo(data, sequence=size), data, f"{size} bytes")
        for size in (1473, 2000, 4000):
            self.peer.send_ip(icmp(8, 0, 9, b"x" * size), 1)
        for _ in range(2000):   # a flood; how many answers come does not matter
            self.peer.send_ip(icmp(8, 0, 1, b"y" * 1000), 1)

    def attack_hostile_dhcp(self):
        """A guest of its own, whose server first lies in every answer, then keeps quiet, then tells the truth, and lies at renewal."""
        told, rng = [], self.rng

        def lies(peer, xid, answer):
            good = (option(53, bytes([answer])), option(54, word(PEER_IP)), option(1, word(0xFFFFFF00)), option(51, word(3600)), option(58, word(1)))
            yield peer.bootp(xid, b"")
            yield peer.bootp(xid, b"\x35")
            yield peer.bootp(xid, b"".join(good) + b"\x03\xff")
            yield peer.bootp(xid, b"".join(good), magic=b"1234")
            yield peer.bootp(xid, b"".join(good), hlen=255)
            yield peer.bootp(xid, good[0] + good[1] + option(52, b"\3"), file=b"\x34\1\3" * 42, sname=b"\x34\1\3" * 21)
            for bad in ((51, word(0)), (51, b""), (51, b"123"), (1, word(0)), (1, word(0xFF00FF00)), (1, word(1)), (54, word(M32)), (54, b"x"),
                        (6, b"x" * 255), (3, b"xyz"), (26, b"\0\0"), (12, b"%n" * 100), (53, b""), (53, b"\5\5")):
                yield peer.bootp(xid, b"".join(good) + option(*bad) + b"\xff")
            for yours in (0, M32, 0x7F000001, 0xE0000001, 0x0A090000, 0x0A0900FF):
                yield peer.bootp(xid, b"".join(good) + b"\xff", yours=yours)
            for _ in range(30):
                yield peer.bootp(xid, rng.randbytes(rng.randrange(300)))

        def server(peer, kind, xid):
            told.append(kind)
            if kind == 1 and told.count(1) == 1:
                return list(lies(peer, xid, 5)) + [peer.bootp(rng.randbytes(4), option(53, b"\2"))]   # lies of the wrong kind
            if kind == 1:
                return peer.good_dhcp(1, xid)
            if told.count(3) in (1, 3):
                return [x for x in lies(peer, xid, 5) if len(x) < 500][:25]
            return peer.good_dhcp(3, xid, t1=1 if told.count(3) == 2 else 1800)

        self.lied = Guest(self.machine, self.disk, random.Random(SEED), dhcp=server)
        try:
            # Some of the lies are odd but true: with T1 = 1 s in all of them renewals go on until the last word.
            self.assertTrue(self.lied.peer.pump(lambda: told.count(3) >= 4, 15), told)
            self.lied.peer.pump(seconds=0.3)
            _, body = self.lied.peer.http("/")
            self.assertEqual(body, PAGE)
            self.assertIn("inet 10.9.0.2/24", self.lied.shell("ip"))
        finally:
            self.lied.close()


def build(name, machine, attacks):
    methods = {f"test_{a}": getattr(Attacks, f"attack_{a}") for a in attacks}
    return type(name, (Attacks, unittest.TestCase), {"machine": machine, **methods})


ALL = [name[len("attack_"):] for name in vars(Attacks) if name.startswith("attack_")]
HostilePc = build("HostilePc", "q35", ALL)
HostileArm = build("HostileArm", "virt", SHORT)

if __name__ == "__main__":
    print(f"seed {SEED}")
    main()
