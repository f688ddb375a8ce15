#!/usr/bin/env python3
"""Makes the table of function names that the panic screen reads (format: kernel/symbols.hpp).

    tools/symbols.py --nm NM --elf pass1.elf --out symbols.S [--options FILE --no-frames SCRIPT]

Runs NM on the image of a first link and writes assembler source with one section, .ringlet.symbols, for the second
link. The section lies behind all code, so the addresses stay as they were. Names are demangled, without parameter
lists, return types and long template arguments, and compressed by replacing frequent pairs of bytes by single ones.
`--nm-output FILE` reads what nm printed instead of running it (tests). `--options` writes what else the second link is
to be given: the linker script that leaves out the frame tables, when the image has no unwinder to read them.
"""
import argparse
import collections
import re
import struct
import subprocess
import sys

MAGIC = 0x4D595352  # "RSYM"
GROUP = 32
LONGEST_NAME = 120
LONGEST_ARGUMENTS = 24


def strip_balanced(text, opening, closing, keep):
    """Removes each balanced opening...closing run unless keep(text before, run) says otherwise."""
    out, i = "", 0
    while i < len(text):
        if text[i] != opening:
            out += text[i]
            i += 1
            continue
        depth, j = 0, i
        while j < len(text):
            depth += (text[j] == opening) - (text[j] == closing)
            j += 1
            if depth == 0:
                break
        run = text[i:j]
        out += run if keep(out, run) else ""
        i = j
    return out


def tidy(name):
    """`void ns::f<int>(int) [clone .isra.0]` becomes `ns::f<int>`."""
    name = re.sub(r" \[clone [^\]]*\]", "", name)
    name = re.sub(r"\.(isra|part|constprop|cold|lto_priv)(\.\d+)*$", "", name)
    name = name.replace("(anonymous namespace)", "{anon}")
    name = name.replace("operator()", "operator{call}")
    operators = {"operator<=>": "\x01", "operator<<": "\x02", "operator>>": "\x03", "operator->": "\x04",
                 "operator<=": "\x05", "operator>=": "\x06", "operator<": "\x07", "operator>": "\x08"}
    for spelled, code in operators.items():
        name = name.replace(spelled, code)
    name = strip_balanced(name, "(", ")", lambda before, run: False)
    name = strip_balanced(name, "<", ">", lambda before, run: len(run) <= LONGEST_ARGUMENTS)
    name = re.sub(r"( const| volatile|&)+(?=::|$)", "", name)
    if " " in name and "operator " not in name:
        # A return type: everything up to the last space outside of <> and {}.
        depth, cut = 0, 0
        for i, c in enumerate(name):
            depth += (c in "<{") - (c in ">}")
            if c == " " and depth == 0:
                cut = i + 1
        name = name[cut:]
    for spelled, code in operators.items():
        name = name.replace(code, spelled)
    return name.replace("operator{call}", "operator()").replace("{anon}", "(anonymous)")[:LONGEST_NAME]


def functions(nm_text):
    """[(address, name)] of the code, ascending, one name per address; and the bounds of the code."""
    start, end, found = None, None, {}
    for line in nm_text.splitlines():
        match = re.match(r"([0-9a-fA-F]+) (\S) (.+)$", line)
        if not match:
            continue
        address, kind, name = int(match[1], 16), match[2], match[3]
        if name == "__text_start":
            start = address
        elif name == "__text_end":
            end = address
        elif kind in "tTwW" and not re.match(r"\$|\.L|__\w+_text_(start|end)$", name):
            found.setdefault(address, tidy(name))
    if start is None:
        sys.exit("symbols.py: no __text_start in the image")
    listed = [(a, n) for a, n in sorted(found.items()) if a >= start and (end is None or a < end)]
    if end is None:
        end = listed[-1][0] + 1 if listed else start
    return start, end, listed


def compress(names):
    """Byte-pair encoding: (encoded names, text of each of the 256 codes). Codes below 128 are ASCII unless unused."""
    raw = [n.encode("ascii", "replace") for n in names]
    used = set(b"".join(raw))
    free = [c for c in range(1, 256) if c not in used]
    tokens = {c: bytes([c]) for c in used}
    data = b"\0".join(raw)
    while free:
        pairs = collections.Counter(zip(data, data[1:]))
        best, count = None, 0
        for pair, n in pairs.items():
            if 0 not in pair and n > count:
                best, count = pair, n
        if count < 4:
            break
        code = free.pop()
        tokens[code] = tokens[best[0]] + tokens[best[1]]
        data = data.replace(bytes(best), bytes([code]))
    return data.split(b"\0") if names else [], tokens


def leb128(n):
    out = b""
    while True:
        out += bytes([n & 0x7F | (0x80 if n > 0x7F else 0)])
        n >>= 7
        if n == 0:
            return out


def build(start, end, listed):
    encoded, tokens = compress([n for _, n in listed])
    stream, groups, previous = b"", [], 0
    for i, ((address, _), name) in enumerate(zip(listed, encoded)):
        offset = address - start
        if i % GROUP == 0:
            groups.append((offset, len(stream)))
            previous = offset
        stream += leb128(offset - previous) + bytes([len(name)]) + name
        previous = offset
    text, at = b"", []
    for code in range(257):
        at.append(len(text))
        text += tokens.get(code, b"")
    table = struct.pack("<4I", MAGIC, len(listed), end - start, len(stream))
    table += struct.pack("<258H", *at, 0)
    table += b"".join(struct.pack("<2I", *g) for g in groups)
    return table + stream + text


def assembler(table):
    lines = ["// Made by tools/symbols.py: names of functions for the panic screen; see kernel/symbols.hpp.",
             '    .section .ringlet.symbols, "a"', "    .balign 4",
             "    .globl ringlet_symbols, ringlet_symbols_end", "ringlet_symbols:"]
    for i in range(0, len(table), 24):
        lines.append("    .byte " + ",".join(str(b) for b in table[i:i + 24]))
    lines += ["ringlet_symbols_end:", '    .section .note.GNU-stack, "", %progbits', ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nm", default="nm")
    parser.add_argument("--elf", help="image of the first link")
    parser.add_argument("--nm-output", help="what `nm -C` printed, in a file")
    parser.add_argument("--out", required=True, help="assembler source to write")
    parser.add_argument("--options", help="linker options to write, for the second link")
    parser.add_argument("--no-frames", metavar="SCRIPT", help="leaves out the frame tables")
    parser.add_argument("--stats", action="store_true", help="print the sizes")
    args = parser.parse_args()
    if (args.elf is None) == (args.nm_output is None):
        parser.error("give one of --elf and --nm-output")
    if args.elf is not None:
        text = subprocess.run([args.nm, "-nC", "--defined-only", args.elf], check=True, capture_output=True,
                              text=True).stdout
    else:
        with open(args.nm_output, encoding="utf-8") as f:
            text = f.read()
    start, end, listed = functions(text)
    table = build(start, end, listed)
    with open(args.out, "w", encoding="ascii") as f:
        f.write(assembler(table))
    if args.options:
        frames_are_read = any(name == "_Unwind_Find_FDE" for _, name in listed)
        with open(args.options, "w", encoding="utf-8") as f:
            f.write("" if frames_are_read else f'"-Wl,-T,{args.no_frames}"\n')
    if args.stats:
        print(f"{len(listed)} functions, {end - start} bytes of code, table {len(table)} bytes "
              f"({100 * len(table) / max(end - start, 1):.1f} %)")


if __name__ == "__main__":
    main()
