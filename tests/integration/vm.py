"""One virtual machine under test: starts QEMU, talks to its serial line and to QMP, and always ends it by its pid.

Every wait has a bound. Ports are chosen by the kernel (hostfwd port 0) and asked back from QEMU. Whatever QEMU has to say
about the guest's manners (guest_errors, unimp) fails the test, and so does a device that asked for a reset.
"""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("RINGLET_BUILD", os.path.join(ROOT, "build"))
# The log writes whole lines, but at any time: in the middle of an echo, of an answer, of the prompt.
LOG = rb"(?:\[ *\d+\.\d+\] [^\n]*\n)*"
INTRUDER = re.compile(rb"(?<=[^\n])" + LOG[:-1] + rb"+")


def interruptible(text):
    """A regular expression for `text` with whole lines of the log anywhere in it."""
    return LOG.join(re.escape(bytes([byte])) for byte in text)


# What the log writes behind the prompt is left to the next wait().
PROMPT = re.compile(interruptible(b"ringlet:") + LOG + rb"(?:(?!\[ *\d+\.)[^\n]" + LOG + rb")*?[$#]" + LOG + rb" (?=" + LOG +
                    rb"\Z)")
PANIC = b"RINGLET PANIC"

# name: (architecture, QEMU machine options, transport)
MACHINES = {
    "q35": ("x86_64", ["-M", "q35"], "pci"),
    "pc": ("x86_64", ["-M", "pc"], "pci"),
    "microvm": ("x86_64", ["-M", "microvm,rtc=on"], "mmio"),
    "microvm-v1": ("x86_64", ["-M", "microvm,rtc=on"], "mmio-v1"),
    "microvm-bare": ("x86_64", ["-M", "microvm,rtc=on,acpi=off,auto-kernel-cmdline=off"], "mmio"),  # says nothing of devices
    "virt": ("aarch64", ["-M", "virt", "-cpu", "cortex-a72"], "pci"),
    "virt-gicv3": ("aarch64", ["-M", "virt,gic-version=3", "-cpu", "max"], "pci"),
    "virt-mmio": ("aarch64", ["-M", "virt", "-cpu", "cortex-a57"], "mmio"),
    "virt-mmio-v1": ("aarch64", ["-M", "virt", "-cpu", "cortex-a57"], "mmio-v1"),
}


class Failure(AssertionError):
    pass


def image(arch, appliance="httpd"):
    name = os.path.join(BUILD, arch, "examples", appliance, appliance)
    return name + ".bin" if arch == "aarch64" else name


class VM:
    """A running guest. Use as a context manager; leaving it checks QEMU's log and ends the process."""

    def __init__(self, machine, memory="64M", disk=None, net=True, append="", extra=(), appliance="httpd", kernel=None,
                 check_log=True, reboot=False, inside=(), forward=("tcp:80",), boot=None):
        """`inside`: what stands before QEMU on its command line, e.g. a Tap's; `forward`: the guest's ports that port()
        leads to; `boot`: options instead of -kernel and -append."""
        self.arch, machine_options, self.transport = MACHINES[machine]
        self.machine = machine
        self.check_log = check_log
        self.directory = tempfile.mkdtemp(prefix="ringlet-test-")
        self.log = os.path.join(self.directory, "qemu.log")
        qmp = os.path.join(self.directory, "qmp")
        suffix = "pci" if self.transport == "pci" else "device"
        command = [*inside, f"qemu-system-{self.arch}", *machine_options, "-accel", "tcg", "-m", memory, "-nodefaults",
                   *([] if reboot else ["-no-reboot"]), "-display", "none", "-monitor", "none", "-serial", "stdio",
                   "-qmp", f"unix:{qmp},server=on,wait=off",
                   "-d", "guest_errors,unimp", "-D", self.log,
                   *(boot or ["-kernel", kernel or image(self.arch, appliance), "-append", f"panic=exit {append}".strip()])]
        if self.transport == "mmio":
            command += ["-global", "virtio-mmio.force-legacy=false"]
        if self.arch == "x86_64":
            command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        if net:
            rules = "".join(f",hostfwd={kind}:127.0.0.1:0-:{port}" for kind, port in (f.split(":") for f in forward))
            command += ["-netdev", f"user,id=n0{rules}", "-device", f"virtio-net-{suffix},netdev=n0"]
        for i, path in enumerate([disk] if isinstance(disk, str) else disk or []):
            command += ["-drive", f"if=none,id=d{i},format=raw,file={path},snapshot=on",
                        "-device", f"virtio-blk-{suffix},drive=d{i}"]
        command += list(extra)
        self.command_line = command
        self.output = b""
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.qmp = None
        self._qmp_path = qmp
        self._mark = 0
        self.network = None   # a Peer that must not be kept waiting while the serial line is

    # --- the serial line
    def _pump(self, deadline):
        sources = [self.process.stdout] + ([self.network.socket] if self.network else [])
        ready = []
        while self.process.stdout not in ready:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            ready, _, _ = select.select(sources, [], [], left)
            if self.network and self.network.socket in ready:
                self.network.drain()
        data = os.read(self.process.stdout.fileno(), 65536)
        self.output += data
        return bool(data)

    def wait(self, pattern, timeout=30, panic_is_failure=True):
        """Waits for `pattern` (bytes or compiled) in what came since the last wait; returns the text up to its end."""
        pattern = pattern if isinstance(pattern, re.Pattern) else re.compile(re.escape(pattern))
        deadline = time.monotonic() + timeout
        while True:
            fresh = self.output[self._mark:]
            found = pattern.search(fresh)
            if found:
                self._mark += found.end()
                return fresh[:found.end()]
            if panic_is_failure and PANIC in fresh:
                self._pump(time.monotonic() + 1)
                raise Failure(f"{self.machine}: the guest panicked:\n{self.tail()}")
            if not self._pump(deadline):
                raise Failure(f"{self.machine}: no {pattern.pattern!r} within {timeout} s:\n{self.tail()}")

    def tail(self, size=3000):
        return self.output[-size:].decode(errors="replace")

    def send(self, text):
        self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
        self.process.stdin.flush()

    def ready(self, timeout=60, settle=rb"httpd: serving[^\n]*\n"):
        """Waits for the prompt, and for the line after which the log is quiet (or for some seconds)."""
        try:
            self.wait(PROMPT, timeout / 4)
        except Failure:
            if PANIC in self.output or self.process.poll() is not None:
                raise
            self.send("\n")   # a line of the log may have hit the prompt
            self.wait(PROMPT, timeout * 3 / 4)
        deadline = time.monotonic() + 5
        while not re.search(settle, self.output) and self._pump(deadline):
            pass
        return self

    def said(self, text, timeout=60):
        """Waits until `text` is anywhere in what the guest has said since it started, and its line is whole: who types sooner
        gets the shell's answer in the midst of it."""
        deadline = time.monotonic() + timeout
        line = re.compile(re.escape(text.rstrip(b"\r\n")) + rb"[^\n]*\n")
        while not line.search(self.output):
            if PANIC in self.output or not self._pump(deadline):
                raise Failure(f"{self.machine}: no {text!r} within {timeout} s:\n{self.tail()}")

    def shell(self, line, timeout=30):
        """Runs one shell command; returns what it printed."""
        self.send(line + "\n")
        self.wait(re.compile(interruptible(line.encode() + b"\r\n")), timeout)
        text = self.wait(PROMPT, timeout)
        text = text[:PROMPT.search(text).start()]
        text = INTRUDER.sub(b"", text).decode(errors="replace").replace("\r", "")
        return text[:text.rfind("\n") + 1]

    # --- QMP
    def qmp_command(self, name, /, **arguments):
        if self.qmp is None:
            self.qmp = socket.socket(socket.AF_UNIX)
            self.qmp.settimeout(10)
            deadline = time.monotonic() + 10
            while True:
                try:
                    self.qmp.connect(self._qmp_path)
                    break
                except OSError:
                    if time.monotonic() > deadline or self.process.poll() is not None:
                        raise
                    time.sleep(0.02)
            self._qmp_file = self.qmp.makefile("rw")
            json.loads(self._qmp_file.readline())
            self._qmp_send("qmp_capabilities")
        return self._qmp_send(name, **arguments)

    def _qmp_send(self, name, /, **arguments):
        self._qmp_file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._qmp_file.flush()
        while True:
            answer = json.loads(self._qmp_file.readline())
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise Failure(f"QMP {name}: {answer['error']}")

    def port(self, to=80, kind="tcp"):
        """The host port that leads to the guest's port `to`, one of `forward`."""
        text = self.qmp_command("human-monitor-command", **{"command-line": "info usernet"})
        return int(re.search(rf"{kind.upper()}\[HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+{to}\s", text).group(1))

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port()}{path}"

    def device_complaints(self):
        if self.process.poll() is not None:
            return []
        bad = []
        for device in self.qmp_command("x-query-virtio"):
            status = self.qmp_command("x-query-virtio-status", path=device["path"])
            text = json.dumps(status["status"])
            if "NEEDS_RESET" in text or status.get("broken"):
                bad.append(f"{device['name']}: {text}")
        return bad

    # --- the end
    def exit_status(self, timeout=20):
        """Waits for the VM to end by itself."""
        deadline = time.monotonic() + timeout
        while self._pump(deadline):
            pass
        try:
            return self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.machine}: still running after {timeout} s:\n{self.tail()}") from None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, traceback):
        complaints = []
        try:
            if kind is None:
                complaints = self.device_complaints()
        except (OSError, ValueError):
            pass
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process.stdin.close()
            self.process.stdout.close()
            if self.qmp:
                self.qmp.close()
        noise = open(self.log).read() if os.path.exists(self.log) else ""
        shutil.rmtree(self.directory, ignore_errors=True)
        if kind is None and self.check_log and noise.strip():
            raise Failure(f"{self.machine}: QEMU complained about the guest:\n{noise[:2000]}")
        if kind is None and complaints:
            raise Failure(f"{self.machine}: a device wants a reset: {complaints}")
        return False


class TapVM(VM):
    """A guest whose network is a Tap; `device`: properties of its NIC, e.g. "mq=on"."""

    def __init__(self, machine, tap, device="", append="", **more):
        suffix = "pci" if MACHINES[machine][2] == "pci" else "device"
        options = ["-netdev", tap.netdev(), "-device", f"virtio-net-{suffix},netdev=n0,id=nic0" + (f",{device}" if device else "")]
        super().__init__(machine, net=False, inside=tap.inside, append=f"ip={tap.guest}/24,{tap.host} {append}".strip(),
                         extra=options, **more)
