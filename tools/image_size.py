#!/usr/bin/env python3
"""Where the bytes of an image are: a table of its rooms, from the linker's map.

    tools/image_size.py build/x86_64/examples/httpd/httpd.map [--top N] [--symbols ELF --nm NM]

Counts what is in the file (text, read-only data, data), not .bss. With --top also the largest functions and objects,
with --symbols the templates that are instantiated more than once, with the bytes of all their instances. `NAME-report` is
the same as a target of the build.
"""
import argparse
import collections
import os
import re
import subprocess

SECTION = re.compile(r"^ (\.[A-Za-z_][^\s]*)(?:\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?:\s+(\S.*))?)?$")
REST = re.compile(r"^\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)(?:\s+(\S.*))?$")
FILL = re.compile(r"^ \*fill\*\s+0x[0-9a-f]+\s+0x([0-9a-f]+)")
OUTPUT = re.compile(r"^(\.[a-zA-Z_.]+)(?:\s|$)")
KINDS = {".text": "text", ".rodata": "rodata", ".note.PVH": "rodata", ".ringlet.symbols": "rodata", ".data": "data"}


def room_of(source):
    library = re.search(r"libringlet_(\w+)\.a\((.*?)\)", source)
    if library:
        return library.group(1), library.group(2)
    member = re.search(r"CMakeFiles/([^/]+)\.dir/(.*)$", source)
    if not member:
        return "other", os.path.basename(source)
    if "boot/main.cpp" in member.group(2):
        return "composition root", "main.cpp"
    if ".symbols.S" in member.group(2):
        return "symbol table", "symbols"
    return "application", member.group(2)


def read_map(path):
    """Yields (kind, room, file, section, bytes) of everything that takes part in the link."""
    kind, pending, active = None, None, False
    for line in open(path, encoding="utf-8", errors="replace"):
        line = line.rstrip("\n")
        if line.startswith("Linker script and memory map"):
            active = True
        if not active:
            continue
        output = OUTPUT.match(line)
        if output:
            kind, pending = KINDS.get(output.group(1)), None
            continue
        if kind is None:
            continue
        fill = FILL.match(line)
        if fill:
            yield kind, "alignment", "", "", int(fill.group(1), 16)
            continue
        found = SECTION.match(line)
        if found:
            pending = found.group(1)
            if found.group(3) is None:
                continue
            size, source = found.group(3), found.group(4)
        else:
            rest = REST.match(line) if pending else None
            if not rest:
                continue
            size, source = rest.group(2), rest.group(3)
        section, pending = pending, None
        if source and int(size, 16):
            room, name = room_of(source)
            yield kind, room, name, section, int(size, 16)


def print_rooms(rows):
    rooms = collections.defaultdict(lambda: collections.Counter())
    for kind, room, _, _, size in rows:
        rooms[room][kind] += size
    print(f"{'ROOM':<20}{'TEXT':>9}{'RODATA':>9}{'DATA':>9}{'ALL':>9}")
    total = collections.Counter()
    for room, kinds in sorted(rooms.items(), key=lambda item: -sum(item[1].values())):
        total += kinds
        print(f"{room:<20}{kinds['text']:>9}{kinds['rodata']:>9}{kinds['data']:>9}{sum(kinds.values()):>9}")
    print(f"{'all':<20}{total['text']:>9}{total['rodata']:>9}{total['data']:>9}{sum(total.values()):>9}")


def print_top(rows, count):
    files = collections.Counter()
    for _, room, name, _, size in rows:
        files[(room, name)] += size
    print(f"\nThe {count} largest files")
    for (room, name), size in files.most_common(count):
        print(f"{size:>9}  {room}/{name}")


def without_arguments(name):
    """`A<B<C> >::f<int>(int)` becomes `A<>::f<>`."""
    out, depth = "", 0
    for c in name:
        if c == "<":
            out += "<" if depth == 0 else ""
            depth += 1
        elif c == ">" and depth:
            depth -= 1
            out += ">" if depth == 0 else ""
        elif depth == 0:
            out += c
    return re.sub(r"\(.*\)( const)?", "", out.replace("(anonymous namespace)", "{anon}"))


def print_symbols(nm, elf, count):
    text = subprocess.run([nm, "-SC", elf], check=True, capture_output=True, text=True).stdout
    symbols, seen = [], set()
    for line in text.splitlines():
        parts = line.split(" ", 3)
        if len(parts) == 4 and parts[2] not in "bB" and (parts[0], parts[1]) not in seen:
            seen.add((parts[0], parts[1]))
            symbols.append((int(parts[1], 16), parts[3]))
    print(f"\nThe {count} largest functions and objects")
    for size, name in sorted(symbols, reverse=True)[:count]:
        print(f"{size:>9}  {name[:140]}")
    families = collections.defaultdict(list)
    for size, name in symbols:
        if "<" in name:
            families[without_arguments(name)].append(size)
    print(f"\nThe {count} largest families of templates with more than one instance")
    several = [(sum(sizes), len(sizes), name) for name, sizes in families.items() if len(sizes) > 1]
    for size, number, name in sorted(several, reverse=True)[:count]:
        print(f"{size:>9}  {number:>3} times  {name[:120]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map")
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--symbols", help="the image, not stripped")
    parser.add_argument("--nm", default="nm")
    options = parser.parse_args()
    rows = list(read_map(options.map))
    print_rooms(rows)
    if options.top:
        print_top(rows, options.top)
    if options.symbols:
        print_symbols(options.nm, options.symbols, options.top or 20)


if __name__ == "__main__":
    main()
