#!/usr/bin/env python3
"""Kicks, interrupts and guest instructions of one virtio operation: Ringlet's beside a Linux guest's.

    bench/virtio/run.py [--guests ringlet,linux] [--machine q35|virt] [--only blk-one,ping] [--scale 1.0]

Both guests boot on the same QEMU line (TCG, one CPU, ioeventfd=off) and do the same operations. Kicks and interrupts are
QEMU's trace events virtio_queue_notify and virtio_notify, instructions are counted by a TCG plugin (count.c), both between
two marker instructions that the guest executes around an operation. The balloon is driven from outside over QMP.
Needs QEMU, gcc and mke2fs; for the Linux guest Debian's cloud kernel package, which is downloaded with apt-get and
unpacked, not installed. Everything made is kept in build/bench.
"""

import argparse
import gzip
import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "build", "bench")
BUILD = os.environ.get("RINGLET_BUILD", os.path.join(ROOT, "build"))
MACHINES = {"q35": ("x86_64", "amd64", ["-M", "q35", "-cpu", "max"]),
            "virt": ("aarch64", "arm64", ["-M", "virt", "-cpu", "cortex-a57"])}
# In the order in which they are loaded; what the kernel has built in is not in its package and is skipped.
MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "failover",
           "net_failover", "virtio_net", "scsi_common", "scsi_mod", "crc64", "crc64-rocksoft", "crc-t10dif", "t10-pi", "sd_mod",
           "virtio_scsi", "virtio_balloon", "crc16", "mbcache", "jbd2", "libcrc32c", "crc32c_generic", "ext4"]
# name, operations, what is aimed at, the device whose queues count
OPERATIONS = [
    ("blk-deep", 4000, "4 KiB reads, 32 at once", "<= 0.1 kicks, <= 0.2 interrupts"),
    ("blk-apart", 4000, "the same, each submitted by itself", ""),
    ("blk-one", 1000, "4 KiB read", "<= 2,000 instructions"),
    ("file-one", 1000, "4 KiB read of a file, not cached", "<= 4,000 instructions"),
    ("scsi-deep", 4000, "4 KiB reads, 32 at once, SCSI", "<= 0.1 kicks, <= 0.2 interrupts"),
    ("scsi-one", 1000, "4 KiB read, SCSI", "<= 2,000 instructions"),
    ("ping", 200, "ping", "1 kick, 1 interrupt"),
]


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def made(name, sources, make):
    """The path of build/bench/NAME, made again when a source is newer."""
    path = os.path.join(WORK, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path) or any(os.path.getmtime(s) > os.path.getmtime(path) for s in sources):
        make(path + ".new")
        os.replace(path + ".new", path)
    return path


def plugin():
    source = os.path.join(HERE, "count.c")
    return made("count.so", [source], lambda path: run("gcc", "-O2", "-shared", "-fPIC", "-o", path, source))


def disk():
    """ext4 with blocks of 4 KiB and one file that is not sparse and 16 times as large as Ringlet's cache."""
    def make(path):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "large"), "wb") as large:
                large.write(random.Random(1).randbytes(1 << 20) * 256)
            run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", folder, path, "320M", stdout=subprocess.DEVNULL,
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return made("disk-4096", [], make)


def kernel_package(debian):
    """The folder with the unpacked kernel package."""
    folder = os.path.join(WORK, "linux-" + debian)
    if os.path.isdir(os.path.join(folder, "boot")):
        return folder
    os.makedirs(folder, exist_ok=True)
    depends = run("apt-cache", "depends", "linux-image-cloud-" + debian + ("" if debian == "amd64" else ":" + debian),
                  capture_output=True, text=True).stdout
    name = re.search(r"Depends: (linux-image-\S+)", depends)
    if not name:
        sys.exit(f"bench: no kernel for {debian}: dpkg --add-architecture {debian} && apt-get update")
    run("apt-get", "download", name.group(1), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    package = next(f for f in os.listdir(folder) if f.endswith(".deb"))
    run("dpkg-deb", "-x", package, ".", cwd=folder)
    return folder


def cpio(entries):
    """A newc archive of (name, mode, content)."""
    archive = b""
    for inode, (name, mode, content) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        archive += b"070701" + b"".join(b"%08X" % f for f in fields) + encoded
        archive += b"\0" * (-len(archive) % 4) + content
        archive += b"\0" * (-len(archive) % 4)
    return archive


def linux(architecture, debian):
    """(kernel, initramfs): the initramfs holds our init, linked statically, and the modules."""
    package = kernel_package(debian)
    kernel = next(os.path.join(package, "boot", f) for f in os.listdir(os.path.join(package, "boot")) if "vmlinu" in f)
    compiler = "gcc" if architecture == os.uname().machine else architecture + "-linux-gnu-gcc"
    source = os.path.join(HERE, "linux_init.c")
    init = made("init-" + debian, [source], lambda path: run(compiler, "-O2", "-static", "-o", path, source))
    found = {}
    for folder, _, names in os.walk(os.path.join(package, "lib", "modules")):
        found.update({n[:-3].replace("_", "-"): os.path.join(folder, n) for n in names if n.endswith(".ko")})
    entries = [("dev", 0o40755, b""), ("modules", 0o40755, b""), ("mnt", 0o40755, b""),
               ("init", 0o100755, open(init, "rb").read())]
    order = [m for m in MODULES if m.replace("_", "-") in found]
    entries += [("modules/" + m, 0o100644, open(found[m.replace("_", "-")], "rb").read()) for m in order]
    entries.append(("modules/order", 0o100644, "".join(m + "\n" for m in order).encode()))
    initramfs = os.path.join(WORK, "initramfs-" + debian)
    with gzip.open(initramfs, "wb", compresslevel=1) as out:
        out.write(cpio(entries))
    return kernel, initramfs


class Guest:
    """A guest that is counting. The log holds the trace events and the marks, in order."""

    def __init__(self, name, machine, words):
        architecture, debian, options = MACHINES[machine]
        self.folder = tempfile.mkdtemp(prefix="ringlet-bench-")
        self.log = os.path.join(self.folder, "log")
        qmp = os.path.join(self.folder, "qmp")
        arguments = " ".join(words)
        if name == "ringlet":
            image = os.path.join(BUILD, architecture, "examples", "virtio-bench", "virtio-bench")
            boot = ["-kernel", image + (".bin" if architecture == "aarch64" else ""), "-append", f"panic=exit -- {arguments}"]
        else:
            kernel, initramfs = linux(architecture, debian)
            console = "ttyS0" if architecture == "x86_64" else "ttyAMA0"
            boot = ["-kernel", kernel, "-initrd", initramfs, "-append", f"console={console} quiet panic=-1 -- {arguments}"]
        drive = "driver=raw,file.driver=file,read-only=on,file.filename=" + disk()
        quiet = "ioeventfd=off"
        command = [f"qemu-system-{architecture}", *options, "-accel", "tcg", "-smp", "1", "-m", "512M", "-nodefaults",
                   "-no-reboot", "-display", "none", "-serial", "stdio", "-qmp", f"unix:{qmp},server=on,wait=off",
                   "-blockdev", drive + ",node-name=d0", "-device", f"virtio-blk-pci,drive=d0,{quiet}",
                   "-device", f"virtio-scsi-pci,id=s0,{quiet}",
                   "-blockdev", drive + ",node-name=d1", "-device", "scsi-hd,bus=s0.0,drive=d1",
                   "-netdev", "user,id=n0", "-device", f"virtio-net-pci,netdev=n0,{quiet}",
                   "-device", "virtio-balloon-pci,id=b0",
                   "-plugin", plugin(), "-d", "plugin", "-D", self.log,
                   "-trace", "virtio_queue_notify", "-trace", "virtio_notify", *boot]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = b""
        self.qmp_path = qmp

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, pattern, seconds):
        """The match in what the guest printed; None when it stopped or took too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            data = self.process.stdout.read()
            self.output += data or b""
            found = re.search(pattern, self.output)
            if found:
                return found
            if self.process.poll() is not None and not data:
                return None
            time.sleep(0.05)
        return None

    def counted(self):
        """Per pair of marks: (kicks, interrupts, instructions)."""
        windows, start, kicks, interrupts = [], None, 0, 0
        for line in open(self.log, errors="replace"):
            if "virtio_queue_notify" in line:
                kicks += 1
            elif "virtio_notify" in line:
                interrupts += 1
            mark = re.match(r"MARK (\d+)", line)
            if mark and start is None:
                start, kicks, interrupts = int(mark.group(1)), 0, 0
            elif mark:
                windows.append((kicks, interrupts, int(mark.group(1)) - start))
                start = None
        return windows

    def qmp(self, *commands):
        """Runs QMP commands in one session; returns the last answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.qmp_path)
            stream = connection.makefile("rw")
            stream.readline()
            for command in ({"execute": "qmp_capabilities"}, *commands):
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                answer = json.loads(stream.readline())
                while "event" in answer:
                    answer = json.loads(stream.readline())
            return answer


def measure(name, machine, operations, scale):
    """{operation: (kicks, interrupts, instructions) for each one of them}; None for what the guest cannot do."""
    words = [f"{op[0]}={max(1, int(op[1] * scale))}" for op in operations]
    with Guest(name, machine, words) as guest:
        if not guest.wait(rb"BENCH end", 300):
            sys.exit(f"bench: {name} did not come to its end:\n" + guest.output.decode(errors="replace")[-1500:])
        guest.process.wait(30)
        windows, results = guest.counted(), {}
        for op, count, bad in re.findall(rb"BENCH (\S+) (\d+) (-?\d+)", guest.output):
            op, count, bad = op.decode(), int(count), int(bad)
            if bad == 0 and windows:
                results[op] = tuple(n / count for n in windows.pop(0))
            else:
                print(f"bench: {name}: {op}: {'not possible' if bad < 0 else f'{bad} of {count} failed'}", file=sys.stderr)
                if bad > 0:
                    windows.pop(0)
        return results


def balloon(name, machine, mebibytes=256):
    """(kicks, interrupts) of inflating by so much; None when the guest has no balloon."""
    with Guest(name, machine, ["stay=60"]) as guest:
        if not guest.wait(rb"BENCH ready", 120):
            return None
        time.sleep(1)

        def events():
            return [sum(word in line for line in open(guest.log, errors="replace"))
                    for word in ("virtio_queue_notify", "virtio_notify ")]
        before = events()
        wanted = (512 - mebibytes) << 20
        guest.qmp({"execute": "balloon", "arguments": {"value": wanted}})
        for _ in range(200):
            actual = guest.qmp({"execute": "query-balloon"}).get("return", {}).get("actual")
            if actual == wanted:
                time.sleep(0.5)
                return tuple(a - b for a, b in zip(events(), before))
            time.sleep(0.1)
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guests", default="ringlet,linux")
    parser.add_argument("--machine", default="q35", choices=MACHINES)
    parser.add_argument("--only", default="", help="operations, separated by commas; balloon is one")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of operations")
    options = parser.parse_args()
    only = [word for word in options.only.split(",") if word]
    operations = [op for op in OPERATIONS if not only or op[0] in only]
    guests = options.guests.split(",")
    results = {g: measure(g, options.machine, operations, options.scale) if operations else {} for g in guests}
    print("| operation | guest | kicks | interrupts | instructions | aim |")
    print("| --- | --- | ---: | ---: | ---: | --- |")
    for op, _, text, aim in operations:
        for g in guests:
            if op in results[g]:
                kicks, interrupts, instructions = results[g][op]
                print(f"| {text} | {g} | {kicks:.2f} | {interrupts:.2f} | {instructions:,.0f} | {aim} |")
    for g in guests if not only or "balloon" in only else []:
        counted = balloon(g, options.machine)
        if counted:
            print(f"| balloon, 256 MiB | {g} | {counted[0]} | {counted[1]} | | <= 8, <= 8 |")


if __name__ == "__main__":
    main()
