#!/usr/bin/env python3
"""The socket calls of the C library: echo servers with poll, with epoll, with threads, many connections at once to each."""

import os
import random
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import VM  # noqa: E402

BOTH = ("q35", "virt")
SERVERS = {7001: "poll", 7002: "epoll", 7003: "threads"}
PORTS = tuple(f"tcp:{p}" for p in (*SERVERS, 7005)) + ("udp:7004",)


def boot(machine):
    return VM(machine, memory="128M", appliance="sockets", forward=PORTS)


def connect(vm, port):
    s = socket.create_connection(("127.0.0.1", vm.ports[port]), 20)
    s.settimeout(20)
    if port in SERVERS:   # QEMU's own listener has room for one that it has not accepted: wait until it has
        s.sendall(b"?")
        assert s.recv(1) == b"?"
    return s


def receive(s, size):
    got = b""
    while len(got) < size:
        more = s.recv(65536)
        if not more:
            break
        got += more
    return got


def ready(vm):
    vm.wait(b"sockets: serving", 60)
    vm.ports = {p: vm.port(p) for p in (*SERVERS, 7005)}
    vm.ports[7004] = vm.port(7004, "udp")
    return vm


def served(vm):
    with connect(vm, 7005) as s:
        s.sendall(b"how many\n")
        return [int(n) for n in s.makefile().readline().split()]


@expand
class Sockets(unittest.TestCase):
    @per_machine(*BOTH)
    def test_many_connections(self, machine):
        """60 open connections to each server, which all speak in turn, out of order, several times."""
        rng = random.Random(1)
        with boot(machine) as vm:
            ready(vm)
            for port in SERVERS:
                peers = [connect(vm, port) for _ in range(60)]
                for turn in range(3):
                    rng.shuffle(peers)
                    sent = {}
                    for s in peers:
                        sent[s] = rng.randbytes(rng.randrange(1, 3000))
                        s.sendall(sent[s])
                    for s in peers:
                        self.assertEqual(receive(s, len(sent[s])), sent[s], (SERVERS[port], turn))
                for s in peers[::2]:
                    s.close()
                for s in peers[1::2]:
                    s.shutdown(socket.SHUT_WR)
                    self.assertEqual(s.recv(10), b"", SERVERS[port])
                    s.close()
            self.assertEqual(served(vm), [60, 60, 60])

    @per_machine(*BOTH)
    def test_bulk(self, machine):
        """A megabyte through each server, from a client that reads while it writes."""
        data = random.Random(2).randbytes(1 << 20)
        with boot(machine) as vm:
            ready(vm)
            for port in SERVERS:
                with connect(vm, port) as s:
                    writer = threading.Thread(target=s.sendall, args=(data,))
                    writer.start()
                    self.assertTrue(receive(s, len(data)) == data, SERVERS[port])
                    writer.join()

    @per_machine(*BOTH)
    def test_at_once(self, machine):
        """All servers and the datagram one at the same time; then the end of main() ends the run."""
        with boot(machine) as vm:
            ready(vm)
            peers = [connect(vm, port) for port in SERVERS for _ in range(10)]
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.settimeout(10)
            for turn in range(20):
                text = b"turn %d" % turn
                for s in peers:
                    s.sendall(text)
                udp.sendto(text, ("127.0.0.1", vm.ports[7004]))
                for s in peers:
                    self.assertEqual(receive(s, len(text)), text)
                self.assertEqual(udp.recv(100), text)
            udp.close()
            for s in peers:
                s.close()
            with connect(vm, 7005) as s:
                s.sendall(b"stop\n")
                vm.exit_status()


if __name__ == "__main__":
    main()
