#!/usr/bin/env bash
# What ./qemu-run.sh makes of its options, without booting anything: every machine and transport with --dry-run, and
# every bad option. Prints `ok`/`not ok` lines; the exit status is the number of failures (at most 99).
set -u

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
run=$root/qemu-run.sh
failures=0 count=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

report() {  # STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; else echo "not ok $count - $2"; failures=$((failures + 1)); fi
}

# The command of `qemu-run.sh --dry-run ARGUMENTS` must contain every one of the given pieces.
expect() {  # NAME PIECES... -- ARGUMENTS...
    local name=$1 pieces=() out piece
    shift
    while [ "$1" != -- ]; do pieces+=("$1"); shift; done
    shift
    if ! out=$(RINGLET_ACCEL=tcg "$run" --dry-run "$@" 2>&1); then
        echo "# $out"
        report 1 "$name"
        return
    fi
    for piece in "${pieces[@]}"; do
        [[ " $out" == *"$piece"* ]] && continue
        echo "# no '$piece' in: $out"
        report 1 "$name"
        return
    done
    report 0 "$name"
}

# Exit status 2, nothing on standard output, exactly one line on standard error that contains TEXT.
reject() {  # TEXT ARGUMENTS...
    local text=$1 status
    shift
    "$run" "$@" >"$work/out" 2>"$work/err"
    status=$?
    if [ $status -eq 2 ] && [ ! -s "$work/out" ] && [ "$(wc -l <"$work/err")" -eq 1 ] && grep -qF -- "$text" "$work/err"; then
        report 0 "refused: $*"
    else
        echo "# status $status: $(cat "$work/out" "$work/err")"
        report 1 "refused: $*"
    fi
}

expect "q35 is the x86_64 default" 'qemu-system-x86_64 -machine q35 ' '-accel tcg' virtio-net-pci virtio-blk-pci \
    'hostfwd=tcp:127.0.0.1:8080-:80' 'mon:stdio' '-m 64M' '/httpd ' 'httpd.disk' -- --arch x86_64
expect "pc" '-machine pc ' virtio-net-pci -- --machine pc
expect "microvm has mmio" '-machine microvm ' virtio-net-device virtio-blk-device 'virtio-mmio.force-legacy=false' \
    -- --machine microvm
expect "virt" 'qemu-system-aarch64 -machine virt ' virtio-net-pci 'httpd.bin ' -- --machine virt
expect "virt by architecture, mmio" '-machine virt ' virtio-net-device 'virtio-mmio.force-legacy=false' \
    -- --arch=aarch64 --transport=mmio
expect "memory and port" '-m 1G ' '127.0.0.1:8099-:80' -- --memory 1G --port 8099
expect "another port of the guest" '127.0.0.1:1883-:8883' -- --port 1883:8883
expect "tap" 'ifname=tap0\,script=no' -- --net tap=tap0
expect "gdb waits" ' -s -S ' -- --gdb
expect "extra QEMU options come last" '-append ip=off\ x ' -- -- -append 'ip=off x'
: >"$work/a,b.img"
expect "a comma in a file name is doubled" 'a\,\,b.img' -- --disk "$work/a,b.img"
expect "an image of one's own" "-kernel $work/a\\,b.img" -- --image "$work/a,b.img"

out=$(RINGLET_ACCEL=tcg "$run" --dry-run --net none --disk none)
[[ $out != *virtio-net* && $out != *netdev* && $out != *virtio-blk* ]]
report $? "neither network nor disk"
out=$("$run" --help) && [[ $out == *--transport* && $out == *--dry-run* ]]
report $? "--help explains"

reject 'unknown option: --frob' --frob
reject 'unknown option: stray' stray
reject '--arch needs a value' --arch
reject '--port needs a value' --port=
reject 'unknown architecture: riscv' --arch riscv
reject 'unknown machine: vax' --machine vax
reject 'machine virt is not one of x86_64' --arch x86_64 --machine virt
reject 'machine q35 is not one of aarch64' --arch aarch64 --machine q35
reject 'unknown transport: isa' --transport isa
reject 'machine q35 has no mmio transport' --machine q35 --transport mmio
reject 'machine microvm has no pci transport' --machine microvm --transport pci
reject 'not a memory size: lots' --memory lots
reject 'not a memory size: 0' --memory 0
reject 'not a port: 0' --port 0
reject 'not a port: 65536' --port 65536
reject 'not a port: http' --port http
reject 'not a port: 0' --port 80:0
reject 'not a port: 1:2' --port 80:1:2
reject 'unknown network: bridge' --net bridge
reject 'not an interface name: a b' --net 'tap=a b'
reject 'no such disk image: /nonexistent' --disk /nonexistent
reject 'no such image: /nonexistent' --image /nonexistent
RINGLET_ACCEL=xen reject 'RINGLET_ACCEL is neither kvm nor tcg' --dry-run

echo "1..$count"
[ $failures -gt 99 ] && failures=99
exit $failures
