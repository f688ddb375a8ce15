#!/bin/sh
# Must-not-compile tests. Each .cpp here begins with `// expect: MESSAGE`: compiling it must fail, and MESSAGE must be
# among the errors. correct.cpp must compile, or the failures of the others would prove nothing.
# Usage: run.sh COMPILER [FLAGS...]
here=$(dirname "$0")
failed=0
count=0
if ! errors=$("$@" -fsyntax-only "$here/correct.cpp" 2>&1); then
    printf '%s\ncorrect.cpp does not compile\n' "$errors"
    exit 1
fi
for source in "$here"/*.cpp; do
    expected=$(sed -n '1s|^// expect: ||p' "$source")
    [ -n "$expected" ] || continue
    count=$((count + 1))
    if errors=$("$@" -fsyntax-only -Werror=unused-result "$source" 2>&1); then
        echo "FAIL: ${source##*/} compiles"
        failed=$((failed + 1))
    elif ! printf '%s' "$errors" | grep -qF "$expected"; then
        printf '%s\nFAIL: %s does not say "%s"\n' "$errors" "${source##*/}" "$expected"
        failed=$((failed + 1))
    fi
done
echo "$count mistakes, $failed of them not caught"
[ "$count" -gt 0 ] && [ "$failed" -eq 0 ]
