#!/usr/bin/env bash
# A compiler launcher that has clang++-19 compile what was meant for g++, against the same headers: what ringlet.specs says
# to gcc, as options of clang. Linking stays with g++.
set -euo pipefail
case $(basename "$1") in
x86_64-*) target=x86_64-elf ;;
aarch64-*) target=aarch64-none-elf ;;
*) echo "clang.sh: for which architecture is $1?" >&2; exit 2 ;;
esac
shift
options=() sysroot=
for option in "$@"; do
    case $option in
    -specs=*) sysroot=$(dirname "${option#-specs=}") ;;
    *) options+=("$option") ;;
    esac
done
[ -n "$sysroot" ] || { echo "clang.sh: no -specs= among the options" >&2; exit 2; }
headers=$sysroot/include/c++/12
run=(clang++-19)
if command -v ccache >/dev/null; then run=(ccache "${run[@]}"); fi
exec "${run[@]}" --target=$target -D__ringlet__=1 -D_GNU_SOURCE -nostdlibinc -nostdinc++ -isystem "$headers" \
    -isystem "$headers/$target" -isystem "$headers/backward" -idirafter "$sysroot/include" "${options[@]}"
