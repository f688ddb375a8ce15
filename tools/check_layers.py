#!/usr/bin/env python3
"""Checks who includes whom (ARCHITECTURE.md has the table), and the sizes that keep the tree readable.

Rules: an #include must be allowed by TABLE; every header says `#pragma once`; no file over 600 lines; no function over
60 lines is checked by clang-tidy, not here; no #ifdef on architecture outside arch/. Exit status 1 when broken.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ["lib", "arch", "boot", "kernel", "drivers", "net", "fs", "sdk", "posix", "shell", "examples"]
MAX_LINES = 600

# room -> prefixes it may include (besides its own room and the C++ library)
TABLE = {
    "lib": [],
    "arch": ["lib/"],
    "arch/host/seams": ["lib/", "arch/", "kernel/"],   # the host's side of the kernel's link seams
    "kernel": ["lib/", "arch/"],
    "drivers/pci": ["lib/", "arch/", "kernel/"],
    "drivers/scsi": ["lib/"],
    "drivers/power": ["lib/", "arch/"],
    "drivers/serial": ["lib/", "arch/", "kernel/irq/", "kernel/sync/", "kernel/sched/event.hpp"],
    "drivers/virtio": ["lib/", "arch/mmio.hpp", "arch/port.hpp", "arch/barrier.hpp", "arch/paging.hpp", "arch/irq_types.hpp",
                       "arch/irq.hpp", "arch/platform.hpp", "arch/cpu.hpp", "kernel/", "drivers/pci/", "drivers/scsi/", "net/link.hpp",
                       "net/link_control.hpp",                       "net/packet.hpp", "net/packet_queue.hpp", "net/address.hpp", "fs/block_device.hpp"],
    "net/api": ["lib/", "kernel/sched/", "kernel/sync/", "kernel/time/", "kernel/mm/dma.hpp", "kernel/random.hpp", "kernel/log.hpp", "net/"],
    "net": ["lib/", "arch/add_words.hpp"],
    "fs": ["lib/", "arch/crc32c.hpp", "kernel/sync/", "kernel/sched/event.hpp", "kernel/sched/wait_queue.hpp", "kernel/sched/mutex.hpp",
           "kernel/time/clock.hpp", "kernel/mm/dma.hpp", "kernel/mm/pressure.hpp"],
    "sdk": ["lib/", "kernel/", "net/", "fs/vfs.hpp", "ringlet/"],
    "posix": ["lib/", "kernel/", "net/", "fs/vfs.hpp", "ringlet/"],
    "shell": ["ringlet/", "lib/"],
    "examples": ["ringlet/", "lib/"],
    "boot": ["lib/", "arch/", "kernel/", "drivers/", "net/", "fs/", "sdk/", "shell/", "ringlet/"],
}
# Names that come through <ringlet/...> may be spelled by what they are: the SDK re-exports them.
EXCEPTIONS = {
    ("sdk/include/ringlet/config.hpp", "drivers/virtio/"),   # the appliance's configuration names driver configurations
}


def room_of(path):
    best = ""
    for room in TABLE:
        if path.startswith(room + "/") and len(room) > len(best):
            best = room
    return best


def allowed(path, include):
    room = room_of(path)
    if include.startswith("<arch/") or include.startswith("arch/"):
        include = "arch/" + include.split("arch/", 1)[1]
    if "/" not in include or os.path.exists(os.path.join(ROOT, os.path.dirname(path), include)):
        return True   # beside the file
    top = include.split("/", 1)[0]
    if top not in ROOMS + ["ringlet"]:
        return True   # C++ library, tests' own
    if include.startswith(room + "/") and room_of(include) == room:
        return True
    if any(path == p and include.startswith(prefix) for p, prefix in EXCEPTIONS):
        return True
    return any(include.startswith(prefix) for prefix in TABLE[room])


def main():
    broken = []
    checked = 0
    for top in ROOMS:
        for folder, _, names in os.walk(os.path.join(ROOT, top)):
            for name in names:
                if not name.endswith((".hpp", ".cpp", ".S")):
                    continue
                full = os.path.join(folder, name)
                path = os.path.relpath(full, ROOT)
                text = open(full, encoding="utf-8").read()
                lines = text.splitlines()
                checked += 1
                if len(lines) > MAX_LINES:
                    broken.append(f"{path}: {len(lines)} lines, at most {MAX_LINES}")
                if name.endswith(".hpp") and "#pragma once" not in text:
                    broken.append(f"{path}: no #pragma once")
                for number, line in enumerate(lines, 1):
                    include = re.match(r'\s*#\s*include\s+["<]([^">]+)[">]', line)
                    if include and not allowed(path, include.group(1)):
                        broken.append(f"{path}:{number}: may not include {include.group(1)}")
                    if top not in ("arch",) and re.match(r"\s*#\s*(el)?if.*(__x86_64__|__aarch64__|UNIT_TEST)", line):
                        broken.append(f"{path}:{number}: architecture or test conditional outside arch/")
    for problem in broken:
        print(problem)
    print(f"layers: {checked} files, {len(broken)} problems")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
