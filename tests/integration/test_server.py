#!/usr/bin/env python3
"""A server that nobody here wrote, driven by its own client: the MQTT broker Mosquitto (examples/mosquitto), mosquitto_pub
and mosquitto_sub. Every service quality, retained messages, wills, many clients, and what outlasts the machine."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import Workspace, expand, main, per_machine  # noqa: E402
from vm import BUILD, ROOT, VM  # noqa: E402

MACHINES = ("q35", "virt")
READY = "ready"  # a retained message by which a subscriber knows that it is one
WAIT = 60


class Broker(VM):
    """Its machine, on a disk that is changed."""

    def __init__(self, machine, disk):
        super().__init__(machine, appliance="mosquitto", memory="32M", forward=("tcp:1883",),
                         append="ip=10.0.2.15/24,10.0.2.2 probe=off -- -c /mosquitto.conf",
                         extra=["-blockdev", f"driver=raw,node-name=d,file.driver=file,file.filename={disk}",
                                "-device", "virtio-blk-pci,drive=d"])

    def __enter__(self):
        super().__enter__()
        try:
            self.wait(b"mosquitto version 2.0.11 running", WAIT)
            self.address = ["-h", "127.0.0.1", "-p", str(self.port(1883))]
            self.publish("-t", READY, "-m", "yes", "-r")
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise
        return self

    def publish(self, *options, text=None, good=True):
        done = subprocess.run(["mosquitto_pub", *self.address, *options], input=text, capture_output=True, text=True, timeout=WAIT)
        if good and done.returncode != 0:
            raise AssertionError(f"mosquitto_pub {options}: {done.stderr}\n{self.tail()}")
        return done.returncode == 0

    def subscribe(self, *options):
        return Subscriber(["mosquitto_sub", *self.address, "-W", str(WAIT), "-t", READY, "-F", "%t %p", *options])

    def read(self, *options, seconds=WAIT):
        """What a subscriber that does not wait for READY is told."""
        done = subprocess.run(["mosquitto_sub", *self.address, "-W", str(seconds), *options], capture_output=True, timeout=2 * WAIT)
        return done.stdout

    def off(self, test, button=False):
        """poweroff in the shell, or the machine's button: the broker ends in order."""
        if button:
            self.qmp_command("system_powerdown")
        else:
            self.send("\npoweroff\n")
        self.wait(b"Saving in-memory database", WAIT)
        test.assertEqual(self.exit_status(), 0)


class Subscriber:
    """A mosquitto_sub that has subscribed. Ended by `with`, or by end()."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        self.expect(f"{READY} yes")
        return self

    def expect(self, line):
        got = self.process.stdout.readline()  # bounded: the client ends by -W
        if got != line + "\n":
            raise AssertionError(f"a subscriber was told {got!r}, not {line!r}")

    def rest(self):
        lines, _ = self.process.communicate(timeout=2 * WAIT)
        return lines.splitlines()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def __exit__(self, *_):
        self.end()


@unittest.skipUnless(os.path.exists(os.path.join(BUILD, "x86_64/examples/mosquitto/mosquitto")), "mosquitto was not built")
@expand
class Mosquitto(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.space = Workspace()

    @classmethod
    def tearDownClass(cls):
        cls.space.close()

    def disk(self, name, more=""):
        """The example's disk, with more lines in its configuration."""
        folder = self.space.file(f"{name}.files")
        shutil.copytree(os.path.join(ROOT, "examples/mosquitto/etc"), folder)
        with open(os.path.join(folder, "mosquitto.conf"), "a", encoding="utf-8") as configuration:
            configuration.write(more)
        return self.space.ext4(f"{name}.img", folder)

    def check_disk(self, disk):
        done = subprocess.run(["e2fsck", "-fn", disk], capture_output=True, text=True, timeout=WAIT)
        self.assertEqual(done.returncode, 0, done.stdout)

    @per_machine(*MACHINES)
    def test_service_qualities(self, machine):
        payload = self.space.file(f"{machine}.payload")
        large = random.Random(1).randbytes(200_000)
        with open(payload, "wb") as out:
            out.write(large)
        with Broker(machine, self.disk(f"{machine}-qualities")) as broker:
            for quality in "012":
                lines = [f"{quality}-{n}" for n in range(200)]
                with broker.subscribe("-t", "numbers/+", "-q", quality, "-C", "201") as subscriber:
                    broker.publish("-t", "numbers/all", "-q", quality, "-l", text="\n".join(lines) + "\n")
                    self.assertEqual(subscriber.rest(), [f"numbers/all {line}" for line in lines])
                broker.publish("-t", "large", "-q", quality, "-r", "-f", payload)
                self.assertEqual(broker.read("-t", "large", "-q", quality, "-C", "1", "-N"), large)
            # Version 5 of the protocol, with what only it has.
            with broker.subscribe("-V", "5", "-t", "$share/all/work", "-C", "3") as one:
                for n in range(2):
                    broker.publish("-V", "5", "-t", "work", "-m", str(n), "-q", "1", "-D", "publish", "message-expiry-interval", "60")
                self.assertEqual(one.rest(), ["work 0", "work 1"])
            broker.off(self)

    @per_machine(*MACHINES)
    def test_retained_and_wills(self, machine):
        with Broker(machine, self.disk(f"{machine}-wills")) as broker:
            broker.publish("-t", "kept/a", "-m", "1", "-r")
            broker.publish("-t", "kept/a", "-m", "2", "-r", "-q", "2")
            broker.publish("-t", "kept/b", "-m", "3", "-r")
            broker.publish("-t", "kept/c", "-m", "4")
            broker.publish("-t", "kept/b", "-n", "-r")
            self.assertEqual(broker.read("-t", "kept/#", "-F", "%t %p %r", seconds=1), b"kept/a 2 1\n")
            with broker.subscribe("-t", "wills/#", "-C", "3") as heir:
                killed, silent = (broker.subscribe("-k", "5", "--will-topic", f"wills/{name}", "--will-payload", "gone", "--will-qos", "1")
                                  for name in ("killed", "silent"))
                with killed, silent:
                    os.kill(killed.process.pid, signal.SIGKILL)  # its connection ends
                    heir.expect("wills/killed gone")
                    os.kill(silent.process.pid, signal.SIGSTOP)  # its connection stays, and says nothing any more
                    began = time.monotonic()
                    heir.expect("wills/silent gone")  # one and a half times its keepalive after its last packet
                    self.assertGreater(time.monotonic() - began, 1)
            # Ten seconds have passed: the broker has told of itself.
            self.assertGreater(int(broker.read("-t", "$SYS/broker/heap/current", "-C", "1")), 1000)
            self.assertGreater(int(broker.read("-t", "$SYS/broker/messages/sent", "-C", "1")), 5)
            broker.off(self)

    @per_machine(*MACHINES)
    def test_a_hundred_clients(self, machine):
        with Broker(machine, self.disk(f"{machine}-many")) as broker:
            subscribers = [broker.subscribe("-t", "all", "-q", "1", "-C", "4", "-i", f"client-{n}") for n in range(100)]
            try:
                for subscriber in subscribers:
                    subscriber.expect(f"{READY} yes")
                for n in range(3):
                    broker.publish("-t", "all", "-q", "1", "-m", f"to everybody, {n}")
                for subscriber in subscribers:
                    self.assertEqual(subscriber.rest(), [f"all to everybody, {n}" for n in range(3)])
            finally:
                for subscriber in subscribers:
                    subscriber.end()
            broker.off(self)

    @per_machine(*MACHINES)
    def test_what_outlasts_poweroff(self, machine):
        disk = self.disk(f"{machine}-poweroff")
        session = ("-i", "keeper", "-c", "-q", "1", "-t", "jobs/#")
        with Broker(machine, disk) as broker:
            broker.publish("-t", "kept", "-m", "retained", "-r", "-q", "1")
            with broker.subscribe(*session, "-C", "1"):
                pass
            for n in range(5):
                broker.publish("-t", f"jobs/{n}", "-q", "1", "-m", f"job {n}")
            broker.off(self, button=True)
        self.check_disk(disk)
        with Broker(machine, disk) as broker:
            self.assertEqual(broker.read("-t", "kept", "-C", "1"), b"retained\n")
            self.assertEqual(broker.read(*session, "-C", "5", "-F", "%t %p"), b"".join(b"jobs/%d job %d\n" % (n, n) for n in range(5)))
            broker.off(self)
        self.check_disk(disk)

    @per_machine(*MACHINES)
    def test_what_outlasts_a_kill(self, machine):
        # Saved after every message. When the next one is acknowledged the database with the last is written, when the one
        # after it is, its rename too.
        disk = self.disk(f"{machine}-kill", "autosave_on_changes true\nautosave_interval 1\n")
        kept, tried = -1, -1
        for count in (3, 12, 7):
            with Broker(machine, disk) as broker:
                if tried >= 0:
                    got = int(broker.read("-t", "counter", "-C", "1"))
                    self.assertIn(got, range(kept, tried + 1))
                for _ in range(count):
                    tried += 1
                    broker.publish("-t", "counter", "-r", "-q", "1", "-m", str(tried))
                kept = tried - 2
                later = subprocess.Popen(["mosquitto_pub", *broker.address, "-t", "counter", "-r", "-q", "1", "-m", str(tried + 1)])
                tried += 1
                time.sleep(random.Random(count).random() / 20)
            # Left the block above: QEMU was killed.
            later.kill()
            later.wait()
        with Broker(machine, disk) as broker:
            self.assertIn(int(broker.read("-t", "counter", "-C", "1")), range(kept, tried + 1))
            broker.off(self)
        self.check_disk(disk)


if __name__ == "__main__":
    main()
