"""A breakpoint in a module that is not loaded yet, at the very first instruction of its own."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import case
from harness.guest import Guest
from harness.rawclient import RawClient
from test_guestos import MODULE, module_files

INIT = """stty -echo
while read line; do eval "$line"; echo "done: $?"; done"""


class Modules(case.Case):
    def setUp(self) -> None:
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        files = module_files("6.1", Path(self.folder.name))
        self.file = next(path for path, _ in files if path.stem == MODULE)
        self.guest = Guest(init=INIT, cpus=2, gdb=True, files=files)
        self.addCleanup(self.guest.end)
        self.guest.wait_for("guest: init")

    def say(self, line: str) -> str:
        start = self.guest.shown
        self.guest.type(line + "\n")
        end = self.guest.wait_for(r"done: 0", 60, start)
        return self.guest._out.text[start:end.start()]

    def where_it_begins(self) -> int:
        """Of init_module in its section, in the file."""
        symbols = subprocess.run(["nm", self.file], capture_output=True, text=True, check=True).stdout
        return int(re.search(r"^([0-9a-f]+) [tT] init_module$", symbols, re.M)[1], 16)

    def test_its_init_function_is_stopped_in_though_it_runs_as_soon_as_it_is_there(self) -> None:
        there = next(path for path in ("/m/%02d.ko" % number for number in range(20))
                     if MODULE in self.say(f"insmod {path} 2>/dev/null; cut -d' ' -f1 /proc/modules"))
        section = int(self.say(f"cat /sys/module/{MODULE}/sections/.init.text").strip(), 16)
        self.say(f"rmmod {MODULE}")
        at = section + self.where_it_begins()  # it comes to the same place again
        with RawClient(self.guest) as client:
            client.attach()
            elsewhere = int(re.match(r"0x([0-9a-f]+)", client.monitor("sym panic"))[1], 16)
            for number in range(4):  # or it would have a debug register
                self.assertEqual(client.ask(f"Z1,{elsewhere + number:x},1"), "OK")
            self.assertEqual(client.ask(f"Z0,{at:x},1"), "OK")
            client.send("vCont;c")
            for _ in range(3):
                self.say("cat /etc/greeting")
            client.send_raw(b"\x03")
            self.assertRegex(client.receive(), "^T02")
            listing = client.monitor("probes")
            self.assertRegex(listing, rf"break {at:#x}, tracer \d+, pending for .*: nothing is mapped there")
            self.assertIn("the monitor's own, for what is pending in modules", listing)
            client.send("vCont;c")
            self.guest.type(f"insmod {there}\n")
            stop = client.receive()
            self.assertRegex(stop, "^T05")
            self.assertIn(f"10:{at.to_bytes(8, 'little').hex()};", stop)
            stack = int.from_bytes(bytes.fromhex(re.search(r"07:([0-9a-f]{16});", stop)[1]), "little")
            caller = int.from_bytes(bytes.fromhex(client.ask(f"m{stack:x},8")), "little")
            self.assertIn("do_one_initcall+", client.monitor(f"sym {caller:#x}"))
            client.send("vCont;c")
            self.guest.next("done: 0")


if __name__ == "__main__":
    unittest.main()
