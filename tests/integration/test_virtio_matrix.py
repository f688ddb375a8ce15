#!/usr/bin/env python3
"""The virtio core over everything QEMU can make of a device: transports, ring features, vectors, doorbells.

Each row boots the httpd appliance, reads a file of known contents from its disk over HTTP and pings the host. A row passes
when the bytes are right, nobody complained (QEMU's guest_errors) and no device asked for a reset. What runs is a selection in
which every pair of values occurs (greedy, seeded); --full runs the whole product. Rows by number or by word: --only.
"""

import argparse
import hashlib
import itertools
import os
import random
import re
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace  # noqa: E402
from vm import VM, Failure, image  # noqa: E402

SEED = int(os.environ.get("RINGLET_SEED", "20261122"))
MODERN, LEGACY = "modern", "legacy"

# name: (machine of vm.py, interface, bus, properties of every device)
PLACES = {
    "q35-root-port": ("q35", MODERN, "pci", ""),
    "q35-transitional": ("q35", MODERN, "pci", ""),
    "q35-legacy": ("q35", LEGACY, "pci", ",disable-modern=on,disable-legacy=off"),
    "pc": ("pc", MODERN, "pci", ""),
    "pc-legacy": ("pc", LEGACY, "pci", ",disable-modern=on,disable-legacy=off"),
    "microvm-v1": ("microvm-v1", LEGACY, "mmio", ""),
    "microvm-v2": ("microvm", MODERN, "mmio", ""),
    "virt-pci": ("virt", MODERN, "pci", ""),
    "virt-legacy": ("virt", LEGACY, "pci", ",disable-modern=on,disable-legacy=off"),
    "virt-mmio-v1": ("virt-mmio-v1", LEGACY, "mmio", ""),
    "virt-mmio-v2": ("virt-mmio", MODERN, "mmio", ""),
}
FACTORS = {
    "place": list(PLACES),
    "packed": ["off", "on"],
    "event_idx": ["on", "off"],
    "indirect_desc": ["on", "off"],
    "vectors": ["all", "0", "1", "2"],
    "queue_reset": ["on", "off"],
    "doorbell": ["shared", "page-per-vq", "modern-pio-notify"],
    "iommu_platform": ["off", "on"],
}
BUILT_IN = ("event_idx", "indirect_desc", "access_platform")   # what the drivers of the appliance list
PCI_ONLY = ("vectors", "doorbell")
MODERN_ONLY = ("packed", "queue_reset", "doorbell")
NOT_TRANSITIONAL = ("q35-root-port", "microvm-v2", "virt-mmio-v2")   # where QEMU lets a device have iommu_platform


def canonical(row):
    """What a place cannot vary has its first value, so that equal rows are equal."""
    _, interface, bus, _ = PLACES[row["place"]]
    row = dict(row)
    for name in FACTORS:
        if (name in PCI_ONLY and bus != "pci") or (name in MODERN_ONLY and interface != MODERN):
            row[name] = FACTORS[name][0]
    if row["place"] not in NOT_TRANSITIONAL:
        row["iommu_platform"] = "off"
    return row


def product():
    rows = {}
    for values in itertools.product(*FACTORS.values()):
        row = canonical(dict(zip(FACTORS, values)))
        rows[tuple(row.values())] = row
    return list(rows.values())


def pairs(row):
    return {(a, row[a], b, row[b]) for a, b in itertools.combinations(FACTORS, 2)}


def pairwise(rows, seed):
    """Greedy: always the row with most pairs not yet seen, out of a random handful."""
    source = random.Random(seed)
    missing = set().union(*(pairs(row) for row in rows))
    chosen = []
    while missing:
        best = max(source.sample(rows, min(200, len(rows))), key=lambda row: len(pairs(row) & missing))
        if pairs(best) & missing:
            chosen.append(best)
            missing -= pairs(best)
    return chosen


def devices(row, disk):
    """QEMU's options for the network interface and the disk of a row."""
    _, interface, bus, common = PLACES[row["place"]]
    common += f",event_idx={row['event_idx']},indirect_desc={row['indirect_desc']}"
    if interface == MODERN:
        common += f",packed={row['packed']},queue_reset={row['queue_reset']}"
    if row["iommu_platform"] == "on":
        common += ",iommu_platform=on"
    if row["doorbell"] != "shared":
        common += f",{row['doorbell']}=on"
    if row["vectors"] != "all":
        common += f",vectors={row['vectors']}"
    kind = "pci" if bus == "pci" else "device"
    options = []
    where = ["", ""]
    if row["place"] == "q35-root-port":
        for i in range(2):
            options += ["-device", f"pcie-root-port,id=port{i},chassis={i + 1},slot={i + 1}"]
            where[i] = f",bus=port{i}"
    return options + [
        "-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:80",
        "-device", f"virtio-net-{kind},netdev=n0{common}{where[0]}",
        "-drive", f"if=none,id=d0,format=raw,file={disk},snapshot=on",
        "-device", f"virtio-blk-{kind},drive=d0{common}{where[1]}"]


def expected_transport(row):
    _, interface, bus, _ = PLACES[row["place"]]
    return bus if interface == MODERN else f"{bus}-legacy"


def run(row, disk, digest):
    with VM(PLACES[row["place"]][0], net=False, extra=devices(row, disk)) as vm:
        vm.ready(90)
        with urllib.request.urlopen(vm.url("/big.bin"), timeout=60) as answer:
            if hashlib.sha256(answer.read()).hexdigest() != digest:
                raise Failure("the file came over different")
        text = vm.shell("ping -c 3 10.0.2.2", 30)
        if "3 of 3 answered" not in text:
            raise Failure(f"ping: {text}")
        for name, device in (("net0", "net"), ("vda", "blk")):
            text = vm.shell(f"virtio {name}")
            if f" {expected_transport(row)}" not in text:
                raise Failure(f"{name} is not where it should be: {text}")
            if re.search(r"broken|[1-9]\d* (recoveries|resets)", text):
                raise Failure(f"{name}: {text}")
            check_features(row, vm.shell(f"virtio {name} features"), device)


def check_features(row, text, device):
    """What was offered is in use, what was not is not: `name*`. And the interrupts are the best there are."""
    for feature, name in (("event_idx", "event_idx"), ("indirect_desc", "indirect_desc"), ("packed", "ring_packed"),
                          ("iommu_platform", "access_platform")):
        offered, used = re.search(rf"\b{name}\b", text), f" {name}*" in text
        if (row[feature] == "on") != bool(offered) or (offered and not used and name in BUILT_IN):
            raise Failure(f"{device}: {feature}={row[feature]}, but: {text}")
    best = {"0": "wired line", "1": "MSI-X, one vector", "all": "MSI-X, a vector per queue"}.get(row["vectors"], "MSI-X")
    if PLACES[row["place"]][2] == "mmio":
        best = "wired line"
    if best not in text:
        raise Failure(f"{device}: not {best}: {text}")


RESETS = ("q35-root-port", "q35-legacy", "microvm-v1", "virt-pci", "virt-mmio-v1")


def reset_under_load(place, disk, digest):
    """The machine is reset in the middle of a transfer: the devices are found, reset and used again."""
    row = canonical({name: values[0] for name, values in FACTORS.items()} | {"place": place})
    with VM(PLACES[place][0], net=False, extra=devices(row, disk), reboot=True) as vm:
        vm.ready(90)
        for _ in range(3):
            with urllib.request.urlopen(vm.url("/big.bin"), timeout=60) as answer:
                answer.read(100000)
                vm.qmp_command("system_reset")
                vm.wait(re.compile(rb"Ringlet [^\n]* on "), 60)
            vm.wait(b"httpd: serving", 60)
            with urllib.request.urlopen(vm.url("/big.bin"), timeout=60) as answer:
                if hashlib.sha256(answer.read()).hexdigest() != digest:
                    raise Failure("the file came over different after the reset")


def name_of(row):
    return " ".join(f"{k}={v}" if k != "place" else v for k, v in row.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole product")
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--only", default="", help="rows whose name holds all these words")
    options = parser.parse_args()
    rows = product()
    rows = rows if options.full else pairwise(rows, SEED)
    words = options.only.split()
    cases = [(name_of(row), lambda row=row: run(row, disk, digest), row["place"]) for row in rows]
    cases += [(f"{place} system_reset", lambda place=place: reset_under_load(place, disk, digest), place)
              for place in RESETS]
    cases = [case for case in cases if all(word in case[0].split() for word in words)]
    print(f"{len(cases)} rows, seed {SEED}")
    if options.list:
        return print("\n".join(name for name, _, _ in cases))
    work = Workspace()
    data = random.Random(1).randbytes(1 << 20)
    disk = work.ext4("disk.img", work.tree("www", {"index.html": b"<p>\n", "big.bin": data}), "16M")
    digest = hashlib.sha256(data).hexdigest()
    failed = skipped = 0
    for name, case, place in cases:
        begin = time.monotonic()
        if not os.path.exists(image("aarch64" if place.startswith("virt") else "x86_64")):
            skipped += 1
            continue
        try:
            case()
            print(f"ok {name}  {time.monotonic() - begin:.1f} s", flush=True)
        except Exception as error:  # noqa: BLE001  one row must not end the others
            failed += 1
            print(f"FAIL {name}: {error}", flush=True)
    work.close()
    print(f"{len(cases) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
