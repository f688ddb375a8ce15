"""A bad wire: frames between two ends are lost, doubled, overtaken, damaged, delayed and rationed, by a seed.

What happens to the n-th frame of a direction depends on the seed and n alone, so a run can be repeated as far as the two ends
repeat themselves. Damage is one flipped bit behind the Ethernet header of an IP packet: what a checksum must find (ARP has none;
on a real wire Ethernet's own protects it).
"""

import dataclasses
import heapq
import os
import random
import select
import socket
import threading
import time

IP = (b"\x08\x00", b"\x86\xdd")


@dataclasses.dataclass(frozen=True)
class Quality:
    """Probabilities per frame, seconds, bytes per second."""
    loss: float = 0
    duplicate: float = 0
    reorder: float = 0    # held back for `held` seconds: the next ones overtake it
    corrupt: float = 0
    delay: float = 0
    held: float = 0.005
    rate: float = 0       # 0: no limit
    backlog: float = 0.1  # seconds that a frame may wait for its turn; then it is dropped, as a full router would


class Datagrams:
    """The other end of QEMU's `-netdev dgram`: one frame per datagram."""

    def __init__(self, folder, name):
        self.path, self.theirs = os.path.join(folder, f"{name}.wire"), os.path.join(folder, f"{name}.qemu")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(self.path)

    def netdev(self, id="n0"):
        return f"dgram,id={id},local.type=unix,local.path={self.theirs},remote.type=unix,remote.path={self.path}"

    def fileno(self):
        return self.socket.fileno()

    def read(self):
        return self.socket.recv(70000)

    def write(self, frame):
        try:
            self.socket.sendto(frame, self.theirs)
        except (FileNotFoundError, ConnectionRefusedError):
            pass   # nobody is there yet, or any more

    def close(self):
        self.socket.close()


class Frames:
    """A tap device that no QEMU has: the kernel's stack is the peer. `fd` is a Tap's frames()."""

    def __init__(self, fd):
        self.fd = fd
        os.set_blocking(fd, False)

    def fileno(self):
        return self.fd

    def read(self):
        return os.read(self.fd, 70000)

    def write(self, frame):
        os.write(self.fd, frame)

    def close(self):
        os.close(self.fd)


class Direction:
    def __init__(self, source, target, quality, seed):
        self.source, self.target, self.quality = source, target, quality
        self.rng = random.Random(seed)
        self.free_at = 0.0   # when the last frame has left, at `rate`
        self.counts = dict.fromkeys(("frames", "lost", "duplicated", "reordered", "corrupted", "overflowed"), 0)

    def take(self, frame, now):
        """[(when, frame)]: what arrives of this one."""
        q, count = self.quality, self.counts
        lost, doubled, late, damaged = (self.rng.random() for _ in range(4))
        bit = self.rng.random()
        count["frames"] += 1
        if lost < q.loss:
            count["lost"] += 1
            return []
        when = now
        if q.rate:
            if self.free_at - now > q.backlog:
                count["overflowed"] += 1
                return []
            when = self.free_at = max(now, self.free_at) + len(frame) / q.rate
        when += q.delay
        if late < q.reorder:
            count["reordered"] += 1
            when += q.held
        if damaged < q.corrupt and frame[12:14] in IP:
            count["corrupted"] += 1
            at = 14 * 8 + int(bit * (len(frame) - 14) * 8)
            frame = bytearray(frame)
            frame[at // 8] ^= 1 << at % 8
            frame = bytes(frame)
        if doubled < q.duplicate:
            count["duplicated"] += 1
            return [(when, frame), (when, frame)]
        return [(when, frame)]


class Wire(threading.Thread):
    """Carries frames between two ends until it is closed, and closes them."""

    def __init__(self, one, other, quality, seed):
        super().__init__(daemon=True)
        self.ends = (one, other)
        self.directions = [Direction(one, other, quality, f"{seed} there"), Direction(other, one, quality, f"{seed} back")]
        self.pending, self.order, self.stopping = [], 0, threading.Event()
        self.start()

    def set(self, quality):
        for d in self.directions:
            d.quality = quality

    @property
    def counts(self):
        """Sums over both directions."""
        return {name: sum(d.counts[name] for d in self.directions) for name in self.directions[0].counts}

    def run(self):
        while not self.stopping.is_set():
            now = time.monotonic()
            while self.pending and self.pending[0][0] <= now:
                when, order, target, frame = heapq.heappop(self.pending)
                try:
                    target.write(frame)
                except BlockingIOError:   # QEMU is busy: later, in the same order
                    heapq.heappush(self.pending, (when, order, target, frame))
                    time.sleep(0.0005)
                    break
            wait = max(0, min(0.1, self.pending[0][0] - now)) if self.pending else 0.1
            for source in select.select(self.ends, [], [], wait)[0]:
                self.collect(next(d for d in self.directions if d.source is source))

    def collect(self, direction):
        for _ in range(64):
            try:
                frame = direction.source.read()
            except BlockingIOError:
                return
            for when, frame in direction.take(frame, time.monotonic()):
                self.order += 1
                heapq.heappush(self.pending, (when, self.order, direction.target, frame))

    def close(self):
        self.stopping.set()
        self.join(10)
        for end in self.ends:
            end.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
