#!/usr/bin/env python3
"""The network beside a Linux guest: guest instructions, kicks and interrupts of one operation, and rates.

    bench/net/run.py [--guests ringlet,linux,nginx] [--machine q35|virt] [--link tap|user] [--only http-1,rr]
                     [--what count,rate,profile] [--rounds 3] [--scale 1.0]

Ringlet runs examples/testd, Linux the same services as one epoll loop (linux_init.c), or nginx with one worker. `count`
runs under a plugin that counts instructions, between two marker instructions that a datagram makes the guest execute
(what that datagram costs is measured too, and subtracted). `rate` runs without it, the guests in turn, --rounds times; the
median is shown, and the ratio to Linux. `profile` shows in which functions of Ringlet the instructions are. A tap device
needs root (or user namespaces); it lives in a network namespace of its own, with checksum and segmentation offload.
--link user is QEMU's own network, without.
Needs QEMU and gcc; for Linux, Debian's cloud kernel package and nginx, which are downloaded and unpacked, not installed.
"""

import argparse
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), os.path.join(os.path.dirname(HERE), "..", "tests", "integration")]
import guests  # noqa: E402
from tap import Tap, why_no_tap  # noqa: E402

# name: (port, arguments of load, operations, what one operation is)
LOADS = {
    "rr-1": (7, ["rr", None, "1"], 5000, "1-byte round trip"),
    "rr-1k": (7, ["rr", None, "1024"], 5000, "1-KiB round trip"),
    "http-1": (80, ["http", None, "1"], 5000, "HTTP request, kept-alive connection"),
    "http-10": (80, ["http", None, "10"], 20000, "the same, 10 connections"),
    "http-16": (80, ["http", None, "16"], 20000, "the same, 16 connections"),
    "http-100": (80, ["http", None, "100"], 20000, "the same, 100 connections"),
    "close-1": (80, ["close", None, "1"], 2000, "HTTP request, connection of its own"),
    "close-4": (80, ["close", None, "4"], 4000, "the same, 4 at once"),
    "connect": (7, ["connect", None, "4"], 4000, "connection set up, 4 at once"),
    "send": (9, ["send", None], 256 << 20, "byte received by the guest"),
    "recv": (19, ["recv", None], 256 << 20, "byte sent by the guest"),
    "lent": (6002, ["recv", None], 256 << 20, "byte sent by the guest, of memory that is lent"),
    "udp": (7, ["udp", None, "64"], 20000, "64-byte datagram there and back"),
}
STREAMS = ("send", "recv", "lent")
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "failover", "net_failover",
           "virtio_net"]


def offers(name, load):
    return load != "lent" if name == "linux" else LOADS[load][0] == 80 if name == "nginx" else True


def load_tool():
    return guests.program("load", "net/load.c")


def nginx(debian):
    """Entries of an initramfs with nginx, the libraries it names, and a page of 612 bytes."""
    root = guests.unpacked("nginx-" + debian, debian, "nginx", "libc6", "libpcre2-8-0", "libssl3", "zlib1g", "libcrypt1")
    entries, folders = [], set()

    def add(name, mode, content):
        parts = name.split("/")[:-1]
        for i in range(1, len(parts) + 1):
            folder = "/".join(parts[:i])
            if folder not in folders:
                folders.add(folder)
                entries.append((folder, 0o40755, b""))
        entries.append((name, mode, content))
    for top, _, names in os.walk(root):
        for name in names:
            path = os.path.join(top, name)
            inside = os.path.relpath(path, root)
            if inside == "usr/sbin/nginx" or re.search(r"/(ld-linux[^/]*|lib(c|crypt|pcre2-8|ssl|crypto|z)\.so\.[\d.]+)$", "/" + inside):
                real = os.path.realpath(path) if not os.path.islink(path) or os.path.exists(path) else None
                if real:
                    add(inside, 0o100755, open(real, "rb").read())
    add("etc/nginx.conf", 0o100644, open(os.path.join(HERE, "nginx.conf"), "rb").read())
    add("etc/passwd", 0o100644, b"root:x:0:0::/:/none\nnobody:x:65534:65534::/:/none\n")
    add("etc/group", 0o100644, b"root:x:0:\nnogroup:x:65534:\n")
    add("www/index.html", 0o100644, b"x" * 611 + b"\n")
    for folder in ("var", "var/lib", "var/lib/nginx", "var/log", "var/log/nginx"):
        if folder not in folders:
            entries.append((folder, 0o40777, b""))
    return entries


class Tapped(Tap):
    """A tap device in a network namespace."""

    def options(self, _ports):
        return self.netdev()

    def target(self, port, _udp=False):
        return self.guest, port


class User:
    """QEMU's own network: ports of this computer are forwarded."""
    guest, inside = "10.0.2.15", []

    def options(self, ports):
        self.ports, rules = {}, ""
        for kind, port in ports:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as s:
                s.bind(("127.0.0.1", 0))
                self.ports[kind, port] = s.getsockname()[1]
            rules += f",hostfwd={kind}:127.0.0.1:{self.ports[kind, port]}-:{port}"
        return "user,id=n0" + rules

    def target(self, port, udp=False):
        return "127.0.0.1", self.ports["udp" if udp else "tcp", port]

    def close(self):
        pass


class Bench:
    def __init__(self, machine, link):
        self.machine, self.link = machine, link

    def boot(self, name, counting, profile=None):
        architecture, debian, _ = guests.MACHINES[self.machine]
        ports = {("udp" if load == "udp" else "tcp", port) for load, (port, *_) in LOADS.items()} | {("udp", 6001)}
        words = [f"address={self.link.guest}"] + (["nginx"] if name == "nginx" else [])
        more = nginx(debian) if name == "nginx" else ()
        if name == "ringlet":
            gateway = "10.0.2.2" if self.link.guest == "10.0.2.15" else Tap.host
            boot = guests.booted(name, self.machine, "testd", [], "net/linux_init.c", MODULES)
            boot += ["-append", f"panic=exit ip={self.link.guest}/24,{gateway}"]
        else:
            boot = guests.booted("linux", self.machine, "", words, "net/linux_init.c", MODULES, more)
        device = "virtio-net-pci,netdev=n0" + (",ioeventfd=off" if counting else "")
        guest = guests.Guest(self.machine, ["-m", "512M", "-netdev", self.link.options(sorted(ports)), "-device", device, *boot],
                             self.link.inside, counting, profile)
        if not guest.wait(rb"testd: ready", 120):
            guest.__exit__()
            sys.exit(f"bench: {name} does not come up:\n" + guest.output.decode(errors="replace")[-2000:])
        return guest

    def load(self, port, *arguments, udp=False):
        """(operations, seconds, failures, p50 us, p99 us)"""
        address, at = self.link.target(port, udp)
        text = guests.run(*self.link.inside, load_tool(), address, str(at), *arguments, capture_output=True, text=True, timeout=600).stdout
        n, seconds, failures, p50, p99 = re.search(r"LOAD (\d+) ([\d.]+) (\d+) (\d+) (\d+)", text).groups()
        return int(n), float(seconds), int(failures), int(p50), int(p99)

    def apply(self, name, scale):
        port, words, count, _ = LOADS[name]
        count = max(1, int(count * scale))
        return self.load(port, *(str(count) if w is None else w for w in words), udp=name == "udp")

    def mark(self):
        for _ in range(5):
            if self.load(6001, "mark", udp=True)[0] == 1:
                return
        sys.exit("bench: the guest does not answer the marker")

    def count(self, name, wanted, scale):
        """{load: (kicks, interrupts, instructions) of one operation}"""
        done = {}
        with self.boot(name, counting=True) as guest:
            self.apply(wanted[0], scale / 20)   # warm
            for load in ["nothing", *wanted]:
                self.mark()
                if load != "nothing":
                    done[load] = self.apply(load, scale)
                self.mark()
            windows = guest.counted()
        nothing = windows.pop(0)
        results = {}
        for load, window in zip(wanted, windows):
            n, _, failures, _, _ = done[load]
            if failures or n == 0:
                print(f"bench: {name}: {load}: {failures} failures", file=sys.stderr)
            else:
                results[load] = tuple(max(0, a - b) / n for a, b in zip(window, nothing))
        return results

    def profile(self, load, scale):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "profile")
            with self.boot("ringlet", counting=True, profile=out):
                self.apply(load, scale / 20)
                self.mark()
                n = self.apply(load, scale)[0]
                self.mark()
            architecture = guests.MACHINES[self.machine][0]
            unit = ("KiB " + LOADS[load][3][5:]) if load in STREAMS else LOADS[load][3]
            print(f"{unit}:")
            guests.show_profile(out, os.path.join(guests.BUILD, architecture, "examples", "testd", "testd"), n / (1024 if load in STREAMS else 1))

    def rate(self, names, wanted, scale, rounds):
        """{guest: {load: [(operations per second, p50, p99), ...]}}"""
        results = {name: {load: [] for load in wanted} for name in names}
        for _ in range(rounds):
            for name in names:
                with self.boot(name, counting=False):
                    for load in wanted:
                        if not offers(name, load):
                            continue
                        self.apply(load, scale / 20)
                        n, seconds, failures, p50, p99 = self.apply(load, scale)
                        if failures or n == 0:
                            print(f"bench: {name}: {load}: {failures} failures", file=sys.stderr)
                        else:
                            results[name][load].append((n / seconds, p50, p99))
        return results


def show_counts(bench, names, wanted, scale):
    counts = {}
    for name in names:
        counts[name] = bench.count(name, [w for w in wanted if offers(name, w)], scale)
    print("| operation | guest | instructions | kicks | interrupts |\n| --- | --- | ---: | ---: | ---: |")
    for load in wanted:
        for name in names:
            if load not in counts[name]:
                continue
            kicks, interrupts, instructions = counts[name][load]
            if load in STREAMS:
                print(f"| {LOADS[load][3]} (kicks, interrupts: per MiB) | {name} | {instructions:.2f} | {kicks * 2**20:.1f} | {interrupts * 2**20:.1f} |")
            else:
                print(f"| {LOADS[load][3]} | {name} | {instructions:,.0f} | {kicks:.2f} | {interrupts:.2f} |")


def show_rates(bench, names, wanted, scale, rounds):
    rates = bench.rate(names, wanted, scale, rounds)
    print("| load | guest | per second (median) | beside linux | p50, us | p99, us |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for load in wanted:
        for name in names:
            runs = rates[name][load]
            if not runs:
                continue
            rate, p50, p99 = (statistics.median(r[i] for r in runs) for i in range(3))
            base = rates.get("linux", {}).get(load)
            ratio = f"{rate / statistics.median(r[0] for r in base):.2f}" if base else ""
            text = f"{rate / 1e6:,.0f} MB" if load in STREAMS else f"{rate:,.0f}"
            times = "| |" if load in STREAMS or load == "udp" else f" {p50:,.0f} | {p99:,.0f} |"
            print(f"| {LOADS[load][3]} | {name} | {text} | {ratio} |{times}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guests", default="ringlet,linux,nginx")
    parser.add_argument("--machine", default="q35", choices=guests.MACHINES)
    parser.add_argument("--link", default="user" if why_no_tap() else "tap", choices=("tap", "user"))
    parser.add_argument("--only", default="", help="loads, separated by commas: " + ", ".join(LOADS))
    parser.add_argument("--what", default="count,rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of operations")
    options = parser.parse_args()
    wanted = [load for load in LOADS if not options.only or load in options.only.split(",")]
    names = options.guests.split(",")
    link = Tapped() if options.link == "tap" else User()
    try:
        bench = Bench(options.machine, link)
        if "profile" in options.what:
            for load in wanted:
                bench.profile(load, options.scale)
        if "count" in options.what:
            show_counts(bench, names, wanted, options.scale)
        if "rate" in options.what:
            show_rates(bench, names, wanted, options.scale, options.rounds)
    finally:
        link.close()


if __name__ == "__main__":
    main()
