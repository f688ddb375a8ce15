#!/usr/bin/env python3
"""Measures serving: guest instructions, kicks and interrupts of one HTTP request on a kept-alive connection.

    bench/serve.py [--machines q35,virt] [--requests 1000] [--path /]
"""

import argparse

import lab
import vm

# Instructions, kicks and interrupts per request of others (one connection, keep-alive, a body of 612 bytes from memory),
# measured with the same version of QEMU.
OTHERS = [("IncludeOS", "8,800", 1, 2), ("Unikraft + lwIP", "15,700", 1, 1), ("Nanos", "18,600", 1, 1),
          ("Linux, epoll", "27,600", 1, 2), ("OSv", "35,400", 1, 1), ("Linux, nginx", "55,000", 1, 2)]


def measure(machine, requests, path):
    with lab.boot(machine, extra=lab.ICOUNT) as guest:
        guest.wait(b"serving", 120)
        guest.send("\n")
        guest.ready(120)
        client = lab.Client(guest, path)
        for _ in range(20):                      # the caches are warm afterwards
            status, size = client.get()
        if status != 200:
            raise vm.Failure(f"{machine}: the answer was {status}")
        before = lab.counters(guest)
        first = lab.busy_us(guest)
        second = lab.busy_us(guest)
        for _ in range(requests):
            client.get()
        third = lab.busy_us(guest)
        after = lab.counters(guest)
        client.close()

    def per_request(*wanted):
        return sum(after[q][c] - before[q][c] for q, c in wanted) / requests
    return ((third - second) - (second - first)) * 1000 / requests, \
        per_request(("rx", "kicks"), ("tx", "kicks")), \
        per_request(("rx", "interrupts"), ("tx", "interrupts")), size


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machines", default="q35,virt", help="of tests/integration/vm.py")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--path", default="/")
    options = parser.parse_args()
    print("| server | machine | instructions per request | kicks | interrupts | answer, bytes |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for machine in options.machines.split(","):
        instructions, kicks, interrupts, size = measure(machine, options.requests, options.path)
        print(f"| **Ringlet httpd** | {machine} | {instructions:,.0f} | {kicks:.2f} | {interrupts:.2f} | {size} |", flush=True)
    for name, instructions, kicks, interrupts in OTHERS:
        print(f"| {name} | pc | {instructions} | {kicks} | {interrupts} | |")


if __name__ == "__main__":
    main()
