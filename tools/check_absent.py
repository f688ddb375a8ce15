#!/usr/bin/env python3
"""Checks that what an appliance does not name is not in its image, by the symbols of its functions.

    tools/check_absent.py [build/x86_64]      builds the appliances of tests/absent first

Each part of PARTS must be in the images that name it (or the pattern would prove nothing) and in no other. Prints one
line per image and part, "ok ..." or "not ok ...". A new driver gets a line in PARTS and a switch in tests/absent/.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ALL = ("all",)
# part: (what its functions are called, the images that name it)
PARTS = {
    "network driver": (r"ringlet::virtio::Net<", ALL + ("net_on_pci",)),
    "TCP/IP": (r"ringlet::net::(tcp::|Stack::|Service::|Dhcp::)", ALL + ("net_on_pci",)),
    "IPv6": (r"ringlet::net::(Ipv6::|Ndp::|Slaac::|make_ipv6)", ALL),
    "name resolution": (r"ringlet::(resolve\(|net::(dns::Resolver|NameResolver)::)", ALL),
    "SNTP": (r"ringlet::net::(Sntp|TimeSync)::", ALL),
    "name commands": (r"ringlet::shell::host\(", ALL),
    "block driver": (r"ringlet::virtio::Blk<", ALL + ("blk_on_mmio",)),
    "ext4": (r"ringlet::fs::ext4::", ALL + ("blk_on_mmio", "scsi_on_legacy")),
    "fsck": (r"ringlet::fs::ext4::Checker::", ALL + ("blk_on_mmio",)),
    "SCSI driver": (r"ringlet::virtio::Scsi", ALL + ("scsi_on_legacy",)),
    "SCSI commands": (r"ringlet::scsi::", ALL + ("scsi_on_legacy",)),
    "entropy driver": (r"ringlet::virtio::Rng<", ALL),
    "balloon driver": (r"ringlet::virtio::Balloon", ALL),
    "console driver": (r"ringlet::virtio::(Console|become_system_console)", ALL),
    "ports": (r"ringlet::kernel::(Port|port_name)", ALL),
    "PCI": (r"ringlet::(pci::(Bus|Function|ConfigSpace|Assigner)::|virtio::PciModern::)",
            ALL + ("net_on_pci", "scsi_on_legacy")),
    "legacy PCI": (r"ringlet::virtio::(PciLegacy::|open_pci_legacy)", ALL + ("scsi_on_legacy",)),
    "virtio-mmio": (r"ringlet::virtio::(Mmio::|open_mmio\()", ALL + ("blk_on_mmio",)),
    "legacy virtio-mmio": (r"ringlet::virtio::(MmioLegacy::|open_mmio_legacy)", ALL),
    "virtqueues": (r"ringlet::virtio::(SplitRing|Virtqueue)", ALL + ("net_on_pci", "blk_on_mmio", "scsi_on_legacy")),
    "packed ring": (r"ringlet::virtio::PackedRing", ()),
    "shell": (r"ringlet::shell::Shell::", ALL + ("net_on_pci", "blk_on_mmio")),
    "network commands": (r"ringlet::shell::(ping|netstat)\(", ALL + ("net_on_pci",)),
}
IMAGES = ("all", "net_on_pci", "blk_on_mmio", "scsi_on_legacy", "nothing")


def functions(image):
    text = subprocess.run(["nm", "-C", image], check=True, capture_output=True, text=True).stdout
    # Without parameter lists and template arguments, which name types of other parts.
    return [line.split(" ", 2)[2] for line in text.splitlines() if re.match(r"\S* [tTwWvVdDbBrR] ", line)]


def owner(name):
    """`f(pci::Bus&)` and `f<Net<>>(...)` belong to f: parameters are cut, a template's arguments after its name too."""
    name = re.sub(r"^(?:[\w:<>*& ]+ )?(?=ringlet::)", "", name, count=1) if " ringlet::" in name.split("(")[0] else name
    return re.sub(r"<.*", "<", name.split("(")[0] + "(" if "(" in name else name)


def main():
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build", "x86_64"))
    subprocess.run(["cmake", "--build", build, "--target", "absent"], check=True, stdout=subprocess.DEVNULL)
    failed = 0
    for image in IMAGES:
        path = os.path.join(build, "tests", "absent", "absent-" + image)
        names = [owner(name) for name in functions(path)]
        for part, (pattern, where) in PARTS.items():
            found = sorted({n for n in names if re.match(pattern, n)})
            good = bool(found) == (image in where)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {image}: {part} {'is' if found else 'is not'} there"
                  + ("" if good or not found else f": {', '.join(found[:4])}"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
