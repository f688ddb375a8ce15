#!/usr/bin/env python3
"""Images that boot elsewhere: NAME-iso as CD and as disk, by BIOS and UEFI; NAME-libvirt against libvirt's own schema."""

import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import BUILD, MACHINES, VM  # noqa: E402

OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
AAVMF = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
SCHEMA = "/usr/share/libvirt/schemas/domain.rng"


def made(arch, suffix):
    return os.path.join(BUILD, arch, "examples", "media", f"media{suffix}")


def drive(path, device, name, **more):
    options = "".join(f",{key}={value}" for key, value in more.items())
    return ["-drive", f"if=none,id={name},format=raw,snapshot=on,file={path}{options}", "-device", f"{device},drive={name}"]


@expand
class Media(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        for arch in ("x86_64", "aarch64"):
            for target in ("media-iso", "media-libvirt"):
                done = subprocess.run(["cmake", "--build", f"{BUILD}/{arch}", "--target", target], stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, timeout=600)
                assert done.returncode == 0, done.stdout[-3000:]

    def boots(self, machine, boot, root, data=True, **more):
        """`root`: where the filesystem of the medium is found."""
        with VM(machine, net=False, boot=boot, memory=more.pop("memory", "64M"), check_log=False, **more) as vm:
            vm.wait(b"argument: one", timeout=150)    # the firmware's time on a busy computer
            vm.wait(b"argument: two words")
            vm.wait(b"that is all")
            self.assertIn(f"{root}: ext4 mounted at /\r\n".encode(), vm.output)
            self.assertIn(b"root: the filesystem of the medium", vm.output)
            self.assertEqual(b"data: there" in vm.output, data)
            self.assertNotIn(b"RINGLET BOOT", vm.output)
            self.assertAlmostEqual(int(re.search(rb"clock: (\d+)", vm.output).group(1)), time.time(), delta=5)
            self.assertEqual(vm.exit_status(), 0)

    def disks(self, arch):
        return drive(made(arch, ".disk"), "virtio-blk-pci", "d0") + drive(made(arch, "-data.disk"), "virtio-blk-pci", "d1")

    def whole(self, arch, place="virtio-blk-pci,bootindex=0"):
        """The medium as a disk, and the other disk."""
        return drive(made(arch, ".iso"), place, "d0") + drive(made(arch, "-data.disk"), "virtio-blk-pci", "d1")

    def ovmf(self):
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}"]

    @per_machine("q35", "pc")
    def test_bios_cd(self, machine):
        self.boots(machine, ["-cdrom", made("x86_64", ".iso"), *self.disks("x86_64")], "vda")

    @per_machine("q35")
    def test_bios_virtio_disk(self, machine):
        self.boots(machine, self.whole("x86_64"), "vda4")

    @per_machine("pc")
    def test_bios_ide_disk(self, machine):
        self.boots(machine, ["-drive", f"if=ide,format=raw,snapshot=on,file={made('x86_64', '.iso')}", *self.disks("x86_64")], "vda")

    @per_machine("q35")
    def test_uefi_cd(self, machine):
        self.boots(machine, [*self.ovmf(), "-cdrom", made("x86_64", ".iso"), *self.disks("x86_64")], "vda", memory="128M")

    @per_machine("q35")
    def test_uefi_virtio_disk(self, machine):
        self.boots(machine, [*self.ovmf(), *self.whole("x86_64")], "vda4", memory="128M")

    @per_machine("virt", "virt-gicv3")
    def test_uefi_arm_disk_by_acpi(self, machine):
        self.boots(machine, ["-bios", AAVMF, *self.whole("aarch64")], "vda3", memory="128M")

    @per_machine("virt-gicv3")
    def test_uefi_arm_disk_by_devicetree_from_el2(self, machine):
        boot = ["-bios", AAVMF, "-machine", "acpi=off,virtualization=on", *self.whole("aarch64")]
        self.boots(machine, boot, "vda3", memory="128M")

    @per_machine("virt")
    def test_uefi_arm_cd(self, machine):
        cd = drive(made("aarch64", ".iso"), "scsi-cd", "cd", media="cdrom")
        boot = ["-bios", AAVMF, "-machine", "acpi=off", "-device", "virtio-scsi-pci", *cd, *self.disks("aarch64")]
        self.boots(machine, boot, "vda", memory="128M")

    @per_machine("virt")
    def test_uefi_arm_options_come_before_the_file(self, machine):
        boot = ["-bios", AAVMF, "-machine", "acpi=off", "-kernel", made("aarch64", ".bin"),
                "-append", 'root=vdc mount=vdb,/data panic=exit -- one "two words"', *self.whole("aarch64"),
                *drive(made("aarch64", ".disk"), "virtio-blk-pci", "d2")]
        with VM(machine, net=False, boot=boot, memory="128M", check_log=False) as vm:
            vm.wait(b"argument: two words", timeout=150)
            vm.wait(b"that is all")
            self.assertIn(b"vdc: ext4 mounted at /\r\n", vm.output)
            self.assertIn(b"vdb: ext4 mounted at /data\r\n", vm.output)


@expand
class Libvirt(unittest.TestCase):
    @per_machine("q35", "virt")
    def test_the_domain_keeps_to_the_schema(self, machine):
        path = made(MACHINES[machine][0], ".xml")
        done = subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, path], stderr=subprocess.PIPE, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        text = open(path).read()
        self.assertIn('<cmdline>panic=exit mount=vdb,/data -- one "two words"</cmdline>', text)
        self.assertIn("<memory unit='MiB'>32</memory>", text)
        for name, disk in (("vda", ".disk"), ("vdb", "-data.disk")):
            self.assertRegex(text, f"<source file='{made(MACHINES[machine][0], disk)}'/>\\s*<target dev='{name}' bus='virtio'/>")


if __name__ == "__main__":
    main()
