#!/usr/bin/env python3
"""The examples and what they are made of: a root filesystem in the image, kv with Redis' own client, metrics."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import ROOT, VM, image  # noqa: E402

MACHINES = ("q35", "virt")
WWW = os.path.join(ROOT, "examples", "httpd", "www")


def get(port, path, timeout=20):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=timeout) as answer:
        return answer.read()


@expand
class Packed(unittest.TestCase):
    @per_machine(*MACHINES)
    def test_pages_from_the_image(self, machine):
        with VM(machine, appliance="packed") as vm:
            vm.ready()
            self.assertIn(b"rom: ext4 mounted read-only at /", vm.output)
            files = 0
            for place, _, names in os.walk(WWW):
                for name in names:
                    path = os.path.join(place, name)
                    with open(path, "rb") as f:
                        self.assertEqual(get(vm.port(), "/" + os.path.relpath(path, WWW)), f.read(), path)
                    files += 1
            self.assertGreater(files, 0)
            self.assertIn("read-only", vm.shell("touch /x"))
            self.assertEqual(vm.shell("touch /tmp/x"), "")
            self.assertIn("rom", vm.shell("disks"))

    def test_a_damaged_one_is_an_error_and_not_a_crash(self):
        space = Workspace()
        self.addCleanup(space.close)
        path = space.file("damaged")
        with open(image("x86_64", "packed"), "rb") as f:
            whole = bytearray(f.read())
        at = next(m.start() for m in re.finditer(b"RINGPAK1", whole) if whole[m.start() + 16:m.start() + 20] == b"\0\x80\0\0")
        chunks = int.from_bytes(whole[at + 20:at + 24], "little")
        for where, said in ((at + 9, b"the packed root filesystem cannot be used"),
                            (at + 32 + 8 * (chunks + 1) + 5, b"rom: ")):
            bad = bytearray(whole)
            bad[where] ^= 0xFF
            with open(path, "wb") as f:
                f.write(bad)
            with VM("q35", kernel=path) as vm:
                vm.ready()
                self.assertIn(said, vm.output)
                self.assertEqual(vm.shell("ls /"), "tmp/\n")   # in memory


class Redis:
    """A client of kv, by Redis' protocol."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def answer(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server is gone")
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        return int(rest) if kind == b":" else line[:-2] if kind == b"-" else rest

    def __call__(self, *words):
        self.send(*words)
        return self.answer()


@expand
class KeyValue(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    def start(self, machine, path):
        vm = VM(machine, appliance="kv", forward=("tcp:6379",),
                extra=["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={path}", "-device",
                       "virtio-blk-pci,drive=d"])
        vm.started = lambda: vm.wait(re.compile(rb"kv: (\d+) keys, \d+ bytes cut off, serving"), timeout=40)
        return vm

    @per_machine(*MACHINES)
    def test_what_was_acknowledged_survives_a_kill(self, machine):
        path = self.space.ext4(f"{machine}-kv.img", size="64M")
        acknowledged = {}
        for n in range(2):
            with self.start(machine, path) as vm:
                self.assertGreaterEqual(int(re.search(rb"(\d+) keys", vm.started()).group(1)), len(acknowledged))
                port = vm.port(6379)
                reader = Redis(port)
                for key, value in acknowledged.items():
                    self.assertEqual(reader("GET", key), value)
                stop = threading.Event()

                def write(who):
                    try:
                        client = Redis(port)
                        for i in range(10_000):
                            if stop.is_set():
                                return
                            key, value = f"{n}.{who}.{i}", os.urandom(300).hex().encode()
                            if client("SET", key, value) == b"OK":
                                acknowledged[key] = value
                    except OSError:
                        pass    # the machine was killed

                writers = [threading.Thread(target=write, args=(who,)) for who in range(4)]
                for w in writers:
                    w.start()
                deadline = time.monotonic() + 30
                wanted = len(acknowledged) + 120
                while len(acknowledged) < wanted and time.monotonic() < deadline:
                    time.sleep(0.05)
                vm.process.kill()      # in the middle of it
                stop.set()
                for w in writers:
                    w.join(timeout=30)
                self.assertGreaterEqual(len(acknowledged), wanted)
        with self.start(machine, path) as vm:
            vm.started()
            client = Redis(vm.port(6379))
            for key, value in acknowledged.items():
                self.assertEqual(client("GET", key), value)
        self.assertEqual(subprocess.run(["e2fsck", "-fy", path], capture_output=True, timeout=60).returncode & ~1, 0)
        self.assertEqual(subprocess.run(["e2fsck", "-fn", path], capture_output=True, timeout=60).returncode, 0)

    @unittest.skipUnless(shutil.which("redis-benchmark"), "redis-tools is not installed")
    @per_machine(*MACHINES)
    def test_with_the_real_client(self, machine):
        path = self.space.ext4(f"{machine}-real.img", size="64M")
        with self.start(machine, path) as vm:
            vm.started()
            port = str(vm.port(6379))

            def cli(*words):
                return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, text=True, timeout=30).stdout

            self.assertEqual(cli("set", "greeting", "hello"), "OK\n")
            self.assertEqual(cli("get", "greeting"), "hello\n")
            self.assertEqual(cli("del", "greeting", "nothing"), "1\n")
            self.assertEqual(cli("get", "greeting"), "\n")
            self.assertIn("unknown command", cli("flushall"))
            done = subprocess.run(["redis-benchmark", "-p", port, "-t", "set,get", "-n", "500", "-c", "20", "-P", "4", "-q"],
                                  capture_output=True, text=True, timeout=120)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(len(re.findall(r"(?:SET|GET): [\d.]+ requests per second", done.stdout)), 2, done.stdout)
            facts = dict(re.findall(r"(\w+):(\d+)", cli("info")))
            self.assertLess(int(facts["syncs"]), 502)    # clients shared them
            with socket.create_connection(("127.0.0.1", int(port)), timeout=20) as raw:
                raw.sendall(b"*1\r\n$99999999999\r\n")
                self.assertRegex(raw.recv(200), rb"-ERR Protocol error")
                self.assertEqual(raw.recv(200), b"")


@expand
class Metrics(unittest.TestCase):
    @per_machine(*MACHINES)
    def test_statsd_in_prometheus_out(self, machine):
        with VM(machine, appliance="metrics", memory="16M", forward=("udp:8125", "tcp:9102")) as vm:
            vm.wait(b"metrics: UDP port 8125 in", timeout=40)
            get(vm.port(9102), "/metrics")    # now it has its address: datagrams before that are lost
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                s.connect(("127.0.0.1", vm.port(8125, kind="udp")))
                for datagram in (b"jobs.done:1|c\njobs.done:2|c|@0.5\n", b"level:7|g", b"level:-2.5|g", b"3:1|c",
                                 b"nonsense", b"x:nan|g", b"x:1|c|@0", b":1|c", b"y:1|zz", b"\xff\xfe:1|c\x00", b"",
                                 *(b"took:%d|ms" % i for i in range(1, 101))):
                    s.send(datagram)
                    time.sleep(0.01)    # nobody keeps more for it than a few dozen
                deadline = time.monotonic() + 20
                while True:
                    text = get(vm.port(9102), "/metrics").decode()
                    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
                    if lines.get("took_count") == "100" or time.monotonic() > deadline:
                        break
            self.assertEqual(lines["jobs_done"], "5", text)
            self.assertEqual(lines["level"], "4.5")
            self.assertEqual(lines["_3"], "1")
            self.assertEqual((lines["took_count"], lines["took_sum"]), ("100", "5050"))
            self.assertIn(lines['took{quantile="0.9"}'], ("90", "91"))
            self.assertEqual(lines["metrics_lines_refused"], "6")
            self.assertGreater(int(lines["ringlet_free_bytes"]), 0)
            for request, status in ((b"GET /no HTTP/1.1\r\n\r\n", b"404"), (b"PUT / HTTP/1.1\r\n\r\n", b"405")):
                with socket.create_connection(("127.0.0.1", vm.port(9102)), timeout=20) as c:
                    c.sendall(request)
                    self.assertEqual(c.recv(100).split()[1], status)
            if machine != "q35":
                return
            silent = [socket.create_connection(("127.0.0.1", vm.port(9102)), timeout=20) for _ in range(32)]
            self.assertIn(b"jobs_done", get(vm.port(9102), "/metrics", timeout=30))   # when their patience is over
            for c in silent:
                c.close()


if __name__ == "__main__":
    main()
