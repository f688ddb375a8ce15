"""A raw Ethernet peer for one guest: frames as datagrams over a Unix socket, so no root and no network of the host's.

It answers ARP, is a DHCP server, opens TCP connections by hand and sends whatever it is told to. Every wait has a bound;
nothing here runs by itself: frames are handled inside pump() and everything that calls it.
"""

import collections
import os
import re
import select
import shutil
import socket
import struct
import tempfile
import time

from vm import VM, Failure

PEER_MAC = bytes.fromhex("0242c0a80001")
GUEST_MAC = bytes.fromhex("525400123456")
BROADCAST = b"\xff" * 6
PEER_IP, GUEST_IP, NETWORK = 0x0A090001, 0x0A090002, 0x0A090000   # 10.9.0.1, .2, /24

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
M32 = 0xFFFFFFFF


def checksum(data):
    if len(data) & 1:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def ethernet(payload, kind=0x0800, source=PEER_MAC, destination=GUEST_MAC):
    return (destination + source + struct.pack(">H", kind) + payload).ljust(60, b"\0")


def ipv4(payload, protocol, source=PEER_IP, destination=GUEST_IP, options=b"", **field):
    """`field`: any header field set by hand: version, ihl, total, ident, fragment, ttl, sum."""
    ihl = field.get("ihl", 5 + len(options) // 4)
    total = field.get("total", 20 + len(options) + len(payload))
    head = struct.pack(">BBHHHBBHII", field.get("version", 4) << 4 | ihl, 0, total & 0xFFFF, field.get("ident", 1),
                       field.get("fragment", 0), field.get("ttl", 64), protocol, 0, source, destination) + options
    value = field.get("sum", checksum(head))
    return head[:10] + struct.pack(">H", value) + head[12:] + payload


def pseudo(source, destination, protocol, length):
    return struct.pack(">IIBBH", source, destination, 0, protocol, length & 0xFFFF)


def tcp(sport, dport, seq, ack, flags, data=b"", window=65535, options=b"", source=PEER_IP, destination=GUEST_IP, **field):
    offset = field.get("offset", 5 + len(options) // 4)
    head = struct.pack(">HHIIBBHHH", sport, dport, seq & M32, ack & M32, offset << 4, flags, window, 0, field.get("urgent", 0))
    whole = head + options + data
    value = field.get("sum", checksum(pseudo(source, destination, 6, len(whole)) + whole))
    return whole[:16] + struct.pack(">H", value) + whole[18:]


def udp(sport, dport, data, source=PEER_IP, destination=GUEST_IP, **field):
    length = field.get("length", 8 + len(data))
    head = struct.pack(">HHHH", sport, dport, length, 0)
    value = field.get("sum", checksum(pseudo(source, destination, 17, length) + head + data) or 0xFFFF)
    return head[:6] + struct.pack(">H", value) + data


def icmp(kind, code, rest, data=b""):
    head = struct.pack(">BBHI", kind, code, 0, rest)
    return head[:2] + struct.pack(">H", checksum(head + data)) + head[4:] + data


def arp(operation, sender_mac, sender, target_mac, target):
    return struct.pack(">HHBBH6sI6sI", 1, 0x0800, 6, 4, operation, sender_mac, sender, target_mac, target)


def option(code, value):
    return bytes([code, len(value)]) + value


def word(value):
    return struct.pack(">I", value & M32)


class Connection:
    """A TCP connection by hand. `auto`: acknowledges what comes in order, with `window`."""

    def __init__(self, peer, sport, dport=80, window=65535, source=PEER_IP, seq=None, options=b"\x02\x04\x05\xb4"):
        self.peer, self.sport, self.dport, self.source, self.window = peer, sport, dport, source, window
        self.seq = peer.rng.getrandbits(32) if seq is None else seq
        self.ack = 0
        self.received = bytearray()
        self.auto, self.opened, self.finished, self.reset = True, False, False, False
        self.segments = 0
        peer.connections[(source, sport)] = self
        self.options = options
        self.send(SYN, options=options)
        self.seq = (self.seq + 1) & M32

    def send(self, flags, data=b"", seq=None, ack=None, window=None, **more):
        self.peer.send(ethernet(ipv4(tcp(self.sport, self.dport, self.seq if seq is None else seq, self.ack if ack is None else ack,
                                         flags, data, self.window if window is None else window, source=self.source, **more),
                                     6, source=self.source)))

    def write(self, data):
        for i in range(0, len(data), 1400):
            self.send(ACK | PSH, data[i:i + 1400])
            self.seq = (self.seq + len(data[i:i + 1400])) & M32

    def handle(self, seq, ack, flags, window, data):
        self.segments += 1
        if flags & RST:
            self.reset = True
            return
        if flags & SYN:
            if not self.opened:
                self.ack, self.opened = (seq + 1) & M32, True
                self.send(ACK)
            return
        if not self.auto or not self.opened:
            return
        skip = (self.ack - seq) & M32
        if skip < 0x80000000 and skip < len(data) + (flags & FIN):
            self.received += data[skip:]
            self.ack = (self.ack + len(data) - skip) & M32
            if flags & FIN and not self.finished:
                self.finished = True
                self.ack = (self.ack + 1) & M32
        if data or flags & FIN:
            self.send(ACK)

    def open(self, seconds=10):
        end = time.monotonic() + seconds
        while not self.peer.pump(lambda: self.opened or self.reset, 1) and time.monotonic() < end:
            self.send(SYN, seq=(self.seq - 1) & M32, options=self.options)   # as any client
        if not self.opened or self.reset:
            raise Failure(f"no connection from port {self.sport} (reset: {self.reset})")
        return self

    def end(self):
        """Forgets the connection on both sides."""
        self.send(RST)
        self.peer.connections.pop((self.source, self.sport), None)


class Peer:
    def __init__(self, rng):
        self.rng = rng
        self.directory = tempfile.mkdtemp(prefix="ringlet-peer-")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.bind(self.path("host.sock"))
        self.connections, self.ports = {}, 20000
        self.echoes, self.others = {}, []
        self.dhcp = self.good_dhcp     # (type, xid) -> list of payloads
        self.sent = self.received = 0
        self.inbox, self.handling = collections.deque(), False

    def path(self, name):
        return os.path.join(self.directory, name)

    def qemu_options(self, suffix):
        return ["-netdev", f"dgram,id=n0,local.type=unix,local.path={self.path('qemu.sock')},remote.type=unix,"
                f"remote.path={self.path('host.sock')}", "-device", f"virtio-net-{suffix},netdev=n0,mac=52:54:00:12:34:56"]

    def connect(self, seconds=10):
        end = time.monotonic() + seconds
        while True:
            try:
                return self.socket.connect(self.path("qemu.sock"))
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def close(self):
        self.socket.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- frames
    def send(self, frame):
        end = time.monotonic() + 20
        while True:
            try:
                self.socket.send(frame)
                self.sent += 1
                return
            except BlockingIOError:
                readable, _, _ = select.select([self.socket], [self.socket], [], 0.2)
                if readable:
                    self.receive(256)   # handled later: handling one frame must not nest into another
                if time.monotonic() > end:
                    raise Failure("the guest has taken no frame for 20 s") from None

    def send_ip(self, payload, protocol, **more):
        self.send(ethernet(ipv4(payload, protocol, **more)))

    def receive(self, most):
        for _ in range(most):
            try:
                self.inbox.append(self.socket.recv(70000))
            except BlockingIOError:
                return
            self.received += 1

    def drain(self, most=256):
        self.receive(most)
        if self.handling:
            return
        self.handling = True
        try:
            while self.inbox:
                self.handle(self.inbox.popleft())
        finally:
            self.handling = False

    def pump(self, until=lambda: False, seconds=5.0):
        end = time.monotonic() + seconds
        while not until():
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self.inbox or select.select([self.socket], [], [], min(left, 0.1))[0]:
                self.drain(64)
        return True

    def handle(self, frame):
        kind = frame[12:14]
        if kind == b"\x08\x06":
            self.handle_arp(frame[14:42])
        elif kind == b"\x86\xdd":
            self.handle_ipv6(frame[14:])
        elif kind == b"\x08\x00":
            head = frame[14:]
            length, protocol = struct.unpack(">H", head[2:4])[0], head[9]
            source, destination = struct.unpack(">II", head[12:20])
            payload = head[20:length]
            if checksum(head[:20]) != 0:
                raise Failure("the guest sent a bad IPv4 checksum")
            if protocol == 6:
                self.handle_tcp(source, destination, payload)
            elif protocol == 17 and payload[2:4] == b"\x00\x43":
                self.handle_dhcp(payload[8:])
            elif protocol == 1 and payload[0] == 0:
                self.echoes[payload[4:8]] = payload[8:]
            else:
                self.others.append((protocol, payload))

    def handle_ipv6(self, packet):
        """Nothing here speaks IPv6; test_ipv6.py does."""

    def handle_arp(self, packet):
        if len(packet) < 28:
            return
        _, _, _, _, operation, mac, sender, _, target = struct.unpack(">HHBBH6sI6sI", packet)
        if operation == 1 and target != GUEST_IP and sender != target:
            self.send(ethernet(arp(2, PEER_MAC, target, mac, sender), 0x0806))

    def handle_tcp(self, source, destination, t):
        sport, dport, seq, ack, offset, flags, window = struct.unpack(">HHIIBBH", t[:16])
        c = self.connections.get((destination, dport))
        if c is not None and c.dport == sport:
            if checksum(pseudo(source, destination, 6, len(t)) + t) != 0:
                raise Failure("the guest sent a bad TCP checksum")
            c.handle(seq, ack, flags, window, t[(offset >> 4) * 4:])

    # --- DHCP
    def handle_dhcp(self, m):
        if len(m) < 244:
            return
        kind, at = 0, 240
        while at + 1 < len(m) and m[at] != 255:
            if m[at] == 53:
                kind = m[at + 2]
            at += 2 + m[at + 1] if m[at] else 1
        for answer in self.dhcp(kind, m[4:8]):
            self.send_dhcp(answer)

    def send_dhcp(self, payload):
        self.send(ethernet(ipv4(udp(67, 68, payload, destination=M32), 17, destination=M32), destination=BROADCAST))

    def bootp(self, xid, options, yours=GUEST_IP, file=b"", sname=b"", magic=b"\x63\x82\x53\x63", **field):
        head = struct.pack(">BBBB4sHHIIII6s10x64s128s", field.get("op", 2), 1, field.get("hlen", 6), 0, xid, 0, 0, 0, yours, 0, 0,
                           GUEST_MAC, sname, file)
        return head + magic + options

    def good_dhcp(self, kind, xid, t1=1800):
        answer = {1: 2, 3: 5}.get(kind)
        if answer is None:
            return []
        return [self.bootp(xid, option(53, bytes([answer])) + option(54, word(PEER_IP)) + option(1, word(0xFFFFFF00)) +
                           option(3, word(PEER_IP)) + option(51, word(3600)) + option(58, word(t1)) + b"\xff")]

    # --- TCP
    def port(self):
        self.ports += 1
        return self.ports

    def connection(self, **more):
        return Connection(self, self.port(), **more).open()

    def http(self, path, seconds=20, **more):
        c = self.connection(**more)
        c.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        if not self.pump(lambda: c.finished or c.reset, seconds) or c.reset:
            raise Failure(f"{path}: {len(c.received)} bytes, then nothing (reset: {c.reset})")
        c.end()
        head, _, body = bytes(c.received).partition(b"\r\n\r\n")
        return head, body

    def echo(self, data, ident=7, sequence=1):
        """One ping; the answer's payload, or None."""
        key = struct.pack(">HH", ident, sequence)
        self.echoes.pop(key, None)
        self.send_ip(icmp(8, 0, ident << 16 | sequence, data), 1)
        return self.echoes.get(key) if self.pump(lambda: key in self.echoes, 5) else None


class Guest:
    """A guest whose only network is the peer."""

    def __init__(self, machine, disk, rng, memory="64M", dhcp=None, peer=Peer, append="", appliance="httpd",
                 serving=b"httpd: serving"):
        self.peer = peer(rng)
        if dhcp:
            self.peer.dhcp = lambda kind, xid: dhcp(self.peer, kind, xid)
        suffix = "device" if machine in ("microvm", "virt-mmio") else "pci"
        self.vm = VM(machine, memory=memory, disk=disk, net=False, append=append, appliance=appliance,
                     extra=self.peer.qemu_options(suffix))
        try:
            self.peer.connect()
            self.vm.network = self.peer
            self.vm.said(serving)
            self.vm._mark = len(self.vm.output)   # the prompt may have come before the last line of the log
            self.vm.send("\n")
            self.vm.ready(settle=re.escape(serving))
        except BaseException:
            self.close(check=False)
            raise

    def shell(self, line):
        return self.vm.shell(line)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    def close(self, check=True):
        self.vm.network = None
        self.peer.close()
        self.vm.__exit__(None if check else Failure, None, None)
