"""The lab's promises, tried in a booted L1: set RINGSIDE_TEST_LAB to qemu or bochs. Skipped otherwise."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from labapi import Lab  # noqa: E402

EMULATOR = os.environ.get("RINGSIDE_TEST_LAB")
PATIENCE = 30.0


@unittest.skipUnless(EMULATOR, "RINGSIDE_TEST_LAB is not set")
class TheLab(unittest.TestCase):
    lab: Lab

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = Lab.up(emulator=EMULATOR, lifetime=600)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.lab.down()

    def running(self, marker: str) -> bool:
        return self.lab.exec(f"ps | grep -v grep | grep -q '{marker}'").returncode == 0

    def wait_until_gone(self, marker: str) -> None:
        end = time.monotonic() + PATIENCE
        while self.running(marker):
            self.assertLess(time.monotonic(), end, f"{marker} still runs in L1")

    def test_output_errors_and_status_come_back(self) -> None:
        done = self.lab.exec("echo out; echo err >&2; exit 42")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (42, "out\n", "err\n"))

    def test_a_killed_command_has_128_plus_its_signal(self) -> None:
        self.assertEqual(self.lab.exec("kill -9 $$").returncode, 128 + signal.SIGKILL)

    def test_a_missing_command_has_127(self) -> None:
        self.assertEqual(self.lab.exec(["nosuchcommand", "x"]).returncode, 127)

    def test_environment_arrives(self) -> None:
        self.assertEqual(self.lab.exec("echo $GREETING", env={"GREETING": "a b=c"}).stdout, "a b=c\n")

    def test_a_command_that_echoes_megabytes_does_not_stand_still(self) -> None:
        data = os.urandom(4 << 20)
        self.assertEqual(self.lab.exec(["cat"], input=data, timeout=120, text=False).stdout, data)

    def test_two_commands_run_at_once(self) -> None:
        reader = self.lab.popen("mkfifo /tmp/meet; cat /tmp/meet", stdout=subprocess.PIPE, text=True)
        writer = self.lab.exec("while ! [ -p /tmp/meet ]; do usleep 10000; done; echo hello >/tmp/meet", timeout=60)
        self.assertEqual((writer.returncode, reader.communicate(timeout=60)[0]), (0, "hello\n"))

    def test_killing_the_local_process_kills_the_command(self) -> None:
        p = self.lab.popen(["sleep", "98765"])
        while not self.running("sleep 98765"):
            time.sleep(0.05)
        p.kill()
        p.wait()
        self.wait_until_gone("sleep 98765")

    def test_a_signal_reaches_the_command(self) -> None:
        p = self.lab.popen(["sleep", "98764"])
        while not self.running("sleep 98764"):
            time.sleep(0.05)
        p.terminate()
        self.assertEqual(p.wait(), 128 + signal.SIGTERM)
        self.wait_until_gone("sleep 98764")

    def test_files_go_in_and_come_out_with_their_mode(self) -> None:
        with tempfile.TemporaryDirectory() as d:
            there, back = Path(d, "there"), Path(d, "back")
            there.write_bytes(os.urandom(300_001))
            there.chmod(0o750)
            self.lab.put(there, "/tmp/new/place")
            self.lab.get("/tmp/new/place", back)
            self.assertEqual(there.read_bytes(), back.read_bytes())
        self.assertEqual(self.lab.exec(["stat", "-c", "%a", "/tmp/new/place"]).stdout, "750\n")

    def test_a_program_brings_its_libraries(self) -> None:
        self.lab.put("/usr/bin/id", "/tmp/id", program=True)
        self.assertEqual(self.lab.exec(["/tmp/id", "-u"]).stdout, "0\n")

    def test_a_forwarded_port_carries_bytes_both_ways(self) -> None:
        server = self.lab.popen("nc -l -p 7015 -e cat")
        while self.lab.exec("netstat -ltn | grep -q :7015").returncode:
            time.sleep(0.05)
        data, got = os.urandom(1 << 20), bytearray()
        with socket.create_connection(("127.0.0.1", self.lab.port(7015)), PATIENCE) as s:
            sender = threading.Thread(target=s.sendall, args=(data,))
            sender.start()
            while len(got) < len(data) and (part := s.recv(1 << 16)):
                got += part
            sender.join()
        server.terminate()
        server.wait()
        self.assertEqual(bytes(got), data)

    def test_kvm_is_there(self) -> None:
        self.assertEqual(self.lab.exec(["test", "-c", "/dev/kvm"]).returncode, 0)


if __name__ == "__main__":
    unittest.main()
