#!/usr/bin/env python3
"""Checks the C and C++ libraries of images: tools/check_sysroot.py BUILD_FOLDER ARCH

No code below the stack pointer (x86_64: an interrupt on the same stack would overwrite it), in the libraries and in
Ringlet's own; no header and no library of this computer can be reached. Prints a line "ok ..." or "not ok ..." for each.
"""
import os
import re
import subprocess
import sys
import tempfile

# lea only computes the address; with an index beside it the displacement tells nothing.
BELOW = re.compile(r"^ *[0-9a-f]+:[ \t]+(?!lea)\S+[ \t].*-0x[0-9a-f]+\(%rsp\)", re.M)
bad = 0


def report(good, what, detail=""):
    global bad
    bad += not good
    print(("ok " if good else "not ok ") + what + (f": {detail}" if not good else ""))


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def below_stack(file):
    """Instructions that touch memory below the stack pointer."""
    return BELOW.findall(run("objdump", "-d", "--no-show-raw-insn", file).stdout)


def check_red_zone(build, libraries, folder):
    source = os.path.join(folder, "leaf.c")
    with open(source, "w") as f:
        f.write("int f(int n) { volatile int a[4]; a[n & 3] = n; return a[0]; }\n")
    run("gcc", "-O2", "-c", source, "-o", source + ".o")
    report(below_stack(source + ".o"), "a red zone is seen where there is one", "none in an ordinary function")
    archives = [os.path.join(libraries, n) for n in os.listdir(libraries) if n.endswith(".a")]
    for place, _, names in os.walk(build):
        archives += [os.path.join(place, n) for n in names if re.fullmatch(r"libringlet_\w+\.a", n)]
    report(len(archives) > 10, "there are archives to look at", str(len(archives)))
    for archive in sorted(archives):
        found = below_stack(archive)
        report(not found, f"no red zone in {os.path.basename(archive)}", f"{len(found)} instructions, e.g. {found[:1]}")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build, arch = sys.argv[1:]
    sysroot = os.path.realpath(os.path.join(build, "sysroot"))
    compiler = [f"{arch}-linux-gnu-g++", f"-specs={sysroot}/ringlet.specs"]
    own = os.path.realpath(os.path.join(os.path.dirname(run(*compiler, "-print-libgcc-file-name").stdout.strip()), "include"))
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "all.cpp")
        with open(source, "w") as f:
            f.write("#include <bits/stdc++.h>\n#include <pthread.h>\n#include <stdio.h>\n#include <sys/stat.h>\nint main() {}\n")
        used = run(*compiler, "-std=c++20", "-M", source)
        headers = {os.path.realpath(w) for w in used.stdout.replace("\\\n", " ").split()[2:]}
        others = sorted(h for h in headers if not h.startswith((sysroot + "/", own + "/")))
        report(used.returncode == 0 and len(headers) > 200, f"{arch}: the headers are there", used.stderr[-300:])
        report(not others, f"{arch}: no header from elsewhere", " ".join(others[:5]))
        for name in ("util", "resolv", "c_nonshared"):
            linked = run(*compiler, source, f"-l{name}", "-o", source + ".elf")
            report(f"cannot find -l{name}" in linked.stderr, f"{arch}: this computer's lib{name} is out of reach", linked.stderr[-300:])
        if arch == "x86_64":
            check_red_zone(build, os.path.join(sysroot, "lib"), folder)
    sys.exit(bad != 0)


if __name__ == "__main__":
    main()
