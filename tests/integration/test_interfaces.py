#!/usr/bin/env python3
"""Two network interfaces, each in a user network of its own: both get leases, each answers what came by it, and one goes
on without the other."""

import http.client
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import MACHINES, VM  # noqa: E402


def two_nics(machine, append="", transports=None):
    """`transports`: "pci" or "device" (MMIO) for each, on a machine that has both."""
    extra = []
    for i, suffix in enumerate(transports or 2 * ["pci" if MACHINES[machine][2] == "pci" else "device"]):
        extra += ["-netdev", f"user,id=n{i},net=10.{i}.2.0/24,hostfwd=tcp:127.0.0.1:0-:80",
                  "-device", f"virtio-net-{suffix},netdev=n{i},id=nic{i},mac=52:54:00:00:00:0{i + 1}"]
    # virtio-mmio's slots are filled from the last: there the second is the guest's first.
    return VM(machine, net=False, extra=extra, append=append)


def ports(vm):
    """Of the hosts' forwards to 10.0.2.15 and to 10.1.2.15."""
    lines = [line.split() for line in vm.qmp_command("human-monitor-command", **{"command-line": "info usernet"}).splitlines()]
    return {words[4]: int(words[3]) for words in lines if words and "HOST_FORWARD" in words[0]}


def status(connection):
    connection.request("GET", "/nothing")
    r = connection.getresponse()
    r.read()
    return r.status


def until(vm, command, text, seconds=30):
    end = time.monotonic() + seconds
    while text not in (said := vm.shell(command)):
        if time.monotonic() > end:
            raise AssertionError(f"{text!r} never came: {said}")
        time.sleep(0.2)
    return said


@expand
class Interfaces(unittest.TestCase):
    @per_machine("q35", "virt", "virt-mmio")
    def test_both_are_driven_and_one_goes_on_without_the_other(self, machine):
        self.both_are_driven(machine)

    @per_machine("virt")
    def test_on_two_buses(self, machine):
        self.both_are_driven(machine, transports=("pci", "device"))

    def both_are_driven(self, machine, **how):
        with two_nics(machine, **how) as vm:
            vm.ready()
            addresses = ["10.0.2.15", "10.1.2.15"]
            for a in addresses:
                said = until(vm, "ip", f"inet {a}/24")
            first = 0 if said.index("10.0.2.15") < said.index("10.1.2.15") else 1
            routes = vm.shell("route")
            for i, n in ((first, 0), (1 - first, 1)):
                self.assertIn(f"10.{i}.2.0/24 link net{n} (ours)", routes)
                self.assertIn(f"0.0.0.0/0 10.{i}.2.2", routes)
            forward = ports(vm)
            connections = [http.client.HTTPConnection("127.0.0.1", forward[a], timeout=30) for a in addresses]
            for c in connections:
                self.assertEqual(status(c), 404)
            for down in (0, 1):
                vm.qmp_command("set_link", name=f"nic{down}", up=False)
                until(vm, "link", f"net{down ^ first}: down")
                self.assertEqual(status(connections[1 - down]), 404)
                self.assertIn("1 of 1 answered", vm.shell(f"ping -c 1 10.{1 - down}.2.2"))
                vm.qmp_command("set_link", name=f"nic{down}", up=True)
                until(vm, "link", f"net{down ^ first}: up")
                self.assertEqual(status(connections[down]), 404)
            for c in connections:
                c.close()

    @per_machine("q35", "virt")
    def test_each_is_configured_by_name(self, machine):
        with two_nics(machine, "ip=10.0.2.15/24 net1.ip=10.1.2.15/24,10.1.2.2 net1.route=192.0.2.0/24,10.1.2.2") as vm:
            vm.ready()
            routes = vm.shell("route")
            self.assertIn("192.0.2.0/24 10.1.2.2 net1\n", routes.replace("\r", ""))
            self.assertIn("0.0.0.0/0 10.1.2.2 metric 1 net1 (gateway)", routes)
            for port in ports(vm).values():
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                self.assertEqual(status(c), 404)
                c.close()


if __name__ == "__main__":
    main()
