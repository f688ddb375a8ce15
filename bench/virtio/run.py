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
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import guests  # noqa: E402

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


def disk():
    """ext4 with blocks of 4 KiB and one file that is not sparse and 16 times as large as Ringlet's cache."""
    def make(path):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "large"), "wb") as large:
                large.write(random.Random(1).randbytes(1 << 20) * 256)
            guests.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-d", folder, path, "320M", stdout=subprocess.DEVNULL,
                env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
    return guests.made("disk-4096", [], make)


def qemu_options(name, machine, words):
    if name == "ringlet":
        boot = guests.booted(name, machine, "virtio-bench", [], "", []) + ["-append", "panic=exit -- " + " ".join(words)]
    else:
        boot = guests.booted(name, machine, "", words, "virtio/linux_init.c", MODULES)
    drive = "driver=raw,file.driver=file,read-only=on,file.filename=" + disk()
    quiet = "ioeventfd=off"
    return ["-m", "512M", "-blockdev", drive + ",node-name=d0", "-device", f"virtio-blk-pci,drive=d0,{quiet}",
            "-device", f"virtio-scsi-pci,id=s0,{quiet}",
            "-blockdev", drive + ",node-name=d1", "-device", "scsi-hd,bus=s0.0,drive=d1",
            "-netdev", "user,id=n0", "-device", f"virtio-net-pci,netdev=n0,{quiet}",
            "-device", "virtio-balloon-pci,id=b0", *boot]


class Guest(guests.Guest):
    def __init__(self, name, machine, words):
        super().__init__(machine, qemu_options(name, machine, words))

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
    parser.add_argument("--machine", default="q35", choices=guests.MACHINES)
    parser.add_argument("--only", default="", help="operations, separated by commas; balloon is one")
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of operations")
    options = parser.parse_args()
    only = [word for word in options.only.split(",") if word]
    operations = [op for op in OPERATIONS if not only or op[0] in only]
    names = options.guests.split(",")
    results = {g: measure(g, options.machine, operations, options.scale) if operations else {} for g in names}
    print("| operation | guest | kicks | interrupts | instructions | aim |")
    print("| --- | --- | ---: | ---: | ---: | --- |")
    for op, _, text, aim in operations:
        for g in names:
            if op in results[g]:
                kicks, interrupts, instructions = results[g][op]
                print(f"| {text} | {g} | {kicks:.2f} | {interrupts:.2f} | {instructions:,.0f} | {aim} |")
    for g in names if not only or "balloon" in only else []:
        counted = balloon(g, options.machine)
        if counted:
            print(f"| balloon, 256 MiB | {g} | {counted[0]} | {counted[1]} | | <= 8, <= 8 |")


if __name__ == "__main__":
    main()
