"""A breakpoint in a module that is not loaded yet, at the very first instruction of its own."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

import case
from harness.guest import Guest
from harness.rawclient import RawClient
from test_guestos import MODULE, SLEEPING_MODULE, module_files

INIT = """stty -echo
while read line; do eval "$line"; echo "done: $?"; done"""


class Modules(case.Case):
    def setUp(self) -> None:
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        files = module_files("6.1", Path(self.folder.name))
        self.files = {path.stem: (path, there) for path, there in files}
        self.guest = Guest(init=INIT, cpus=2, gdb=True, files=files)
        self.addCleanup(self.guest.end)
        self.guest.wait_for("guest: init")

    def say(self, line: str) -> str:
        start = self.guest.shown
        self.guest.type(line + "\n")
        end = self.guest.wait_for(r"done: 0", 60, start)
        return self.guest.console_from(start)[:end.start() - start]

    def tool(self, *argv: str) -> str:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    def section(self, module: str, name: str) -> int:
        return int(self.say(f"cat /sys/module/{module}/sections/{name}").strip(), 16)

    def fill_debug_registers(self, client: RawClient) -> None:
        elsewhere = client.symbol("panic")
        for number in range(4):
            self.assertEqual(client.ask(f"Z1,{elsewhere + number:x},1"), "OK")

    def is_met_at(self, client: RawClient, at: int, there: str) -> bool:
        """Loads it below a breakpoint there that is pending; false when it has come to another place this time."""
        self.assertEqual(client.ask(f"Z0,{at:x},1"), "OK")
        for _ in range(20):  # what was there before goes some time after it is unloaded
            client.send("vCont;c")
            for _ in range(3):
                self.say("cat /etc/greeting")
            client.send_raw(b"\x03")
            self.assertRegex(client.receive(), "^T02")
            listing = client.monitor("probes")
            if re.search(rf"break {at:#x}, tracer \d+, pending for .*: nothing is mapped there", listing):
                break
        else:
            self.fail(listing)
        self.assertIn("the monitor's own, for what is pending in modules", listing)
        client.send("vCont;c")
        start = self.guest.shown
        self.guest.type(f"insmod {there}\n")
        while client.silent(0.2):
            if "done: 0" in self.guest.console_from(start):
                return False
        return True

    def test_its_init_function_is_stopped_in_though_it_runs_as_soon_as_it_is_there(self) -> None:
        file, there = self.files[MODULE]
        for module, (_, needed) in self.files.items():
            if module != SLEEPING_MODULE:  # which would come to lie where the init function was
                self.say(f"insmod {needed}")
        begins = int(re.search(r"^([0-9a-f]+) [tT] init_module$", self.tool("nm", file), re.M)[1], 16)
        with RawClient(self.guest) as client:
            section = self.section(MODULE, ".init.text")
            self.say(f"rmmod {MODULE}")
            client.attach()
            self.fill_debug_registers(client)
            for _ in range(20):
                at = section + begins
                if self.is_met_at(client, at, there):
                    break
                was, section = section, self.section(MODULE, ".init.text")
                self.assertNotEqual(was, section, "it was loaded there, and not stopped")
                self.say(f"rmmod {MODULE}")
                client.send_raw(b"\x03")
                self.assertRegex(client.receive(), "^T02")
                self.assertEqual(client.ask(f"z0,{at:x},1"), "OK")
            stop = client.receive()
            self.assertRegex(stop, "^T05")
            self.assertIn(f"10:{at.to_bytes(8, 'little').hex()};", stop)
            stack = int.from_bytes(bytes.fromhex(re.search(r"07:([0-9a-f]{16});", stop)[1]), "little")
            caller = int.from_bytes(bytes.fromhex(client.ask(f"m{stack:x},8")), "little")
            self.assertIn("do_one_initcall+", client.monitor(f"sym {caller:#x}"))
            client.send("vCont;c")
            self.guest.next("done: 0")

    def test_its_static_keys_are_switched_though_each_of_their_places_has_a_breakpoint(self) -> None:
        file, there = self.files[SLEEPING_MODULE]
        self.say(f"insmod {there}")
        text = self.section(SLEEPING_MODULE, ".text")
        table = self.tool("readelf", "-rW", file).split("'.rela__jump_table'")[1].split("Relocation section")[0]
        rows = re.findall(r"R_X86_64_PC32 .* \.text \+ ([0-9a-f]+)\n.* \.text \+ [0-9a-f]+\n.*R_X86_64_PC64 .* (\w+) \+", table)
        sites = [text + int(offset, 16) for offset, _ in rows]
        told = [text + int(offset, 16) for offset, key in rows if key == "__dyndbg"]
        self.assertGreater(len(told), 20)
        self.say("mount -t debugfs debugfs /sys/kernel/debug")
        with RawClient(self.guest) as client:
            client.attach()
            self.fill_debug_registers(client)
            for at in sites:
                self.assertEqual(client.ask(f"Z0,{at:x},1;X5,2200220027"), "OK")
            client.send("vCont;c")
            self.say("true")
            client.send_raw(b"\x03")
            self.assertRegex(client.receive(), "^T02")
            listing = client.monitor("probes")
            for at in sites:
                self.assertRegex(listing, rf"break {at:#x}, tracer \d+, pending for .*: the kernel patches this place")
            client.send("vCont;c")
            for switch, opcodes in (("+p", {0xEB, 0xE9}), ("-p", {0x0F, 0x66}), ("+p", {0xEB, 0xE9})):
                self.say(f"echo module {SLEEPING_MODULE} {switch} >/sys/kernel/debug/dynamic_debug/control")
                client.send_raw(b"\x03")
                self.assertRegex(client.receive(), "^T02")
                self.assertLessEqual({int(client.ask(f"m{at:x},1"), 16) for at in told}, opcodes)
                client.send("vCont;c")
            self.say(f"rmmod {SLEEPING_MODULE}; insmod {there}")
            self.assertNotRegex(self.say("dmesg"), "jump_label: |BUG: |Oops|WARNING: CPU")
            client.send_raw(b"\x03")
            self.assertRegex(client.receive(), "^T02")


if __name__ == "__main__":
    unittest.main()
