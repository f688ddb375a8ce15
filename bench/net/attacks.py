#!/usr/bin/env python3
"""Service under floods, beside a Linux guest: requests on connections of their own, four at once, before, during and after each.

    bench/net/attacks.py [--guests ringlet,linux] [--machine q35|virt] [--only syn,ack] [--rate 20000] [--requests 2000]

Each flood (flood.c) sends so many forged frames a second through the tap device that the client's requests come through too. What
is shown is the rate of requests during the flood as a share of the rate before it, on the same guest, and likewise afterwards, and
how long a request takes; of the failures, how many requests did not end well. Needs root, and what run.py needs.
"""

import argparse
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from run import Bench, Tapped, guests  # noqa: E402

KINDS = {"syn": "SYN flood", "rst": "RST flood", "ack": "ACK flood", "fragment": "fragments that stay incomplete", "arp": "ARP flood",
         "udp": "UDP flood, open and closed ports", "icmp": "ping flood"}


def flood_tool():
    return guests.program("flood", "net/flood.c")


class Flood:
    """Runs as long as the block."""

    def __init__(self, link, kind, rate):
        self.command = [*link.inside, flood_tool(), link.device, kind, str(rate * 600), "1", str(rate), "52:54:00:12:34:56", link.guest]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        time.sleep(0.5)
        if self.process.poll() is not None:
            sys.exit("bench: the flood has ended")

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def requests(bench, count):
    """(per second, failures, p50 us, p99 us)"""
    n, seconds, failures, p50, p99 = bench.load(80, "close", str(count), "4")
    return n / seconds, failures, p50, p99


def attacked(bench, name, kinds, rate, count):
    """{kind: (before, during, after)}"""
    results = {}
    with bench.boot(name, counting=False):
        requests(bench, count // 4)   # warm
        for kind in kinds:
            before = requests(bench, count)
            with Flood(bench.link, kind, rate):
                during = requests(bench, count)
            time.sleep(1)
            results[kind] = before, during, requests(bench, count)
            print(f"bench: {name}: {kind}: {[round(r[0]) for r in results[kind]]}", file=sys.stderr)
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guests", default="ringlet,linux")
    parser.add_argument("--machine", default="q35", choices=guests.MACHINES)
    parser.add_argument("--only", default=",".join(KINDS), help="floods, separated by commas: " + ", ".join(KINDS))
    parser.add_argument("--rate", type=int, default=20000, help="frames per second")
    parser.add_argument("--requests", type=int, default=2000)
    options = parser.parse_args()
    kinds = [k for k in KINDS if k in options.only.split(",")]
    link = Tapped()
    try:
        bench = Bench(options.machine, link)
        results = {name: attacked(bench, name, kinds, options.rate, options.requests) for name in options.guests.split(",")}
    finally:
        link.close()
    print("| flood | guest | requests/s before | during | after | p50, us | p99, us | failed |\n| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for kind in kinds:
        for name in results:
            before, during, after = results[name][kind]
            print(f"| {KINDS[kind]} | {name} | {before[0]:,.0f} | {during[0] / before[0]:.0%} | {after[0] / before[0]:.0%} | {during[2]:,} | {during[3]:,} | {during[1]} |")


if __name__ == "__main__":
    main()
