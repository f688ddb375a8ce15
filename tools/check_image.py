#!/usr/bin/env python3
"""Checks a linked image: segments are never writable and executable, nothing runs before the composition root
(.init_array is empty), no exception tables, and the stripped size keeps its bound. Exit status 1 when broken."""

import argparse
import os
import struct
import sys

PT_LOAD, PF_X, PF_W = 1, 1, 2


def segments_and_sections(data):
    if data[:4] != b"\x7fELF" or data[4] != 2:
        sys.exit("not an ELF64 file")
    (phoff, shoff) = struct.unpack_from("<QQ", data, 0x20)
    (phentsize, phnum, shentsize, shnum, shstrndx) = struct.unpack_from("<HHHHH", data, 0x36)
    segments = []
    for i in range(phnum):
        kind, flags, _, vaddr, _, filesz, memsz = struct.unpack_from("<IIQQQQQ", data, phoff + i * phentsize)
        segments.append((kind, flags, vaddr, filesz, memsz))
    headers = [struct.unpack_from("<IIQQQQ", data, shoff + i * shentsize) for i in range(shnum)]
    names = headers[shstrndx][4] if shnum else 0
    sections = {}
    for name, _, _, address, _, size in headers:
        end = data.index(b"\0", names + name)
        sections[data[names + name:end].decode()] = (address, size)
    return segments, sections


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("elf")
    parser.add_argument("--stripped", help="the stripped image whose size is checked")
    parser.add_argument("--max-bytes", type=int, default=720 * 1024)
    options = parser.parse_args()
    segments, sections = segments_and_sections(open(options.elf, "rb").read())
    problems = []
    loads = [s for s in segments if s[0] == PT_LOAD]
    for _, flags, vaddr, _, _ in loads:
        if flags & PF_X and flags & PF_W:
            problems.append(f"segment at {vaddr:#x} is writable and executable")
        if vaddr % 4096:
            problems.append(f"segment at {vaddr:#x} is not page-aligned")
    if not any(s[1] & PF_X for s in loads):
        problems.append("no executable segment")
    for name in (".init_array", ".ctors", ".eh_frame", ".gcc_except_table", ".got.plt", ".dynamic"):
        size = sections.get(name, (0, 0))[1]
        if size and not (name == ".got.plt" and size <= 24):
            problems.append(f"{name} holds {size} bytes")
    size = os.path.getsize(options.stripped or options.elf)
    if options.stripped and size > options.max_bytes:
        problems.append(f"{size} bytes stripped, at most {options.max_bytes}")
    for problem in problems:
        print(f"{options.elf}: {problem}")
    text = sum(s[3] for s in loads if s[1] & PF_X)
    print(f"image: {size} bytes{' stripped' if options.stripped else ''}, {text} of text, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
