#!/usr/bin/env python3
"""What must fault does, with a clean panic that names the reason and the function; what must survive preemption does."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import expand, main, per_machine  # noqa: E402
from vm import PANIC, VM  # noqa: E402

# argument: (what the panic must say, the functions that must be on the stack, innermost first and not marked as doubtful)
FAULTS = {
    "write-text": ("read-only", ["write_text"]),
    "write-rodata": ("read-only", ["write_rodata"]),
    "execute-data": ("not executable", ["execute_data"]),
    "execute-stack": ("not executable", ["execute_stack"]),
    "null-read": ("null pointer", ["null_read"]),
    "null-call": ("null pointer", ["null_call"]),
    "stack-overflow": ("stack overflow", ["overflow_stack"]),
    "smash-stack": ("stack smashing", ["smash_stack"]),
    "assert": ("main.cpp:", ["fail_assert"]),
    "bad-write": ("null pointer", ["Connection::write", "Tcp::write", "TcpStream::try_write", "write_from_nowhere", "main"]),
    "observer": ("main.cpp:", ["fail_assert", "Core::pump", "assert_in_observer", "main", "boot_main"]),
}


@expand
class Faults(unittest.TestCase):
    @per_machine("q35", "microvm", "virt", "virt-gicv3")
    def test_every_fault_is_a_clean_panic(self, machine):
        for name, (reason, functions) in FAULTS.items():
            with self.subTest(name):
                with VM(machine, net=False, appliance="faults", append=f"-- {name}",
                        extra=["-semihosting"] if machine.startswith("virt") else ()) as vm:
                    status = vm.exit_status(30)
                    text = vm.output.decode(errors="replace")
                    self.assertEqual(text.count(PANIC.decode()), 1, text)
                    self.assertIn(reason, text[text.index(PANIC.decode()):].split("\n")[0])
                    sure = re.findall(r"(?m)^#\d+ (\S+)\+0x", text)
                    lines = iter(sure)
                    self.assertTrue(all(any(f in line for line in lines) for f in functions), text)
                    self.assertNotEqual(status, 0)

    @per_machine("q35", "microvm", "virt", "virt-gicv3")
    def test_floating_point_survives_preemption(self, machine):
        with VM(machine, net=False, appliance="faults", append="-- floating-point") as vm:
            vm.wait(b"floating point: ok", 60)

    @per_machine("q35", "virt")
    def test_threads_events_and_timeouts(self, machine):
        with VM(machine, net=False, appliance="faults", append="-- threads") as vm:
            vm.wait(b"threads: ok", 60)

    @per_machine("q35", "microvm")
    def test_no_page_is_writable_and_executable(self, machine):
        # QEMU's `info tlb` prints the leaf entries with their flags: X is the no-execute bit, W writable.
        # (aarch64 has no such command in QEMU; the faults above prove text, rodata, data and stacks there.)
        with VM(machine, appliance="httpd") as vm:
            vm.ready()
            text = vm.qmp_command("human-monitor-command", **{"command-line": "info tlb"})
            flags = re.findall(r"(?m)^[0-9a-f]+: [0-9a-f]+ (\S+)\s*$", text)
            self.assertGreater(len(flags), 8, text[:500])
            writable = sum("W" in f for f in flags)
            executable = sum("X" not in f for f in flags)
            self.assertGreater(writable, 0)
            self.assertGreater(executable, 0)
            self.assertEqual([f for f in flags if "W" in f and "X" not in f], [])

    @per_machine("q35", "virt")
    def test_arguments_reach_main_with_their_quotes_understood(self, machine):
        with VM(machine, net=False, appliance="faults",
                append=r"""-- arguments "two words" 'single "quoted"' back\ slash panic=halt -- last""") as vm:
            vm.wait(b"arguments: end", 30)
            self.assertEqual(re.findall(rb"argument <(.*)>", vm.output),
                             [b"two words", b'single "quoted"', b"back slash", b"panic=halt", b"--", b"last"])


if __name__ == "__main__":
    main()
