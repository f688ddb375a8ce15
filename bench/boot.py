#!/usr/bin/env python3
"""Measures booting: instructions to main() and to the first HTTP answer, image size, smallest memory.

    bench/boot.py [--machines microvm,q35,virt] [--no-memory]

Prints one Markdown table, ours beside others. See bench/README.md for what the columns mean.
"""

import argparse
import os
import sys

import lab
import vm

MACHINES = ["microvm", "q35", "virt"]

# Measured with the same version of QEMU (7.2, TCG, one CPU), the network and a program that serves HTTP where the row says
# so. Linux: Debian 6.1 cloud kernels. Instructions to user code include the firmware's (q35 and pc: SeaBIOS, 5.7 million).
# (guest, machine, million instructions to main, image bytes, smallest memory in KiB)
OTHERS = [
    ("Linux, tuned, init", "microvm", "414", 14_186_432, 73 * 1024),
    ("Linux, as shipped, init", "pc", "1418", 14_186_432, 73 * 1024),
    ("Linux, init", "virt", "856", 27_303_872, 52 * 1024),
    ("Unikraft + lwIP, listening", "pc", "12.7", 465_000, 3584),
    ("Unikraft + lwIP, listening", "virt", "39.1", 499_616, 4352),
    ("Solo5 hello, no network", "pc", "12.4", 79_120, 1792),
    ("OSv, listening", "pc", "20.2", 6_351_416, 15 * 1024),
    ("Nanos, listening", "pc", "36.3", 1_742_992, 74 * 1024),
    ("IncludeOS, listening", "pc", "25.5", 2_212_704, 22 * 1024),
]


def instructions(machine):
    """(to main(), busy until the first answer was sent)"""
    with lab.boot(machine, extra=lab.ICOUNT) as guest:
        to_main = lab.to_main(guest)
        guest.wait(b"serving", 120)
        guest.send("\n")
        guest.ready(120)
        client = lab.Client(guest)
        status, _ = client.get()
        if status != 200:
            raise vm.Failure(f"{machine}: the answer was {status}")
        first = lab.busy_us(guest)
        asking = lab.busy_us(guest) - first      # what one look at the counter costs
        client.close()
        return to_main, (first - asking) * 1000


def serves(machine, kib):
    try:
        with lab.boot(machine, memory=f"{kib}K") as guest:
            guest.wait(b"serving", 20)
            client = lab.Client(guest)
            client.socket.settimeout(5)
            return client.get()[0] == 200
    except (vm.Failure, OSError):
        return False


def smallest_memory(machine, step=64):
    low, high = 1024, 8192          # fails, serves
    if not serves(machine, high):
        return None
    while high - low > step:
        middle = (low + high) // 2 // step * step
        if serves(machine, middle):
            high = middle
        else:
            low = middle
        print(f"  {machine}: -m {middle}K {'serves' if high == middle else 'does not'}", file=sys.stderr)
    return high


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", default=",".join(MACHINES), help="of tests/integration/vm.py")
    parser.add_argument("--no-memory", action="store_true", help="skip the search for the smallest memory")
    options = parser.parse_args()
    print("| guest | machine | instructions to main() | busy from clock start to first answer | image, bytes | smallest -m, KiB |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for machine in options.machines.split(","):
        arch = vm.MACHINES[machine][0]
        to_main, answered = instructions(machine)
        size = os.path.getsize(os.path.join(vm.BUILD, arch, "examples", "httpd", "httpd.stripped"))
        memory = "-" if options.no_memory else smallest_memory(machine)
        print(f"| **Ringlet httpd** | {machine} | {to_main:,} | {answered:,} | {size:,} | {memory} |", flush=True)
    for name, machine, millions, size, memory in OTHERS:
        print(f"| {name} | {machine} | {millions} million | - | {size:,} | {memory} |")


if __name__ == "__main__":
    main()
