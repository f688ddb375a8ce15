#!/usr/bin/env python3
"""C and C++ programs as appliances: what the libraries do, programs from Debian's source packages, memory and sizes."""

import gzip
import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import BUILD, ROOT, VM, image  # noqa: E402

MACHINES = ("q35", "virt")


def disk(path, kind="pci"):
    return ["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={path}", "-device", f"virtio-blk-{kind},drive=d"]


@expand
class Libraries(unittest.TestCase):
    def check_program(self, machine, name, how):
        folder = os.path.dirname(image("x86_64" if machine == "q35" else "aarch64", "libcxx"))
        kernel = f"{folder}/{name}" + ("" if machine == "q35" else ".bin")
        if "clang" in name and not os.path.exists(kernel):
            self.skipTest("clang-19 was not there")
        with VM(machine, net=False, kernel=kernel) as vm:
            said = vm.wait(re.compile(rb"ALL OK|SOME FAILED"), timeout=60).decode()
            self.assertEqual(vm.exit_status(), 0, said)
        self.assertEqual(re.search(r"built by ([^\r]*)", said).group(1), how)
        failed = re.findall(r"FAIL .*", said)
        self.assertEqual(failed, [])
        self.assertGreaterEqual(said.count("PASS "), 79)
        self.assertIn(b"global dtor ran v=42", vm.output)

    @per_machine(*MACHINES)
    def test_everything_of_libstdcxx(self, machine):
        self.check_program(machine, "libcxx", "gcc optimised")

    @per_machine(*MACHINES)
    def test_not_optimised(self, machine):
        self.check_program(machine, "libcxx-O0", "gcc")

    @per_machine(*MACHINES)
    def test_with_stack_protector(self, machine):
        self.check_program(machine, "libcxx-ssp", "gcc optimised protected")

    @per_machine(*MACHINES)
    def test_optimised_as_a_whole(self, machine):
        self.check_program(machine, "libcxx-lto", "gcc optimised as a whole")

    @per_machine(*MACHINES)
    def test_compiled_by_clang(self, machine):
        self.check_program(machine, "libcxx-clang", "clang optimised")

    @per_machine(*MACHINES)
    def test_an_exception_that_nobody_catches(self, machine):
        with VM(machine, net=False, appliance="libcxx", append="-- throw") as vm:
            vm.wait(b"an exception was not caught: St13runtime_error: nobody catches this", panic_is_failure=False)
            status = vm.exit_status()
        if machine == "q35":  # the other machine cannot tell
            self.assertNotEqual(status, 0)

    @per_machine(*MACHINES)
    def test_hello_in_c_with_little_memory(self, machine):
        with VM(machine, net=False, appliance="hello-c", memory="4M", append="env.WHO=you -- one two") as vm:
            vm.wait(b"Hello, you, from hello-c, with 2 arguments", timeout=20)
            self.assertNotIn(b"unknown", vm.output)
            self.assertEqual(vm.exit_status(), 0)


def ported(name, folder=None):
    """Skips when the program was not built: its source package could not be had."""
    there = os.path.exists(os.path.join(BUILD, "x86_64", "examples", folder or name, name))
    return unittest.skipUnless(there, f"{name} was not built")


@expand
class Programs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    @ported("lua")
    @per_machine(*MACHINES)
    def test_lua(self, machine):
        with VM(machine, net=False, appliance="lua", memory="16M") as vm:
            vm.wait(b"> ")
            for line, answer in (("print(6 * 7)", b"42"), ("print(#string.rep('x', 1000000))", b"1000000"),
                                 ("error('oops')", b"stdin:1: oops"), ("print(pcall(io.popen, 'ls'))", b"false"),
                                 ("local c = coroutine.wrap(function() coroutine.yield(7) end) print(c())", b"7"),
                                 ("f = io.open('/tmp/x', 'w') f:write('kept') f:close() print(io.open('/tmp/x'):read('a'))", b"kept")):
                vm.send(line + "\n")
                vm.wait(re.compile(rb"\n[^\n]*" + re.escape(answer)))
                vm.wait(b"> ")
            vm.send(b"\x04")
            self.assertEqual(vm.exit_status(), 0)
        with VM(machine, net=False, appliance="lua", memory="16M", append="-- /primes.lua 30000") as vm:
            vm.wait(b"3245 primes below 30000", timeout=60)
            self.assertEqual(vm.exit_status(), 0)

    @ported("lua51")
    @per_machine(*MACHINES)
    def test_lua_by_its_own_tests(self, machine):
        """The official tests of 5.1 by run.lua, on ext4: what is left out must be what is expected, and nothing else."""
        package = subprocess.run([f"{ROOT}/tools/debian_source.sh", "--upstream", "golang-github-yuin-gopher-lua"],
                                 capture_output=True, text=True, timeout=120)
        if package.returncode:
            self.skipTest("Debian's source package with the tests could not be had")
        tree = self.space.file(f"{machine}.lua51")
        shutil.copytree(package.stdout.strip() + "/_lua5.1-tests", tree)
        shutil.copy(f"{ROOT}/tests/integration/appliances/lua51/run.lua", tree)
        os.mkdir(f"{tree}/tmp")
        path = self.space.ext4(f"{machine}.lua51.img", tree, size="16M")
        with VM(machine, net=False, appliance="lua51", memory="256M", extra=disk(path), append="-- /run.lua") as vm:
            self.assertEqual(vm.exit_status(150), 0, vm.tail())
        said = vm.output.decode("latin-1").replace("\r", "")
        self.assertEqual(re.findall("FAIL .*", said), [])
        self.assertEqual(re.findall("^(?:SKIP|PART) (.*?): ", said, re.M), [
            "main.lua", "strings.lua", *["literals.lua"] * 2, "attrib.lua", "code.lua", "big.lua", "pm.lua", "api.lua", "closure.lua",
            *["math.lua"] * 3, "verybig.lua", "files.lua"])
        self.assertEqual(re.findall("^passed .*", said, re.M), ["passed 18, failed 0, skipped 4"])
        self.assertEqual(subprocess.run(["e2fsck", "-fn", path], capture_output=True, timeout=60).returncode, 0)

    @ported("zlib-example", "zlib")
    @per_machine(*MACHINES)
    def test_zlib(self, machine):
        folder = os.path.dirname(os.path.dirname(image("x86_64" if machine == "q35" else "aarch64")))
        suffix = "" if machine == "q35" else ".bin"

        def run(program, **options):
            with VM(machine, net=False, kernel=f"{folder}/zlib/zlib-{program}{suffix}", memory="16M", **options) as vm:
                self.assertEqual(vm.exit_status(60), 0, vm.tail())
                return vm.output
        said = run("example")
        for line in (b"uncompress(): hello, hello!", b"gzread(): hello, hello!", b"gzgets() after gzseek:  hello!", b"large_inflate(): OK",
                     b"after inflateSync(): hello, hello!", b"inflate with dictionary: hello, hello!"):
            self.assertIn(line + b"\r\n", said)
        self.assertIn(b"inflate_table not enough errors", run("infcover"))

        # minigzip against gzip, a file that goes each way.
        text = b"".join(b"%d squared is %d\n" % (n, n * n) for n in range(100_000))
        tree = self.space.tree(f"{machine}.zlib", {"to": text, "from.gz": gzip.compress(text)})
        path = self.space.ext4(f"{machine}.zlib.img", tree, size="16M")
        run("minigzip", extra=disk(path), append="-- -9 /to")
        run("minigzip", extra=disk(path), append="-- -d /from.gz")
        self.assertEqual(gzip.decompress(self.file_of(path, "/to.gz")), text)
        self.assertEqual(self.file_of(path, "/from"), text)

    def file_of(self, image, path):
        return subprocess.run(["debugfs", "-R", f"cat {path}", image], capture_output=True, timeout=60, check=True).stdout

    @ported("sqlite")
    @per_machine(*MACHINES)
    def test_interrupt(self, machine):
        """Ctrl-C: a handler runs, and what was typed of a line is forgotten; without a handler the program ends."""
        with VM(machine, net=False, appliance="sqlite") as vm:
            vm.wait(b"sqlite> ")
            vm.send("select 'wrong', 'wr\x03select 'ri' || 'ght';\n")
            vm.wait(b"right\r\n")
            self.assertNotIn(b"wrong\r\n", vm.output)
            vm.send(".quit\n")
            self.assertEqual(vm.exit_status(), 0)
        with VM(machine, appliance="sockets") as vm:  # reads nothing
            vm.wait(b"sockets: serving")
            vm.send("words\n\x03")
            vm.wait(b"ended by signal 2")
            status = vm.exit_status()
        if machine == "q35":
            self.assertEqual(status, (130 << 1 | 1) & 0xff)

    @ported("sqlite")
    def test_sqlites_own_benchmark_computes_the_same_everywhere(self):
        hashes = set()
        for machine, arch in (("q35", "x86_64"), ("virt", "aarch64")):
            folder = os.path.join(BUILD, arch, "examples", "sqlite")
            kernel = os.path.join(folder, "speedtest1" + (".bin" if arch == "aarch64" else ""))
            with VM(machine, net=False, kernel=kernel, disk=os.path.join(folder, "sqlite-data.disk"),
                    append="-- --size 5 --verify /speed.db") as vm:
                said = vm.wait(re.compile(rb"Verification Hash: (\d+ [0-9a-f]+)\r?\n"), timeout=120)
                self.assertEqual(vm.exit_status(), 0)
                hashes.add(re.search(rb"Hash: \d+ ([0-9a-f]+)", said).group(1))
        self.assertEqual(len(hashes), 1, hashes)

    @ported("sqlite")
    @per_machine(*MACHINES)
    def test_sqlite_survives_being_killed(self, machine):
        path = self.space.ext4(f"{machine}.img", size="64M")
        whole = 0
        for n in range(3):
            with VM(machine, net=False, appliance="sqlite", extra=disk(path), append="-- /my.db") as vm:
                vm.wait(b"sqlite> ")
                vm.send("pragma synchronous = full; create table if not exists t(n integer primary key, text);\n")
                for i in range(20):
                    vm.send(f"begin; insert into t(text) values ('{n}-{i}'), (hex(randomblob(3000))); commit; select 'done', {i};\n")
                vm.wait(re.compile(rb"done\|%d\r?\n" % (5 + 7 * n % 15)), timeout=60)
            # Left the block above: QEMU was killed, somewhere in the middle.
            with VM(machine, net=False, appliance="sqlite", extra=disk(path), append="-- /my.db") as vm:
                vm.wait(b"sqlite> ")
                vm.send("pragma integrity_check; select 'rows=' || count(*), sum(text like '%-%') * 2 = count(*) from t;\n")
                vm.wait(re.compile(rb"\nok\r?\n"), timeout=60)
                rows = int(re.search(rb"rows=(\d+)\|1", vm.wait(re.compile(rb"rows=\d+\|1"))).group(1))
                # SQLite: "full" does not sync the directory after the journal is gone, so the last one may be undone.
                self.assertGreaterEqual(rows, whole + 2 * (5 + 7 * n % 15))
                whole = rows
                vm.send(".quit\n")
                self.assertEqual(vm.exit_status(), 0)
        done = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout)


if __name__ == "__main__":
    main()
