"""examples/testd as tests drive it: ways to reach it, clients of its services, and what must hold when they are gone.

A way to reach it has connect(port) and datagrams(port), which give sockets of this computer that are connected to the guest.
"""

import os
import random
import re
import select
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vm import VM, Failure, TapVM  # noqa: E402

TCP_PORTS, UDP_PORTS = (7, 9, 13, 19, 80, 6000, 6002), (7, 9)
LINE = 72
# RFC 864: the 95 printing characters in lines of 72, each line one character further; it repeats after 95 lines.
CHARGEN = b"".join(bytes(32 + (line + column) % 95 for column in range(LINE)) + b"\r\n" for line in range(95))
KIB, MIB = 1 << 10, 1 << 20


class Guest:
    """A running testd: mixed into VM and TapVM."""

    address6 = None   # a fixed one

    def started(self, ready=b"testd: ready\r\n"):
        """The ready line is there; what it says must be true from then on. And nobody else has the IPv6 address."""
        self.said(ready, 60)
        self._mark = len(self.output)   # the prompt came before it
        self.send("\n")
        self.ready(settle=ready)
        end = time.monotonic() + 20
        while self.address6 and f"inet6 {self.address6}/64\n" not in (shown := self.shell("ip")):
            if time.monotonic() > end:
                raise Failure(f"{self.machine}: {shown}")
            time.sleep(0.2)
        self.total, self.heap = self.packets()[1], self.heap_kib()
        return self

    def packets(self):
        """(buffers in the pool or in a ring, all)"""
        free, total = map(int, re.search(r"(\d+) of (\d+) free", self.shell("netstat -s")).groups())
        return free + sum(map(int, re.findall(r": (\d+) of \d+ in flight", self.shell("virtio net0")))), total

    def heap_kib(self):
        return int(re.search(r"Heap.*?KiB\s+(\d+) KiB", self.shell("free")).group(1))

    def states(self):
        """Of all TCP connections."""
        words = [line.split() for line in self.shell("netstat").splitlines() if line.startswith("tcp")]
        return [w[5] for w in words if w[5] != "LISTEN"]

    def connections(self):
        """States of those that may hold buffers."""
        return [state for state in self.states() if state != "TIME-WAIT"]

    def counter(self, name):
        return int(re.search(rf"^\s*{re.escape(name)}\s+(\d+)", self.shell("netstat -s"), re.M).group(1))

    def at_rest(self, seconds=15, heap_kib=64):
        """Nobody is connected any more and every packet buffer is back, or Failure. `heap_kib`: more than after boot, for slabs;
        a connection in TIME-WAIT may have one KiB besides."""
        end = time.monotonic() + seconds
        while True:
            states, (there, total), heap = self.states(), self.packets(), self.heap_kib()
            left = [state for state in states if state != "TIME-WAIT"]
            if not left and there == total and heap <= self.heap + heap_kib + len(states):
                return
            if time.monotonic() > end:
                raise Failure(f"{self.machine}: {there} of {total} packet buffers, heap {self.heap} -> {heap} KiB, {left}\n"
                           f"{self.shell('netstat')}{self.shell('netstat -s')}{self.tail()}")
            time.sleep(0.2)

    def serves(self, reach):
        """Still alive, for a client that knows nothing of what happened before."""
        echoed(reach, b"still there?" * 100)
        if (head := page(reach)[0]).split(b"\r\n")[0] != b"HTTP/1.1 200 OK":
            raise Failure(f"{self.machine}: {head!r}")
        self.at_rest()


class UserGuest(Guest, VM):
    """Reached through QEMU's own network: needs no privilege."""

    def __init__(self, machine, **more):
        forward = [f"tcp:{port}" for port in TCP_PORTS] + [f"udp:{port}" for port in UDP_PORTS]
        super().__init__(machine, appliance="testd", forward=forward, **more)

    def connect(self, port, timeout=20):
        return socket.create_connection(("127.0.0.1", self.port(port)), timeout=timeout)

    def datagrams(self, port):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.connect(("127.0.0.1", self.port(port, "udp")))
        return s


class TapGuest(Guest, TapVM):
    def __init__(self, machine, tap, device="", append="", **more):
        self.address6 = tap.guest6
        super().__init__(machine, tap, device, append=f"ip6={tap.guest6}/64 {append}", appliance="testd", **more)


class Reach:
    """Over a Tap, to one of the guest's addresses."""

    def __init__(self, tap, host=None, **options):
        self.tap, self.host, self.options = tap, host or tap.guest, options

    def connect(self, port, timeout=20):
        return self.tap.connect(port, self.host, timeout, **self.options)

    def datagrams(self, port):
        s = self.tap.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET, socket.SOCK_DGRAM)
        s.connect((self.host, port))
        return s


# --- clients: each fails with Failure when bytes are wrong or the time is up


def exchange(s, data, seconds=30, stay=False):
    """Sends `data` while it reads, closes its half, and returns all that came until the other side closed. `stay`: leaves
    its half open until as many bytes came as were sent."""
    s.setblocking(False)
    view, came, open_half = memoryview(data), bytearray(), True
    end = time.monotonic() + seconds
    while True:
        if open_half and not view and (not stay or len(came) >= len(data)):
            s.shutdown(socket.SHUT_WR)
            open_half = False
        left = end - time.monotonic()
        readable, writable, _ = select.select([s], [s] if view else [], [], max(0, left))
        if not readable and not writable:
            raise Failure(f"after {seconds} s {len(data) - len(view)} of {len(data)} bytes were sent and {len(came)} came")
        if readable:
            piece = s.recv(256 * KIB)
            if not piece:
                return bytes(came)
            came += piece
        if writable:
            view = view[s.send(view[:256 * KIB]):]


def same(what, got, wanted):
    if got != wanted:
        at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
        raise Failure(f"{what}: {len(got)} of {len(wanted)} bytes; they differ at {at}: {got[at:at + 40]!r}")


def echoed(reach, data, seconds=30, **more):
    with reach.connect(7) as s:
        same(f"echo of {len(data)} bytes", exchange(s, data, seconds, **more), data)


def discarded(reach, data, seconds=30):
    """The peer closes when it has read everything up to our FIN, and never says a word."""
    with reach.connect(9) as s:
        same("discard", exchange(s, data, seconds), b"")


def generated(reach, size, seconds=30, port=19):
    """The first `size` bytes of chargen, written or (6002) lent; then we hang up in the middle."""
    with reach.connect(port) as s:
        got, end = bytearray(), time.monotonic() + seconds
        while len(got) < size:
            s.settimeout(max(0.01, end - time.monotonic()))
            try:
                piece = s.recv(256 * KIB)
            except TimeoutError:
                raise Failure(f"chargen: {len(got)} of {size} bytes in {seconds} s") from None
            if not piece:
                raise Failure(f"chargen: closed after {len(got)} bytes")
            got += piece
        same("chargen", bytes(got), (CHARGEN * (len(got) // len(CHARGEN) + 1))[:len(got)])


def daytime(reach, seconds=20):
    with reach.connect(13, seconds) as s:
        text = b""
        while piece := s.recv(1000):
            text += piece
        return text


def page(reach, request=b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", seconds=20):
    """(head, body) of one answer; the server closes."""
    with reach.connect(80, seconds) as s:
        s.sendall(request)
        text = b""
        while piece := s.recv(65536):
            text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    return head, body


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)
