#!/usr/bin/env bash
# Makes a hybrid image that boots as a CD and as a disk: x86_64 by GRUB under BIOS and UEFI, aarch64 under UEFI, where the
# Image itself is the boot loader. What NAME-iso of ringlet_add_appliance() calls.
# Usage: iso.sh ARCH IMAGE ROOTFS|none OUTPUT [WORD...]     ROOTFS becomes a partition; the WORDs are the kernel command line
set -euo pipefail
arch=$1 image=$2 rootfs=$3 output=$4
shift 4

# missing THING PACKAGE: remembers what to ask for
packages=()
missing() { packages+=("$2"); echo "iso.sh: there is no $1" >&2; }
command -v xorriso >/dev/null || missing xorriso xorriso
command -v mformat >/dev/null || missing mformat mtools
if [ "$arch" = x86_64 ]; then
    command -v grub-mkrescue >/dev/null || missing grub-mkrescue grub-common
    [ -d /usr/lib/grub/i386-pc ] || missing /usr/lib/grub/i386-pc grub-pc-bin
    [ -d /usr/lib/grub/x86_64-efi ] || missing /usr/lib/grub/x86_64-efi grub-efi-amd64-bin
fi
if [ ${#packages[@]} -ne 0 ]; then
    echo "iso.sh: install the Debian packages: ${packages[*]}" >&2
    exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Only what failed is worth reading.
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; return 1; }; }

partitions=(-volid RINGLET)
if [ "$arch" = x86_64 ]; then
    [ "$rootfs" = none ] || partitions+=(-append_partition 4 0x83 "$rootfs")
    mkdir -p "$work/tree/boot/grub"
    cp "$image" "$work/tree/boot/image"
    {
        # shellcheck disable=SC2016
        printf '%s\n' 'serial --unit=0 --speed=115200' 'terminal_input serial console' 'terminal_output serial console' \
            'set timeout=0' 'menuentry Ringlet {'
        printf '    multiboot2 /boot/image'
        for word in "$@"; do printf " '%s'" "$word"; done
        printf '\n}\n'
    } >"$work/tree/boot/grub/grub.cfg"
    quietly grub-mkrescue -o "$output.new" --install-modules="normal multiboot2 serial iso9660 part_gpt part_msdos" \
        --fonts= --locales= --themes= "$work/tree" -- "${partitions[@]}"
else
    [ "$rootfs" = none ] || partitions+=(-append_partition 3 0x83 "$rootfs")
    mkdir -p "$work/tree"
    {
        for word in "$@"; do if [[ $word == *' '* ]]; then printf '"%s" ' "$word"; else printf '%s ' "$word"; fi; done
        printf '\n'
    } >"$work/ringlet.txt"
    esp=$work/esp.img
    quietly mformat -i "$esp" -C -T $((($(stat -c %s "$image") + 1048576) / 512)) ::
    quietly mmd -i "$esp" ::/EFI ::/EFI/BOOT
    quietly mcopy -i "$esp" "$image" ::/EFI/BOOT/BOOTAA64.EFI
    quietly mcopy -i "$esp" "$work/ringlet.txt" ::/EFI/BOOT/RINGLET.TXT
    quietly xorriso -as mkisofs -o "$output.new" "${partitions[@]}" -appended_part_as_gpt -append_partition 2 0xef "$esp" \
        -e --interval:appended_partition_2:all:: -no-emul-boot "$work/tree"
fi
mv "$output.new" "$output"
