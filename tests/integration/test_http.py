#!/usr/bin/env python3
"""The main job: an ext4 disk served over HTTP, byte for byte, by many machines to many clients."""

import concurrent.futures
import hashlib
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import VM  # noqa: E402

MIB = 1 << 20
EVERYWHERE = ("q35", "pc", "microvm", "virt", "virt-gicv3", "virt-mmio")


def request(port, method, path, headers=None, body=None, connection=None):
    c = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    c.request(method, path, body=body, headers=headers or {})
    r = c.getresponse()
    data = r.read()
    if connection is None:
        c.close()
    return r, data


def opened(port, path="/index.html"):
    """A kept-alive connection that has had its first answer. QEMU's forwarder listens with a backlog of one: connections
    opened faster than it accepts are dropped by the host, long before the guest could know of them."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with opened.lock:
        r, _ = request(0, "GET", path, connection=c)
    assert r.status == 200
    return c


opened.lock = threading.Lock()


def close_all(connections):
    for c in connections:
        c.close()


def raw(port, data, timeout=15, half_close=False):
    """Sends bytes and returns everything the server says until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
        except (ConnectionResetError, socket.timeout):
            pass
        return answer


ODD_NAMES = ("grün.txt".encode(), b'say "hi".txt', b"it's.txt", b"<b>bold</b>".replace(b"/", b"_"), b"100%.txt", b"%2e%2e", b"two\nlines",
             b"a&b=c?d#e", b"back\\slash", b"tab\there", b"latin\xe9.txt", b"semi;colon", b" ends with space ", b"x" * 255)


@expand
class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        files = {"big.bin": 64 * MIB, "middle.bin": 16 * MIB, "index.html": b"<h1>hello</h1>\n", "a b/ue%20.txt": b"spaces\n", "empty": b"",
                 "odd.txt": 12345, "deep/er/est/file.css": b"body{}"}
        files.update({f"small/{i:04}.txt": 10 + 37 * i % 5000 for i in range(1000)})
        cls.top = cls.work.tree("www", files)
        os.symlink("odd.txt", os.path.join(cls.top, "link.txt"))
        os.symlink("../../../../etc/passwd", os.path.join(cls.top, "escape"))
        os.symlink("loop2", os.path.join(cls.top, "loop1"))
        os.symlink("loop1", os.path.join(cls.top, "loop2"))
        os.mkdir(os.path.join(cls.top, "odd"))
        for name in ODD_NAMES:
            with open(os.path.join(os.fsencode(cls.top), b"odd", name), "wb") as f:
                f.write(b"<" + name + b">")
        os.mkdir(os.path.join(cls.top, "many"))
        for i in range(5000):
            open(os.path.join(cls.top, "many", f"{i:04}"), "w").close()
        cls.disk = cls.work.ext4("www.img", cls.top, "160M")
        cls.hashes = {}

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    def contents(self, path):
        with open(os.path.join(self.top, path), "rb") as f:
            return f.read()

    def hash_of(self, path):
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256(self.contents(path)).hexdigest()
        return self.hashes[path]

    def download(self, port, path):
        """Compares a whole file; the rate in MB/s."""
        began = time.monotonic()
        url = f"http://127.0.0.1:{port}/{path}"
        data = subprocess.run(["curl", "-sS", "--fail", "--max-time", "120", url], check=True, capture_output=True).stdout
        rate = len(data) / (time.monotonic() - began) / 1e6
        self.assertEqual(hashlib.sha256(data).hexdigest(), self.hash_of(path))
        return rate

    def assert_packets_are_back(self, vm):
        """Every packet buffer is in the pool or waits in the receive ring; a few round trips are given to get there."""
        for _ in range(20):
            free, total = map(int, re.search(r"(\d+) of (\d+) free", vm.shell("netstat -s")).groups())
            ring = sum(map(int, re.findall(r": (\d+) of \d+ in flight", vm.shell("virtio net0"))))
            if free + ring == total:
                return
            time.sleep(0.25)
        self.fail(f"{free} packets are free and {ring} in the rings, of {total}")

    def free_kib(self, vm):
        return int(re.search(r"Memory.*?(\d+) KiB\s*\n", vm.shell("free")).group(1))

    def vm(self, machine, **options):
        options.setdefault("disk", self.disk)
        vm = VM(machine, **options)
        self.addCleanup(vm.process.kill)
        vm.ready()
        vm.said(b"httpd: serving")
        return vm

    @per_machine(*EVERYWHERE)
    def test_every_byte_of_a_large_file(self, machine):
        with self.vm(machine) as vm:
            rate = self.download(vm.port(), "big.bin")
            print(f"{rate:.1f} MB/s ", end="", flush=True)
            self.assert_packets_are_back(vm)

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_a_thousand_small_files(self, machine):
        with self.vm(machine) as vm:
            c = http.client.HTTPConnection("127.0.0.1", vm.port(), timeout=30)
            for i in range(1000):
                r, data = request(0, "GET", f"/small/{i:04}.txt", connection=c)
                self.assertEqual(r.status, 200)
                self.assertEqual(data, self.contents(f"small/{i:04}.txt"))
            r, data = request(0, "GET", "/small/", connection=c)
            self.assertEqual(len(re.findall(rb'href="\d+\.txt"', data)), 1000)

    @per_machine("q35", "microvm", "virt", "virt-mmio")
    def test_a_hundred_connections_at_once(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            expected = {p: self.contents(p) for p in ("odd.txt", "small/0001.txt", "small/0999.txt", "index.html")}

            def client(number):
                c = opened(port)
                for i in range(5):
                    path = list(expected)[(number + i) % len(expected)]
                    r, data = request(0, "GET", "/" + path, connection=c)
                    if r.status != 200 or data != expected[path]:
                        return f"{path}: {r.status}, {len(data)} bytes"
                c.close()
                return None

            open_ones = [opened(port) for _ in range(50)]
            with concurrent.futures.ThreadPoolExecutor(100) as pool:
                self.assertEqual([p for p in pool.map(client, range(100)) if p], [])
            close_all(open_ones)
            self.assert_packets_are_back(vm)

    @per_machine("q35", "virt")
    def test_methods_ranges_and_conditions(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            odd = self.contents("odd.txt")
            get = lambda path, method="GET", **h: request(0, method, path, {k.replace("_", "-"): v for k, v in h.items()}, connection=c)
            r, data = get("/")
            self.assertEqual((r.status, data, r.getheader("Content-Type")), (200, b"<h1>hello</h1>\n", "text/html; charset=utf-8"))
            r, data = get("/odd.txt", "HEAD")
            self.assertEqual((r.status, data, r.getheader("Content-Length")), (200, b"", "12345"))
            etag, modified = r.getheader("ETag"), r.getheader("Last-Modified")
            for spec, status, expected in (("bytes=0-0", 206, odd[:1]), ("bytes=100-", 206, odd[100:]), ("bytes=-7", 206, odd[-7:]),
                                           ("bytes=5-99999999", 206, odd[5:]), ("bytes=0-1,5-6", 200, odd), ("lines=1-2", 200, odd)):
                r, data = get("/odd.txt", Range=spec)
                self.assertEqual((spec, r.status, data), (spec, status, expected))
            r, _ = get("/odd.txt", Range="bytes=12345-")
            self.assertEqual((r.status, r.getheader("Content-Range")), (416, "bytes */12345"))
            self.assertEqual(get("/odd.txt", If_None_Match=etag)[0].status, 304)
            self.assertEqual(get("/odd.txt", If_None_Match='"other"', If_Modified_Since=modified)[0].status, 200)
            self.assertEqual(get("/odd.txt", If_Modified_Since=modified)[0].status, 304)
            self.assertEqual(get("/odd.txt", Range="bytes=0-0", If_Range='"other"')[0].status, 200)
            self.assertEqual(get("/link.txt")[1], odd)
            self.assertEqual(get("/a%20b/ue%2520.txt")[1], b"spaces\n")
            self.assertEqual(get("/empty")[0].status, 200)
            r, _ = get("/deep")
            self.assertEqual((r.status, r.getheader("Location")), (301, "/deep/"))
            self.assertIn(b'href="er/"', get("/deep/")[1])
            self.assertEqual(get("/deep/er/est/file.css")[0].getheader("Content-Type"), "text/css; charset=utf-8")
            self.assertEqual(get("/nothing")[0].status, 404)
            self.assertEqual(get("/odd.txt/")[0].status, 404)
            self.assertEqual(get("/escape")[0].status, 404)
            r, _ = get("/", "DELETE")
            self.assertEqual((r.status, r.getheader("Allow")), (405, "GET, HEAD"))

    @per_machine("q35", "virt")
    def test_bad_requests_get_their_status(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            for data, status in ((b"nonsense\r\n\r\n", 400), (b"GET /../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                                 (b"GET /%2e%2e/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
                                 (b"GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
                                 (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n", 413),
                                 (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431),
                                 (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505)):
                self.assertTrue(raw(port, data).startswith(b"HTTP/1.1 %d " % status), (data[:60], raw(port, data)[:60]))

    @per_machine("q35", "virt")
    def test_pipelined_requests_are_answered_in_order(self, machine):
        with self.vm(machine) as vm:
            one = b"GET /small/%04d.txt HTTP/1.1\r\nHost: a\r\n\r\n"
            last = b"GET /index.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            answer = raw(vm.port(), b"".join(one % i for i in range(20)) + last)
            bodies = b"".join(self.contents(f"small/{i:04}.txt") for i in range(20)) + b"<h1>hello</h1>\n"
            pieces, rest = b"", answer
            while rest:
                head, rest = rest.split(b"\r\n\r\n", 1)
                length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
                pieces, rest = pieces + rest[:length], rest[length:]
            self.assertEqual(pieces, bodies)

    @per_machine("q35")
    def test_slow_and_silent_clients_are_timed_out_and_harm_nobody(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            connections = [opened(port) for _ in range(30)]
            slow = [c.sock for c in connections]
            for s in slow:
                s.sendall(b"GET / HTTP/1.1\r\nHo")
            began = time.monotonic()
            self.assertEqual(request(port, "GET", "/odd.txt")[1], self.contents("odd.txt"))
            self.assertLess(time.monotonic() - began, 5)
            for s in slow:
                s.settimeout(40)
                self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 408"))
                s.close()

    @per_machine("q35", "virt")
    def test_a_client_that_leaves_in_the_middle_leaks_nothing(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()

            request(port, "GET", "/middle.bin")
            before = None
            for i in range(60):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
                    s.sendall(b"GET /middle.bin HTTP/1.1\r\nHost: a\r\n\r\n")
                    s.recv(20000)
                if i == 20:
                    time.sleep(1)
                    before = self.free_kib(vm)
            time.sleep(1)
            self.assertGreater(self.free_kib(vm), before - 1024)
            self.assertEqual(request(port, "GET", "/odd.txt")[1], self.contents("odd.txt"))
            self.assert_packets_are_back(vm)

    @per_machine("q35", "virt")
    def test_old_clients_and_unusual_requests(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            old = raw(port, b"GET /index.html HTTP/1.0\r\n\r\n")
            self.assertTrue(old.startswith(b"HTTP/1.1 200 ") and b"\r\nConnection: close\r\n" in old and old.endswith(b"<h1>hello</h1>\n"))
            listing = raw(port, b"GET /small/ HTTP/1.0\r\n\r\n")   # no chunks for who cannot read them
            self.assertNotIn(b"Transfer-Encoding", listing)
            self.assertTrue(listing.endswith(b"</html>\n"))
            self.assertEqual(len(re.findall(rb'href="\d+\.txt"', listing)), 1000)
            absolute = raw(port, b"GET http://somebody.example/index.html?x=1 HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
            self.assertTrue(absolute.startswith(b"HTTP/1.1 200 ") and absolute.endswith(b"<h1>hello</h1>\n"))
            half = raw(port, b"GET /odd.txt HTTP/1.1\r\nHost: a\r\n\r\n", half_close=True)
            self.assertTrue(half.endswith(self.contents("odd.txt")))
            heads = raw(port, b"HEAD /odd.txt HTTP/1.1\r\nHost: a\r\n\r\n" * 10 + b"HEAD /small/ HTTP/1.1\r\nHost: a\r\n\r\n"
                        b"GET /index.html HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertEqual(heads.count(b"Content-Length: 12345\r\n"), 10)
            self.assertEqual(heads.count(b"\r\n\r\n"), 12)
            self.assertTrue(heads.endswith(b"\r\n\r\n<h1>hello</h1>\n"))

    @per_machine("q35", "virt")
    def test_bodies_are_skipped_and_conditions_hold_across_boots(self, machine):
        with self.vm(machine) as vm:
            c = opened(vm.port())
            r, _ = request(0, "POST", "/index.html", body=b"GET /trap HTTP/1.1\r\n\r\n" * 100, connection=c)
            self.assertEqual(r.status, 405)
            self.assertEqual(request(0, "GET", "/odd.txt", connection=c)[1], self.contents("odd.txt"))
            expecting = raw(vm.port(), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            self.assertTrue(expecting.startswith(b"HTTP/1.1 405 ") and b"Connection: close" in expecting)
            r, data = request(0, "HEAD", "/odd.txt", {"Range": "bytes=0-9"}, connection=c)
            self.assertEqual((r.status, r.getheader("Content-Length"), data), (200, "12345", b""))   # RFC 9110 §14.2
            etag, modified = r.getheader("ETag"), r.getheader("Last-Modified")
            get = lambda condition: request(0, "GET", "/odd.txt", {"Range": "bytes=0-9", "If-Range": condition}, connection=c)[0].status
            self.assertEqual([get(modified), get("Thu, 01 Jan 1970 00:00:00 GMT"), get(etag), get("W/" + etag), get("yesterday")],
                             [206, 200, 206, 200, 200])
            self.assertEqual([request(0, "GET", p, connection=c)[0].status for p in ("/loop1", "/loop1/x", "/loop2/")], [404] * 3)
        with self.vm(machine) as vm:
            self.assertEqual(request(vm.port(), "GET", "/odd.txt", {"If-None-Match": etag})[0].status, 304)

    @per_machine("q35", "virt")
    def test_odd_names_and_long_listings(self, machine):
        with self.vm(machine) as vm:
            c = opened(vm.port())
            _, page = request(0, "GET", "/odd/", connection=c)
            links = re.findall(rb'<li><a href="([^"<>]*)">([^<>]*)</a></li>', page)
            targets = [t.decode("ascii") for t, _ in links if t != b"../"]
            self.assertEqual(sorted(urllib.parse.unquote_to_bytes(t) for t in targets), sorted(ODD_NAMES))
            for target in targets:
                r, data = request(0, "GET", "/odd/" + target, connection=c)
                self.assertEqual((r.status, data), (200, b"<" + urllib.parse.unquote_to_bytes(target) + b">"), target)
            self.assertNotIn(b"<b>", page)
            _, page = request(0, "GET", "/many/", connection=c)
            self.assertEqual(sorted(re.findall(rb'href="(\d+)"', page)), [b"%04d" % i for i in range(5000)])

    @per_machine("q35", "virt")
    def test_three_hundred_idle_connections(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            self.download(port, "middle.bin")                 # so that the block cache has its size, and the heap
            close_all([opened(port) for _ in range(300)])
            time.sleep(1)
            before = self.free_kib(vm)
            idle = [opened(port) for _ in range(300)]
            held = before - self.free_kib(vm)
            print(f"{held} KiB for 300 ", end="", flush=True)
            self.assertLess(held, 300 * 8)
            self.download(port, "middle.bin")
            for c in idle:
                self.assertEqual(request(0, "GET", "/index.html", connection=c)[0].status, 200)
            close_all(idle)
            self.assert_packets_are_back(vm)
            deadline = time.monotonic() + 10                  # the last of them close when the guest gets round to it
            while self.free_kib(vm) <= before - 256 and time.monotonic() < deadline:
                time.sleep(0.2)
            self.assertGreater(self.free_kib(vm), before - 256)
            self.assertNotIn("ESTABLISHED", vm.shell("netstat"))

    @per_machine("q35", "virt")
    def test_two_thousand_connections_in_a_row(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            before = None
            for i in range(2000):
                if i == 500:
                    before = self.free_kib(vm)
                headers = {"Connection": "close"} if i % 2 else {}
                self.assertEqual(request(port, "GET", "/index.html", headers)[0].status, 200)
            self.assertGreater(self.free_kib(vm), before - 512)
            self.assert_packets_are_back(vm)
            self.assertRegex(vm.shell("netstat -s"), r"connections accepted +2000\n")

    @per_machine("q35", "virt")
    def test_a_download_survives_a_flapping_link(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            with socket.create_connection(("127.0.0.1", port), timeout=60) as s:
                s.sendall(b"GET /middle.bin HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer, flaps = bytearray(), 0
                while piece := s.recv(65536):
                    answer += piece
                    if flaps < 3 and len(answer) > (flaps + 1) * 3 * MIB:
                        flaps += 1
                        vm.qmp_command("set_link", name="n0", up=False)
                        time.sleep(0.3)
                        vm.qmp_command("set_link", name="n0", up=True)
            self.assertEqual(flaps, 3)
            self.assertEqual(hashlib.sha256(answer.split(b"\r\n\r\n", 1)[1]).hexdigest(), self.hash_of("middle.bin"))
            self.assert_packets_are_back(vm)

    def sectors_of(self, path):
        """Where the blocks of a file are, in the order of the file, 512-byte sectors."""
        sizes = subprocess.run(["dumpe2fs", "-h", self.disk], capture_output=True, text=True, check=True).stdout
        block = int(re.search(r"Block size: +(\d+)", sizes).group(1))
        text = subprocess.run(["debugfs", "-R", f"blocks {path}", self.disk], capture_output=True, text=True, check=True).stdout
        return [int(b) * (block // 512) for b in text.split()]

    @per_machine("q35", "virt")
    def test_a_failing_disk_costs_only_what_is_on_it(self, machine):
        bad = [self.sectors_of("odd.txt")[0], self.sectors_of("middle.bin")[1000]]
        errors = ",".join(f"inject-error.{i}.event=read_aio,inject-error.{i}.sector={s},inject-error.{i}.errno=5" for i, s in enumerate(bad))
        bus = "pci" if machine != "virt-mmio" else "device"
        extra = ["-blockdev", f"driver=raw,node-name=bad,read-only=on,file.driver=blkdebug,file.image.driver=file,file.image.filename={self.disk},"
                 + ",".join("file." + e for e in errors.split(",")),
                 "-device", f"virtio-blk-{bus},drive=bad"]
        with self.vm(machine, disk=None, extra=extra) as vm:
            port = vm.port()
            for _ in range(2):
                self.assertEqual(request(port, "GET", "/odd.txt")[0].status, 500)
                self.assertEqual(request(port, "HEAD", "/odd.txt")[0].status, 200)
                with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
                    request(port, "GET", "/middle.bin")
                good = {"Range": "bytes=8000000-"}
                self.assertEqual(request(port, "GET", "/middle.bin", good)[1], self.contents("middle.bin")[8000000:])
                self.assertEqual(request(port, "GET", "/small/0007.txt")[1], self.contents("small/0007.txt"))
            self.assert_packets_are_back(vm)

    @per_machine("q35", "virt")
    def test_four_mebibytes_are_enough(self, machine):
        with self.vm(machine, memory="4M" if machine == "q35" else "8M") as vm:
            free = self.free_kib(vm)
            print(f"{free} KiB free ", end="", flush=True)
            port = vm.port()
            close_all([opened(port) for _ in range(20)])
            self.download(port, "middle.bin")
            self.assertEqual(request(port, "GET", "/odd.txt")[1], self.contents("odd.txt"))
            self.assert_packets_are_back(vm)


if __name__ == "__main__":
    main()
