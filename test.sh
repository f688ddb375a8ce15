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

passed=0 failed=0 skipped=0
failures=()
log_folder=build/test-logs
mkdir -p "$log_folder"

# one NAME COMMAND...: a check that passes or fails as a whole; its output is shown when it fails
one() {
    local name=$1; shift
    local log="$log_folder/${name//[^a-z0-9A-Z_-]/_}.log"
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1)); echo "ok      $name"
    else
        failed=$((failed + 1)); failures+=("$name"); echo "FAILED  $name"; tail -n 40 "$log" | sed 's/^/    /'
    fi
}

# counted NAME COMMAND...: a program that prints "N passed, N failed[, N skipped]" itself
counted() {
    local name=$1; shift
    local log="$log_folder/${name//[^a-z0-9A-Z_-]/_}.log" status line began=$SECONDS
    "$@" >"$log" 2>&1; status=$?
    line=$(grep -Eo '[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?' "$log" | tail -n 1)
    if [ -z "$line" ]; then
        failed=$((failed + 1)); failures+=("$name (exit status $status, no result)"); echo "FAILED  $name"
        tail -n 40 "$log" | sed 's/^/    /'
        return
    fi
    local p f s
    read -r p f s < <(echo "$line" | sed -E 's/([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?/\1 \2 \4/')
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + ${s:-0}))
    [ $((p + f + ${s:-0})) -ne 0 ] || status=1   # nothing ran
    if [ "$f" -ne 0 ] || [ "$status" -ne 0 ]; then
        [ "$f" -eq 0 ] && failed=$((failed + 1))
        failures+=("$name"); echo "FAILED  $name: $line"; grep -E '^(FAIL|not ok|.*FAILED)' "$log" | head -20 | sed 's/^/    /'
        tail -n 30 "$log" | sed 's/^/    /'
    else
        echo "ok      $name: $line ($((SECONDS - began)) s)"
    fi
}

# tap NAME COMMAND...: a program that prints a line "ok ..." or "not ok ..." for each check
tap() {
    local name=$1; shift
    counted "$name" sh -c '"$@" > "$0" 2>&1; status=$?; grep -v "^ok" "$0"
        echo "$(grep -c "^ok" "$0") passed, $(grep -c "^not ok" "$0") failed"; exit $status' "$log_folder/tap.txt" "$@"
}

# catch NAME PROGRAM: one Catch2 program; every test case counts. 15 minutes at most.
catch() { counted "$1" tests/catch_count.sh "$2"; }

echo "Packages"
need_packages "${BUILD_PACKAGES[@]}" "${BUILD_PACKAGES_x86_64[@]}" "${BUILD_PACKAGES_aarch64[@]}" \
    "${RUN_PACKAGES_x86_64[@]}" "${RUN_PACKAGES_aarch64[@]}" "${TEST_PACKAGES[@]}" "${SYSROOT_PACKAGES[@]}" "${PORT_PACKAGES[@]}" qemu-utils || { echo "0 passed, 1 failed"; exit 1; }
launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_C_COMPILER_LAUNCHER=ccache)
export PATH="$PATH:/usr/sbin:/sbin"

if wants host; then
    echo "Host"
    one "layers" tools/check_layers.py
    one "host build" sh -c "cmake --preset host ${launcher[*]} && cmake --build --preset host"
    for program in build/host/tests/unit/*/test_* build/host/tests/netsim/test_*; do
        [ -f "$program" ] && [ -x "$program" ] && catch "$(basename "$program")" "$program"
    done
    counted "drivers over other rings" tests/ctest_count.sh build/host _over_
    counted "virtio fences" timeout 60 build/host/tests/unit/virtio/virtio_fences
    counted "negative compilation" tests/negative/run.sh
fi
if wants images || wants integration; then
    echo "Images"
    one "C and C++ libraries" toolchain/sysroot.sh x86_64 aarch64
    for arch in x86_64 aarch64; do
        one "$arch build" sh -c "cmake --preset $arch ${launcher[*]} -DRINGLET_PORTS=ON && cmake --build --preset $arch"
        image="build/$arch/examples/httpd/httpd"
        one "$arch image" tools/check_image.py "$image" --stripped "$image.stripped"
    done
    tap "unnamed parts are absent" tools/check_absent.py build/x86_64
fi
if wants integration; then
    echo "Integration (QEMU)"
    tap "qemu-run.sh options" bash tests/integration/qemu_run_test.sh
    for suite in tests/integration/test_*.py; do
        limit=1800 options=()
        [[ -n $full && $suite == */test_virtio_matrix.py ]] && limit=14400 options=(--full)
        counted "$(basename "$suite" .py)" timeout "$limit" python3 "$suite" "${options[@]}"
    done
fi

echo
for name in "${failures[@]}"; do echo "failed: $name (see $log_folder)"; done
if [ "$skipped" -ne 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
