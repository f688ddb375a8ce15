# Sourced by qemu-run.sh and test.sh: makes sure that Debian packages are there, and says so before installing any.
# need_packages PACKAGE... — installs what is missing, with sudo when not root.

need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    echo "Installing Debian packages: ${missing[*]}"
    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "error: these packages need root, and there is no sudo: ${missing[*]}" >&2; return 1; }
        sudo=(sudo)
    fi
    "${sudo[@]}" apt-get update -qq &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

BUILD_PACKAGES_x86_64=(g++)
BUILD_PACKAGES_aarch64=(g++ g++-aarch64-linux-gnu)
BUILD_PACKAGES=(cmake ninja-build python3-minimal e2fsprogs)
SYSROOT_PACKAGES=(newlib-source gcc-12-source patch git xz-utils make)
RUN_PACKAGES_x86_64=(qemu-system-x86 ipxe-qemu seabios)
RUN_PACKAGES_aarch64=(qemu-system-arm ipxe-qemu)
MEDIA_PACKAGES=(grub-common grub-pc-bin grub-efi-amd64-bin xorriso mtools)
FIRMWARE_PACKAGES=(ovmf qemu-efi-aarch64)
PORT_PACKAGES=(dpkg-dev tcl make)
TEST_PACKAGES=(catch2 zlib1g-dev redis-tools python3 curl iproute2 iputils-ping nmap wrk device-tree-compiler fdisk ccache
               mosquitto-clients clang-19 libvirt0 libxml2-utils)  # libvirt0 has the schema
