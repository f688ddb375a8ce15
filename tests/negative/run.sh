#!/bin/sh
# Must-not-compile tests. Each .cpp here begins with `// expect: MESSAGE`: compiling it must fail, and MESSAGE must be
# among the errors. correct.cpp must compile, or the failures of the others would prove nothing.
# Usage: run.sh [COMPILER [FLAGS...]]    Only the front end runs, one process per case, as many at once as processors.
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
export LC_ALL=C    # the compiler's quotes and language

if [ "${1:-}" = --case ]; then
    name=${2##*/} expected=$(sed -n '1s|^// expect: ||p' "$2")
    errors=$(shift 2; "$@" -fsyntax-only -Werror=unused-result "$source" 2>&1)
    status=$?
    if [ "$name" = correct.cpp ]; then
        if [ $status -eq 0 ]; then echo "ok $name compiles"; else printf '%s\nFAIL: %s does not compile\n' "$errors" "$name"; fi
    elif [ -z "$expected" ]; then echo "FAIL: $name does not say what it expects"
    elif [ $status -eq 0 ]; then echo "FAIL: $name compiles"
    elif ! printf '%s' "$errors" | grep -qF "$expected"; then
        printf '%s\nFAIL: %s does not say "%s"\n' "$errors" "$name" "$expected"
    else echo "ok $name"
    fi
    exit 0
fi

[ $# -ne 0 ] || set -- "${CXX:-g++}" -std=gnu++23 "-I$root" "-I$root/arch/include" "-I$root/arch/host/include" \
    "-I$root/sdk/include"
# What every case includes, compiled once.
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
printf '#include <ringlet/config.hpp>\n' > "$folder/all.hpp"
"$@" -x c++-header "$folder/all.hpp" -o "$folder/all.hpp.gch" || exit 1
set -- "$@" -include "$folder/all.hpp"
results=$(printf '%s\n' "$here"/*.cpp | xargs -P "$(nproc)" -I SOURCE env source=SOURCE "$0" --case SOURCE "$@")
printf '%s\n' "$results" | grep -v '^ok'
passed=$(printf '%s\n' "$results" | grep -c '^ok ')
failed=$(printf '%s\n' "$results" | grep -c '^FAIL:')
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 1 ]
