#!/usr/bin/env bash
# x86_64: the host's libgcc.a has a few members that use the red zone, the 128 bytes below the stack pointer, which an
# interrupt on the same stack overwrites. They are compiled again without, and decimal floating point is left out.
# Usage: libgcc_members.sh GCC_SOURCE SYSROOT WORK_FOLDER. Called by sysroot.sh.
set -euo pipefail
source=$1 sysroot=$2
mkdir -p "$3/include" && cd "$3"
libgcc=$source/libgcc archive=$sysroot/lib/libgcc.a

# What libgcc's own build would generate; nothing of it matters to these members.
for name in tconfig coretypes libgcc_tm auto-target; do : >include/$name.h; done
cat >include/tsystem.h <<'H'
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#define gcc_assert(e) ((void)(e))
#define gcc_unreachable() __builtin_unreachable()
H
cat >include/tm.h <<'H'
#define BITS_PER_UNIT 8
#define MIN_UNITS_PER_WORD 8
#define ATTRIBUTE_UNUSED __attribute__((unused))
H
cp "$libgcc/config/i386/sfp-machine.h" include/

compile() {
    "$sysroot/bin/cross-gcc" -O2 -g0 -DIN_GCC -DIN_LIBGCC2 -fbuilding-libgcc -fno-stack-protector -DHAVE_GAS_HIDDEN \
        -fvisibility=hidden -Iinclude -I"$libgcc/config/i386" -I"$libgcc/soft-fp" -I"$libgcc" -I"$source/include" -c "$@"
}
for name in _mulsc3 _mulxc3 _divsc3 _divxc3 _fixunsxfsi _fixunsxfdi _floatdixf _floatundixf _umoddi3 _udivmoddi4; do
    ar t "$archive" | grep -qx $name.o || continue
    compile -DL$name "$libgcc/libgcc2.c" -o $name.o
done
for name in negtf2 floatsitf floatunsitf floatditf floatunditf; do compile "$libgcc/soft-fp/$name.c" -o $name.o; done
compile "$libgcc/config/i386/sfp-exceptions.c" -o sfp-exceptions.o

symbols() { nm --defined-only "$1" | awk '{ print $3 }' | sort; }
for object in *.o; do
    ar p "$archive" "$object" >original
    cmp <(symbols "$object") <(symbols original) || { echo "$object defines other symbols than the original" >&2; exit 1; }
done
ar r "$archive" ./*.o
mapfile -t decimal < <(ar t "$archive" | grep -E '^(bid|_isinf[ds]|_.*_to_|_(sd|dd|td)|_(add|sub|mul|div|plus|minus|eq|ne|lt|gt|le|ge|unord)_?(sub)?_?(sd|dd|td)|dfp|decimal|_(s|d|t)f_to)')
ar d "$archive" "${decimal[@]}"
