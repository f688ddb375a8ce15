#!/usr/bin/env python3
"""What a C or C++ program gets: sizes of three hellos, and its own calls beside a Linux guest with glibc.

    bench/sdk/run.py [--machine q35|virt] [--what hello,count,rate] [--only malloc,thread] [--guests ringlet,linux]
                     [--rounds 3] [--scale 1.0]

`hello`: bytes of the stripped image, instructions from the kernel's entry to main() (-icount shift=0), smallest -m with which
it still says hello. `count`: instructions of one operation (main.c), counted by a plugin (../guests.py); `rate`: operations
per second, the guests in turn, --rounds times. The Linux guest has the same program as its only process.
"""

import argparse
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import guests  # noqa: E402
import lab  # noqa: E402
import vm  # noqa: E402

# name: (how many, what one is)
OPERATIONS = {
    "malloc": (100000, "malloc(64) and free()"),
    "malloc-mixed": (100000, "of 1,000 blocks of 16 to 2,048 bytes, one is freed and one allocated"),
    "malloc-large": (10000, "malloc(64 KiB) and free()"),
    "realloc": (50000, "realloc() by 64 bytes more, up to 64 KiB"),
    "thread": (2000, "thread created and joined"),
    "mutex": (100000, "mutex locked and unlocked, nobody else"),
    "handover": (10000, "turn handed to another thread (condition variable)"),
    "clock": (100000, "clock_gettime()"),
    "snprintf": (20000, "snprintf() of a string and three integers"),
    "memcpy": (2000, "memcpy() of 64 KiB"),
}
HELLOS = {"C": ("hello-c", "hello-c"), "C++": ("sdk-bench", "hello-cxx"), "C++ with iostream": ("sdk-bench", "hello-iostream")}


def run(guest, machine, counts, counting):
    words = [f"{name}={count}" for name, count in counts.items()]
    options = ["-m", "256M", *guests.booted(guest, machine, "sdk-bench", words, "sdk/main.c", [])]
    if guest == "ringlet":
        options += ["-append", "panic=exit -- " + " ".join(words)]
    if counting:
        options += ["-icount", "shift=0"]
    with guests.Guest(machine, options, counting=counting) as running:
        results = guests.done(running, guest, 600)
        return results, running.counted() if counting else []


def show_counts(names, machine, counts):
    results = {}
    for guest in names:
        done, windows = run(guest, machine, counts, counting=True)
        results[guest] = {name: window[2] / done[name][0] for name, window in zip(done, windows)}
    print("| operation | " + " | ".join(names) + " | linux / ringlet |\n| --- |" + " ---: |" * (len(names) + 1))
    for name in counts:
        row = [results[guest][name] for guest in names]
        ratio = f"{results['linux'][name] / results['ringlet'][name]:.2f}" if {"linux", "ringlet"} <= set(names) else ""
        print(f"| {OPERATIONS[name][1]} | " + " | ".join(f"{n:,.0f}" for n in row) + f" | {ratio} |")


def show_rates(names, machine, counts, rounds):
    rates = {guest: {name: [] for name in counts} for guest in names}
    for _ in range(rounds):
        for guest in names:
            for name, (count, ns) in run(guest, machine, counts, counting=False)[0].items():
                rates[guest][name].append(count / ns * 1e9)
    print("| operation, per second | " + " | ".join(names) + " | ringlet / linux |\n| --- |" + " ---: |" * (len(names) + 1))
    for name in counts:
        row = [statistics.median(rates[guest][name]) for guest in names]
        ratio = f"{statistics.median(rates['ringlet'][name]) / statistics.median(rates['linux'][name]):.2f}" if {"linux", "ringlet"} <= set(names) else ""
        print(f"| {OPERATIONS[name][1]} | " + " | ".join(f"{n:,.0f}" for n in row) + f" | {ratio} |")


def says_hello(machine, image, kib, wanted=b"Hello"):
    try:
        with vm.VM(machine, net=False, kernel=image, memory=f"{kib}K", check_log=False) as guest:
            guest.wait(wanted, 20)
            return True
    except vm.Failure:
        return False


def show_hellos(machine):
    architecture = guests.MACHINES[machine][0]
    print("| hello in | image, bytes | instructions to main() | smallest -m, KiB |\n| --- | ---: | ---: | ---: |")
    for language, (folder, name) in HELLOS.items():
        place = os.path.join(guests.BUILD, architecture, "examples", folder, name)
        image = place + (".bin" if architecture == "aarch64" else "")
        with vm.VM(machine, net=False, kernel=image, append="loglevel=debug", extra=lab.ICOUNT, check_log=False) as guest:
            to_main = lab.to_main(guest)
        low, high = 512, 8192
        while high - low > 64:
            middle = (low + high) // 2 // 64 * 64
            low, high = (low, middle) if says_hello(machine, image, middle) else (middle, high)
        print(f"| {language} | {os.path.getsize(place + '.stripped'):,} | {to_main:,} | {high:,} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guests", default="ringlet,linux")
    parser.add_argument("--machine", default="q35", choices=guests.MACHINES)
    parser.add_argument("--only", default="", help="operations, separated by commas: " + ", ".join(OPERATIONS))
    parser.add_argument("--what", default="hello,count,rate")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of operations")
    options = parser.parse_args()
    counts = {name: max(1, int(count * options.scale)) for name, (count, _) in OPERATIONS.items()
              if not options.only or name in options.only.split(",")}
    names = options.guests.split(",")
    if "hello" in options.what:
        show_hellos(options.machine)
    if "count" in options.what:
        show_counts(names, options.machine, counts)
    if "rate" in options.what:
        show_rates(names, options.machine, counts, options.rounds)


if __name__ == "__main__":
    main()
