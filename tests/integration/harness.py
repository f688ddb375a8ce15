"""Runs the tests of one file and closes with "N passed, N failed, N skipped". Disks and trees for the guests are made here."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

os.environ["PATH"] += ":/usr/sbin:/sbin"


class Result(unittest.TextTestResult):
    def startTest(self, test):
        self._began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.stream.writeln(f"    {time.monotonic() - self._began:.1f} s")


def per_machine(*machines):
    """Decorates `def test_x(self, machine)` so that it becomes one test for each machine."""

    def decorate(function):
        function.machines = machines
        return function

    return decorate


def expand(cls):
    """Class decorator: makes the methods that per_machine asks for."""
    for name, function in list(vars(cls).items()):
        for machine in getattr(function, "machines", ()):
            def method(self, function=function, machine=machine):
                function(self, machine)
            method.__doc__ = None
            setattr(cls, f"{name}_{machine.replace('-', '_')}", method)
        if hasattr(function, "machines"):
            delattr(cls, name)
    return cls


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"])
    wanted = sys.argv[1:]
    if wanted:
        suite = unittest.TestSuite(t for group in suite for t in group if any(w in t.id() for w in wanted))
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result).run(suite)
    # A test with several failed subtests is one failed test.
    broken = result.failures + result.errors
    bad = len({getattr(test, "test_case", test).id() for test, _ in broken})
    print(f"{result.testsRun - bad - len(result.skipped)} passed, {bad} failed, {len(result.skipped)} skipped")
    sys.exit(1 if bad else 0)


class Workspace:
    """A temporary folder with trees and disk images, removed at the end."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="ringlet-disks-")

    def close(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.path, name)

    def tree(self, name, files, seed=1):
        """Makes a folder from {path: size or bytes}; contents are random but reproducible."""
        source = random.Random(seed)
        top = self.file(name)
        for path, content in files.items():
            full = os.path.join(top, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as out:
                out.write(source.randbytes(content) if isinstance(content, int) else content)
        os.makedirs(top, exist_ok=True)
        return top

    def ext4(self, name, folder=None, size="64M", options=()):
        image = self.file(name)
        source = ["-d", folder] if folder else []
        subprocess.run(["mke2fs", "-q", "-t", "ext4", *options, *source, image, size], check=True)
        return image

    def partitioned(self, name, filesystem, label="gpt"):
        """Puts a filesystem image into the second partition of a disk."""
        image = self.file(name)
        sectors = os.path.getsize(filesystem) // 512
        with open(image, "wb") as out:
            out.truncate((sectors + 8192) * 512)
        table = f"label: {label}\nstart=2048,size=1024\nstart=4096,size={sectors}\n"
        subprocess.run(["sfdisk", "-q", image], input=table.encode(), check=True, stdout=subprocess.DEVNULL)
        with open(filesystem, "rb") as source, open(image, "r+b") as out:
            out.seek(4096 * 512)
            shutil.copyfileobj(source, out)
        return image
