#!/usr/bin/env python3
"""Checks that nothing of Ringlet's own brings the unwinder into an image: a C program has none.

    tools/check_throws.py build/ARCH [build/ARCH ...]

No object of Ringlet's libraries may refer to what throws, catches or unwinds, but for those in MAY, which are in an image
only when the application needs them; and the image of hello-c has neither the unwinder nor its tables. Prints a line
"ok ..." or "not ok ..." for each.
"""
import glob
import os
import re
import subprocess
import sys

UNWINDS = re.compile(r"_ZSt\d+__throw_|_Unwind_|__cxa_(throw|rethrow|allocate_exception|begin_catch|guard_acquire)|"
                     r"__gxx_personality|__gcc_personality|_ZSt9terminatev|_Zn[wa]m(St11align_val_t)?$")
MAY = {"operator_new.cpp.obj", "once.cpp.obj", "terminate.cpp.obj"}


def undefined(file):
    """{object: the symbols it refers to} of an archive."""
    text = subprocess.run(["nm", "--undefined-only", file], check=True, capture_output=True, text=True).stdout
    objects, name = {}, os.path.basename(file)
    for line in text.splitlines():
        if line.endswith(":"):
            name = line[:-1]
        elif line.strip():
            objects.setdefault(name, []).append(line.split()[-1])
    return objects


def main():
    failed = 0

    def check(good, what):
        nonlocal failed
        failed += not good
        print(("ok " if good else "not ok ") + what)

    for build in sys.argv[1:]:
        archives = sorted(glob.glob(os.path.join(build, "**", "libringlet_*.a"), recursive=True))
        check(len(archives) > 10, f"{build}: {len(archives)} libraries")
        for archive in archives:
            found = {name: [s for s in symbols if UNWINDS.search(s)] for name, symbols in undefined(archive).items()}
            bad = {name: symbols for name, symbols in found.items() if symbols and name not in MAY}
            check(not bad, f"{os.path.relpath(archive, build)} throws nothing" + "".join(
                f"; {name}: {' '.join(symbols)}" for name, symbols in bad.items()))
            if archive.endswith("libringlet_posix.a"):
                check(all(found.get(name) for name in MAY), "the objects that may throw do")
        image = os.path.join(build, "examples", "hello-c", "hello-c")
        symbols = subprocess.run(["nm", image], check=True, capture_output=True, text=True).stdout
        check("_Unwind_" not in symbols and "__cxa_throw" not in symbols, f"{build}: hello-c has no unwinder")
        sections = subprocess.run(["readelf", "-SW", image], check=True, capture_output=True, text=True).stdout
        check(".text" in sections and ".eh_frame" not in sections, f"{build}: hello-c has no frame tables")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
