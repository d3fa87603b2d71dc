"""A kernel that kexec starts is known from its startup code on, like the first. Long: two boots in one."""

import re
import unittest
from pathlib import Path

import case
from harness import kernels
from harness.gdb import Gdb
from harness.guest import Guest

GUESTS = Path(__file__).resolve().parent / "guests"
SHOW = "echo \"text: $(grep ' _text$' /proc/kallsyms)\"\n"


class Kexec(case.Case):
    def test_the_second_kernel_stops_at_the_same_places_and_where_it_says_it_is(self) -> None:
        second = kernels.initrd(SHOW + "poweroff -f")
        files = ((kernels.c_program(GUESTS / "kexec.c"), "/bin/kexec"), (kernels.get("6.1").vmlinuz, "/vmlinuz"),
                 (second, "/initrd"))
        with Guest("--stop-at=relocated,start_kernel,init", gdb=True, wait=True, memory="512M", cpus=2, files=files,
                   init=SHOW + "/bin/kexec 'console=ttyS0 quiet panic=-1'") as guest:
            texts = []
            with Gdb(guest, vmlinux=None) as gdb:
                for _ in range(2):
                    relocated = gdb.run("continue", 120)
                    texts.append(re.search(r"final address: _text 0x([0-9a-f]+)", relocated)[1])
                    self.assertIn("stopped: start_kernel", gdb.run("continue", 60))
                    self.assertIn(f"0x{texts[-1]}", gdb.run("monitor sym _text"))
                    self.assertIn("stopped: init", gdb.run("continue", 60))
                gdb.run("continue", 60)
            self.assertEqual(guest.status(), 0)
            self.assertEqual(re.findall(r"^text: ([0-9a-f]+) T _text", guest.console, re.MULTILINE), texts)


if __name__ == "__main__":
    unittest.main()
