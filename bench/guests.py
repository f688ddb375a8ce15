"""What the comparisons with a Linux guest share: Debian's kernel with an init of our own, the counting plugin, and QEMU.

Both guests boot on the same QEMU line. Guest instructions are counted by a TCG plugin (count.c), which writes a mark into
QEMU's log whenever the guest executes its marker instruction; the trace events virtio_queue_notify (a kick) and
virtio_notify (an interrupt) are in the same log. Everything made is kept in build/bench.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
WORK = os.path.join(ROOT, "build", "bench")
BUILD = os.environ.get("RINGLET_BUILD", os.path.join(ROOT, "build"))
MACHINES = {"q35": ("x86_64", "amd64", ["-M", "q35", "-cpu", "max,-erms"]),
            "virt": ("aarch64", "arm64", ["-M", "virt", "-cpu", "cortex-a57"])}


def run(*command, **options):
    return subprocess.run(command, check=True, **options)


def made(name, sources, make):
    """The path of build/bench/NAME, made again when a source is newer."""
    path = os.path.join(WORK, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if not os.path.exists(path) or any(os.path.getmtime(s) > os.path.getmtime(path) for s in sources):
        make(path + ".new")
        os.replace(path + ".new", path)
    return path


def program(name, source, compiler="gcc", *options):
    """A C program or plugin built from one file of bench/."""
    source = os.path.join(HERE, source)
    headers = [os.path.join(HERE, n) for n in os.listdir(HERE) if n.endswith(".h")]
    return made(name, [source, *headers], lambda path: run(compiler, "-O2", *options, "-o", path, source))


def plugin():
    return program("count.so", "count.c", "gcc", "-shared", "-fPIC")


def unpacked(folder, debian, *packages):
    """Debian packages, downloaded with apt-get and unpacked into build/bench/FOLDER, not installed."""
    folder = os.path.join(WORK, folder)
    if not os.path.exists(folder):
        os.makedirs(WORK, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=WORK) as place:
            suffix = "" if debian == "amd64" else ":" + debian
            run("apt-get", "download", *(p + suffix for p in packages), cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for package in os.listdir(place):
                run("dpkg-deb", "-x", package, "root", cwd=place)
            os.rename(os.path.join(place, "root"), folder)
    return folder


def kernel_package(debian):
    """The folder with the unpacked kernel package."""
    kernel = "linux-image-cloud-" + debian + ("" if debian == "amd64" else ":" + debian)
    depends = subprocess.run(["apt-cache", "depends", kernel], capture_output=True, text=True).stdout
    name = re.search(r"Depends: (linux-image-[^\s:]+)", depends)
    if not name:
        sys.exit(f"bench: no kernel for {debian}: dpkg --add-architecture {debian} && apt-get update")
    return unpacked("linux-" + debian, debian, name.group(1))


def cpio(entries):
    """A newc archive of (name, mode, content)."""
    archive = b""
    for inode, (name, mode, content) in enumerate(entries + [("TRAILER!!!", 0, b"")], 1):
        encoded = name.encode() + b"\0"
        fields = [inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0]
        archive += b"070701" + b"".join(b"%08X" % f for f in fields) + encoded
        archive += b"\0" * (-len(archive) % 4) + content
        archive += b"\0" * (-len(archive) % 4)
    return archive


def linux(architecture, debian, init, modules, more=()):
    """(kernel, initramfs): the initramfs holds `init` (a C source, linked statically), `modules` and `more` entries."""
    package = kernel_package(debian)
    kernel = next(os.path.join(package, "boot", f) for f in os.listdir(os.path.join(package, "boot")) if "vmlinu" in f)
    compiler = "gcc" if architecture == os.uname().machine else architecture + "-linux-gnu-gcc"
    name = init.split("/")[0] + "-" + debian
    init = program("init-" + name, init, compiler, "-static")
    found = {}
    for folder, _, names in os.walk(os.path.join(package, "lib", "modules")):
        found.update({n[:-3].replace("_", "-"): os.path.join(folder, n) for n in names if n.endswith(".ko")})
    # In the order in which they are loaded; what the kernel has built in is not in its package and is skipped.
    order = [m for m in modules if m.replace("_", "-") in found]
    entries = [("dev", 0o40755, b""), ("modules", 0o40755, b""), ("mnt", 0o40755, b""),
               ("init", 0o100755, open(init, "rb").read())]
    entries += [("modules/" + m, 0o100644, open(found[m.replace("_", "-")], "rb").read()) for m in order]
    entries.append(("modules/order", 0o100644, "".join(m + "\n" for m in order).encode()))
    initramfs = os.path.join(WORK, "initramfs-" + name)
    with gzip.open(initramfs, "wb", compresslevel=1) as out:
        out.write(cpio(entries + list(more)))
    return kernel, initramfs


def booted(guest, machine, appliance, words, init, modules, more=()):
    """QEMU's options that boot Ringlet's appliance, or Linux with `init`; `words` are its arguments."""
    architecture, debian, _ = MACHINES[machine]
    arguments = " ".join(words)
    if guest == "ringlet":
        image = os.path.join(BUILD, architecture, "examples", appliance, appliance)
        if not os.path.exists(image):
            sys.exit(f"bench: no {image}: build the target {appliance} first")
        return ["-kernel", image + (".bin" if architecture == "aarch64" else "")]
    kernel, initramfs = linux(architecture, debian, init, modules, more)
    console = "ttyS0" if architecture == "x86_64" else "ttyAMA0"
    return ["-kernel", kernel, "-initrd", initramfs, "-append", f"console={console} quiet panic=-1 -- {arguments}"]


class Guest:
    """A running QEMU with a log. Use with `with`."""

    def __init__(self, machine, options, inside=(), counting=True, profile=None):
        """`profile`: a file for profile.c's output, of the first window between marks."""
        architecture, _, machine_options = MACHINES[machine]
        self.folder = tempfile.mkdtemp(prefix="ringlet-bench-")
        self.log = os.path.join(self.folder, "log")
        self.qmp_path = os.path.join(self.folder, "qmp")
        counted = ["-plugin", plugin(), "-d", "plugin", "-D", self.log, "-trace", "virtio_queue_notify",
                   "-trace", "virtio_notify"] if counting else []
        if profile:
            counted = ["-plugin", program("profile.so", "profile.c", "gcc", "-shared", "-fPIC") + f",out={profile}"]
        # Where there may never be a second CPU, QEMU before 8.1 leaves out the guest's fences, and notifications get lost.
        cpus = "1" if counting else "1,maxcpus=2"
        if machine == "q35" and (counting or profile):
            # As on hardware: where Ringlet finds TCG, it copies and sums in ways that are quicker there, in more instructions.
            machine_options = [*machine_options, "-cpu", "max,-erms,-hypervisor"]
        command = [*inside, f"qemu-system-{architecture}", *machine_options, "-accel", "tcg", "-smp", cpus, "-nodefaults",
                   "-no-reboot", "-display", "none", "-serial", "stdio", "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
                   *counted, *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.output = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wait(self, pattern, seconds):
        """The match in what the guest printed; None when it stopped or took too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            data = self.process.stdout.read()
            self.output += data or b""
            found = re.search(pattern, self.output)
            if found:
                return found
            if self.process.poll() is not None and not data:
                return None
            time.sleep(0.05)
        return None

    def counted(self):
        """Per pair of marks: (kicks, interrupts, instructions)."""
        windows, start, kicks, interrupts = [], None, 0, 0
        for line in open(self.log, errors="replace"):
            if "virtio_queue_notify" in line:
                kicks += 1
            elif "virtio_notify" in line:
                interrupts += 1
            mark = re.match(r"MARK (\d+)", line)
            if mark and start is None:
                start, kicks, interrupts = int(mark.group(1)), 0, 0
            elif mark:
                windows.append((kicks, interrupts, int(mark.group(1)) - start))
                start = None
        return windows


def done(running, guest, seconds):
    """{operation: (how many, nanoseconds)} of a program that prints "BENCH NAME COUNT FAILED NS" for each, and "BENCH end"."""
    if not running.wait(rb"BENCH end", seconds):
        sys.exit(f"bench: {guest} did not come to its end:\n" + running.output.decode(errors="replace")[-1500:])
    running.process.wait(60)
    results = {}
    for name, count, bad, ns in re.findall(rb"BENCH (\S+) (\d+) (-?\d+) (\d+)", running.output):
        if bad != b"0":
            sys.exit(f"bench: {guest}: {name.decode()}: {int(bad)} of {int(count)} failed")
        results[name.decode()] = (int(count), int(ns))
    return results


def plain(name):
    """A function's name without template arguments, parameters and our namespace."""
    depth, short = 0, ""
    for c in name.replace("operator<=>", "operator spaceship").replace("operator<", "operator less"):
        depth -= c == ">"
        if depth == 0 and c != ">":
            short += "" if c == "<" else c
        depth += c == "<"
    return re.sub(r"^bool |^void |ringlet::|\(anonymous namespace\)::|\(.*", "", short)


def show_profile(profile, elf, operations, lines=60):
    """Prints the functions with the most instructions per operation, and how often each is entered."""
    import bisect
    import collections
    symbols = []
    for line in subprocess.run(["nm", "-C", "--defined-only", elf], check=True, capture_output=True, text=True).stdout.splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            symbols.append((int(address, 16), plain(name)))
    symbols.sort()
    places = [address for address, _ in symbols]
    total, cost, calls = 0, collections.Counter(), collections.Counter()
    for line in open(profile):
        _, address, count = line.split()
        index = bisect.bisect(places, int(address, 16)) - 1
        name = symbols[index][1] if index >= 0 else "?"
        cost[name] += int(count)
        if index >= 0 and places[index] == int(address, 16):
            calls[name] += int(count)
        total += int(count)
    print(f"{total / operations:9.1f} instructions per operation\n          entered")
    for name, count in cost.most_common(lines):
        print(f"{count / operations:9.1f} {calls[name] / operations:7.2f}  {name}")
