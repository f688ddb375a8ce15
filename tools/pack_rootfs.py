#!/usr/bin/env python3
"""Packs a folder as the read-only root filesystem of an image: ext4, compressed in chunks (fs/packed_disk.hpp).

    tools/pack_rootfs.py FOLDER OUT

The same folder gives the same bytes. A folder without /tmp gets one: Ringlet mounts a filesystem in memory there. Needs
mke2fs.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

CHUNK = 32 << 10
EPOCH = "1700000000"


def make_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


TABLE = make_table()


def crc32c(data, crc=0xFFFFFFFF):
    """Without the final inversion, so that it can go on."""
    table = TABLE
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def make_ext4(folder, image):
    """A filesystem a little larger than what is in it: what stays free is zeros, and takes nothing."""
    files, size = 1, 0
    for place, folders, names in os.walk(folder):
        for name in folders + names:
            files += 1
            size += 4096 + (os.lstat(os.path.join(place, name)).st_size + 4095) // 4096 * 4096
    size += size // 16 + files * 256 + (1 << 20)
    environment = {**os.environ, "PATH": "/usr/sbin:/sbin:" + os.environ.get("PATH", ""), "E2FSPROGS_FAKE_TIME": EPOCH}
    fixed = "72696e67-6c65-4000-8000-000000000001"
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal,^resize_inode", "-b", "4096", "-m", "0", "-N",
                    str(files + 16), "-U", fixed, "-E", f"hash_seed={fixed},root_owner=0:0,lazy_itable_init=0", "-d", folder,
                    image, f"{(size + 4095) // 4096 * 4}K"], check=True, env=environment,
                   stdout=subprocess.DEVNULL)


def pack(disk):
    """The bytes of the packed disk."""
    count = (len(disk) + CHUNK - 1) // CHUNK
    at = 32 + (count + 1) * 8
    index, body, sums = [], [], {}  # most chunks that occur twice are zeros
    for i in range(count):
        chunk = disk[i * CHUNK:(i + 1) * CHUNK]
        packed = b""
        if any(chunk):
            packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
            packed = packer.compress(chunk) + packer.flush()
            if len(packed) >= len(chunk):
                packed = chunk
        if chunk not in sums:
            sums[chunk] = crc32c(chunk) ^ 0xFFFFFFFF
        index.append(struct.pack("<II", at, sums[chunk]))
        body.append(packed)
        at += len(packed)
    index = b"".join(index) + struct.pack("<II", at, 0)
    if at >= 1 << 32:
        sys.exit("pack_rootfs.py: more than 4 GiB")
    head = struct.pack("<8sQII", b"RINGPAK1", len(disk), CHUNK, count)
    return head + struct.pack("<II", crc32c(index, crc32c(head)) ^ 0xFFFFFFFF, 0) + index + b"".join(body)


def main():
    if len(sys.argv) != 3 or not os.path.isdir(sys.argv[1]):
        sys.exit(__doc__)
    folder, out = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="ringlet-rootfs-") as place:
        if not os.path.lexists(os.path.join(folder, "tmp")):
            times = os.stat(folder)
            folder = shutil.copytree(folder, os.path.join(place, "root"), symlinks=True)
            os.mkdir(os.path.join(folder, "tmp"), 0o1777)
            for name in "tmp", ".":
                os.utime(os.path.join(folder, name), ns=(times.st_mtime_ns, times.st_mtime_ns))
        image = os.path.join(place, "disk")
        make_ext4(folder, image)
        disk = open(image, "rb").read()
    with open(out + ".part", "wb") as f:
        f.write(pack(disk))
    os.replace(out + ".part", out)


if __name__ == "__main__":
    main()
