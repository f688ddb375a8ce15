#!/usr/bin/env bash
# Every test of Ringlet. Installs what it needs (Debian packages), builds the host tests and both images, runs all,
# and closes with "N passed, N failed, N skipped". Usage: ./test.sh [--full] [host|images|integration]...
# Default: all stages, and of the virtio matrix a selection in which every pair of values occurs; --full runs all of it.
set -u
cd "$(dirname "$0")" || exit 2
. tools/packages.sh

full= stages=
for word in "$@"; do
    case "$word" in
        host | images | integration) stages+=" $word" ;;
        --full) full=--full ;;
        -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
        *) echo "test.sh: unknown stage '$word' (host, images, integration, --full)" >&2; exit 2 ;;
    esac
done
: "${stages:=host images integration}"
wants() { [[ " $stages " == *" $1 "* ]]; }

log_folder=build/test-logs results=build/test-logs/results
mkdir -p "$log_folder" && : >"$results"

# Checks run two at a time: `beside CHECK...` starts one when a place is free, `alone CHECK...` waits until nothing else
# runs. Each adds a line "PASSED FAILED SKIPPED NAME" to the results.
beside() {
    while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
    "$@" &
}
alone() { wait; "$@"; }

log_of() { echo "$log_folder/${1//[^a-z0-9A-Z_-]/_}.log"; }

# report NAME SECONDS PASSED FAILED SKIPPED: what came of one check, and the end of its output when it failed
report() {
    local name=$1 log sum="$3 passed, $4 failed"
    [ "$5" -eq 0 ] || sum+=", $5 skipped"
    echo "$3 $4 $5 $name" >>"$results"
    if [ "$4" -eq 0 ]; then echo "ok      $name: $sum ($2 s)"; return; fi
    log=$(log_of "$name")
    printf '%s\n' "FAILED  $name: $sum" "$( (grep -E '^(FAIL|not ok|.*FAILED)' "$log" | head -n 20; tail -n 40 "$log") | sed 's/^/    /')"
}

# one NAME COMMAND...: a check that passes or fails as a whole
one() {
    local name=$1 began=$SECONDS; shift
    if "$@" >"$(log_of "$name")" 2>&1; then report "$name" $((SECONDS - began)) 1 0 0; else report "$name" $((SECONDS - began)) 0 1 0; fi
}

# counted NAME COMMAND...: a program that prints "N passed, N failed[, N skipped]" itself
counted() {
    local name=$1 began=$SECONDS status line p=0 f=0 s=0; shift
    local log; log=$(log_of "$name")
    "$@" >"$log" 2>&1; status=$?
    line=$(grep -Eo '[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?' "$log" | tail -n 1)
    read -r p f s < <(echo "${line:-0 passed, 0 failed}" | sed -E 's/([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?/\1 \2 \4/')
    s=${s:-0}
    [ $((p + f + s)) -ne 0 ] || status=1   # nothing ran
    [ "$status" -eq 0 ] || [ "$f" -ne 0 ] || f=1
    report "$name" $((SECONDS - began)) "$p" "$f" "$s"
}

# tap NAME COMMAND...: a program that prints a line "ok ..." or "not ok ..." for each check
tap() {
    local name=$1; shift
    counted "$name" sh -c 'lines=$("$@" 2>&1); status=$?; echo "$lines" | grep -v "^ok"
        echo "$(echo "$lines" | grep -c "^ok") passed, $(echo "$lines" | grep -c "^not ok") failed"; exit $status' sh "$@"
}

# catch NAME PROGRAM [ARGUMENT]...: one Catch2 program; every test case counts. Half an hour at most.
catch() { local name=$1; shift; counted "$name" tests/catch_count.sh "$@"; }

echo "Packages"
need_packages "${BUILD_PACKAGES[@]}" "${BUILD_PACKAGES_x86_64[@]}" "${BUILD_PACKAGES_aarch64[@]}" \
    "${RUN_PACKAGES_x86_64[@]}" "${RUN_PACKAGES_aarch64[@]}" "${TEST_PACKAGES[@]}" "${SYSROOT_PACKAGES[@]}" "${PORT_PACKAGES[@]}" "${MEDIA_PACKAGES[@]}" "${FIRMWARE_PACKAGES[@]}" qemu-utils || { echo "0 passed, 1 failed"; exit 1; }
launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache)
export PATH="$PATH:/usr/sbin:/sbin"

if wants host; then
    echo "Host"
    one "layers" tools/check_layers.py
    alone one "host build" sh -c "cmake --preset host ${launcher[*]} && cmake --build --preset host"
    alone one "ThreadSanitizer build" sh -c "cmake --preset tsan ${launcher[*]} && cmake --build --preset tsan"
    beside counted "drivers over other rings" tests/ctest_count.sh build/host _over_
    for program in build/host/tests/unit/*/test_* build/host/tests/netsim/test_*; do
        [ -f "$program" ] && [ -x "$program" ] && beside catch "$(basename "$program")" "$program"
    done
    for program in build/tsan/tests/unit/*/test_*; do
        [ -f "$program" ] && [ -x "$program" ] && beside catch "$(basename "$program"), threads" "$program" '[threads]'
    done
    beside counted "negative compilation" tests/negative/run.sh
    alone counted "virtio fences" timeout 60 build/host/tests/unit/virtio/virtio_fences   # two threads of its own
fi
if wants images || wants integration; then
    echo "Images"
    alone one "C and C++ libraries" toolchain/sysroot.sh x86_64 aarch64
    for arch in x86_64 aarch64; do
        alone one "$arch build" sh -c "cmake --preset $arch ${launcher[*]} -DRINGLET_PORTS=ON && cmake --build --preset $arch"
        image="build/$arch/examples/httpd/httpd"
        beside tap "$arch libraries" tools/check_sysroot.py "build/$arch" "$arch"
        beside tap "$arch: nothing throws" tools/check_throws.py "build/$arch"
        one "$arch image" tools/check_image.py "$image" --stripped "$image.stripped"
    done
    beside tap "unnamed parts are absent" tools/check_absent.py build/x86_64
fi
if wants integration; then
    echo "Integration (QEMU)"
    beside tap "qemu-run.sh options" bash tests/integration/qemu_run_test.sh
    for suite in tests/integration/test_*.py; do
        limit=1800 options=() how=beside
        [[ -n $full && $suite == */test_virtio_matrix.py ]] && limit=14400 options=(--full)
        [[ $suite == */test_floods.py ]] && how=alone   # it measures how a client fares
        "$how" counted "$(basename "$suite" .py)" timeout "$limit" python3 "$suite" "${options[@]}"
    done
fi
wait

echo
awk -v logs="$log_folder" '
    { passed += $1; failed += $2; skipped += $3 }
    $2 > 0 { $1 = $2 = $3 = ""; print "failed:" substr($0, 3) " (see " logs ")" }
    END { printf "%d passed, %d failed", passed, failed; if (skipped) printf ", %d skipped", skipped
          printf "\n"; exit failed > 0 }' "$results"
