#!/usr/bin/env bash
# Boots a Ringlet image under QEMU: installs what is missing, builds the default appliance, makes its demo disk, prints
# the address to open, and leaves you at the serial shell. `./qemu-run.sh --help` explains the options.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tools/packages.sh
. "$root/tools/packages.sh"

usage() {
    cat <<'END'
Usage: ./qemu-run.sh [OPTION]... [-- QEMU-OPTION...]

Builds and boots examples/httpd, the web server with a shell, on a disk made from examples/httpd/www.
Leave it with the shell's command `poweroff`, or with Ctrl-A X.

  --arch ARCH        x86_64 or aarch64 (default: what --machine needs, else this computer's)
  --machine MACHINE  x86_64: q35 (default), pc, microvm; aarch64: virt
  --transport KIND   how virtio devices are attached: pci, or mmio (microvm always, virt if asked)
  --memory SIZE      guest memory, e.g. 32M or 1G; a plain number is MiB (default: 64M)
  --disk FILE        a raw disk image instead of the demo disk, any number of times; `none`: no disk
  --port PORT[:TO]   the port on this computer that leads to the guest's port TO (default: 8080:80)
  --net KIND         user (default; no root needed), tap=INTERFACE, or none
  --gdb              wait for a debugger, and print the line that starts one
  --image ELF        boot this image instead of building one
  --new NAME         make a project of your own in the folder NAME instead, ready to build and boot
  --dry-run          print the QEMU command and do nothing
  --help             this text
  -- ...             everything after it goes to QEMU as it is, e.g. -- -append 'ip=10.0.2.15/24,10.0.2.2'

KVM is used when a test guest really runs under it, else TCG. RINGLET_ACCEL=kvm or =tcg decides by hand.
END
}

bad() { echo "qemu-run.sh: $1 (see --help)" >&2; exit 2; }
die() { echo "qemu-run.sh: $1" >&2; exit 1; }

# --- Options -----------------------------------------------------------------------------------------------------

arch='' machine='' transport='' memory=64M disks=() port='' guest_port=80 net=user gdb='' dry_run='' image='' extra=()

while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
    --help | -h) usage; exit 0 ;;
    --new) exec "$root/tools/new_project.sh" "$@" ;;
    --gdb) gdb=yes; continue ;;
    --dry-run) dry_run=yes; continue ;;
    --) extra=("$@"); break ;;
    --arch=* | --machine=* | --transport=* | --memory=* | --disk=* | --port=* | --net=* | --image=*)
        value=${option#*=} option=${option%%=*} ;;
    --arch | --machine | --transport | --memory | --disk | --port | --net | --image)
        [ $# -gt 0 ] || bad "$option needs a value"
        value=$1
        shift ;;
    *) bad "unknown option: $option" ;;
    esac
    [ -n "$value" ] || bad "$option needs a value"
    case $option in
    --arch) arch=$value ;;
    --machine) machine=$value ;;
    --transport) transport=$value ;;
    --memory) memory=$value ;;
    --disk) disks+=("$value") ;;
    --port) port=${value%%:*}; [[ $value != *:* ]] || guest_port=${value#*:} ;;
    --net) net=$value ;;
    --image) image=$value ;;
    esac
done

case $machine in
'' ) ;;
q35 | pc | microvm) machine_arch=x86_64 ;;
virt) machine_arch=aarch64 ;;
*) bad "unknown machine: $machine; there are q35, pc, microvm (x86_64) and virt (aarch64)" ;;
esac
if [ -z "$arch" ]; then
    if [ -n "$machine" ]; then arch=$machine_arch
    elif [ "$(uname -m)" = aarch64 ]; then arch=aarch64
    else arch=x86_64; fi
fi
case $arch in
x86_64) : "${machine:=q35}" ;;
aarch64) : "${machine:=virt}" ;;
*) bad "unknown architecture: $arch; there are x86_64 and aarch64" ;;
esac
[ "${machine_arch:-$arch}" = "$arch" ] || bad "machine $machine is not one of $arch"

case $machine in microvm) : "${transport:=mmio}" ;; *) : "${transport:=pci}" ;; esac
case $machine-$transport in
q35-pci | pc-pci | virt-pci | virt-mmio | microvm-mmio) ;;
*-pci | *-mmio) bad "machine $machine has no $transport transport" ;;
*) bad "unknown transport: $transport; there are pci and mmio" ;;
esac

[[ $memory =~ ^[1-9][0-9]{0,6}[KMGkmg]?$ ]] || bad "not a memory size: $memory; e.g. 64M"
case $net in
user | none) ;;
tap=?*) [[ ${net#tap=} =~ ^[A-Za-z0-9_.-]{1,15}$ ]] || bad "not an interface name: ${net#tap=}" ;;
*) bad "unknown network: $net; there are user, tap=INTERFACE and none" ;;
esac
port_given=$port
: "${port:=8080}"
for number in "$port" "$guest_port"; do
    if ! [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || [ "$number" -gt 65535 ]; then bad "not a port: $number"; fi
done
for disk in "${disks[@]}"; do [ "$disk" = none ] || [ -f "$disk" ] || bad "no such disk image: $disk"; done
[ -z "$image" ] || [ -f "$image" ] || bad "no such image: $image"
case ${RINGLET_ACCEL:-} in '' | kvm | tcg) ;; *) bad "RINGLET_ACCEL is neither kvm nor tcg: $RINGLET_ACCEL" ;; esac

# --- What QEMU gets ----------------------------------------------------------------------------------------------

qemu=qemu-system-$arch
build=$root/build/$arch

# QEMU boots the Linux Image format on aarch64 and the ELF itself (PVH) on x86_64.
kernel=$build/examples/httpd/httpd
symbols=$kernel
if [ -n "$image" ]; then
    kernel=$image symbols=$image
    if [ "$arch" = aarch64 ] && [ "$(head -c 4 "$image" | od -An -tx1 | tr -d ' ')" = 7f454c46 ]; then
        [ -f "$image.bin" ] || die "aarch64 boots $image.bin, which lies beside the ELF file, but it is not there"
        kernel=$image.bin
    fi
elif [ "$arch" = aarch64 ]; then
    kernel=$kernel.bin
fi

# Runs a guest of a few instructions: true if it gets to its end within two seconds.
run_probe() {  # ACCELERATOR
    local rom status=0
    rom=$(mktemp)
    if [ "$arch" = x86_64 ]; then
        # A boot sector: mov $0x501,%dx; mov $42,%al; out %al,(%dx); hlt. The BIOS before it uses real and protected mode;
        # a KVM that is itself emulated takes seconds for that, where TCG takes a tenth of one.
        { printf '\xba\x01\x05\xb0\x2a\xee\xf4\xeb\xfd'; head -c 501 /dev/zero; printf '\x55\xaa'; } >"$rom"
        timeout 2 "$qemu" -machine pc -accel "$1" -cpu max -m 16 -nodefaults -display none \
            -drive "if=ide,format=raw,file=$rom" -device isa-debug-exit,iobase=0x501,iosize=1 \
            </dev/null >/dev/null 2>&1 || status=$?
        rm -f "$rom"
        [ $status -eq 85 ]
    else
        # mov w0,#0x84000008 (PSCI SYSTEM_OFF); hvc #0; b .
        { printf '\x00\x01\x80\x52\x00\x80\xb0\x72\x02\x00\x00\xd4\x00\x00\x00\x14'; head -c 65520 /dev/zero; } >"$rom"
        local cpu=max
        [ "$1" = tcg ] || cpu=host
        timeout 2 "$qemu" -machine virt -cpu $cpu -accel "$1" -m 16 -nodefaults -display none -bios "$rom" \
            </dev/null >/dev/null 2>&1 || status=$?
        rm -f "$rom"
        [ $status -eq 0 ]
    fi
}

choose_accelerator() {
    if [ -n "${RINGLET_ACCEL:-}" ]; then echo "$RINGLET_ACCEL"; return; fi
    if [ "$(uname -m)" != "$arch" ] || [ ! -r /dev/kvm ] || [ ! -w /dev/kvm ]; then echo tcg; return; fi
    # The answer holds until the computer is booted again.
    local cache="$root/build/kvm-$arch" boot answer=tcg
    boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)
    if [ -f "$cache" ] && [ "$(head -n 1 "$cache")" = "$boot" ]; then tail -n 1 "$cache"; return; fi
    command -v "$qemu" >/dev/null || { echo tcg; return; }
    if run_probe kvm; then answer=kvm; fi
    { mkdir -p "$root/build" && printf '%s\n%s\n' "$boot" "$answer" >"$cache"; } 2>/dev/null || true
    echo $answer
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# QEMU separates with commas; one in a file name is doubled.
escape() { printf '%s' "${1//,/,,}"; }

choose_port() {
    [ "$net" = user ] || return 0
    port_taken "$port" || return 0
    [ -z "$port_given" ] || die "port $port is in use; choose another with --port"
    local other
    for ((other = port + 1; other < port + 50; ++other)); do
        port_taken "$other" && continue
        echo "Port $port is in use; taking $other (choose with --port)."
        port=$other
        return 0
    done
    die "ports $port to $((port + 49)) are in use; choose another with --port"
}

compose() {
    local accelerator=$1 suffix=-pci
    [ "$transport" = pci ] || suffix=-device
    command=("$qemu" -machine "$machine" -accel "$accelerator")
    case $arch-$accelerator in
    *-kvm) command+=(-cpu host) ;;
    aarch64-*) command+=(-cpu "max,pauth-impdef=on") ;;
    *) command+=(-cpu max) ;;
    esac
    command+=(-m "$memory" -nodefaults -no-user-config -display none -serial mon:stdio -kernel "$kernel")
    if [ "$transport" = mmio ]; then command+=(-global virtio-mmio.force-legacy=false); fi
    local i
    for i in "${!disks[@]}"; do
        [ "${disks[i]}" != none ] || continue
        command+=(-drive "if=none,id=disk$i,format=raw,file=$(escape "${disks[i]}")"
                  -device "virtio-blk$suffix,drive=disk$i")
    done
    case $net in
    user) command+=(-netdev "user,id=net0,hostfwd=tcp:127.0.0.1:$port-:$guest_port" -device "virtio-net$suffix,netdev=net0") ;;
    tap=*) command+=(-netdev "tap,id=net0,ifname=${net#tap=},script=no,downscript=no"
                     -device "virtio-net$suffix,netdev=net0") ;;
    esac
    if [ -n "$gdb" ]; then command+=(-s -S); fi
    command+=("${extra[@]}")
}

# --- Doing it ----------------------------------------------------------------------------------------------------

make_default_appliance() {
    [ -f "$build/build.ninja" ] || (cd "$root" && cmake --preset "$arch" >/dev/null) || die "cmake could not configure"
    cmake --build "$build" --target httpd || die "the appliance could not be built"
    [ -f "$kernel" ] || die "the build made no $kernel"
}

demo_disk=$build/examples/httpd/httpd.disk
make_demo_disk() {
    [ -f "$demo_disk" ] && return 0
    [ -d "$root/examples/httpd/www" ] || die "there is no folder examples/httpd/www for the demo disk"
    mkdir -p "$(dirname "$demo_disk")"
    rm -f "$demo_disk.new"
    PATH=$PATH:/usr/sbin:/sbin mke2fs -q -t ext4 -d "$root/examples/httpd/www" "$demo_disk.new" 64M ||
        die "mke2fs could not make the demo disk"
    mv "$demo_disk.new" "$demo_disk"
}

[ ${#disks[@]} -gt 0 ] || disks=("$demo_disk")

if [ -n "$dry_run" ]; then
    compose "$(choose_accelerator)"
    printf '%q ' "${command[@]}"
    echo
    exit 0
fi

declare -n run_packages=RUN_PACKAGES_$arch build_packages=BUILD_PACKAGES_$arch
packages=("${run_packages[@]}")
if [ -z "$image" ]; then packages+=("${BUILD_PACKAGES[@]}" "${build_packages[@]}"); fi
if [ -z "$image" ] || [ "${disks[0]}" = "$demo_disk" ]; then packages+=(e2fsprogs); fi
if command -v dpkg-query >/dev/null; then need_packages "${packages[@]}" || die "packages are missing"; fi

if [ -z "$image" ]; then make_default_appliance; fi
if [ "${disks[0]}" = "$demo_disk" ]; then make_demo_disk; fi
choose_port
compose "$(choose_accelerator)"

case $net in
user)
    if [ "$guest_port" = 80 ]; then echo "Open http://localhost:$port/"
    else echo "localhost:$port is the guest's port $guest_port."; fi ;;
tap=*) echo "The guest is on ${net#tap=}; its address: \`ip\` in the shell." ;;
esac
if [ -n "$gdb" ]; then
    debugger=gdb
    [ "$arch" = "$(uname -m)" ] || debugger='gdb-multiarch'
    echo "Waiting for a debugger: $debugger -ex 'target remote :1234' $symbols"
fi
echo "Ctrl-A X ends QEMU; Ctrl-A H lists its other keys."
exec "${command[@]}"
