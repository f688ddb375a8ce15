"""What the measurements share: guests under `-icount shift=0`, and how instructions are read from them.

With `-icount shift=0` every guest instruction takes one nanosecond of guest time and nothing else does, except that the
clock follows the host's while the CPU is halted. So the nanoseconds that the guest counts as busy are instructions,
whatever the host is doing meanwhile. The x86 time stamp counter ticks once per nanosecond, the Arm counter every 16.
"""

import os
import re
import socket
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))

import vm  # noqa: E402

ICOUNT = ["-icount", "shift=0"]
NS_PER_CYCLE = {"x86_64": 1, "aarch64": 16}


def disk():
    for arch in ("x86_64", "aarch64"):
        path = os.path.join(vm.BUILD, arch, "examples", "httpd", "httpd.disk")
        if os.path.exists(path):
            return path
    sys.exit("bench: no httpd.disk: build the targets httpd and httpd-disk first")


def boot(machine, memory="64M", extra=()):
    """A guest with one NIC and one disk. Use with `with`."""
    return vm.VM(machine, memory=memory, disk=disk(), append="loglevel=debug", extra=extra, check_log=False)


def to_main(guest):
    """Instructions from kernel entry to main(), without those that a halted CPU did not execute."""
    text = guest.wait(re.compile(rb"main\(\) (\d+) cycles after entry, (\d+) idle"), 120)
    cycles, idle = re.search(rb"main\(\) (\d+) cycles after entry, (\d+) idle", text).groups()
    return (int(cycles) - int(idle)) * NS_PER_CYCLE[guest.arch]


def busy_us(guest):
    """Microseconds, thus thousands of instructions, that the guest has been busy since its clock started."""
    return int(re.search(r"(\d+) us busy", guest.shell("uptime", 120)).group(1))


class Client:
    """One kept-alive HTTP connection."""

    def __init__(self, guest, path="/"):
        self.socket = socket.create_connection(("127.0.0.1", guest.port()), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()

    def get(self):
        """One request; returns (status, bytes of head and body)."""
        self.socket.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, body = data.split(b"\r\n\r\n", 1)
        length = int(re.search(rb"(?i)content-length: *(\d+)", head).group(1))
        while len(body) < length:
            body += self._receive()
        return int(head.split()[1]), len(head) + 4 + length

    def _receive(self):
        data = self.socket.recv(65536)
        if not data:
            raise vm.Failure("the guest closed the connection")
        return data

    def close(self):
        self.socket.close()


def counters(guest, device="net0"):
    """{queue name: {counter: value}} of a virtio device, from the shell."""
    queues, name = {}, None
    for line in guest.shell(f"virtio {device}", 120).splitlines():
        found = re.match(r"\s*queue \d+ (\S+):", line)
        if found:
            name = found.group(1)
        for label, value in re.findall(r"([a-z ]+) (\d+)(?:,|$)", line.strip()) if name and line.strip().startswith("kicks") else ():
            queues.setdefault(name, {})[label.strip()] = int(value)
    return queues
