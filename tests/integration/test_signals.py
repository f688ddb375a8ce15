#!/usr/bin/env python3
"""Faults that no handler may have, and Ctrl-C for a program that does not look. What behaves as on Linux is in tests/posix."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import PANIC, VM  # noqa: E402

FATAL = {   # argument: (what the panic must say, the functions that must be on the stack)
    "default": ("null pointer", ["first_fault"]),
    "ignored": ("null pointer", ["first_fault"]),
    "blocked": ("null pointer", ["first_fault"]),
    "in-handler": ("null pointer", ["fault_again", "ringlet_divert", "first_fault"]),  # what the handler interrupted, too
    "overflow": ("stack overflow", ["deeper"]),
    "system": ("null pointer", ["clock_gettime"]),
}


@expand
class Signals(unittest.TestCase):
    def guest(self, machine, argument):
        return VM(machine, net=False, appliance="signals", append=f"-- {argument}",
                  extra=["-semihosting"] if machine.startswith("virt") else ())

    def assert_fatal(self, machine, name, reason, functions):
        with self.subTest(name), self.guest(machine, name) as vm:
            self.assertNotEqual(vm.exit_status(30), 0)
            text = vm.output.decode(errors="replace")
            self.assertEqual(text.count(PANIC.decode()), 1, text)
            self.assertIn(reason, text[text.index(PANIC.decode()):].split("\n")[0])
            for function in functions:
                self.assertIn(function, text)
            self.assertNotIn("handler: ", text)
            self.assertNotIn("still here", text)

    @per_machine("q35", "virt")
    def test_a_fault_without_a_handler_is_a_panic(self, machine):
        for name, (reason, functions) in FATAL.items():
            self.assert_fatal(machine, name, reason, functions)

    @per_machine("q35")
    def test_a_fault_where_the_system_reads_a_text_is_the_systems(self, machine):
        self.assert_fatal(machine, "system-text", "null pointer", ["strlen", "mkdtemp"])

    @per_machine("q35")
    def test_the_kind_of_a_floating_point_fault(self, machine):
        with self.guest(machine, "float") as vm:
            vm.wait(b"still here", 30)
            self.assertEqual(vm.output.count(b"float: signal=1 division=1"), 2)  # the first leaves the unit as it should be

    @per_machine("q35", "virt")
    def test_ctrl_c_ends_what_computes(self, machine):
        for name in ("spin", "faults"):
            with self.subTest(name), self.guest(machine, name) as vm:
                vm.wait(b"spins")
                vm.send(b"\x03")
                vm.wait(b"ended by signal 2", 30)

    @per_machine("q35", "virt")
    def test_ctrl_c_is_seen_behind_much_that_nobody_reads(self, machine):
        for size in (300, 10000):
            with self.subTest(size), self.guest(machine, "spin-handled") as vm:
                vm.wait(b"spins")
                vm.send(b"x" * size + b"\x03")
                vm.wait(b"handler: 2", 60)
                vm.send(b"hello\n")   # what was typed before is forgotten
                vm.wait(b"after: hello", 30)
                vm.wait(b"still here", 30)


if __name__ == "__main__":
    main()
