#!/usr/bin/env bash
# Runs one Catch2 program, with the arguments behind its name, and closes with "N passed, N failed", one per test case.
# A crash counts as a failure.
timeout 1800 "$@" | tee /dev/stderr | awk '
    /All tests passed/ { match($0, /in [0-9]+ test case/); split(substr($0, RSTART), w, " "); passed = w[2]; seen = 1 }
    /^test cases:/ { for (i = 1; i <= NF; i++) { if ($(i) == "passed") passed = $(i - 1); if ($(i) == "failed") failed = $(i - 1) }; seen = 1 }
    END { if (!seen) failed += 1; printf "%d passed, %d failed\n", passed, failed; exit failed != 0 }'
exit "${PIPESTATUS[2]}"
