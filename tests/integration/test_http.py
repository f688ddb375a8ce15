#!/usr/bin/env python3
"""The main job: an ext4 disk served over HTTP, byte for byte, by many machines to many clients."""

import concurrent.futures
import hashlib
import http.client
import os
import re
import socket
import sys
import time
import unittest

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


def raw(port, data, timeout=15):
    """Sends bytes and returns everything the server says until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        s.sendall(data)
        answer = b""
        try:
            while piece := s.recv(65536):
                answer += piece
        except (ConnectionResetError, socket.timeout):
            pass
        return answer


@expand
class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = Workspace()
        files = {"big.bin": 64 * MIB, "index.html": b"<h1>hello</h1>\n", "a b/ue%20.txt": b"spaces\n", "empty": b"",
                 "odd.txt": 12345, "deep/er/est/file.css": b"body{}"}
        files.update({f"small/{i:04}.txt": 10 + 37 * i % 5000 for i in range(1000)})
        cls.top = cls.work.tree("www", files)
        os.symlink("odd.txt", os.path.join(cls.top, "link.txt"))
        os.symlink("../../../../etc/passwd", os.path.join(cls.top, "escape"))
        cls.disk = cls.work.ext4("www.img", cls.top, "128M")

    @classmethod
    def tearDownClass(cls):
        cls.work.close()

    def contents(self, path):
        with open(os.path.join(self.top, path), "rb") as f:
            return f.read()

    def vm(self, machine, **options):
        vm = VM(machine, disk=self.disk, **options)
        self.addCleanup(vm.process.kill)
        vm.ready()
        vm.said(b"httpd: serving")
        return vm

    @per_machine(*EVERYWHERE)
    def test_every_byte_of_a_large_file(self, machine):
        with self.vm(machine) as vm:
            _, data = request(vm.port(), "GET", "/big.bin")
            self.assertEqual(hashlib.sha256(data).digest(), hashlib.sha256(self.contents("big.bin")).digest())

    @per_machine("q35", "virt", "virt-mmio")
    def test_a_thousand_small_files(self, machine):
        with self.vm(machine) as vm:
            c = http.client.HTTPConnection("127.0.0.1", vm.port(), timeout=30)
            for i in range(1000):
                r, data = request(0, "GET", f"/small/{i:04}.txt", connection=c)
                self.assertEqual(r.status, 200)
                self.assertEqual(data, self.contents(f"small/{i:04}.txt"))
            r, data = request(0, "GET", "/small/", connection=c)
            self.assertEqual(len(re.findall(rb'href="\d+\.txt"', data)), 1000)

    @per_machine("q35", "microvm", "virt")
    def test_a_hundred_connections_at_once(self, machine):
        with self.vm(machine) as vm:
            port = vm.port()
            expected = {p: self.contents(p) for p in ("odd.txt", "small/0001.txt", "small/0999.txt", "index.html")}

            def client(number):
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                for i in range(5):
                    path = list(expected)[(number + i) % len(expected)]
                    r, data = request(0, "GET", "/" + path, connection=c)
                    if r.status != 200 or data != expected[path]:
                        return f"{path}: {r.status}, {len(data)} bytes"
                return None

            open_ones = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(50)]
            with concurrent.futures.ThreadPoolExecutor(100) as pool:
                self.assertEqual([p for p in pool.map(client, range(100)) if p], [])
            for s in open_ones:
                s.close()

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
            slow = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(30)]
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

            def free_pages():
                return int(re.search(r"Memory.*?(\d+) KiB\s*\n", vm.shell("free")).group(1))

            request(port, "GET", "/big.bin")
            before = None
            for i in range(60):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as s:
                    s.sendall(b"GET /big.bin HTTP/1.1\r\nHost: a\r\n\r\n")
                    s.recv(20000)
                if i == 20:
                    time.sleep(1)
                    before = free_pages()
            time.sleep(1)
            self.assertGreater(free_pages(), before - 1024)
            self.assertEqual(request(port, "GET", "/odd.txt")[1], self.contents("odd.txt"))


if __name__ == "__main__":
    main()
