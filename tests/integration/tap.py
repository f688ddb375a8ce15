"""A network of its own for one guest and the Linux kernel: a network namespace with a tap device. Nothing of the host's network is
touched, so names and addresses are always the same.

The namespace lives as long as a helper process in it, and that ends when this process does, however it ends: nothing is left
behind. Root is needed, or a kernel that gives user namespaces to everybody; tests with a tap are skipped where there is neither
(`@needs_tap`).
"""

import fcntl
import functools
import json
import os
import socket
import struct
import subprocess
import sys
import unittest

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
DEVICE = "tap0"


class Tap:
    """The host is 10.9.0.1 and 2001:db8:9::1, the guest shall be .2 and ::2. `offloads`: checksums and segments are left to
    whoever reads them (the guest may still decline); else every frame is complete. `queues`: pairs that QEMU may attach.
    Context manager."""
    host, guest, host6, guest6 = "10.9.0.1", "10.9.0.2", "2001:db8:9::1", "2001:db8:9::2"
    device = DEVICE

    def __init__(self, queues=1, offloads=True, mtu=1500):
        self.queues, self.offloads = queues, offloads
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._helper = subprocess.Popen(["unshare", *user, "--net", sys.executable, os.path.abspath(__file__)], stdin=theirs,
                                            stderr=subprocess.PIPE)
        try:
            self._control.settimeout(20)
            if self._control.recv(16) != b"ready":
                raise OSError("no network namespace: " + self._helper.communicate()[1].decode(errors="replace").strip())
            # A command line that is put before a command, to run it in the namespace; the process id stays the same.
            self.inside = ["nsenter", *(["--user", "--preserve-credentials"] if user else []), "--net", "-t", str(self._helper.pid)]
            kind = (" vnet_hdr" if offloads else "") + (" multi_queue" if queues > 1 else "")
            for line in ("link set lo up", f"tuntap add dev {DEVICE} mode tap{kind}", f"link set {DEVICE} mtu {mtu}",
                         f"addr add {self.host}/24 dev {DEVICE}", f"addr add {self.host6}/64 dev {DEVICE} nodad",
                         f"link set {DEVICE} up"):
                self.run("ip", *line.split())
        except BaseException:
            self.close()
            raise

    def run(self, *command, timeout=60, **more):
        """Runs a command in the namespace; CalledProcessError if it fails. Returns what it wrote."""
        return subprocess.run([*self.inside, *command], check=True, capture_output=True, timeout=timeout, **more).stdout

    def sysctl(self, **values):
        """Sets e.g. ipv4_tcp_sack=0."""
        for name, value in values.items():
            family, _, rest = name.partition("_")
            self.run("sh", "-c", f"echo '{value}' > /proc/sys/net/{family}/{rest}")

    def _ask(self, *what):
        self._control.send(json.dumps(what).encode())
        text, fds, _, _ = socket.recv_fds(self._control, 4096, 1)
        if not fds:
            raise OSError(text.decode() or "the namespace is gone")
        return fds[0]

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0):
        """A socket of the namespace."""
        return socket.socket(fileno=self._ask("socket", family, kind, protocol))

    def connect(self, port, host=None, timeout=20, **options):
        """A TCP connection from the namespace, by default to the guest; `options`: socket options of TCP by their names."""
        host = host or self.guest
        s = self.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        s.settimeout(timeout)
        for name, value in options.items():
            s.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name.upper()}"), value)
        try:
            s.connect((host, port))
        except BaseException:
            s.close()
            raise
        return s

    def frames(self):
        """The tap device itself, instead of QEMU: a file descriptor, one frame per read() and write()."""
        return self._ask("frames")

    def netdev(self, id="n0"):
        """QEMU's -netdev; QEMU must be started `inside`."""
        return (f"tap,id={id},ifname={DEVICE},script=no,downscript=no,vhost=off,vnet_hdr={'on' if self.offloads else 'off'}"
                + (f",queues={self.queues}" if self.queues > 1 else ""))

    def close(self):
        self._control.close()
        try:
            self._helper.wait(10)
        except subprocess.TimeoutExpired:
            self._helper.kill()
            self._helper.wait()
        self._helper.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@functools.cache
def why_no_tap():
    """Empty if there can be a Tap."""
    try:
        Tap().close()
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return ""


def needs_tap(test):
    """Decorator for a test or a class of them: skipped, and counted so, where there is no tap."""
    return unittest.skipIf(why_no_tap(), "needs a tap device (root, /dev/net/tun)")(test)


def help_inside():
    """The helper: opens what it is asked for until nobody is there to ask. stdin is the socket."""
    control = socket.socket(fileno=0)
    control.send(b"ready")
    while request := control.recv(4096):
        what, *arguments = json.loads(request)
        fd = -1
        try:
            if what == "socket":
                fd = socket.socket(*arguments).detach()
            else:
                fd = os.open("/dev/net/tun", os.O_RDWR)
                fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TAP | IFF_NO_PI))
            socket.send_fds(control, [b"ok"], [fd])
        except OSError as error:
            control.send(f"{what}: {error}".encode())
        if fd >= 0:
            os.close(fd)


if __name__ == "__main__":
    help_inside()
