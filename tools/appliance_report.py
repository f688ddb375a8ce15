#!/usr/bin/env python3
"""What an appliance is made of: parts, drivers with their features, memory. `NAME-report` runs it, behind the sizes.

    tools/appliance_report.py --description OBJECT --image ELF --stripped FILE [--limit BYTES] [--prefix TOOL_PREFIX]

The configuration comes from boot/description.cpp, compiled with the appliance's own appliance.hpp; where the image lies in
memory from its symbols.
"""
import argparse
import os
import re
import subprocess
import tempfile
import textwrap


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def described(objcopy, path):
    """[(key, the rest of its line)]"""
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text")
        subprocess.run([objcopy, "-O", "binary", "--only-section=.ringlet.description",
                        "--set-section-flags", ".ringlet.description=alloc", path, text], check=True)
        lines = open(text, "rb").read().split(b"\0")[0].decode().splitlines()
    return [(key, rest) for key, _, rest in (line.partition(" ") for line in lines)]


def size(count):
    """16777216 is "16 MiB"."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit and count % unit == 0:
            return f"{count // unit:,} {name}"
    return f"{count:,} bytes"


def row(what, text):
    print(textwrap.fill(text, 118, initial_indent=f"{what:<20}", subsequent_indent=" " * 20, break_on_hyphens=False))


def print_configuration(lines):
    print()
    for key, rest in lines:
        if key == "driver":
            print(f"\ndriver: {rest}")
        elif key in ("required", "optional"):
            row(f"  {key}", rest or "nothing")
        elif key in ("name", "parts", "buses"):
            row(key, rest or "none")
    if not any(key == "driver" for key, _ in lines):
        row("drivers", "none")


def print_memory(values, symbols, stripped, limit):
    def between(start, end):
        return symbols[end] - symbols[start]

    def number(key):
        return int(values[key])

    print("\nmemory")
    row("  file", f"{stripped:,} bytes stripped" + (f", {100 * stripped / limit:.0f} % of LIMIT ({size(limit)})" if limit else ""))
    parts = (("text", between("__text_start", "__text_end")), ("rodata", between("__rodata_start", "__rodata_end")),
             ("data", between("__data_start", "__data_end")), ("zeroed", between("__bss_start", "__bss_end")),
             ("boot stack", between("__boot_stack_bottom", "__boot_stack_top")))
    row("  loaded", f"{between('__image_start', '__image_end'):,} bytes: " + ", ".join(f"{n} {b:,}" for n, b in parts))
    row("  main()", f"{size(number('main_stack'))} of stack" if "ringlet_has_cxx_runtime" in symbols else "on the boot stack")
    row("  in a guest with", f"{size(number('ram'))} (MEMORY)")
    if "packet_buffers" in values:
        each, count = number("packet_buffer_bytes"), number("packet_buffers")
        row("  packet buffers", f"{count:,} of {size(each)}: {size(each * count)}")
        row("  TCP", f"{number('connections'):,} connections at most, of 2 to 4 KiB when quiet")
    if "cache" in values:
        row("  block cache", f"{size(number('cache'))} for each mounted filesystem, while nobody needs it more")
    if "packet_buffers" not in values and "cache" not in values:
        row("  buffers, caches", "none")
    row("  the rest", "is the heap's and the application's")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--description", required=True)
    parser.add_argument("--image", required=True)
    parser.add_argument("--stripped", required=True)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--prefix", default="")
    options = parser.parse_args()
    symbols = {m[2]: int(m[1], 16) for m in re.finditer(r"^([0-9a-f]+) \S (\S+)$", output(options.prefix + "nm", options.image), re.M)}
    lines = described(options.prefix + "objcopy", options.description)
    print_configuration(lines)
    print_memory(dict(lines), symbols, os.path.getsize(options.stripped), options.limit)


if __name__ == "__main__":
    main()
