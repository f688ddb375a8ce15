#!/usr/bin/env python3
"""DHCP, DNS (UDP, truncated and then TCP), NTP: a scripted peer serves all three, with lies in between."""

import os
import random
import re
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from peer import (ACK, FIN, GUEST_IP, M32, PEER_IP, PSH, RST, SYN, Peer, ethernet, ipv4, option, tcp, udp, word)  # noqa: E402
from vm import MACHINES, VM, Failure  # noqa: E402

BOTH = ("q35", "virt")
TRUTH = 1_900_000_000                      # 2030-03-17, what the time server says at first
NTP_EPOCH = 2_208_988_800
ANSWER = 0x0A090063                        # 10.9.0.99


def encode(name):
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


class NamePeer(Peer):
    """Answers names and time. `lies`: sent before each answer of its kind."""

    def __init__(self, rng):
        super().__init__(rng)
        self.asked, self.asked_by_tcp, self.times = [], [], 0
        self.streams, self.started = {}, time.monotonic()
        self.dns_silent = self.dns_lies = self.ntp_lies = False
        self.offset = 0.0                  # what the time server adds to the truth
        self.ports_used, self.ids_used = set(), set()

    def good_dhcp(self, kind, xid, t1=1800):
        more = option(6, word(PEER_IP)) + option(42, word(PEER_IP)) + option(119, encode("test.example")) + option(26, b"\x05\x78")
        return [m[:-1] + more + b"\xff" for m in super().good_dhcp(kind, xid, t1)]

    # --- in front of the other peer's handling
    def handle(self, frame):
        if frame[12:14] == b"\x08\x00":
            head = frame[14:]
            length, protocol = struct.unpack(">H", head[2:4])[0], head[9]
            payload = head[20:length]
            if protocol == 17:
                sport, dport = struct.unpack(">HH", payload[:4])
                if dport == 53:
                    return self.name_asked(sport, payload[8:])
                if dport == 123:
                    return self.time_asked(sport, payload[8:])
            if protocol == 6 and struct.unpack(">H", payload[2:4])[0] in (53, 7):
                return self.stream_segment(payload)
        return super().handle(frame)

    def send_udp(self, sport, dport, data):
        self.send_ip(udp(sport, dport, data), 17)

    # --- DNS
    def question(self, query):
        at, name = 12, []
        while query[at]:
            name.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        return ".".join(name), struct.unpack(">H", query[at + 1:at + 3])[0], query[12:at + 5]

    def response(self, query, by_tcp=False):
        name, kind, question = self.question(query)
        head = lambda flags, answers: query[:2] + struct.pack(">HHHHH", flags, 1, answers, 0, 0) + question  # noqa: E731
        address = lambda ip, owner=b"\xc0\x0c": owner + struct.pack(">HHIH", 1, 1, 60, 4) + word(ip)  # noqa: E731
        if name.startswith("missing"):
            return head(0x8183, 0)
        if name.startswith("broken"):
            return head(0x8182, 0)
        if kind != 1:
            return head(0x8180, 0)
        if name.startswith("many") and not by_tcp:
            return head(0x8380, 0)
        if name.startswith("many"):
            return head(0x8180, 100) + b"".join(address(ANSWER + i) for i in range(100))
        if name.startswith("alias"):
            target = encode("real.example")
            chain = b"\xc0\x0c" + struct.pack(">HHIH", 5, 1, 60, len(target)) + target
            return head(0x8180, 2) + chain + address(ANSWER, target)
        return head(0x8180, 1) + address(PEER_IP if name.startswith("peer") else ANSWER)

    def name_asked(self, port, query):
        name = self.question(query)[0]
        self.asked.append(name)
        self.ports_used.add(port)
        self.ids_used.add(query[:2])
        if self.dns_silent or (name.startswith("slow") and self.asked.count(name) == 1):
            return
        good = self.response(query)
        if self.dns_lies:
            for lie in self.lies(query, good):
                self.send_udp(53, port, lie)
            self.send_udp(5353, port, good)            # from another port
        self.send_udp(53, port, good)

    def lies(self, query, good):
        yield b""
        yield struct.pack(">H", struct.unpack(">H", query[:2])[0] ^ 1) + good[2:]
        yield query                                                       # a question back
        yield good[:4] + b"\0\2" + good[6:]                               # two questions
        yield good[:12] + encode("evil.example") + good[-20:]
        for at in range(0, len(good) - 1):                                # cut anywhere, with a wrong id
            yield bytes([good[0] ^ 0x55]) + good[1:at + 1]
        for pointer in (b"\xc0\x0c", b"\xc0\xff", b"\xff\xff"):           # a name that never ends, in the question
            yield good[:12] + pointer + good[12:]
        for _ in range(50):
            yield self.rng.randbytes(self.rng.randrange(1, 600))

    # --- NTP
    def time_asked(self, port, m):
        self.times += 1
        if len(m) != 48 or m[0] != 0x23 or m[1:40] != bytes(39):
            raise Failure(f"no NTP request: {m.hex()}")
        now = int((TRUTH + NTP_EPOCH + time.monotonic() - self.started + self.offset) * 2 ** 32)
        stamp = struct.pack(">Q", now & (2 ** 64 - 1))
        good = struct.pack(">BBbb", 0x24, 1, 6, -20) + bytes(8) + b"GPS\0" + stamp + m[40:48] + stamp + stamp
        if self.ntp_lies:
            for lie in (good[:47], b"", good[:24] + bytes(8) + good[32:], b"\xe4" + good[1:], b"\x23" + good[1:],
                        good[:1] + b"\0" + good[2:], good[:1] + b"\x10" + good[2:], good[:40] + bytes(8), self.rng.randbytes(48)):
                self.send_udp(123, port, lie)
            self.send_udp(1123, port, good)
        self.send_udp(123, port, good)

    # --- TCP: the guest opens it; one answer, then the end
    def stream_segment(self, t):
        sport, dport, seq, ack, offset, flags = struct.unpack(">HHIIBB", t[:14])
        data = t[(offset >> 4) * 4:]
        if flags & RST:
            self.streams.pop(sport, None)
            return
        if flags & SYN:
            self.streams[sport] = s = {"seq": 1000, "ack": (seq + 1) & M32, "got": b"", "done": False}
            self.segment(dport, sport, s, SYN | ACK)
            s["seq"] += 1
            if dport == 7:
                self.finish(dport, sport, s, b"hello by name")
            return
        s = self.streams.get(sport)
        if s is None:
            return
        if data and seq == s["ack"]:
            s["got"] += data
            s["ack"] = (s["ack"] + len(data)) & M32
        if flags & FIN:
            s["ack"] = (seq + len(data) + 1) & M32
        if data or flags & FIN:
            self.segment(dport, sport, s, ACK)
        got = s["got"]
        if dport == 53 and not s["done"] and len(got) >= 2 and len(got) >= 2 + struct.unpack(">H", got[:2])[0]:
            self.asked_by_tcp.append(self.question(got[2:])[0])
            answer = self.response(got[2:], by_tcp=True)
            self.finish(dport, sport, s, struct.pack(">H", len(answer)) + answer)

    def segment(self, dport, sport, s, flags, data=b""):
        self.send_ip(tcp(dport, sport, s["seq"], s["ack"], flags, data, options=b"\x02\x04\x05\x14" if flags & SYN else b""), 6)

    def finish(self, dport, sport, s, data):
        s["done"] = True
        for i in range(0, len(data), 700):
            self.segment(dport, sport, s, ACK | PSH, data[i:i + 700])
            s["seq"] += len(data[i:i + 700])
        self.segment(dport, sport, s, FIN | ACK)
        s["seq"] += 1


class Guest:
    def __init__(self, machine, append="", prepare=lambda peer: None, words="peer alias.x.org many.x.org"):
        self.peer = NamePeer(random.Random(5905))
        prepare(self.peer)
        suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
        self.vm = VM(machine, net=False, appliance="names", append=f"{append} -- {words}", extra=self.peer.qemu_options(suffix))
        try:
            self.peer.connect()
            self.vm.network = self.peer
            self.vm.said(b"the shell stays", 90)
            self.vm._mark = len(self.vm.output)
            self.vm.send("\n")
            self.vm.ready(settle=rb"the shell stays[^\n]*\n")
        except BaseException:
            self.close(check=False)
            raise

    def shell(self, line):
        return self.vm.shell(line, 40)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    def close(self, check=True):
        self.vm.network = None
        self.peer.close()
        self.vm.__exit__(None if check else Failure, None, None)


@expand
class Names(unittest.TestCase):
    def guest(self, *arguments, **more):
        g = Guest(*arguments, **more)
        self.addCleanup(lambda: g.vm.process.poll() is None and g.close())
        return g

    @per_machine(*BOTH)
    def test_dhcp_tells_who_knows_names_and_the_time(self, machine):
        g = self.guest(machine)
        log = g.vm.output.decode()
        clock = int(re.search(r"clock: set (\d+)", log)[1])
        self.assertLess(abs(clock - TRUTH), 120)
        self.assertIn("peer is 10.9.0.1", log)              # by the search list
        self.assertIn("peer.test.example", g.peer.asked)
        self.assertIn("alias.x.org is 10.9.0.99", log)      # along a CNAME
        self.assertIn("many.x.org is 10.9.0.99", log)       # truncated, then by TCP
        self.assertEqual(g.peer.asked_by_tcp, ["many.x.org"])
        self.assertIn("peer says hello by name", log)
        ip = g.shell("ip")
        self.assertIn("mtu 1400", ip)
        self.assertIn("dns 10.9.0.1", ip)
        self.assertIn("ntp 10.9.0.1", ip)
        self.assertIn("search test.example", ip)
        self.assertIn("2030-03-1", g.shell("date"))
        self.assertIn("server 10.9.0.1 stratum 1", g.shell("ntp"))
        self.assertIn("host has address 10.9.0.99", g.shell("host host"))
        self.assertIn("slow.x has address 10.9.0.99", g.shell("nslookup slow.x"))
        self.assertEqual(g.peer.asked.count("slow.x"), 2)
        self.assertIn("not found", g.shell("host missing.x"))
        self.assertIn("host: broken.x", g.shell("host broken.x"))
        self.assertIn("invalid", g.shell("host a..b"))
        self.assertGreater(len(g.peer.ports_used), 5)
        self.assertGreater(len(g.peer.ids_used), 5)
        # The lease: prolonged on request, and given back.
        g.shell("ip renew")
        end = time.monotonic() + 10
        while "dhcp bound" not in (ip := g.shell("ip")):
            self.assertLess(time.monotonic(), end, ip)
        g.shell("ip release")
        self.assertIn("no address yet (dhcp off)", g.shell("ip"))
        g.close()

    @per_machine(*BOTH)
    def test_liars_and_forgers_change_nothing(self, machine):
        def prepare(peer):
            peer.dns_lies = peer.ntp_lies = True
        g = self.guest(machine, prepare=prepare)
        log = g.vm.output.decode()
        self.assertLess(abs(int(re.search(r"clock: set (\d+)", log)[1]) - TRUTH), 120)
        self.assertIn("peer is 10.9.0.1", log)
        self.assertIn("many.x.org is 10.9.0.99", log)
        self.assertNotIn("evil", log)
        for i in range(10):
            self.assertIn(f"h{i}.x has address 10.9.0.99", g.shell(f"host h{i}.x"))
        g.peer.dns_silent = True
        self.assertIn("timed out", g.shell("host silent.x"))
        self.assertIn("h1.x has address", g.shell("host h1.x"))    # kept
        g.close()

    @per_machine("q35")
    def test_the_command_line_comes_first(self, machine):
        g = self.guest(machine, append="ip=10.9.0.2/24 dns=10.9.0.1 ntp=10.9.0.1 search=first.example,second hosts=db=10.1.2.3,six=fd00::1",
                       words="db six host")
        log = g.vm.output.decode()
        self.assertIn("db is 10.1.2.3", log)
        self.assertIn("six is fd00::1", log)
        self.assertIn("host is 10.9.0.99", log)
        self.assertEqual([n for n in g.peer.asked if n.startswith("host")], ["host.first.example"])
        self.assertIn("clock: set", log)
        g.close()


if __name__ == "__main__":
    main()
