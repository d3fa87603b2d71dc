"""A kernel that kexec starts is known from its startup code on, like the first. Long: two boots in one."""

import re
import unittest
from pathlib import Path

import case
import soak_coherent
from harness import kernels
from harness.gdb import Gdb
from harness.guest import Guest
from harness.rawclient import RawClient
from test_coherent import COMPLAINTS, PATIENT, Patching

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


TRACED = f"""mount -t tracefs tracefs /sys/kernel/tracing
echo function >/sys/kernel/tracing/current_tracer
ls -lR /proc/self/ >/dev/null
echo nop >/sys/kernel/tracing/current_tracer
dmesg | grep -E '{COMPLAINTS}' | grep -v 'Return Stack Overflow'
echo second: looked
sleep 10000"""


class BreakpointsInTheSecond(Patching):
    points = 100
    patience = 400
    busy = soak_coherent.EveryFunctionTraced.busy

    def test_they_move_to_where_it_is_and_it_patches_itself_below_them(self) -> None:
        points = self.drawn("6.1")
        files = ((kernels.c_program(GUESTS / "kexec.c"), "/bin/kexec"), (kernels.get("6.1").vmlinuz, "/vmlinuz"),
                 (kernels.initrd(TRACED), "/initrd"))
        with Guest(wait=True, gdb=True, memory="512M", cpus=2, files=files,
                   init=f"/bin/kexec 'console=ttyS0 quiet panic=0 log_buf_len=4M {PATIENT}'") as guest:
            with RawClient(guest, timeout=60) as raw:
                raw.attach()
                first = self.slide(raw)
                self.insert(raw, points, first)
                raw.send("vCont;c")
                guest.wait_for("second: looked", self.patience)
                self.assertNotRegex(guest.console, COMPLAINTS)
                raw.send_raw(b"\x03")
                while not raw.receive().startswith("T"):
                    pass  # words, of points that have moved with the kernel
                second = self.slide(raw)
                self.assertNotEqual(second, first)
                hits = self.hits(raw, second)
                self.assertEqual(set(hits), set(points))
                self.assertGreater(sum(count > 0 for count in hits.values()), self.points // 15)


if __name__ == "__main__":
    unittest.main()
