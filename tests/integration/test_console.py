#!/usr/bin/env python3
"""virtio-serial: the shell on hvc0, a named port for data, hosts and ports that come and go."""

import hashlib
import os
import random
import re
import select
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import MACHINES, PROMPT, VM, Failure  # noqa: E402

NAME = "org.ringlet.data"
MACHINE_LIST = ("q35", "microvm", "virt", "virt-mmio")


class Line:
    """The host's end of a chardev socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.output = b""
        self._mark = 0

    def wait(self, pattern, timeout=30):
        pattern = pattern if isinstance(pattern, re.Pattern) else re.compile(re.escape(pattern))
        deadline = time.monotonic() + timeout
        while True:
            found = pattern.search(self.output, self._mark)
            if found:
                text = self.output[self._mark:found.end()]
                self._mark = found.end()
                return text
            if not select.select([self.socket], [], [], max(0, deadline - time.monotonic()))[0]:
                raise Failure(f"no {pattern.pattern!r} within {timeout} s:\n{self.output[-2000:].decode(errors='replace')}")
            data = self.socket.recv(65536)
            if not data:
                raise Failure(f"closed before {pattern.pattern!r}")
            self.output += data

    def send(self, text):
        self.socket.sendall(text.encode())

    def shell(self, line, timeout=30):
        self.send(line + "\n")
        self.wait(line.encode() + b"\r\n", timeout)
        return self.wait(PROMPT, timeout).decode(errors="replace").replace("\r", "")

    def echo(self, data, timeout=60):
        """Sends everything, reads as much back meanwhile."""
        self.socket.settimeout(timeout)
        sender = threading.Thread(target=self.socket.sendall, args=(data,))
        sender.start()
        back = b""
        while len(back) < len(data):
            piece = self.socket.recv(65536)
            if not piece:
                break
            back += piece
        sender.join()
        return back

    def close(self):
        self.socket.close()


class Console(VM):
    def __init__(self, machine, append="console=hvc0", options="", data=True):
        suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
        self.paths = {}
        extra = ["-device", f"virtio-serial-{suffix},id=vs{options}"]
        directory = self.place = f"/tmp/ringlet-console-{os.getpid()}-{random.randrange(1 << 30)}"
        for name in ("hvc", "data"):
            self.paths[name] = f"{directory}.{name}"
            extra += ["-chardev", f"socket,id={name},path={self.paths[name]},server=on,wait=off"]
        extra += ["-device", "virtconsole,chardev=hvc,bus=vs.0"]
        if data:
            extra += ["-device", f"virtserialport,id=p1,chardev=data,name={NAME},bus=vs.0"]
        super().__init__(machine, net=False, append=append, appliance="console", extra=extra)
        self.hvc = Line(self.paths["hvc"])

    def ready(self, line):
        """The application and the shell share the console: a prompt of its own after the application has spoken."""
        (line or self).wait(b"console: ready\r\n")   # the whole line: what is typed earlier is echoed into it
        (line or self).send("\n")
        (line or self).wait(PROMPT)

    def plug(self, **device):
        """A chardev may be in use for a moment after its last device went."""
        deadline = time.monotonic() + 10
        while True:
            try:
                return self.qmp_command("device_add", driver="virtserialport", bus="vs.0", **device)
            except Failure:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def data(self):
        return Line(self.paths["data"])

    def __exit__(self, *args):
        self.hvc.close()
        try:
            return super().__exit__(*args)
        finally:
            for path in self.paths.values():
                if os.path.exists(path):
                    os.unlink(path)


@expand
class VirtioConsole(unittest.TestCase):
    @per_machine(*MACHINE_LIST)
    def test_the_shell_on_hvc0(self, machine):
        with Console(machine) as vm:
            vm.ready(vm.hvc)
            self.assertIn(b"Ringlet ", vm.hvc.output)  # the log from before the console existed
            text = vm.hvc.shell("virtio console0")
            for word in ("control_rx", "bytes_in", "tx0"):
                self.assertIn(word, text)
            for n in range(20):
                vm.hvc.shell("irq")
            self.assertIn("multiport", vm.hvc.shell("virtio console0 features"))
            self.assertNotIn("dropped", vm.hvc.shell("virtio console0"))  # zeroes are not shown

    @per_machine(*MACHINE_LIST)
    def test_a_port_carries_data(self, machine):
        with Console(machine) as vm:
            vm.hvc.wait(b"console: ready")
            payload = random.Random(5).randbytes(1 << 20)
            for round in range(3):   # the host comes and goes
                data = vm.data()
                part = payload if round == 0 else payload[:10_000 * round]
                back = data.echo(part)
                self.assertEqual(hashlib.sha256(back).hexdigest(), hashlib.sha256(part).hexdigest())
                data.close()
                vm.hvc.wait(f"echoed {len(part)} bytes".encode())

    @per_machine("q35", "virt", "virt-mmio")
    def test_a_port_is_plugged_and_unplugged(self, machine):
        with Console(machine, data=False) as vm:
            vm.ready(vm.hvc)
            for round in range(3):
                vm.plug(id=f"q{round}", chardev="data", name=NAME)
                data = vm.data()
                self.assertEqual(data.echo(b"x" * 5000), b"x" * 5000)
                vm.qmp_command("device_del", id=f"q{round}")
                data.close()
                vm.hvc.wait(b"echoed 5000 bytes")

    @per_machine("q35", "virt")
    def test_without_hvc0_the_serial_device_stays(self, machine):
        with Console(machine, append="console=hvc1") as vm:
            vm.wait(b"no hvc1: the serial device stays the console")
            vm.ready(None)
            vm.send("virtio\n")
            vm.wait(b"console0   console")
        with Console(machine, append="") as vm:
            vm.ready(None)
            vm.send("virtio\n")
            vm.wait(b"console0   console")

    @per_machine("q35", "virt")
    def test_another_host_takes_over_the_console(self, machine):
        with Console(machine) as vm:
            vm.ready(vm.hvc)
            vm.hvc.close()
            vm.hvc = Line(vm.paths["hvc"])
            vm.hvc.send("\n")
            vm.hvc.wait(PROMPT)

    @per_machine("q35", "virt")
    def test_an_old_device_with_one_port(self, machine):
        with Console(machine, options=",max_ports=1", data=False) as vm:
            vm.ready(vm.hvc)
            self.assertIn("rx0", vm.hvc.shell("virtio console0"))


if __name__ == "__main__":
    main()
