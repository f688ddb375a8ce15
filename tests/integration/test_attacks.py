#!/usr/bin/env python3
"""Probes for the faults that small stacks were known for: AMNESIA:33, URGENT/11, INFRA:HALT, NAME:WRECK, and what nmap and
isic send. After each of them every service of examples/testd answers over IPv4 and IPv6, memory is given back, nothing
was answered that must not be, and the counter of each reason has moved. RINGLET_SEED chooses another seed;
RINGLET_RANDOM_PACKETS how many random packets are sent (20,000)."""

import os
import random
import re
import struct
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attacker import Target  # noqa: E402
from harness import expand, main, per_machine  # noqa: E402
from peer import (ACK, BROADCAST, FIN, GUEST_IP, GUEST_MAC, M32, PEER_IP, PEER_MAC, PSH, RST, SYN, URG, arp, ethernet, icmp, ipv4,  # noqa: E402
                  option, tcp, udp, word)
import test_names  # noqa: E402
from test_ipv6 import ALL_NODES, FAR, ROUTER, ipv6, with_sum  # noqa: E402

SEED = int(os.environ.get("RINGLET_SEED", "20261127"))
RANDOM_PACKETS = int(os.environ.get("RINGLET_RANDOM_PACKETS", "20000"))
OTHER_IP = 0x0A090007
MULTICAST_MAC = b"\1\0\x5e\0\0\1"
V6 = 0x86DD


def echo_request(data=b"probe", ident=9):
    return icmp(8, 0, ident << 16 | 1, data)


class Probes:
    """Machine by machine, see below. One guest for all, so that each begins with what the others left behind."""

    machine = target = None

    @classmethod
    def setUpClass(cls):
        cls.target = Target(cls.machine, SEED)

    @classmethod
    def tearDownClass(cls):
        if cls.target:
            cls.target.close()

    def setUp(self):
        self.rng = random.Random(f"{SEED} {self._testMethodName}")
        self.peer = self.target.peer
        self.peer.echo6(b"we are at home")   # so that what is said to us needs no neighbour discovery first
        self.before = self.target.counters()
        self.addCleanup(self.target.recovered)

    # --- words for the tests
    def moved(self, *names):
        """Every counter named has moved since setUp; what they have moved by."""
        now = self.target.counters()
        for name in names:
            self.assertGreater(now[name], self.before[name], f"{name} did not move")
        return [now[name] - self.before[name] for name in names]

    def silent(self, frames):
        said = self.peer.answers(frames)
        self.assertEqual([a.frame.hex() for a in said], [])

    def resets(self, answers):
        return [a for a in answers if a.kind == 4 and a.protocol == 6 and a.payload[13] & RST]

    def v6(self, payload, protocol, source=FAR, destination=None, hops=64, **more):
        return ethernet(ipv6(payload, protocol, source, destination or self.peer.guest, hops), V6, **more)

    def icmp6(self, message, source=ROUTER, destination=None, hops=255):
        destination = destination or self.peer.guest
        return self.v6(with_sum(58, source, destination, message, 2), 58, source, destination, hops)

    def end_half_open(self, answers):
        """Resets what SYNs have opened."""
        for a in answers:
            if a.kind == 4 and a.protocol == 6 and a.payload[13] == SYN | ACK:
                sport, dport, _, ack = struct.unpack(">HHII", a.payload[:12])
                self.peer.send_ip(tcp(dport, sport, ack, 0, RST, source=a.destination), 6, source=a.destination)

    # --- AMNESIA:33
    def probe_ipv4_header_lengths(self):
        good, frames = echo_request(b"x" * 20), []
        for ihl in range(5):
            frames.append(ethernet(ipv4(good, 1, ihl=ihl)))
        for version in (0, 5, 6, 15):
            frames.append(ethernet(ipv4(good, 1, version=version)))
        for total in (0, 1, 19, 49, 60, 1500, 65535):   # 48 would be right; a frame has 60 bytes: 46 of IP and padding
            frames.append(ethernet(ipv4(good, 1, total=total if total != 49 else 80)))
        for ihl in range(13, 16):
            frames.append(ethernet(ipv4(good, 1, ihl=ihl)))
        frames.append(ethernet(ipv4(good, 1, sum=0x1234)))
        self.silent(frames)
        self.moved("ip_bad_header", "ip_bad_length", "ip_bad_checksum")

    def probe_ipv4_options(self):
        """Options of length 0, 1 and beyond the header are dropped; sound ones that mean nothing to us are not."""
        bad = [ethernet(ipv4(echo_request(), 1, options=o)) for o in
               (b"\x44\0\0\0", b"\x44\1\0\0", b"\x07\0\0\0", b"\x07\x05\4\0", b"\x94\xff\0\0", b"\1\1\1\x94", b"\x82\x28" + b"\0" * 2)]
        self.silent(bad)
        self.assertEqual(self.moved("ip_source_route"), [len(bad)])
        good = [ethernet(ipv4(echo_request(), 1, options=o)) for o in (b"\x94\4\0\0", b"\1\1\1\1", b"\x07\7\4\0\0\0\0\0", b"\0\xff\xff\xff")]
        self.assertEqual([a.payload[:1] for a in self.peer.answers(good)], [b"\0"] * len(good))

    def probe_tcp_options(self):
        frames = []
        for options in (b"\2\0\0\0", b"\2\1\0\0", b"\2\x28\0\0", b"\3\0\0\0", b"\4\1\1\1", b"\5\0\0\0", b"\5\3\0\0", b"\x08\0\0\0",
                        b"\x08\xff\0\0", b"\xfe\0\0\0", b"\1\1\1\2", b"\x13\x12" + b"\0" * 2, b"\2\4\0\0", b"\2\4\0\1"):
            for flags in (SYN, ACK, RST):
                frames.append(ethernet(ipv4(tcp(self.peer.port(), 80, 7, 9, flags, options=options), 6)))
        frames += [ethernet(ipv4(tcp(self.peer.port(), 80, 7, 9, SYN, offset=o), 6)) for o in (0, 1, 4, 6, 15)]
        said = self.peer.answers(frames)
        self.end_half_open(said)
        for a in said:   # to a SYN the handshake or nothing, to an ACK a reset, to a reset nothing
            self.assertIn(a.payload[13], (SYN | ACK, RST, RST | ACK))
        self.moved("bad headers")
        c = self.peer.connection4(7, options=b"\2\4\5\xb4")
        for options in (b"\x08\0\0\0", b"\5\0\0\0", b"\5\x28\1\1", b"\x08\x0a\xff\xff\xff\xff\0\0\0\0\1\1"):
            c.send(ACK, options=options)
        self.assertTrue(self.peer.echoed(c, b"still in order"))
        c.end()

    def probe_ipv6_lengths_and_extensions(self):
        ping = with_sum(58, FAR, self.peer.guest, b"\x80\0\0\0\0\x09\0\1probe", 2)
        long = ipv6(ping, 58, FAR, self.peer.guest)
        frames = [ethernet(long[:4] + struct.pack(">H", n) + long[6:], V6) for n in (0, 1, 8, 60, 1500, 65535)]
        for protocol in (0, 43, 44, 60, 51, 135):   # headers that end beyond the packet, or never
            frames.append(self.v6(bytes([58, 255, 0, 9, 0, 0, 0, 0]) + ping, protocol))
            frames.append(self.v6(bytes([protocol, 0, 1, 4, 0, 0, 0, 0]) * 150, protocol))
            frames.append(self.v6(b"", protocol))
            frames.append(self.v6(b"\x3a", protocol))
        for kind, length in ((0x05, 255), (0xC2, 4), (0xC2, 0), (0x01, 200), (0x3E, 5)):   # options that overrun
            frames.append(self.v6(bytes([58, 0, kind, length, 0, 0, 0, 0]) + ping, 0))
        for left, kind in ((1, 0), (200, 0), (1, 2), (1, 3), (1, 99)):
            frames.append(self.v6(bytes([58, 2, kind, left]) + bytes(20) + ping, 43))
        said = self.peer.answers(frames)
        for a in said:   # a problem may be told, rationed; none of the pings is there
            self.assertEqual((a.kind, a.protocol, a.payload[:1]), (6, 58, b"\x04"), a.frame.hex())
        self.moved("ip6_bad_length", "ip6_extension")

    def probe_icmpv6_and_neighbour_options(self):
        guest = self.peer.guest
        solicitation = lambda options: struct.pack(">BBHI", 135, 0, 0, 0) + guest + options  # noqa: E731
        frames = [self.icmp6(solicitation(o)) for o in
                  (b"\1\0" + PEER_MAC, b"\1\2" + PEER_MAC, b"\1\xff" + PEER_MAC, b"\1", b"\1\1", b"\1\1" + PEER_MAC + b"\2\0" + bytes(6))]
        frames.append(self.icmp6(solicitation(b"\1\1" + PEER_MAC), hops=64))
        frames.append(self.icmp6(solicitation(b"\1\1" + PEER_MAC), source=bytes(16)))
        self.silent(frames)
        router = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
        evil = b"\x20\1\x0d\xb8\x66\x66" + bytes(10)
        prefix = lambda bits, valid=86400, preferred=14400, flags=0xC0: struct.pack(  # noqa: E731
            ">BBBBIII", 3, 4, bits, flags, valid, preferred, 0) + evil
        bad = [b"\3\0" + bytes(6), b"\3\xff" + bytes(6), b"\x19\0" + bytes(6), b"\x1f\0" + bytes(6), b"\5\0\0\0\0\0\0\1", b"\3",
               prefix(64)[:20], prefix(0), prefix(63), prefix(129), prefix(255), prefix(64, 0, 0xFFFFFFFF), prefix(64, 10, 20),
               b"\x19\1\0\0\0\0\xff\xff", b"\x19\2\0\0\0\0\xff\xff" + bytes(8), b"\x1f\2\0\0\0\0\xff\xff" + b"\xc0\0\xc0\0\xff\xff\xff\xff",
               b"\x1f\2\0\0\0\0\xff\xff" + b"\x3fevil.ex", b"\1\1" + GUEST_MAC, b"\1\1" + BROADCAST]
        self.silent([self.icmp6(router + o, destination=ALL_NODES) for o in bad] +
                    [self.icmp6(router + prefix(64), hops=254, destination=ALL_NODES),
                     self.icmp6(router + prefix(64), source=FAR, destination=ALL_NODES)])
        self.moved("nd_bad")
        self.assertNotIn("6666", self.target.shell("ip"))
        for kind in (1, 2, 3, 4, 137, 130, 131, 132, 143, 200, 255):   # errors, redirects, group messages, cut anywhere
            for size in (0, 1, 4, 8, 40, 47):
                self.peer.send(self.icmp6(bytes([kind, 0, 0, 0]) + self.rng.randbytes(size)))
            self.peer.send(self.icmp6(bytes([kind])))
        self.assertIn("inet6 gateway fe80::1", self.target.shell("ip"))

    def probe_igmp(self):
        frames = []
        for message in (b"", b"\x11", b"\x11\0\0\0", b"\x11\xff\0\0\0\0\0\0", b"\x11\xff\0\0\x0a\x09\0\1", b"\x22\0\0\0\0\0\xff\xff",
                        b"\x11\xff\0\0\0\0\0\0\xff\xff\xff\xff", b"\x22\0\0\0\0\0\0\1\6\xff\xff\xff\xe0\0\0\1"):
            summed = message[:2] + struct.pack(">H", struct.unpack(">H", icmp(*(message[:2].ljust(2, b"\0")), 0, b"")[2:4])[0]) + message[4:]
            for m in (message, summed):
                for ttl in (1, 64):
                    frames.append(ethernet(ipv4(m, 2, destination=0xE0000001, ttl=ttl), destination=MULTICAST_MAC))
                    for at in (0, 1):   # IGMPv3 in fragments
                        frames.append(ethernet(ipv4(m.ljust(16, b"\0")[at * 8:at * 8 + 8], 2, destination=0xE0000001, ttl=ttl, ident=77,
                                                    fragment=at | (0 if at else 0x2000)), destination=MULTICAST_MAC))
        self.silent(frames)
        self.moved("igmp_bad")

    # --- URGENT/11
    def probe_source_routes(self):
        """LSRR and SSRR of every length and pointer, with the frame cut off in the middle: nothing is copied or sent on."""
        frames = []
        for kind in (131, 137):
            for length in (0, 1, 2, 3, 4, 7, 11, 39, 40, 44, 255):
                for pointer in (0, 4, 8, 40, 255):
                    options = (bytes([kind, length, pointer]) + word(OTHER_IP) * 10)[:40]
                    frames.append(ethernet(ipv4(echo_request(), 1, options=options)))
                    frames.append(ethernet(ipv4(echo_request(), 99, options=options)))   # an error would copy it
                    frames.append(ethernet(ipv4(tcp(1, 81, 1, 0, SYN), 6, options=options)))
        frames += [frames[9][:cut] for cut in range(14, 74)]
        self.silent(frames)
        self.moved("ip_source_route")

    def probe_urgent_pointer(self):
        """Beyond the data, 0, going back, in a SYN and in a FIN: the stream stays what it is (RFC 6093)."""
        c = self.peer.connection4(7)
        whole = self.rng.randbytes(600)
        for i, urgent in enumerate((0, 1, 2, 65535, 0, 32768, 7, 65535, 3, 0)):
            piece = whole[i * 60:i * 60 + 60]
            c.send(ACK | PSH | URG, piece, urgent=urgent)
            c.send(ACK | URG, piece[:10], urgent=self.rng.randrange(65536))   # again, with another pointer
            c.seq = (c.seq + len(piece)) & M32
            c.send(ACK | URG, b"", urgent=self.rng.randrange(65536))
        self.assertTrue(self.peer.pump(lambda: len(c.received) >= len(whole), 10), len(c.received))
        self.assertEqual(bytes(c.received), whole)
        c.send(FIN | ACK | URG, b"", urgent=65535)
        c.seq += 1
        self.assertTrue(self.peer.pump(lambda: c.finished, 10))
        c.end()
        said = self.peer.answers([ethernet(ipv4(tcp(self.peer.port(), 7, 1, 0, SYN | URG, urgent=65535), 6))])
        self.end_half_open(said)
        self.assertEqual([a.payload[13] for a in said], [SYN | ACK])

    def probe_dhcp_and_reverse_arp(self):
        """Answers nobody asked for, with options of lying lengths, and reverse ARP, do not change our address."""
        shown = re.search(r"inet 10\S+", self.target.shell("ip")).group()
        for xid in (b"\0\0\0\0", b"\xff\xff\xff\xff", self.rng.randbytes(4)):
            for kind in (2, 5, 6, 255):
                head = option(53, bytes([kind])) + option(54, word(PEER_IP)) + option(51, word(3600)) + option(1, word(0xFFFFFF00))
                for code in (0, 1, 3, 6, 12, 15, 26, 42, 51, 52, 53, 54, 58, 119, 121):
                    for lie in (bytes([code]), bytes([code, 255]), bytes([code, 0]), bytes([code, 3, 1, 2]), bytes([code, 254]) + b"\x7f" * 254):
                        self.peer.send_dhcp(self.peer.bootp(xid, head + lie, yours=OTHER_IP))
        self.silent([ethernet(arp(operation, PEER_MAC, PEER_IP, GUEST_MAC, target), kind, destination=to)
                     for operation in (3, 4, 8, 9, 0, 65535) for target in (OTHER_IP, GUEST_IP) for kind in (0x0806, 0x8035)
                     for to in (GUEST_MAC, BROADCAST)])
        self.assertEqual(re.search(r"inet 10\S+", self.target.shell("ip")).group(), shown)
        self.moved("dhcp_ignored", "ethernet_unknown_type")

    # --- INFRA:HALT
    def probe_blind_resets_and_syns(self):
        """RFC 5961: a connection dies of an RST at exactly the next byte, of nothing else."""
        c = self.peer.connection4(7)
        self.assertTrue(self.peer.echoed(c, b"first"))
        for distance in (-70000, -1, 1, 2, 1000, 60000, 1 << 20, 1 << 31):
            c.send(RST, seq=c.seq + distance)
            c.send(RST | ACK, seq=c.seq + distance, ack=self.rng.getrandbits(32))
        for distance in (0, 1, -1, 5000, 1 << 30):
            c.send(SYN, seq=c.seq + distance, ack=0)
            c.send(SYN | ACK, seq=c.seq + distance, ack=self.rng.getrandbits(32))
        for _ in range(200):   # data that a blind attacker would inject
            c.send(ACK, b"evil", seq=c.seq, ack=(c.ack + 100000 + self.rng.getrandbits(30)) & M32)
        self.assertTrue(self.peer.echoed(c, b"second"))
        self.assertEqual(bytes(c.received), b"firstsecond")
        self.moved("challenge ACKs", "bad resets")
        c.send(RST, seq=c.seq)
        self.silent([ethernet(ipv4(tcp(c.sport, 7, c.seq, 0, RST), 6))])
        c.end()

    def probe_sequence_numbers(self):
        """64 initial sequence numbers, each of a connection of its own: spread, and no step that repeats (RFC 6528)."""
        frames = [ethernet(ipv4(tcp(self.peer.port(), 80, 7, 0, SYN), 6)) for _ in range(64)]
        said = self.peer.answers(frames)
        self.end_half_open(said)
        numbers = [struct.unpack(">I", a.payload[4:8])[0] for a in said if a.payload[13] == SYN | ACK]
        self.assertEqual(len(numbers), 64)
        self.assertGreater(len({n >> 16 for n in numbers}), 58)
        for quarter in range(4):
            self.assertGreater(sum(n >> 30 == quarter for n in numbers), 3)
        steps = [(b - a) & M32 for a, b in zip(numbers, numbers[1:])]
        self.assertGreater(len({s >> 12 for s in steps}), 58)
        # A cookie, sent when too many are half open, says in its last five bits what the SYN offered.
        cookies = self.target.counters()["SYN cookies sent"] != self.before["SYN cookies sent"]
        for bit in range(5 if cookies else 0, 32):
            self.assertTrue(12 < sum(n >> bit & 1 for n in numbers) < 52, f"bit {bit}")

    def probe_ip_ids(self):
        """What is not cut up has no id; of what is, the id to one peer tells nothing about that to another (RFC 7739)."""
        def ids(answers, to):
            return {struct.unpack(">H", a.frame[18:20])[0] for a in answers if a.kind == 4 and a.protocol == 1 and a.destination == to}

        self.assertEqual(ids(self.peer.answers([ethernet(ipv4(echo_request(bytes([i])), 1)) for i in range(16)]), PEER_IP), {0})
        sources = (PEER_IP, OTHER_IP, OTHER_IP + 1)
        seen = {source: [] for source in sources}
        for i in range(24):
            source, whole = sources[i % 3], echo_request(self.rng.randbytes(1700))
            said = self.peer.answers([ethernet(ipv4(whole[:1480], 1, source=source, ident=i + 1, fragment=0x2000)),
                                      ethernet(ipv4(whole[1480:], 1, source=source, ident=i + 1, fragment=185))])
            seen[source] += ids(said, source)
        self.assertEqual([len(set(v)) for v in seen.values()], [8, 8, 8], seen)
        # Two destinations may start side by side by chance (one time in 700), three do not.
        apart = [min(min((a - b) % 65536, (b - a) % 65536) for a in seen[p] for b in seen[q])
                 for p, q in ((PEER_IP, OTHER_IP), (OTHER_IP, OTHER_IP + 1), (PEER_IP, OTHER_IP + 1))]
        self.assertGreater(max(apart), 32, seen)

    def probe_checksums_and_lengths(self):
        data = self.rng.randbytes(32)
        frames = [ethernet(ipv4(udp(5, 7, data, sum=s), 17)) for s in (1, 0xFFFF, 0x1234)]
        frames += [ethernet(ipv4(udp(5, 7, data, length=n), 17)) for n in (0, 1, 7, 41, 100, 65535)]
        frames += [ethernet(ipv4(udp(5, 7, data)[:n], 17)) for n in range(8)]
        ping = echo_request(data)
        frames += [ethernet(ipv4(ping[:2] + bytes(2) + ping[4:], 1)), ethernet(ipv4(ping[:20], 1)), ethernet(ipv4(ping + b"\1\1", 1))]
        frames += [ethernet(ipv4(icmp(8, 0, 1)[:n], 1)) for n in range(8)]
        segment = tcp(self.peer.port(), 80, 1, 0, SYN)
        frames += [ethernet(ipv4(segment[:16] + b"\0\0" + segment[18:], 6)), ethernet(ipv4(segment[:19], 6)), ethernet(ipv4(b"", 6))]
        frames += [self.v6(struct.pack(">HHHH", 5, 7, 40, 0) + data, 17), self.v6(b"\x80\0\0\0" + data, 58)]
        self.silent(frames)
        self.moved("udp_bad", "udp_bad_checksum", "icmp_bad", "bad checksums", "bad headers")

    # --- who speaks, and to whom
    def probe_sources_that_cannot_be(self):
        frames = []
        for source in (GUEST_IP, 0, 0x7F000001, M32, 0xE0000001, 0x0A0900FF, 0xF0000001):
            for payload, protocol in ((echo_request(), 1), (tcp(1234, 80, 1, 0, SYN, source=source), 6), (tcp(80, 80, 1, 0, SYN, source=source), 6),
                                      (tcp(1, 81, 1, 1, ACK, source=source), 6), (udp(7, 7, b"x", source=source), 17),
                                      (udp(7, 999, b"x", source=source), 17), (b"?", 99)):
                frames.append(ethernet(ipv4(payload, protocol, source=source)))   # the fourth is LAND for GUEST_IP
        guest = self.peer.guest
        for source in (guest, bytes(16), bytes(15) + b"\1", ALL_NODES, bytes(10) + b"\xff\xff\x0a\x09\0\1"):
            for message, protocol in ((b"\x80\0\0\0\0\1\0\1x", 58), (struct.pack(">HHIIBBHHH", 80, 80, 1, 0, 80, SYN, 9, 0, 0), 6),
                                      (struct.pack(">HHHH", 7, 999, 8, 0), 17)):
                frames.append(self.v6(with_sum(protocol, source, guest, message, {58: 2, 6: 16, 17: 6}[protocol]), protocol, source))
        for mac in (GUEST_MAC, BROADCAST, MULTICAST_MAC):
            frames.append(ethernet(ipv4(echo_request(), 1), source=mac))
        self.silent(frames)
        self.moved("ip_bad_source", "ip6_bad_source", "ethernet_bad_source")

    def probe_tunnels(self):
        """IP in IP is no protocol of ours: at most its sender is told so, and what is inside goes nowhere."""
        self.peer.pump(seconds=1.1)   # the ration of errors is one of each second
        inner4 = ipv4(echo_request(), 1, source=OTHER_IP)
        inner6 = ipv6(with_sum(58, FAR, self.peer.guest, b"\x80\0\0\0\0\1\0\1x", 2), 58, FAR, self.peer.guest)
        nested = inner4
        for _ in range(20):
            nested = ipv4(nested, 4)
        said = self.peer.answers([ethernet(ipv4(inner4, 4)), ethernet(ipv4(inner6, 41)), ethernet(ipv4(b"\0\0\x08\0" + inner4, 47)), ethernet(ipv4(nested, 4)),
                                  ethernet(ipv4(inner4, 4, source=GUEST_IP)), self.v6(inner4, 4), self.v6(inner6, 41)])
        self.assertEqual([(a.kind, a.destination, a.payload[:2]) for a in said],
                         [(4, PEER_IP, b"\3\2")] * 4 + [(6, FAR, b"\4\1")] * 2)
        self.moved("ip_unknown_protocol")

    def probe_flags(self):
        """Every set of flags at an open and at a closed port, as RFC 9293 §3.10.7.1 and .2 want them answered."""
        for port, is_open in ((80, True), (81, False)):
            for flags in range(64):
                said = self.peer.answers([ethernet(ipv4(tcp(self.peer.port(), port, 1000, 2000, flags), 6))])
                self.end_half_open(said)
                if flags & RST:
                    wanted = []
                elif not is_open:
                    wanted = [RST] if flags & ACK else [RST | ACK]
                elif flags & ACK:
                    wanted = [RST]
                else:
                    wanted = [SYN | ACK] if flags & SYN and not flags & FIN else []
                self.assertEqual([a.payload[13] for a in said], wanted, f"flags {flags:06b} at {port}")
        self.moved("bad resets", "no connection")

    def probe_errors_are_not_answered(self):
        """No ICMP about ICMP errors, about broadcasts and groups, about pieces; and a ration of it for all others."""
        quoted = ipv4(udp(7, 9, b"x", source=GUEST_IP, destination=PEER_IP), 17, source=GUEST_IP, destination=PEER_IP)
        frames = [ethernet(ipv4(icmp(kind, code, 0, quoted), 1)) for kind in (3, 4, 5, 11, 12) for code in range(4)]
        frames += [ethernet(ipv4(icmp(kind, 0, 0, bytes(20)), 1)) for kind in (0, 13, 15, 17, 18, 40, 255)]
        frames += [ethernet(ipv4(udp(5, 999, b"x", destination=d), 17, destination=d), destination=to)
                   for d, to in ((M32, BROADCAST), (0x0A0900FF, BROADCAST), (0xE0000001, MULTICAST_MAC), (GUEST_IP, BROADCAST), (GUEST_IP, MULTICAST_MAC))]
        frames += [ethernet(ipv4(b"?" * 16, 99, fragment=f)) for f in (0x2000, 1, 0x2001)]
        frames += [ethernet(ipv4(echo_request(), 1, destination=d), destination=BROADCAST) for d in (M32, 0x0A0900FF, 0xE0000001)]
        frames += [self.icmp6(bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + ipv6(b"x" * 8, 17, self.peer.guest, FAR), FAR) for kind in (1, 3, 4, 127)]
        group = ipv6(with_sum(17, FAR, ALL_NODES, struct.pack(">HHHH", 5, 999, 8, 0), 6), 17, FAR, ALL_NODES)
        frames.append(ethernet(group, V6, destination=b"\x33\x33\0\0\0\1"))
        self.silent(frames)
        self.peer.pump(seconds=1.1)   # the ration is one of each second
        one = self.peer.answers([ethernet(ipv4(udp(5, 999, b"x" * 8), 17))])
        self.assertEqual([(a.protocol, a.payload[:2], a.payload[8 + 20:8 + 24]) for a in one], [(1, b"\3\3", struct.pack(">HH", 5, 999))])
        many = self.peer.answers([ethernet(ipv4(udp(5, 999, b"x" * 8), 17))] * 3000)
        self.assertLess(len(many), 2000)
        self.moved("icmp_errors_limited")

    # --- isic
    def probe_random_packets(self):
        rng, peer, opened = self.rng, self.peer, []
        for _ in range(RANDOM_PACKETS):
            body = rng.randbytes(rng.choice((0, 1, 8, 20, 40, 100, 600, rng.randrange(1400))))
            kind = rng.randrange(8)
            source = rng.choice((PEER_IP, PEER_IP, OTHER_IP, rng.getrandbits(32)))
            field = {"ident": rng.randrange(65536), "ttl": rng.randrange(256), "source": source}
            if rng.randrange(4) == 0:
                field["fragment"] = rng.choice((0x2000, 0x4000, rng.randrange(65536)))
            if rng.randrange(8) == 0:
                field["ihl"] = rng.randrange(16)
            if rng.randrange(8) == 0:
                field["options"] = rng.randbytes(4 * rng.randrange(1, 11))
            sport, dport = rng.randrange(65536), rng.choice((7, 9, 13, 19, 80, 6000, 6001, 6002, rng.randrange(65536)))
            if kind == 0:
                frame = ethernet(ipv4(body, rng.randrange(256), **field))
            elif kind in (1, 2):
                seq, flags = rng.getrandbits(32), rng.choice((SYN, ACK, rng.randrange(256)))
                if flags & SYN:
                    opened.append((source, sport, dport, seq))
                segment = tcp(sport, dport, seq, rng.getrandbits(32), flags, body[:400], rng.randrange(65536),
                              rng.randbytes(4 * rng.choice((0, 0, 1, 3, 10))), source, urgent=rng.randrange(65536))
                frame = ethernet(ipv4(segment, 6, **field))
            elif kind == 3:
                frame = ethernet(ipv4(udp(sport, dport, body, source, length=rng.choice((8 + len(body), 8 + len(body), rng.randrange(65536)))), 17, **field))
            elif kind == 4:
                frame = ethernet(ipv4(icmp(rng.choice((0, 3, 5, 8, 11, 12, rng.randrange(256))), rng.randrange(20), rng.getrandbits(32), body), 1, **field))
            elif kind == 5:
                frame = ethernet(arp(rng.randrange(5), b"\2" + rng.randbytes(5), source, GUEST_MAC, rng.choice((GUEST_IP, rng.getrandbits(32)))), 0x0806)
            elif kind == 6:
                frame = self.v6(body, rng.choice((0, 6, 17, 43, 44, 58, 60, rng.randrange(256))), rng.choice((FAR, ROUTER, rng.randbytes(16))), hops=rng.choice((255, 1, 64)))
            else:
                message = bytes([rng.choice((1, 2, 3, 4, 128, 130, 133, 134, 135, 136, 137, rng.randrange(256))), rng.choice((0, 0, rng.randrange(256)))]) + b"\0\0" + body
                frame = self.icmp6(message, rng.choice((ROUTER, FAR)))
            if len(frame) <= 1514:
                peer.send(frame)
        for source, sport, dport, seq in opened:   # half-open connections would repeat their SYN-ACKs for a minute
            peer.send_ip(tcp(sport, dport, seq + 1, 0, RST, source=source), 6, source=source)
        peer.fence()
        peer.advertise()   # some of those were routers too


def build(name, machine):
    probes = {f"test_{n[6:]}": getattr(Probes, n) for n in vars(Probes) if n.startswith("probe_")}
    return type(name, (Probes, unittest.TestCase), {"machine": machine, **probes})


AttacksPc = build("AttacksPc", "q35")
AttacksArm = build("AttacksArm", "virt")


@expand
class NameWreck(unittest.TestCase):
    """Answers with the right id and port whose names loop, point ahead or away, and whose lengths lie."""

    @staticmethod
    def wrecks(query, good):
        at = 12
        while query[at]:
            at += 1 + query[at]
        end = at + 5
        head = lambda answers, extra=0: query[:2] + struct.pack(">HHHHH", 0x8180, 1, answers, 0, extra) + query[12:end]  # noqa: E731
        record = lambda owner, length=4, data=word(0x0A0900EE), kind=1: owner + struct.pack(">HHIH", kind, 1, 60, length) + data  # noqa: E731
        here = struct.pack(">H", 0xC000 | end)
        for owner in (here, struct.pack(">H", 0xC000 | end + 2) + here, b"\1a" + here, b"\xc0", b"\xff\xff", b"\xc0\xff", b"\x40a", b"\x80a", b"\xbfa",
                      b"\x3f" + b"a" * 20, (b"\x3f" + b"a" * 63) * 4 + b"\0", (b"\x3f" + b"a" * 63) * 5 + b"\xc0\x0c", b"\1a" * 128 + b"\0", struct.pack(">H", 0xC000 | end + 12)):
            yield head(1) + record(owner)
            yield head(1) + record(b"\xc0\x0c", len(owner), owner, 5)      # as the target of a CNAME
            yield head(1) + owner
        for length in (0, 1, 3, 5, 16, 255, 65535):
            yield head(1) + record(b"\xc0\x0c", length)
            yield head(1) + record(b"\xc0\x0c", length, word(0x0A0900EE) * 2, 5)
        for answers in (2, 255, 65535):
            yield head(answers) + record(b"\xc0\x0c", 5)
        yield head(2) + record(b"\xc0\x0c", 2, b"\xc0\x0c", 5)                # a name that is its own alias
        for cut in range(end + 1, end + 15):
            yield (head(1) + record(b"\xc0\x0c"))[:cut]
        for kind in (41, 6, 28, 255, 250):
            yield head(1) + record(b"\xc0\x0c", 65535, b"x" * 40, kind)

    @per_machine("q35", "virt")
    def test_names_that_loop_and_lengths_that_lie(self, machine):
        tried = []

        def prepare(peer):
            def lies(query, good):
                if not peer.question(query)[0].startswith("w"):
                    return []
                all_of_them = list(self.wrecks(query, good))
                number = int(re.match(r"w(\d+)", peer.question(query)[0]).group(1))
                tried.append(number)
                return [all_of_them[number % len(all_of_them)]]
            peer.dns_lies, peer.lies = True, lies
        with test_names.Guest(machine, prepare=prepare, words="peer") as g:
            count = len(list(self.wrecks(b"\0\0\1\0\0\1\0\0\0\0\0\0\1w\1x\0\0\1\0\1", b"")))
            for number in range(count):
                shown = g.shell(f"host w{number}.x")
                self.assertNotIn("10.9.0.238", shown, number)               # what only a broken answer says
                self.assertRegex(shown, r"has address 10\.9\.0\.99|not found|host: w", number)
            self.assertEqual(set(tried), set(range(count)))
            self.assertIn("fine.x has address 10.9.0.99", g.shell("host fine.x"))

    @per_machine("q35")
    def test_ids_and_ports_cannot_be_guessed(self, machine):
        asked = []

        def prepare(peer):
            told = peer.name_asked
            peer.name_asked = lambda port, query: (asked.append((port, struct.unpack(">H", query[:2])[0])), told(port, query))
        with test_names.Guest(machine, prepare=prepare, words="peer") as g:
            del asked[:]
            for i in range(64):
                g.shell(f"host n{i}.x")
            self.assertGreaterEqual(len(asked), 64)
            for values, spread in (([port for port, _ in asked], 1 << 14), ([i for _, i in asked], 1 << 16)):
                self.assertGreater(len(set(values)), len(values) * 0.9)
                steps = [(b - a) % 65536 for a, b in zip(values, values[1:])]
                self.assertGreater(len(set(steps)), len(steps) * 0.9)
                self.assertGreater(max(values) - min(values), spread * 0.7)


if __name__ == "__main__":
    print(f"seed {SEED}")
    main()
