#!/usr/bin/env python3
"""testd and httpd under the tools of others, over a tap: the Linux kernel's TCP in all its moods, curl, wrk, nmap, ping, and
datagrams as traceroute sends them. After each the guest serves, nobody is connected, and every packet buffer is back. Needs
root (or user namespaces) and /dev/net/tun; skipped without."""

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import testd  # noqa: E402
from harness import Workspace, expand, main, per_machine  # noqa: E402
from peer import checksum  # noqa: E402
from tap import Tap, needs_tap  # noqa: E402
from testd import KIB, MIB, TCP_PORTS, Reach, TapGuest, noise  # noqa: E402
from vm import Failure, TapVM  # noqa: E402

BOTH = ("q35", "virt")
# What the Linux side does; sysctl names below net/.
MOODS = {"as it comes": {}, "no SACK": {"ipv4_tcp_sack": 0}, "no timestamps": {"ipv4_tcp_timestamps": 0},
         "no window scaling": {"ipv4_tcp_window_scaling": 0}, "ECN": {"ipv4_tcp_ecn": 1},
         "nothing of RFC 1323 and later": {"ipv4_tcp_sack": 0, "ipv4_tcp_timestamps": 0, "ipv4_tcp_window_scaling": 0}}
USUAL = {"ipv4_tcp_sack": 1, "ipv4_tcp_timestamps": 1, "ipv4_tcp_window_scaling": 1, "ipv4_tcp_ecn": 2}
NO_OFFLOADS = "csum=off,gso=off,guest_csum=off,guest_tso4=off,guest_tso6=off,host_tso4=off,host_tso6=off,mrg_rxbuf=off"


def run(tap, *command, seconds=60, **more):
    return subprocess.run([*tap.inside, *command], capture_output=True, text=True, timeout=seconds, **more)


@expand
@needs_tap
class Streams(unittest.TestCase):
    def both_ways(self, guest, reach, size):
        try:
            testd.discarded(reach, noise(size))
            testd.generated(reach, size)
            testd.generated(reach, size, port=6002)
            testd.echoed(reach, noise(size // 4, 2))
        except (OSError, Failure) as error:   # both sides' view of it
            sides = [run(reach.tap, "ss", "-tnoi").stdout, *(guest.shell(line) for line in ("netstat", "netstat -s", "virtio net0"))]
            self.fail("\n".join([repr(error), *sides, guest.tail()]))
        guest.at_rest()

    @per_machine(*BOTH)
    def test_linux_in_all_its_moods(self, machine):
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            with open("/proc/sys/net/ipv4/tcp_allowed_congestion_control") as f:
                controls = {name: {"ipv4_tcp_congestion_control": name} for name in f.read().split()}
            for name, settings in (MOODS | controls).items():
                with self.subTest(name):
                    tap.sysctl(**(USUAL | settings))
                    self.both_ways(guest, Reach(tap), 8 * MIB)
            tap.sysctl(**USUAL)
            with self.subTest("over IPv6"):
                self.both_ways(guest, Reach(tap, tap.guest6), 8 * MIB)
            with self.subTest("small segments"):
                self.both_ways(guest, Reach(tap, maxseg=536), 2 * MIB)
            self.assertEqual(guest.counter("bad checksums"), 0)

    @per_machine(*BOTH)
    def test_without_offloads(self, machine):
        with Tap(offloads=False) as tap, TapGuest(machine, tap, NO_OFFLOADS) as guest:
            guest.started()
            for host in (tap.guest, tap.guest6):
                self.both_ways(guest, Reach(tap, host), 4 * MIB)

    @per_machine("q35")
    def test_a_link_of_jumbo_frames(self, machine):
        """Ours is 1,500: TCP must agree on that, and what is larger anyway does no harm."""
        for offloads in (True, False):
            with Tap(offloads=offloads, mtu=9000) as tap, TapGuest(machine, tap) as guest:
                guest.started()
                self.both_ways(guest, Reach(tap), 8 * MIB)
                run(tap, "ping", "-c", "3", "-i", "0.2", "-W", "1", "-s", "8000", tap.guest)
                self.assertEqual(run(tap, "ping", "-c", "1", "-W", "2", tap.guest).returncode, 0)
                guest.serves(Reach(tap))


@expand
@needs_tap
class Tools(unittest.TestCase):
    def need(self, tool):
        if not shutil.which(tool):
            self.skipTest(f"{tool} is not installed")

    @per_machine(*BOTH)
    def test_wrk(self, machine):
        self.need("wrk")
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            for connections in (1, 10, 100):
                text = run(tap, "wrk", "-t1", f"-c{connections}", "-d1s", f"http://{tap.guest}/").stdout
                self.assertGreater(int(re.search(r"(\d+) requests in", text)[1]), 500, text)
                self.assertNotRegex(text, "Socket errors|Non-2xx")
            guest.serves(Reach(tap))

    @per_machine(*BOTH)
    def test_nmap(self, machine):
        """Finds the ports that are open and no other; its odd packets, made to tell systems apart, leave no mark."""
        self.need("nmap")
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            ports = "1-1024,6000-6002,8080,65535" if machine == "q35" else "1-100,6000,6002"
            scan = ["nmap", "-n", "-Pn", "--max-retries", "3", "-p", ports]
            text = run(tap, *scan, "-sS", tap.guest, seconds=50).stdout
            self.assertEqual([int(p) for p in re.findall(r"^(\d+)/tcp +open ", text, re.M)], sorted(TCP_PORTS), text)
            self.assertNotIn("filtered", text)   # each closed port says so
            text = run(tap, "nmap", "-n", "-Pn", "-O", "-p", "7,8,80", tap.guest, seconds=50).stdout
            self.assertIn("OS detection performed", text)
            for kind in ("-sN", "-sX", "-sA", "-sF") if machine == "q35" else ("-sX",):
                self.assertIn("Nmap done: 1 IP address", run(tap, "nmap", "-n", "-Pn", kind, "-p", "7-20", tap.guest, seconds=50).stdout)
            guest.serves(Reach(tap))

    @per_machine(*BOTH)
    def test_pings(self, machine):
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            for host, sizes in ((tap.guest, (0, 56, 1472, 1473, 9000)), (tap.guest6, (0, 56, 1452, 1453, 9000))):
                for size in sizes:
                    self.assertEqual(run(tap, "ping", "-c", "2", "-i", "0.2", "-W", "3", "-s", str(size), host).returncode, 0, f"{host} {size}")
                flood = run(tap, "ping", "-f", "-c", "2000", "-l", "20", "-w", "15", host).stdout
                self.assertGreater(int(re.search(r"(\d+) received", flood)[1]), 200, flood)   # answers are rationed, or not
                run(tap, "ping", "-c", "2", "-i", "0.2", "-W", "1", "-s", "60000", host)   # more than anybody need put together
            guest.serves(Reach(tap))

    @per_machine("q35")
    def test_traceroute(self, machine):
        """By hand, as traceroute does it: a datagram to a closed port, hop limit 1; the answer is "port unreachable"."""
        with Tap() as tap, TapGuest(machine, tap) as guest:
            guest.started()
            with tap.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp, \
                    tap.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                icmp.settimeout(5)
                s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                s.bind((tap.host, 0))
                for port in range(33434, 33440):
                    s.sendto(b"trace", (tap.guest, port))
                    packet, (source, _) = icmp.recvfrom(2000)
                    message = packet[(packet[0] & 15) * 4:]
                    self.assertEqual((source, message[0], message[1]), (tap.guest, 3, 3))
                    self.assertEqual(checksum(message), 0)
                    quoted = message[8:]
                    self.assertEqual(struct.unpack(">HH", quoted[20:24]), (s.getsockname()[1], port))
                    time.sleep(0.1)
            guest.serves(Reach(tap))


@expand
@needs_tap
class Curl(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        cls.big = noise(6 * MIB, 9)
        cls.disk = cls.work.ext4("www.img", cls.work.tree("www", {"index.html": b"<p>page</p>\n", "big.bin": cls.big}), "16M")

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    @per_machine(*BOTH)
    def test_httpd(self, machine):
        with Tap() as tap, TapVM(machine, tap, append=f"ip6={tap.guest6}/64", disk=self.disk) as vm:
            vm.ready()

            def curl(*options, host=tap.guest, path="/big.bin", count=1):
                got = subprocess.run([*tap.inside, "curl", "-gsS", "--max-time", "30", *options, *[f"http://{host}{path}"] * count],
                                     capture_output=True, timeout=40)
                self.assertEqual(got.returncode, 0, got.stderr)
                return got.stdout
            for host in (tap.guest, f"[{tap.guest6}]"):
                self.assertEqual(curl(host=host), self.big)
            self.assertEqual(curl("-0"), self.big)                                       # HTTP/1.0: the end is the end
            self.assertIn(b"Content-Length: %d\r\n" % len(self.big), curl("--head"))
            self.assertEqual(curl("-r", "1000-2999"), self.big[1000:3000])
            self.assertEqual(curl("-r", "-700"), self.big[-700:])
            used = curl("-w", "%{num_connects} ", "-o", "/dev/null", path="/", count=20)  # -o: the first one only
            self.assertEqual(sum(int(n) for n in re.findall(rb"(?:^|\n|>)?(\d+) ", used)), 1, used)
            for options, status in ((("-X", "BREW"), b"405"), (("-H", "Host:"), b"400"), (("-H", "X: " + "x" * 20000), b"431"),
                                    (("-r", "99999999-"), b"416"), (("--path-as-is",), b"200")):
                self.assertEqual(curl(*options, "-o", "/dev/null", "-w", "%{http_code}"), status, options)
            self.assertEqual(curl("-o", "/dev/null", "-w", "%{http_code}", "--path-as-is", path="/../../etc/passwd"), b"400")
            self.assertEqual(curl(path="/"), b"<p>page</p>\n")


if __name__ == "__main__":
    main()
