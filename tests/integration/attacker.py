"""What the tests with hostile peers share: a guest that runs examples/testd behind a scripted peer which speaks IPv4 and
IPv6, sees every frame that the guest sends, and can ask the guest how it is."""

import collections
import os
import random
import re
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from peer import SYN, Connection, Guest, udp  # noqa: E402
from test_ipv6 import FAR, Connection6, Router  # noqa: E402
from vm import ROOT, Failure  # noqa: E402

BODY = 612   # bytes of testd's page

Answer = collections.namedtuple("Answer", "kind protocol source destination payload frame")   # kind: 4, 6 or "arp"


def flood_program(folder):
    """The C program that floods, compiled."""
    path = os.path.join(folder, "flood")
    subprocess.run(["gcc", "-O2", "-o", path, os.path.join(ROOT, "bench", "net", "flood.c")], check=True)
    return path


def parsed(frame):
    """An Answer, or None for what is no IP and no ARP."""
    kind = frame[12:14]
    if kind == b"\x08\x06":
        return Answer("arp", struct.unpack(">H", frame[20:22])[0], frame[28:32], frame[38:42], frame[14:42], frame)
    if kind == b"\x08\x00":
        length, = struct.unpack(">H", frame[16:18])
        source, destination = struct.unpack(">II", frame[26:34])
        return Answer(4, frame[23], source, destination, frame[14 + (frame[14] & 15) * 4:14 + length], frame)
    if kind == b"\x86\xdd":
        return Answer(6, frame[20], frame[22:38], frame[38:54], frame[54:], frame)
    return None


class Attacker(Router):
    """Sees everything: while `seen` is a list, every frame of the guest goes there too."""

    seen = None

    def handle(self, frame):
        if self.seen is not None:
            self.seen.append(frame)
        super().handle(frame)

    def fence(self):
        """Returns when the guest has answered all that was sent before. Three times: the first may overtake an answer that waits
        for the guest's ARP question, and the second the answer that ours to it sets free."""
        for _ in range(3):
            if self.echo(b"fence", ident=0xFE, sequence=self.rng.randrange(1 << 16)) != b"fence":
                raise Failure("the guest does not answer a ping")

    def answers(self, frames):
        """What the guest says to `frames`, in its order, without the chatter that goes on anyway."""
        self.fence()
        self.seen = []
        for frame in frames:
            self.send(frame)
        self.fence()
        seen, self.seen = self.seen, None
        found = []
        for a in filter(None, map(parsed, seen)):
            if a.kind == 4 and a.protocol == 1 and a.payload[:1] == b"\0" and a.payload[4:6] == b"\0\xfe":
                continue   # the fence
            if a.kind == 4 and a.protocol == 17 and a.payload[2:4] in (b"\0\x43", b"\0\x7b", b"\0\x35"):
                continue   # DHCP, NTP, DNS
            if a.kind == 6 and a.protocol in (0, 58) and a.payload[:1] in (b"\x85", b"\x87", b"\x8f", b":"):
                continue   # looks for routers and neighbours, joins groups
            if a.kind == "arp" and a.protocol == 1:
                continue   # looks for neighbours
            found.append(a)
        return found

    def connection4(self, port=80, **more):
        c = Connection(self, self.port(), port, **more)
        for _ in range(5):   # as any client: what is lost is sent again
            if self.pump(lambda: c.opened or c.reset, 1):
                break
            c.send(SYN, seq=c.seq - 1, ack=0, options=b"\2\4\5\xb4")
        return c.open()

    def connection6(self, port=80):
        return Connection6(self, self.port(), port, source=FAR, options=b"\x02\x04\x05\xa0").open()

    def page(self, c):
        """One request on a connection, which ends; true when the whole page came."""
        c.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.pump(lambda: c.finished or c.reset, 20)
        c.end()
        head, _, body = bytes(c.received).partition(b"\r\n\r\n")
        return head.startswith(b"HTTP/1.1 200") and len(body) == BODY

    def echoed(self, c, data):
        before = len(c.received)
        c.write(data)
        return self.pump(lambda: len(c.received) >= before + len(data), 20) and bytes(c.received[before:]) == data

    def datagram(self, data, sport=5007):
        """True when port 7 sends it back."""
        del self.others[:]
        self.send_ip(udp(sport, 7, data), 17)
        wanted = (17, struct.pack(">HH", 7, sport))
        return self.pump(lambda: any((p, x[:4], x[8:]) == (*wanted, data) for p, x in self.others), 10)


class Target:
    """A guest running testd, with all its addresses; `healthy()` and `usage()` are asked after each attack."""

    def __init__(self, machine, seed, memory="64M"):
        self.guest = Guest(machine, None, random.Random(seed), memory=memory, peer=Attacker, appliance="testd",
                           serving=b"testd: ready")
        self.peer, self.vm, self.shell = self.guest.peer, self.guest.vm, self.guest.shell
        try:
            end = time.monotonic() + 30
            while not (found := re.search(r"inet6 (2001:db8:77:\S*)/64 valid", self.shell("ip"))):
                self.peer.pump(seconds=0.2)
                if time.monotonic() > end:
                    raise Failure("no IPv6 address:\n" + self.shell("ip"))
            self.peer.guest = socket.inet_pton(socket.AF_INET6, found.group(1))
            self.healthy()
            self.baseline = self.usage()
        except BaseException:
            self.close(check=False)
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    def close(self, check=True):
        self.guest.close(check)

    def counters(self):
        """What netstat -s counts; absent: 0."""
        found = re.findall(r"^  (\S.*?) +(\d+)$", self.shell("netstat -s"), re.M)
        return collections.Counter({name: int(value) for name, value in found})

    def usage(self):
        """(heap KiB, memory KiB, free packets)"""
        packets = re.search(r"(\d+) of \d+ free", self.shell("netstat -s"))
        used = [int(x) for x in re.findall(r"KiB\s+(\d+) KiB", self.shell("free"))]
        return used[1], used[0], int(packets.group(1))

    def healthy(self):
        """Raises unless every service answers over both protocols."""
        if self.vm.process.poll() is not None:
            self.vm._pump(time.monotonic() + 1)
            raise Failure("QEMU has ended:\n" + self.vm.tail())
        peer, data = self.peer, self.peer.rng.randbytes(3000)
        for name, opened in (("IPv4", peer.connection4), ("IPv6", peer.connection6)):
            c = opened(port=7)
            if not peer.echoed(c, data):
                raise Failure(f"no echo over {name}: {len(c.received)} bytes")
            c.end()
            if not peer.page(opened()):
                raise Failure(f"no page over {name}")
        if not peer.datagram(data[:1000]):
            raise Failure("no echo over UDP")
        if peer.echo6(data[:100]) != data[:100]:
            raise Failure("no ping over IPv6")

    def recovered(self, seconds=12, spare=192):
        """Healthy, and what was taken is given back; `spare` KiB of heap may be connections that are not over yet."""
        self.healthy()
        heap, memory, packets = self.baseline
        end = time.monotonic() + seconds
        while True:
            now = self.usage()
            # A slab more of some size is no leak, and the receive ring is refilled in batches.
            if now[0] <= heap + spare and now[1] <= memory + 1024 + spare and now[2] >= packets - 48:
                return
            if time.monotonic() > end:
                raise Failure(f"(heap KiB, memory KiB, free packets) were {self.baseline}, are {now}:\n{self.shell('netstat')[:2000]}")
            self.peer.pump(seconds=0.3)
