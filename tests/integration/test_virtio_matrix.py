#!/usr/bin/env python3
"""The virtio core over everything QEMU can make of a device: transports, ring features, vectors, doorbells.

Each row boots the matrix appliance, which lists every feature, with a network interface, a disk, a SCSI disk, a source of
entropy and a balloon. It reads a file of known contents over HTTP, pings the host, writes and reads the SCSI disk and gives
memory to the host and back. A row passes when the bytes are right, each device uses what its row says, nobody complained
(QEMU's guest_errors) and no device asked for a reset. What runs is a selection in which every pair of values occurs (greedy,
seeded); --full runs the whole product, in random order; --only takes the rows that hold all its words.
"""

import argparse
import collections
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
    "microvm-polled": ("microvm-bare", MODERN, "mmio", ""),
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
# Factor: the feature's name in the shell. What is offered is in use, except indirect tables where nothing needs them.
FEATURES = {"event_idx": "event_idx", "indirect_desc": "indirect_desc", "packed": "ring_packed",
            "queue_reset": "ring_reset", "iommu_platform": "access_platform"}
WITHOUT_TABLES = ("rng", "balloon")
DEVICES = {"net": "net0", "blk": "vda", "scsi": "scsi0", "rng": "rng0", "balloon": "balloon0"}
# microvm-polled: the places of the devices with an interrupt that no interrupt controller has.
BARE = " ".join(f"virtio_mmio.device=512@{0xfeb00000 + 512 * i:#x}:900" for i in range(8))
PCI_ONLY = ("vectors", "doorbell")
MODERN_ONLY = ("packed", "queue_reset", "doorbell")
NOT_TRANSITIONAL = ("q35-root-port", "microvm-v2", "microvm-polled", "virt-mmio-v2")   # where QEMU lets a device have iommu_platform


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


def devices(row, disk, scsi_disk):
    """QEMU's options for the devices of a row."""
    _, interface, bus, common = PLACES[row["place"]]
    common += f",event_idx={row['event_idx']},indirect_desc={row['indirect_desc']}"
    if interface == MODERN:
        common += f",packed={row['packed']},queue_reset={row['queue_reset']}"
    if row["iommu_platform"] == "on":
        common += ",iommu_platform=on"
    options = ["-netdev", "user,id=n0,hostfwd=tcp:127.0.0.1:0-:80",
               "-drive", f"if=none,id=d0,format=raw,file={disk},snapshot=on",
               "-drive", f"if=none,id=d1,format=raw,file={scsi_disk},snapshot=on"]
    kind = "pci" if bus == "pci" else "device"
    own = {"net": "netdev=n0", "blk": "drive=d0,num-queues=2", "scsi": "id=s0,num_queues=2", "rng": "", "balloon": ""}
    for i, (device, special) in enumerate(own.items()):
        where = ""
        if row["place"] == "q35-root-port" and i < 3:   # SeaBIOS has I/O space for no more
            options += ["-device", f"pcie-root-port,id=port{i},chassis={i + 1},slot={i + 1}"]
            where = f",bus=port{i}"
        elif row["place"] == "q35-root-port":
            where = ",disable-legacy=on"
        vectors = f",vectors={row['vectors']}" if row["vectors"] != "all" and device != "balloon" else ""
        special = f",{special}" if special else ""
        # SeaBIOS 1.16 waits for ever for a SCSI host with a doorbell in I/O space.
        hangs = (device, row["doorbell"]) == ("scsi", "modern-pio-notify") and not row["place"].startswith("virt")
        if row["doorbell"] != "shared" and not hangs:
            special += f",{row['doorbell']}=on"
        options += ["-device", f"virtio-{device}-{kind}{special}{common}{vectors}{where}"]
    return options + ["-device", "scsi-hd,bus=s0.0,drive=d1"]


def expected_transport(row):
    _, interface, bus, _ = PLACES[row["place"]]
    return bus if interface == MODERN else f"{bus}-legacy"


def machine(row, files, **options):
    append = BARE if row["place"] == "microvm-polled" else ""
    return VM(PLACES[row["place"]][0], net=False, append=append, appliance="matrix",
              extra=devices(row, files.disk, files.scsi_disk), **options)


def run(row, files):
    with machine(row, files) as vm:
        vm.ready(60)
        with urllib.request.urlopen(vm.url("/big.bin"), timeout=60) as answer:
            if hashlib.sha256(answer.read()).hexdigest() != files.digest:
                raise Failure("the file came over different")
        text = vm.shell("ping -c 3 10.0.2.2", 30)
        if "3 of 3 answered" not in text:
            raise Failure(f"ping: {text}")
        use_scsi(vm, files)
        use_balloon(vm)
        for device, name in DEVICES.items():
            text = vm.shell(f"virtio {name}")
            if f" {expected_transport(row)}," not in text:
                raise Failure(f"{name} is not where it should be: {text}")
            # QEMU's SCSI writes are told with a length that includes what the device read.
            if re.search(r"BROKEN|recovered|queue_resets", text) or (device != "scsi" and re.search("bad used [1-9]", text)):
                raise Failure(f"{name}: {text}")
            check_features(row, vm.shell(f"virtio {name} features"), device)


def use_scsi(vm, files):
    for command, answer in (("read 0 128", f"ok {files.scsi_sum:08x}"), ("write 512 64 165", "ok"),
                            ("read 512 64", f"ok {crc32c(bytes([165]) * 32768):08x}")):
        text = vm.shell(f"disk sda {command}", 60)
        if answer not in text:
            raise Failure(f"disk sda {command}: not {answer} but {text}")


def use_balloon(vm):
    for wanted in (40 << 20, 64 << 20):
        vm.qmp_command("balloon", value=wanted)
        deadline = time.monotonic() + 30
        while (actual := vm.qmp_command("query-balloon")["actual"]) != wanted:
            if time.monotonic() > deadline:
                raise Failure(f"the balloon leaves {actual >> 20} MiB, not {wanted >> 20}: {vm.shell('virtio balloon0')}")
            time.sleep(0.02)


def check_features(row, text, device):
    """What was offered is in use, what was not is not: `name*`. And the interrupts are the best there are."""
    for factor, name in FEATURES.items():
        offered, used = re.search(rf"\b{name}\b", text), f" {name}*" in text
        wanted = row[factor] == "on" and (factor not in MODERN_ONLY or PLACES[row["place"]][1] == MODERN)
        idle = factor == "indirect_desc" and device in WITHOUT_TABLES
        if wanted != bool(offered) or (offered and used == idle):
            raise Failure(f"{device}: {factor}={row[factor]}, but: {text}")
    best = {"0": "wired line", "1": "MSI-X, one vector", "all": "MSI-X, a vector per queue"}.get(row["vectors"], "MSI-X")
    if PLACES[row["place"]][2] == "mmio" or device == "balloon":   # virtio-balloon-pci has no MSI-X
        best = "wired line"
    if row["place"] == "microvm-polled":
        best = "polling"
    if best not in text:
        raise Failure(f"{device}: not {best}: {text}")


RESETS = ("q35-root-port", "q35-legacy", "microvm-v1", "virt-pci", "virt-mmio-v1")


def reset_under_load(place, files):
    """The machine is reset in the middle of a transfer: the devices are found, reset and used again."""
    row = canonical({name: values[0] for name, values in FACTORS.items()} | {"place": place})
    with machine(row, files, reboot=True) as vm:
        vm.ready(60)
        for _ in range(3):
            with urllib.request.urlopen(vm.url("/big.bin"), timeout=60) as answer:
                answer.read(100000)
                vm.qmp_command("system_reset")
                vm.wait(re.compile(rb"Ringlet [^\n]* on "), 60)
            vm.wait(b"httpd: serving", 60)
            with urllib.request.urlopen(vm.url("/big.bin"), timeout=60) as answer:
                if hashlib.sha256(answer.read()).hexdigest() != files.digest:
                    raise Failure("the file came over different after the reset")


def crc32c(data):
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
        table.append(n)
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


Files = collections.namedtuple("Files", "disk digest scsi_disk scsi_sum")


def make_files(work):
    source = random.Random(1)
    data, blocks = source.randbytes(1 << 20), source.randbytes(1 << 20)
    disk = work.ext4("disk.img", work.tree("www", {"index.html": b"<p>\n", "big.bin": data}), "16M")
    scsi_disk = work.file("scsi.img")
    with open(scsi_disk, "wb") as f:
        f.write(blocks)
    return Files(disk, hashlib.sha256(data).hexdigest(), scsi_disk, crc32c(blocks[:65536]))


def name_of(row):
    return " ".join(f"{k}={v}" if k != "place" else v for k, v in row.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the whole product")
    parser.add_argument("--list", action="store_true", help="say which rows there are")
    parser.add_argument("--only", default="", help="rows whose name holds all these words")
    options = parser.parse_args()
    rows = product()
    rows = random.Random(SEED).sample(rows, len(rows)) if options.full else pairwise(rows, SEED)
    words = options.only.split()
    cases = [(name_of(row), lambda row=row: run(row, files), row["place"]) for row in rows]
    cases += [(f"{place} system_reset", lambda place=place: reset_under_load(place, files), place)
              for place in RESETS]
    cases = [case for case in cases if all(word in case[0].split() for word in words)]
    print(f"{len(cases)} rows, seed {SEED}")
    if options.list:
        return print("\n".join(name for name, _, _ in cases))
    work = Workspace()
    files = make_files(work)
    failed = skipped = 0
    for name, case, place in cases:
        begin = time.monotonic()
        if not os.path.exists(image("aarch64" if place.startswith("virt") else "x86_64", "matrix")):
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
