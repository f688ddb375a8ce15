#!/usr/bin/env python3
"""ext4 beside a Linux guest: guest instructions, kicks and interrupts of one operation, and how long it takes.

    bench/fs/run.py [--guests ringlet,linux] [--machine q35|virt] [--only read,create] [--what count,rate,profile]
                    [--rounds 3] [--scale 1.0]
    bench/fs/run.py --quick [--machine q35|virt]    # a few of each by Ringlet, and e2fsck: does it work?

Both guests boot on the same QEMU line (TCG, one CPU) with a fresh copy of the same disk, made by mke2fs, and do the same
operations (main.cpp, linux_init.c). `count` runs under -icount shift=0 and a plugin that counts instructions between the two
marker instructions around an operation (../guests.py). `rate` runs without, the guests in turn, --rounds times; the median is
shown. `profile` shows in which functions of Ringlet the instructions are. The copies are in memory (/dev/shm), so that no
disk of this computer is measured.
Needs QEMU, gcc and e2fsprogs; for Linux, Debian's cloud kernel package, which is downloaded and unpacked, not installed.
"""

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import guests  # noqa: E402

MODULES = ["virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk", "crc16",
           "mbcache", "jbd2", "libcrc32c", "crc32c_generic", "crc32c_intel", "ext4"]
# name: (count, what one is). In this order: files are stat'ed, read and deleted after they were created.
OPERATIONS = {
    "read": (64, "MiB read, not cached"),
    "read-cached": (256, "MiB read again, cached"),
    "random-read-cached": (20000, "4 KiB read somewhere, cached"),
    "write": (64, "MiB written to a new file, then fsync"),
    "random-read-1": (4000, "4 KiB read somewhere, not cached"),
    "random-read-32": (8000, "the same, 32 threads"),
    "random-write": (4000, "4 KiB written somewhere, one fsync after all"),
    "random-write-1": (1000, "4 KiB written somewhere, durable (O_DSYNC)"),
    "random-write-32": (4000, "the same, 32 threads"),
    "create": (2000, "file of 1000 bytes created, one sync after all"),
    "stat": (2000, "file looked up (stat)"),
    "read-small": (2000, "file opened, read, closed"),
    "delete": (2000, "file deleted, one sync after all"),
    "fsync": (1000, "4 KiB appended, fsync"),
}
PATH = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}


def disk():
    """384 MiB of ext4 as mke2fs makes it, with blocks of 4 KiB and nothing left for the guest to initialise."""
    def make(path):
        with tempfile.TemporaryDirectory() as folder:
            source = random.Random(1)
            for name, mebibytes in (("large", 64), ("random", 64), ("rewritten", 64), ("cached", 8)):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(source.randbytes(1 << 20) * mebibytes)
            guests.run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0",
                       "-d", folder, path, "384M", stdout=subprocess.DEVNULL, env=PATH)
    return guests.made("disk-fs", [__file__], make)


class Copy:
    """A copy of the disk, while it is used with `with`."""

    def __enter__(self):
        place = "/dev/shm" if os.path.isdir("/dev/shm") else None
        handle, self.path = tempfile.mkstemp(prefix="ringlet-bench-", dir=place)
        os.close(handle)
        guests.run("cp", "--sparse=always", disk(), self.path)
        return self

    def __exit__(self, *_):
        os.remove(self.path)

    def check(self):
        return subprocess.run(["e2fsck", "-fn", self.path], env=PATH, capture_output=True, text=True)


def run(guest, machine, counts, copy, counting, profile=None):
    """(what it printed of each operation, the windows that were counted)"""
    words = [f"{name}={count}" for name, count in counts.items()]
    boot = guests.booted(guest, machine, "fs-bench", words, "fs/linux_init.c", MODULES)
    if guest == "ringlet":
        boot += ["-append", "panic=exit -- " + " ".join(words)]
    options = ["-m", "512M", "-blockdev", f"driver=raw,file.driver=file,file.filename={copy.path},node-name=d0",
               "-device", "virtio-blk-pci,drive=d0" + (",ioeventfd=off" if counting else ""), *boot]
    if counting:
        options += ["-icount", "shift=0"]
    with guests.Guest(machine, options, counting=counting, profile=profile) as running:
        results = guests.done(running, guest, 900)
        return results, running.counted() if counting and not profile else []


def scaled(wanted, scale):
    """How many of each; whoever reads, stats or deletes small files needs them made, whoever has threads a multiple."""
    counts = {name: max(32, int(OPERATIONS[name][0] * scale) // 32 * 32) for name in wanted}
    small = [name for name in wanted if name in ("stat", "read-small", "delete")]
    if small:
        made = {"create": counts.get("create", counts[small[0]])}
        counts = {**{n: c for n, c in counts.items() if n not in (*small, "create")}, **made,
                  **{n: counts[n] for n in small}}
    return counts


def show_counts(names, machine, wanted, scale):
    counts, results = scaled(wanted, scale), {}
    for guest in names:
        with Copy() as copy:
            done, windows = run(guest, machine, counts, copy, counting=True)
            results[guest] = {name: [n / done[name][0] for n in window] for name, window in zip(done, windows)}
    print("| operation | guest | instructions | beside linux | kicks | interrupts |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for name in wanted:
        for guest in names:
            kicks, interrupts, instructions = results[guest][name]
            base = results.get("linux", {}).get(name)
            ratio = f"{base[2] / instructions:.2f}" if base else ""
            print(f"| {OPERATIONS[name][1]} | {guest} | {instructions:,.0f} | {ratio} | {kicks:.2f} | {interrupts:.2f} |")


def show_rates(names, machine, wanted, scale, rounds):
    counts, rates = scaled(wanted, scale), {guest: {name: [] for name in OPERATIONS} for guest in names}
    for _ in range(rounds):
        for guest in names:
            with Copy() as copy:
                for name, (count, ns) in run(guest, machine, counts, copy, counting=False)[0].items():
                    rates[guest][name].append(count / ns * 1e9)
    print("| operation | guest | per second: least | median | most | beside linux |\n| --- | --- | ---: | ---: | ---: | ---: |")
    for name in wanted:
        for guest in names:
            runs = sorted(rates[guest][name])
            base = rates.get("linux", {}).get(name)
            ratio = f"{statistics.median(runs) / statistics.median(base):.2f}" if base else ""
            print(f"| {OPERATIONS[name][1]} | {guest} | {runs[0]:,.0f} | {statistics.median(runs):,.0f} | {runs[-1]:,.0f} | {ratio} |")


def show_profile(machine, name, scale):
    counts = scaled([name], scale)
    with tempfile.TemporaryDirectory() as folder, Copy() as copy:
        out = os.path.join(folder, "profile")
        # The window of `name` is the last: what it needs comes before.
        run("ringlet", machine, counts, copy, counting=True, profile=f"{out},first={2 * len(counts) - 1}")
        print(f"{OPERATIONS[name][1]}:")
        elf = os.path.join(guests.BUILD, guests.MACHINES[machine][0], "examples", "fs-bench", "fs-bench")
        guests.show_profile(out, elf, counts[name])


def check(machine):
    with Copy() as copy:
        counts = scaled(list(OPERATIONS), 0.01)
        done = run("ringlet", machine, counts, copy, counting=False)[0]
        if list(done) != list(counts):
            sys.exit(f"bench: only {', '.join(done)} were done")
        checked = copy.check()
        if checked.returncode != 0:
            sys.exit("bench: e2fsck -fn:\n" + checked.stdout)
    print(f"{machine}: all {len(done)} operations work, and e2fsck finds nothing")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guests", default="ringlet,linux")
    parser.add_argument("--machine", default="q35", choices=guests.MACHINES)
    parser.add_argument("--only", default="", help="operations, separated by commas: " + ", ".join(OPERATIONS))
    parser.add_argument("--what", default="count,rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of operations")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    wanted = [name for name in OPERATIONS if not options.only or name in options.only.split(",")]
    names = options.guests.split(",")
    if options.quick:
        return check(options.machine)
    for name in wanted if "profile" in options.what else ():
        show_profile(options.machine, name, options.scale)
    if "count" in options.what:
        show_counts(names, options.machine, wanted, options.scale)
    if "rate" in options.what:
        show_rates(names, options.machine, wanted, options.scale, options.rounds)


if __name__ == "__main__":
    main()
